from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from skep.trust.merkle import leaf_hash, node_hash, root_from


def root_of(leaves: list[bytes]) -> bytes:
    """RFC 6962, 2.1: the definition, not the way back that is tested."""
    if len(leaves) == 1:
        return leaf_hash(leaves[0])
    split = 1 << (len(leaves) - 1).bit_length() - 1
    return node_hash(root_of(leaves[:split]), root_of(leaves[split:]))


def proof_of(leaves: list[bytes], index: int) -> tuple[bytes, ...]:
    """RFC 6962, 2.1.1."""
    if len(leaves) == 1:
        return ()
    split = 1 << (len(leaves) - 1).bit_length() - 1
    if index < split:
        return (*proof_of(leaves[:split], index), root_of(leaves[split:]))
    return (*proof_of(leaves[split:], index - split), root_of(leaves[:split]))


@given(st.data(), st.integers(min_value=1, max_value=70))
def test_a_proof_leads_to_the_root_and_no_other_does(data: st.DataObject, size: int) -> None:
    leaves = [bytes([number]) for number in range(size)]
    index = data.draw(st.integers(min_value=0, max_value=size - 1))
    proof = proof_of(leaves, index)
    leaf = leaf_hash(leaves[index])
    assert root_from(leaf, index=index, size=size, hashes=proof) == root_of(leaves)
    assert root_from(leaf_hash(b"other"), index=index, size=size, hashes=proof) != root_of(leaves)
    assert root_from(leaf, index=index, size=size, hashes=(*proof, b"x" * 32)) is None
    assert root_from(leaf, index=size, size=size, hashes=proof) is None
    if proof:
        assert root_from(leaf, index=index, size=size, hashes=proof[:-1]) is None
        changed = data.draw(st.integers(min_value=0, max_value=len(proof) - 1))
        wrong = (*proof[:changed], b"x" * 32, *proof[changed + 1 :])
        assert root_from(leaf, index=index, size=size, hashes=wrong) != root_of(leaves)
