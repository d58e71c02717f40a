"""All of operator-framework's validators on the OLM bundle: no error, and no warning that is not explained here."""

from __future__ import annotations

import gzip
import io
import re
import subprocess
import tarfile
from pathlib import Path

import yaml

from scripts.container import bundle, image
from skep.image import document, manifest
from tests.parts import CHECKOUT, part

EXPLAINED = (
    # It looks at groups and resources, not at versions: events.k8s.io/v1 is there, v1beta1 was removed.
    r"using APIs which were deprecated and removed in v1\.25.*for events: ",
    # Nobody shall begin with a kind of bpfman's or bpfd's former days.
    r"Kind=(Xdp|Tc|Tcx|Tracepoint|Kprobe|Uprobe|Fentry|Fexit|Bpf)(Ns)?Program: provided API should have an example",
    r"Kind=(BpfNsApplication|BpfProgramConfig): provided API should have an example",
    # It asks a container engine about the image, of which there is none here; what it suggests follows from that.
    r"unable to inspect the image \(registry\.example/skep:",
    r"check if the CSV (is missing a|has a missing or invalid) node affinity configuration",
)


def test_every_validator_is_content() -> None:
    done = subprocess.run(
        [part("operator-verify"), CHECKOUT / "deploy/olm"], capture_output=True, text=True, check=False, timeout=100
    )
    assert done.returncode == 0, done.stdout + done.stderr
    assert re.search(r"^ok: 1\d validators$", done.stdout, re.MULTILINE), done.stdout
    warnings = [line for line in done.stdout.splitlines() if line.startswith("warning: ")]
    assert [line for line in warnings if not any(re.search(each, line) for each in EXPLAINED)] == []


def test_its_image_holds_the_bundle(tmp_path: Path) -> None:
    """As OLM reads it: the labels say where manifests and metadata are, and the layer has them there."""
    made = bundle.built(bundle.OLM)
    assert image.write(made, tmp_path / "layout", "localhost/bundle:1") == made.top.digest
    ((_, layer), (_, config)) = made.blobs
    labels = document.read(config, manifest.MOST_BYTES)["config"]["Labels"]
    assert labels == yaml.safe_load((bundle.OLM / "metadata/annotations.yaml").read_text())["annotations"]
    with tarfile.open(fileobj=io.BytesIO(gzip.decompress(layer))) as files:
        names = {each.name for each in files if each.isfile()}
    for where in ("manifests", "metadata"):
        place = labels[f"operators.operatorframework.io.bundle.{where}.v1"]
        assert {each for each in names if each.startswith(place)} == {
            path.relative_to(bundle.OLM).as_posix() for path in (bundle.OLM / place).iterdir()
        }
