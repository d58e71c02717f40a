"""``skep image sign`` for an identity, as a user types it: what is accepted then, and why not, with nothing pushed."""

from __future__ import annotations

import json
import socket
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from skep import errors
from skep.image import ceremony, keyless
from tests.e2e import installed
from tests.parts import free_port
from tests.trust.images import Image
from tests.trust.rig import Sigstore
from tests.trust.test_refused import other_authority
from tests.trust.ways import ME, bundle_of, python_accepts

DENIED, UNAVAILABLE, INVALID, UNSUPPORTED = 4, 5, 10, 7
PROGRAM = ("-m", "skep")
WITHOUT_SIGSTORE = ("-c", "import sys; sys.modules['sigstore'] = None; from skep.cli.main import main; main()")


def skep(*words: str | Path, program: tuple[str, ...] = PROGRAM, **more: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, *program, *map(str, words)],
        env=installed.environment() | more, capture_output=True, text=True, timeout=180, check=False,
    )  # fmt: skip


@pytest.fixture
def image(sigstore: Sigstore) -> Image:
    return Image(sigstore.registry)


@pytest.fixture
def services(sigstore: Sigstore) -> tuple[str, str]:
    return f"--signing-config={sigstore.signing_config}", f"--trusted-root={sigstore.trusted_root}"


def in_file(path: Path, token: str) -> str:
    path.write_text(token + "\n")
    return f"--identity-token-file={path}"


def test_what_is_signed_is_accepted_by_everybody(
    sigstore: Sigstore, image: Image, services: tuple[str, str], tmp_path: Path
) -> None:
    token = sigstore.issuer.token(ME)
    done = skep("image", "sign", str(image), in_file(tmp_path / "token", token), *services)
    assert done.returncode == 0, done.stderr
    assert done.stdout.startswith(f"signed {image}: {ME}, vouched for by {sigstore.issuer.url} at 2")
    assert f", in log {sigstore.rekor} as entry " in done.stdout and done.stderr == ""
    who = (f"--certificate-identity={ME}", f"--certificate-oidc-issuer={sigstore.issuer.url}")
    done = skep("image", "verify", str(image), *who, services[1], "-o", "json")
    assert done.returncode == 0, done.stderr
    (signature,) = json.loads(done.stdout)["signatures"]
    assert signature["timestamped"] and signature["log_entries"][0]["proven"]
    sigstore.cosign("verify", *who, services[1], str(image))
    assert python_accepts(sigstore.trusted_root, bundle_of(image), sigstore.issuer.url)
    assert token.encode() not in bundle_of(image)
    done = skep("image", "verify", str(image), who[0].replace(ME, "you@example.org"), *who[1:], services[1])
    assert done.returncode == 13 and f"{ME} signed it; wanted: you@example.org" in done.stderr


def test_a_token_of_the_environment_signs_a_layout(
    sigstore: Sigstore, image: Image, services: tuple[str, str], tmp_path: Path
) -> None:
    image.copy(tmp_path / "layout")
    token = sigstore.issuer.token("you@example.org")
    done = skep("image", "sign", f"oci:{tmp_path / 'layout'}", *services, SIGSTORE_ID_TOKEN=token)
    assert done.returncode == 0 and "you@example.org, vouched for by" in done.stdout, done.stderr
    who = ("--certificate-identity=you@example.org", f"--certificate-oidc-issuer={sigstore.issuer.url}")
    done = skep("image", "verify", f"oci:{tmp_path / 'layout'}", *who, services[1])
    assert done.returncode == 0, done.stderr


def forged(token: str) -> str:
    head, claims, signature = token.split(".")
    return f"{head}.{claims}.{'A' * len(signature)}"


TOKENS: dict[str, tuple[Callable[[Sigstore], str], int, str]] = {
    "none": (lambda _: "", INVALID, "there is no token in"),
    "garbage": (lambda _: "garbage", INVALID, "the identity token cannot be used: Not enough segments"),
    "expired": (lambda one: one.issuer.token(ME, seconds=-60), INVALID, "it has expired"),
    "another audience": (
        lambda one: one.issuer.token(ME, audience="others"), INVALID, "it is for another audience than 'sigstore'",
    ),
    "forged": (
        lambda one: forged(one.issuer.token(ME)), DENIED, "/api/v2/signingCert answers 400: There was an error",
    ),
}  # fmt: skip


@pytest.fixture
def unsigned(image: Image) -> Iterator[Image]:
    """An image that has to be as it was when the test is over."""
    yield image
    assert list(image.repository.referrers(image.digest)) == []
    assert list(image.repository.tags()) == ["v1"]


@pytest.mark.parametrize("token, code, why", TOKENS.values(), ids=TOKENS)
def test_the_token_is_not_good(
    sigstore: Sigstore, unsigned: Image, services: tuple[str, str], tmp_path: Path,
    token: Callable[[Sigstore], str], code: int, why: str,
) -> None:  # fmt: skip
    raw = token(sigstore)
    done = skep("image", "sign", str(unsigned), in_file(tmp_path / "token", raw), *services)
    assert done.returncode == code and why in done.stderr, done.stderr
    assert len(raw) < 50 or raw not in done.stderr
    assert done.stdout == ""


def altered(path: Path, change: Callable[[Any], None], out: Path) -> Path:
    fields = json.loads(path.read_text())
    change(fields)
    out.write_text(json.dumps(fields))
    return out


def elsewhere(service: str) -> Callable[[Any], None]:
    """Where nobody listens."""

    def change(fields: Any) -> None:
        for each in fields[service]:
            each["url"] = f"http://127.0.0.1:{free_port()}"

    return change


def in_clear(fields: Any) -> None:
    fields["caUrls"][0]["url"] = "http://127.0.0.1:80@fulcio.example.org"


CONFIGS: dict[str, tuple[Callable[[Any], None], int, str]] = {
    "no Fulcio": (elsewhere("caUrls"), UNAVAILABLE, "issues no certificate for me@example.org: "),
    "no Rekor": (elsewhere("rekorTlogUrls"), UNAVAILABLE, "the signature is entered in no log: "),
    "no timestamp authority": (
        elsewhere("tsaUrls"), UNAVAILABLE, "nobody says when it was signed: Unable to use http://127.0.0.1:",
    ),
    "timestamps not wanted": (
        lambda fields: fields.pop("tsaUrls"), UNAVAILABLE, "nobody says when it was signed: bundle must contain an",
    ),
    "without TLS": (in_clear, INVALID, "the identity token would travel where others can read it"),
    "nothing in it": (lambda fields: fields.pop("caUrls"), INVALID, "No valid Fulcio CA found"),
    "not a service": (lambda fields: fields.update(caUrls=[7]), INVALID, "a service is not an object"),
}  # fmt: skip


@pytest.mark.parametrize("change, code, why", CONFIGS.values(), ids=CONFIGS)
def test_a_service_does_not_answer(
    sigstore: Sigstore, unsigned: Image, tmp_path: Path, change: Callable[[Any], None], code: int, why: str
) -> None:
    token = in_file(tmp_path / "token", sigstore.issuer.token(ME))
    config = altered(sigstore.signing_config, change, tmp_path / "config.json")
    root = f"--trusted-root={sigstore.trusted_root}"
    done = skep("image", "sign", str(unsigned), token, f"--signing-config={config}", root)
    assert done.returncode == code and why in done.stderr, done.stderr
    if why.endswith(": "):
        assert "cannot be reached: Connection refused" in done.stderr and "try again when" in done.stderr
    assert "Traceback" not in done.stderr and done.stdout == ""


def test_a_service_that_stalls(sigstore: Sigstore, unsigned: Image, monkeypatch: pytest.MonkeyPatch) -> None:
    """sigstore-python would wait for ever."""
    monkeypatch.setattr(ceremony, "_SECONDS", 0.5)
    with socket.create_server(("127.0.0.1", 0)) as deaf:
        url = f"http://127.0.0.1:{deaf.getsockname()[1]}"
        config = sigstore.signing_config.read_bytes().replace(sigstore.fulcio.encode(), url.encode())
        root = ceremony.File(path="root", data=sigstore.trusted_root.read_bytes())
        with pytest.raises(errors.Unavailable, match="no answer within") as caught:
            keyless.sign(sigstore.issuer.token(ME), unsigned.digest, ceremony.File(path="config", data=config), root)
    assert url in caught.value.what


def test_what_the_root_does_not_trust_is_not_pushed(sigstore: Sigstore, unsigned: Image, tmp_path: Path) -> None:
    token = in_file(tmp_path / "token", sigstore.issuer.token(ME))
    root = altered(sigstore.trusted_root, other_authority, tmp_path / "root.json")
    config = f"--signing-config={sigstore.signing_config}"
    done = skep("image", "sign", str(unsigned), token, config, f"--trusted-root={root}")
    assert done.returncode == UNAVAILABLE and "made a signature that does not count: " in done.stderr, done.stderr


def test_what_is_asked_has_to_make_sense(
    sigstore: Sigstore, unsigned: Image, services: tuple[str, str], tmp_path: Path
) -> None:
    token = in_file(tmp_path / "token", sigstore.issuer.token(ME))
    key = f"--key={sigstore.key}"
    sign = ("image", "sign", str(unsigned))
    for words, why in {
        services: "there is neither a key nor an identity token",
        (token, services[1]): "no signing config is named",
        (token, services[0]): "no trusted root is named",
        (token, key): "both a key and an identity are named",
        (token, *services, "--form=both"): "an identity does not sign in the form 'both'",
        ("--identity-token-file=/none", *services): "/none cannot be read",
        (token, f"--signing-config={sigstore.public}", services[1]): "release.pub is no signing config",
        (token, services[0], f"--trusted-root={sigstore.signing_config}"): "signing_config.json is no trusted root",
    }.items():
        done = skep(*sign, *words)
        assert done.returncode == INVALID and why in done.stderr, done.stderr
    done = skep(*sign, token, *services, program=WITHOUT_SIGSTORE)
    assert done.returncode == UNSUPPORTED and "install skep[sigstore]" in done.stderr, done.stderr
