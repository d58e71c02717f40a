"""A daemon and the command line without any network, by a trust policy: as in a cluster that nobody can reach."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests import bpf_build
from tests.e2e import installed
from tests.trust.images import Image
from tests.trust.rig import Sigstore
from tests.trust.ways import ME, PASSWORD, WAYS

pytestmark = pytest.mark.e2e
OFFLINE = ("unshare", "--net")
UNTRUSTED = 13
WAY = {way.name: way for way in WAYS}


@pytest.fixture(scope="module")
def made(sigstore: Sigstore, tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """Images in files: one signed by an identity, one by a key, one not at all."""
    object = bpf_build.build("count").read_bytes()
    directory = tmp_path_factory.mktemp("files")
    for name, way in {"identity": "cosign-identity-bundle", "key": "cosign-key-tag", "unsigned": ""}.items():
        image = Image(sigstore.registry, object)
        if way:
            WAY[way].sign(sigstore, image)
        image.copy(directory / name)
    return {name: directory / name for name in ("identity", "key", "unsigned")}


@pytest.fixture(scope="module")
def policy(sigstore: Sigstore, tmp_path_factory: pytest.TempPathFactory) -> Path:
    directory = tmp_path_factory.mktemp("policy")
    path = directory / "trust.yaml"
    (directory / "trusted_root.json").write_bytes(sigstore.trusted_root.read_bytes())
    (directory / "release.pub").write_bytes(sigstore.public.read_bytes())
    path.write_text(text(sigstore))
    return path


def text(sigstore: Sigstore, subject: str = ME) -> str:
    return f"""
default: require
trusted-root: trusted_root.json
rules:
  - name: files
    images: ["oci:**"]
    mode: require
    keys: [release.pub]
    identities:
      - subject: {subject}
        issuer: {sigstore.issuer.url}
"""


@pytest.fixture(scope="module")
def daemon(policy: Path) -> Iterator[installed.Daemon]:
    with installed.daemon(prefix=(*OFFLINE, "env", f"SKEP_TRUST_POLICY={policy}")) as one:
        yield one


def load(daemon: installed.Daemon, layout: Path, *more: str) -> subprocess.CompletedProcess[str]:
    return daemon.run("program", "load", "image", f"oci:{layout}:v1", "--programs", "xdp:count", *more, "-o", "json")


def events(daemon: installed.Daemon) -> list[Any]:
    done = daemon.run("events", "-o", "jsonl")
    assert done.returncode == 0, done.stderr
    return [json.loads(line) for line in done.stdout.splitlines()]


@pytest.mark.parametrize("name, signer", [("identity", ME), ("key", "release.pub")])
def test_what_is_signed_is_loaded_without_a_network(
    daemon: installed.Daemon, made: dict[str, Path], name: str, signer: str
) -> None:
    done = load(daemon, made[name])
    assert done.returncode == 0, done.stderr
    assert done.stderr == ""
    (program,) = json.loads(done.stdout)["programs"]
    trust = program["record"]["load"]["image_source"]["trust"]
    assert trust.startswith("accepted because rule 'files' accepts its signature: ") and signer in trust
    assert events(daemon)[-1]["detail"] == trust
    shown = daemon.run("program", "get", str(program["record"]["program_id"]))
    assert signer in shown.stdout

    again = load(daemon, made[name], "--dry-run")
    assert again.returncode == 0, again.stderr
    second = json.loads(load(daemon, made[name]).stdout)["programs"][0]["record"]["load"]["image_source"]["trust"]
    assert second.startswith("accepted because rule 'files' accepted this digest at ")


def test_what_is_not_signed_leaves_nothing_behind(daemon: installed.Daemon, made: dict[str, Path]) -> None:
    before, pins = daemon.skep("program", "list"), sorted(Path(daemon.layout.pins).rglob("*"))
    for more in ((), ("--dry-run",)):
        done = load(daemon, made["unsigned"], *more)
        assert done.returncode == UNTRUSTED
        assert "is refused: rule 'files' wants key" in done.stderr and "there is no signature of it" in done.stderr
        assert "skep image sign" in done.stderr
    assert daemon.skep("program", "list") == before
    assert sorted(Path(daemon.layout.pins).rglob("*")) == pins
    last = next(each for each in reversed(events(daemon)) if each["verb"] == "load")
    assert last["outcome"] == "Untrusted" and "there is no signature of it" in last["detail"]


def test_a_changed_rule_is_asked_at_the_next_load(
    daemon: installed.Daemon, made: dict[str, Path], policy: Path, sigstore: Sigstore
) -> None:
    assert load(daemon, made["identity"]).returncode == 0
    try:
        policy.write_text(text(sigstore, "you@example.org"))
        done = load(daemon, made["identity"])
        assert done.returncode == UNTRUSTED
        assert f"{ME} signed it; wanted: you@example.org" in done.stderr
        policy.write_text("rules: [")
        done = load(daemon, made["identity"])
        assert done.returncode == 10 and "trust.yaml, line" in done.stderr
    finally:
        policy.write_text(text(sigstore))
    assert load(daemon, made["identity"]).returncode == 0


def test_without_a_policy_it_is_loaded_with_a_warning(made: dict[str, Path], tmp_path: Path) -> None:
    with installed.daemon(prefix=(*OFFLINE, "env", f"SKEP_TRUST_POLICY={tmp_path}/none.yaml")) as daemon:
        done = load(daemon, made["unsigned"])
        assert done.returncode == 0
        assert "warning: the image is accepted with a warning because there is no trust policy" in done.stderr


def test_what_was_pulled_is_checked_out_of_the_cache(sigstore: Sigstore, policy: Path) -> None:
    """By the policy or by keys, through the API, with nobody to ask any more."""
    image = Image(sigstore.registry, bpf_build.build("count").read_bytes())
    WAY["cosign-key-bundle-log"].sign(sigstore, image)
    name = f"{image.name}:v1"
    offline = ("--offline", "-o", "json")
    key, root = f"--key={sigstore.public}", f"--trusted-root={sigstore.trusted_root}"
    with installed.daemon(prefix=("env", f"SKEP_TRUST_POLICY={policy}")) as daemon:
        assert daemon.run("image", "pull", name).returncode == 0
        done = daemon.run("image", "verify", name, key, root, "--log=required", *offline, prefix=OFFLINE)
        assert done.returncode == 0, done.stderr
        (found,) = json.loads(done.stdout)["signatures"]
        assert found["key"] == str(sigstore.public) and found["log_entries"][0]["proven"]
        who = ("--certificate-identity=x", "--certificate-oidc-issuer=y")
        done = daemon.run("image", "verify", name, *who, root, "--offline", prefix=OFFLINE)
        assert done.returncode == UNTRUSTED and "a key signed it, and only identities are wanted" in done.stderr
        done = daemon.run("image", "policy", "check", name, *offline, prefix=OFFLINE)
        assert done.returncode == UNTRUSTED and json.loads(done.stdout)["reason"] == "no-rule"
        shown = daemon.skep("image", "inspect", name)
        assert shown["trust"]["outcome"] == "refused" and "no rule of" in shown["trust"]["why"]
        assert "refused because no rule of" in daemon.run("image", "inspect", name).stdout
        done = daemon.run("image", "verify", "registry.test/none:v1", key, "--offline")
        assert done.returncode == 3


# ---------------------------------------------------------------- the command line alone


def skep(*words: str | Path, offline: bool = True, **environment: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [*(OFFLINE if offline else ()), sys.executable, "-m", "skep", *map(str, words)],
        env=installed.environment() | environment,
        capture_output=True,
        text=True,
        timeout=180,
        check=False,
    )


def test_verify_in_a_namespace_without_a_route(sigstore: Sigstore, made: dict[str, Path]) -> None:
    routes = subprocess.run([*OFFLINE, "ip", "route"], capture_output=True, text=True, check=True)
    assert routes.stdout == ""
    identity = (f"--certificate-identity={ME}", f"--certificate-oidc-issuer={sigstore.issuer.url}")
    root = f"--trusted-root={sigstore.trusted_root}"
    done = skep("image", "verify", f"oci:{made['identity']}", *identity, root, "--offline", "-o", "json")
    assert done.returncode == 0, done.stderr
    (signature,) = json.loads(done.stdout)["signatures"]
    assert signature["identities"] == [ME] and signature["timestamped"]
    assert signature["log_entries"][0]["proven"]
    done = skep("image", "verify", f"oci:{made['key']}", f"--key={sigstore.public}")
    assert done.returncode == 0, done.stderr
    assert done.stdout == f"accepted because of its signature: key {sigstore.public}\n"


def test_verify_says_why_not(sigstore: Sigstore, made: dict[str, Path], tmp_path: Path) -> None:
    done = skep("image", "verify", f"oci:{made['unsigned']}", f"--key={sigstore.public}")
    assert done.returncode == UNTRUSTED and "there is no signature of it" in done.stderr
    done = skep("image", "verify", f"oci:{made['identity']}", f"--key={sigstore.public}")
    assert done.returncode == UNTRUSTED and "an identity signed it, and only keys are wanted" in done.stderr
    done = skep("image", "verify", f"oci:{made['identity']}", "--certificate-identity=x")
    assert done.returncode == 2 and "--certificate-oidc-issuer together" in done.stderr
    done = skep("image", "verify", f"oci:{made['key']}", f"--key={sigstore.key}")
    assert done.returncode == 10 and "this is a private key" in done.stderr
    done = skep("image", "verify", f"oci:{made['key']}", "--key=/none.pub")
    assert done.returncode == 10 and "/none.pub cannot be read" in done.stderr
    who = ("--certificate-identity=x", "--certificate-oidc-issuer=y")
    done = skep("image", "verify", f"oci:{made['identity']}", *who, HOME=str(tmp_path))
    assert done.returncode == 5 and "name a file: --trusted-root FILE" in done.stderr


def test_sign_and_verify(sigstore: Sigstore, tmp_path: Path) -> None:
    """In a registry: with both forms, by the password of a variable or a file; cosign agrees."""
    image = Image(sigstore.registry)
    key = f"--key={sigstore.key}"
    done = skep("image", "sign", str(image), key, "--form=both", offline=False, SKEP_KEY_PASSWORD=PASSWORD)
    assert (done.returncode, done.stdout) == (0, f"signed {image}\n"), done.stderr
    done = skep("image", "verify", str(image), f"--key={sigstore.public}", "-o", "json", offline=False)
    assert [each["form"] for each in json.loads(done.stdout)["signatures"]] == ["sigstore bundle", "cosign tag"]
    sigstore.cosign("verify", f"--key={sigstore.public}", "--insecure-ignore-tlog", str(image))

    layout = tmp_path / "layout"
    Image(sigstore.registry).copy(layout)
    password = tmp_path / "password"
    password.write_text(PASSWORD + "\n")
    done = skep("image", "sign", f"oci:{layout}", key, f"--password-file={password}")
    assert done.returncode == 0, done.stderr
    assert skep("image", "verify", f"oci:{layout}", f"--key={sigstore.public}").returncode == 0


def test_sign_says_why_not(sigstore: Sigstore, made: dict[str, Path]) -> None:
    image, key = f"oci:{made['unsigned']}", f"--key={sigstore.key}"
    before = sorted(made["unsigned"].rglob("*"))
    done = skep("image", "sign", image, key)
    assert done.returncode == 10 and "needs a password" in done.stderr
    done = skep("image", "sign", image, key, SKEP_KEY_PASSWORD="wrong")
    assert done.returncode == 10 and "the password is not the one" in done.stderr
    done = skep("image", "sign", image, f"--key={sigstore.public}")
    assert done.returncode == 10 and "there is no private key" in done.stderr
    assert sorted(made["unsigned"].rglob("*")) == before


def test_the_policy_is_shown_and_decides(made: dict[str, Path], policy: Path) -> None:
    done = skep("image", "policy", "show", f"--trust-policy={policy}")
    assert done.returncode == 0, done.stderr
    assert "rule files (line 5): require" in done.stdout and f"signer:  {ME}, vouched for by" in done.stdout
    done = skep("image", "policy", "check", f"oci:{made['key']}", f"--trust-policy={policy}")
    assert done.returncode == 0 and done.stdout.startswith("accepted because rule 'files' accepts its signature: key ")
    done = skep("image", "policy", "check", f"oci:{made['unsigned']}", f"--trust-policy={policy}", "-o", "json")
    assert done.returncode == UNTRUSTED
    assert json.loads(done.stdout)["outcome"] == "refused" and json.loads(done.stdout)["reason"] == "unsigned"
    done = skep("image", "policy", "check", f"oci:{made['unsigned']}", "--trust-policy=/none.yaml")
    assert done.returncode == 0 and "there is no trust policy" in done.stdout


def test_the_public_root_is_had_without_a_network(tmp_path: Path) -> None:
    """As it came with sigstore-python; and with a network that is not there, the error says what to do."""
    out, config = tmp_path / "root.json", tmp_path / "config.json"
    files = (f"--out={out}", f"--signing-config={config}")
    done = skep("image", "trusted-root", *files, "--offline", HOME=str(tmp_path))
    assert done.returncode == 0, done.stderr
    assert json.loads(config.read_text())["caUrls"][0]["url"] == "https://fulcio.sigstore.dev"
    from skep.trust.root import read_root

    root = read_root(out.read_bytes(), "root.json")
    assert any(log.url == "https://rekor.sigstore.dev" for log in root.logs)
    done = skep("image", "trusted-root", HOME=str(tmp_path / "empty"))
    assert done.returncode == 5 and "cannot be fetched" in done.stderr and "--offline" in done.stderr
