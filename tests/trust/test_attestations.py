"""What cosign attests is read and shown, in both forms; it is no signature. And images that cosign saved to files."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from skep import errors
from skep.image import place
from skep.image.registries import Registries
from skep.image.signatures import collect
from skep.trust.judge import judge
from skep.trust.root import read_root
from tests.trust.images import NOW, Image, by_key
from tests.trust.rig import Sigstore
from tests.trust.ways import OLD, PASSWORD, WAYS

PREDICATES = {
    "slsaprovenance1": {
        "buildDefinition": {
            "buildType": "https://builds.test/v1",
            "externalParameters": {"ref": "main"},
            "resolvedDependencies": [{"uri": "git+https://source.test/program"}],
        },
        "runDetails": {"builder": {"id": "https://builder.test"}},
    },
    "spdxjson": {"spdxVersion": "SPDX-2.3", "name": "program", "packages": [{"name": "a"}, {"name": "b"}]},
    "cyclonedx": {"bomFormat": "CycloneDX", "components": [{"name": "a"}]},
}
SHOWN = {
    "slsaprovenance1": (
        "SLSA provenance",
        (
            ("builder", "https://builder.test"),
            ("build type", "https://builds.test/v1"),
            ("parameters", '{"ref": "main"}'),
            ("sources", "git+https://source.test/program"),
        ),
    ),
    "spdxjson": ("SBOM (SPDX)", (("name", "program"), ("packages", "2"))),
    "cyclonedx": ("SBOM (CycloneDX)", (("components", "1"),)),
}


@pytest.mark.parametrize("kind", PREDICATES)
def test_attestations(sigstore: Sigstore, tmp_path: Path, kind: str) -> None:
    image = Image(sigstore.registry)
    file = tmp_path / "predicate.json"
    file.write_text(json.dumps(PREDICATES[kind]))
    attest = ("attest", f"--type={kind}", f"--predicate={file}", f"--key={sigstore.key}")
    root = f"--trusted-root={sigstore.trusted_root}"
    sigstore.cosign(*attest, f"--signing-config={sigstore.signing_config}", root, str(image), password=PASSWORD)
    sigstore.cosign(*attest, *OLD, "--tlog-upload=false", str(image), password=PASSWORD)
    found = image.judge(by_key(sigstore.public), sigstore.trusted_root)
    assert not found.signatures and not found.faults
    assert [(each.kind, each.facts) for each in found.attestations] == [SHOWN[kind]] * 2
    with pytest.raises(errors.Untrusted, match="there is no signature of it, only"):
        found.require()


def test_an_image_that_cosign_saved(sigstore: Sigstore, tmp_path: Path) -> None:
    """With a signature of each form, verified from files alone."""
    image = Image(sigstore.registry)
    for way in WAYS:
        if way.name in ("cosign-key-tag", "cosign-key-bundle-log"):
            way.sign(sigstore, image)
    saved = tmp_path / "saved"
    sigstore.cosign("save", f"--dir={saved}", f"{image.name}:v1")
    found = place.find(f"oci:{saved}", Registries(), {}, "x86_64")
    assert found.digests == (image.digest,)
    root = read_root(sigstore.trusted_root.read_bytes(), "root")
    verdict = judge("saved", collect(found.repository, found.digests), by_key(sigstore.public), root, NOW)
    assert {each.form for each in verdict.signatures} == {"sigstore bundle", "cosign tag"}
