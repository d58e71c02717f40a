"""Images that skep builds and pushes: what other tools make of them, and what a policy makes of their programs."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from tests import bpf_build
from tests.e2e import installed
from tests.image import rig


def skep(*words: str | Path, fails: bool = False, **environment: str) -> str:
    """The command line without root's daemon; its stdout, or its stderr where it must fail."""
    done = subprocess.run(
        [sys.executable, "-m", "skep", *map(str, words)],
        capture_output=True, text=True, env={**os.environ, **environment}, check=False, timeout=60,
    )  # fmt: skip
    assert (done.returncode != 0) is fails, done.stderr
    assert "Traceback" not in done.stderr
    return done.stderr if fails else done.stdout


def openssl(*words: str | Path) -> None:
    subprocess.run(["openssl", *words], capture_output=True, check=True, timeout=60)


def digest_of(printed: str) -> str:
    """The digest of "published: NAME@DIGEST"."""
    return printed.strip().rpartition("@")[2]


def test_what_is_built_here_crane_reads(registry: rig.Real, count: Path) -> None:
    url = f"{registry.host}/built/count:v1"

    digest = digest_of(skep("image", "build", url, count))

    assert rig.crane("digest", url) == digest
    rig.crane("validate", "--remote", url)
    config = json.loads(rig.crane("config", url))
    assert config["architecture"] == "bpfel"
    assert json.loads(config["config"]["Labels"]["io.ebpf.programs"])["count"] == "xdp"
    exported = subprocess.run(
        [rig.part("crane"), "export", "--insecure", url, "-"], capture_output=True, check=True, timeout=60
    ).stdout
    assert count.read_bytes() in exported


def test_two_platforms_make_an_index(registry: rig.Real, bed: rig.Bed, count: Path) -> None:
    url = f"{registry.host}/built/several:v1"
    other = bpf_build.build("hooks")

    made = json.loads(skep("image", "build", url, f"linux/amd64={count}", f"arm64={other}", "-o", "json"))

    assert made["platforms"] == ["linux/amd64", "linux/arm64"]
    index = json.loads(rig.crane("manifest", url))
    assert [each["platform"]["architecture"] for each in index["manifests"]] == ["amd64", "arm64"]
    wanted = count if os.uname().machine == "x86_64" else other
    bed.pull(url)
    assert bed.object(url) == wanted.read_bytes()


def test_the_same_input_gives_the_same_digest_wherever_it_goes(registry: rig.Real, count: Path, tmp_path: Path) -> None:
    here = digest_of(skep("image", "build", f"oci:{tmp_path}/a:v1", count))
    there = digest_of(skep("image", "build", f"{registry.host}/built/again:v7", count))
    dated = digest_of(skep("image", "build", f"oci:{tmp_path}/b:v1", count, SOURCE_DATE_EPOCH="1700000000"))

    assert here == there
    assert dated != here
    assert dated == digest_of(skep("image", "build", f"oci:{tmp_path}/c:v1", count, SOURCE_DATE_EPOCH="1700000000"))


def test_bpfmans_words_build_the_same(count: Path, tmp_path: Path) -> None:
    ours = digest_of(skep("image", "build", f"oci:{tmp_path}/a:v1", count))

    words: list[str | Path] = [
        "--tag",
        f"oci:{tmp_path}/b:v1",
        "--bytecode-file",
        count,
        "-f",
        "Containerfile.bytecode",
    ]
    theirs = digest_of(skep("image", "build", *words))

    assert theirs == ours


def test_a_push_takes_the_digest_and_the_signatures_along(registry: rig.Real, count: Path, tmp_path: Path) -> None:
    first, second = f"{registry.host}/moved/a:v1", f"{registry.host}/moved/b:v1"
    digest = digest_of(skep("image", "build", first, count))
    openssl("ecparam", "-name", "prime256v1", "-genkey", "-noout", "-out", tmp_path / "key")
    openssl("ec", "-in", tmp_path / "key", "-pubout", "-out", tmp_path / "public")
    skep("image", "sign", first, "--key", tmp_path / "key", "--form", "both")

    assert digest_of(skep("image", "push", first, second)) == digest
    assert digest_of(skep("image", "push", second, f"oci:{tmp_path}/stick:v1")) == digest
    assert digest_of(skep("image", "push", f"oci:{tmp_path}/stick:v1", f"{registry.host}/moved/c:v1")) == digest

    skep("image", "verify", f"{registry.host}/moved/c:v1", "--key", tmp_path / "public")
    skep("image", "push", second, f"{registry.host}/moved/d:v1", "--without-signatures")
    told = skep("image", "verify", f"{registry.host}/moved/d:v1", "--key", tmp_path / "public", fails=True)
    assert "signature" in told


@pytest.mark.parametrize(
    ("words", "says"),
    [
        (["oci:{dir}/a"], "nothing to build"),
        (["oci:{dir}/a", "{dir}/missing.o"], "no file"),
        (["oci:{dir}/a", "/etc/passwd"], "not a BPF object"),
        (["docker-archive:{dir}/a.tar", "{count}"], "cannot be written"),
        (["registry.example/x@sha256:" + "0" * 64, "{count}"], "names a digest"),
        (["oci:{dir}/a", "linux/s390x={count}"], "byte order"),
        (["oci:{dir}/a", "linux/arm46={count}"], "arm64"),
        (["oci:{dir}/a", "{count}", "{other}"], "no platform for"),
        (["oci:/proc/a", "{count}"], "cannot"),
    ],
    ids=["nothing", "missing", "text", "archive", "digest", "order", "misspelt", "two", "unwritable"],
)
def test_what_cannot_be_built_is_refused_and_leaves_nothing(
    words: list[str], says: str, count: Path, tmp_path: Path
) -> None:
    values = {"dir": str(tmp_path), "count": str(count), "other": str(bpf_build.build("hooks"))}

    told = skep("image", "build", *(word.format(**values) for word in words), fails=True)

    assert says in told
    assert list(tmp_path.iterdir()) == []


def test_a_policy_denies_what_a_program_can_do(count: Path, tmp_path: Path) -> None:
    capable = bpf_build.build("capable")
    skep("image", "build", f"oci:{tmp_path}/capable:v1", capable)
    policy = tmp_path / "trust.yaml"
    policy.write_text('rules:\n  - {name: no meddling, images: ["**"], mode: allow, deny: [rewrite-packets]}\n')
    with installed.daemon(SKEP_TRUST_POLICY=str(policy)) as daemon:
        url = f"oci:{tmp_path}/capable:v1"
        refused = daemon.run("program", "load", "image", url, "--programs", "xdp:writes")
        assert refused.returncode != 0
        says = "denies rewrite-packets, and program 'writes' can rewrite packets (store into the packet)"
        assert says in refused.stderr
        assert daemon.skep("program", "list")["programs"] == []

        (made,) = daemon.skep("program", "load", "image", url, "--programs", "xdp:counts")["programs"]
        daemon.run("program", "unload", str(made["record"]["program_id"]))
        shown = daemon.skep("image", "inspect", url)["capabilities"]
        assert {one["program"]: "rewrite-packets" in one["capabilities"] for one in shown}["writes"]
        checked = daemon.run("image", "policy", "check", url, "--trust-policy", str(policy))
        assert "denies rewrite-packets" in checked.stdout + checked.stderr
