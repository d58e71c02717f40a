"""The gate with a policy in files and a memory in a store: what is asked, of whom, and what is never asked again."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

from skep import errors
from skep.image import signing
from skep.image.gate import Gate, contents
from skep.image.layout import Writable
from skep.image.manifest import Descriptor
from skep.image.reference import Digest, Tag
from skep.image.source import Repository
from skep.policy.images import Outcome, explain
from skep.store import Store
from tests import images

KEY = ec.generate_private_key(ec.SECP256R1())
NAME = "registry.test/team/app"
POLICY = """
rules:
  - name: ours
    images: [registry.test/team/*]
    mode: {mode}
    keys: [release.pub]
"""


class Place:
    """An image in a layout, and its gate."""

    def __init__(self, directory: Path) -> None:
        self.directory = directory
        self.path = directory / "trust.yaml"
        self.store = Store(directory / "skep.db")
        self.layout = Writable(directory / "layout")
        made = images.Store()
        self.image = self._put(made, made.image(tag="v1"))
        self.asked = 0
        self.rules("require")
        self.key(KEY)

    def _put(self, made: images.Store, one: Descriptor) -> Digest:
        for digest, data in made.blobs.items():
            if digest != one.digest:
                self.layout.upload_blob(Descriptor(media_type="a/b", digest=digest, size=len(data)), data)
        return self.layout.put_manifest(made.blobs[one.digest], one.media_type, Tag("v1"))

    def rules(self, mode: str) -> None:
        self.path.write_text(POLICY.format(mode=mode))

    def key(self, key: ec.EllipticCurvePrivateKey) -> None:
        pem = key.public_key().public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo)
        (self.directory / "release.pub").write_bytes(pem)

    def sign(self) -> None:
        signing.push_tagged(self.layout, NAME, self.image, KEY)

    def decide(self, name: str = NAME, *, away: bool = False) -> tuple[Outcome, str]:
        def place() -> Repository:
            self.asked += 1
            if away:
                raise errors.Unavailable("the registry does not answer", do="wait")
            return self.layout

        gate = Gate(str(self.path), self.store, contents, lambda: 1_700_000_000.0)
        decision = gate.decide(name, (self.image,), place)
        return decision.outcome, explain(decision)


@pytest.fixture
def place(tmp_path: Path) -> Iterator[Place]:
    one = Place(tmp_path)
    yield one
    one.store.close()


@pytest.mark.slow
def test_signed_by_a_key_of_the_rule(place: Place) -> None:
    place.sign()
    outcome, why = place.decide()
    assert outcome is Outcome.ACCEPTED
    assert why == f"accepted because rule 'ours' accepts its signature: key {place.directory}/release.pub"


@pytest.mark.slow
def test_unsigned_is_refused_or_warned_about(place: Place) -> None:
    outcome, why = place.decide()
    assert outcome is Outcome.REFUSED and why.endswith("and there is no signature of it")
    place.rules("warn")
    assert place.decide()[0] is Outcome.WARNED
    assert place.decide("other.test/app")[1].startswith("accepted with a warning because no rule of")
    place.sign()
    assert place.decide()[0] is Outcome.ACCEPTED


@pytest.mark.slow
def test_what_was_accepted_is_not_asked_about_again(place: Place) -> None:
    place.sign()
    place.decide()
    assert place.asked == 1
    outcome, why = place.decide(away=True)
    assert outcome is Outcome.ACCEPTED and "accepted this digest at 2023-11-14T22:13:20Z" in why
    assert place.asked == 1


@pytest.mark.slow
def test_another_key_asks_again_and_the_old_one_is_remembered(place: Place) -> None:
    place.sign()
    place.decide()
    place.key(ec.generate_private_key(ec.SECP256R1()))
    outcome, why = place.decide()
    assert outcome is Outcome.REFUSED and "altered, or by another key" in why
    place.key(KEY)
    assert place.decide(away=True)[0] is Outcome.ACCEPTED


def test_an_outage_blocks_only_what_was_never_accepted(place: Place) -> None:
    outcome, why = place.decide(away=True)
    assert outcome is Outcome.REFUSED and "the registry does not answer" in why
    place.rules("warn")
    assert place.decide(away=True)[0] is Outcome.WARNED


def test_a_slip_in_the_policy_loads_nothing(place: Place) -> None:
    place.path.write_text("rules: 7")
    with pytest.raises(errors.InvalidRequest, match="line 1"):
        place.decide()
    assert place.asked == 0


@pytest.mark.slow
def test_the_process_that_judges_says_what_is_wrong_with_a_key(place: Place) -> None:
    (place.directory / "release.pub").write_text("-----BEGIN PUBLIC KEY-----\nAAAA\n-----END PUBLIC KEY-----\n")
    with pytest.raises(errors.InvalidRequest, match=r"release\.pub is no public key"):
        place.decide()
