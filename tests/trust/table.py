"""The table of docs/trust.md, made from ``WAYS``, which the tests hold to what happens.

``python -m tests.trust.table`` writes it anew.
"""

from __future__ import annotations

from tests.trust.ways import WAYS, Way
from tests.unit.house import source_tree

DOCUMENT = source_tree.ROOT / "docs" / "trust.md"
BEGIN, END = "<!-- table: tests/trust/table.py -->\n", "<!-- end of table -->\n"
READERS = ("skep", "cosign", "sigstore-python")
HEAD = ("Signed by", "Kept as", "By", "With", *(f"{reader} accepts" for reader in READERS))


def made(text: str) -> str:
    """A document with its table as it should be."""
    before, rest = text.split(BEGIN)
    _, after = rest.split(END)
    lines = [HEAD, tuple("---" for _ in HEAD), *map(_row, WAYS)]
    return before + BEGIN + "".join(f"| {' | '.join(cells)} |\n" for cells in lines) + END + after


def _row(way: Way) -> tuple[str, ...]:
    def answer(reader: str) -> str:
        if reader == "sigstore-python" and way.form != "bundle":
            return "cannot read it"
        return "yes" if reader in way.readers else "no"

    return (way.signer, way.form, way.who, way.extras or "nothing else", *map(answer, READERS))


if __name__ == "__main__":
    DOCUMENT.write_text(made(DOCUMENT.read_text()))
