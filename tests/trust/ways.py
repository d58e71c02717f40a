"""Every way of signing that is tested, and every tool that reads it: the table in docs/trust.md."""

from __future__ import annotations

import json
import os
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from skep.image import ceremony, keyless, manifest, signing
from skep.image.manifest import Descriptor, Manifest
from skep.image.reference import digest_of
from skep.image.source import read_blob
from skep.trust import sign
from skep.trust.claims import COSIGN_SIGN
from skep.trust.secret import read_private
from skep.trust.wanted import LogUse, Wanted
from tests.trust.images import Image, by_identity, by_key
from tests.trust.rig import Sigstore

ME = "me@example.org"
OLD = ("--use-signing-config=false", "--new-bundle-format=false")
PASSWORD = "secret"


@dataclass(frozen=True, slots=True, kw_only=True)
class Way:
    """One way of signing. ``logged``: in a transparency log; ``cosign``: what its verify is told."""

    name: str
    signer: str
    form: str
    who: str
    extras: str
    sign: Callable[[Sigstore, Image], None]
    key: bool
    logged: bool
    cosign: tuple[str, ...] = ()
    readers: frozenset[str] = frozenset({"skep", "cosign"})
    """The tools that accept it, as the tests find."""

    def wanted(self, sigstore: Sigstore) -> Wanted:
        """What skep is told to want."""
        log = LogUse.REQUIRED if self.logged else LogUse.OPTIONAL
        return by_key(sigstore.public, log) if self.key else by_identity(ME, sigstore.issuer.url, log)

    def cosign_verify(self, sigstore: Sigstore, image: Image) -> bool:
        """Whether cosign accepts it."""
        who = (
            (f"--key={sigstore.public}",)
            if self.key
            else (f"--certificate-identity={ME}", f"--certificate-oidc-issuer={sigstore.issuer.url}")
        )
        root = f"--trusted-root={sigstore.trusted_root}"
        done = sigstore.cosign("verify", root, *who, *self.cosign, str(image), ok=False)
        return done.returncode == 0


def _cosign_key(config: str, *words: str) -> Callable[[Sigstore, Image], None]:
    def sign(sigstore: Sigstore, image: Image) -> None:
        given = (
            (f"--signing-config={sigstore.path(config)}", f"--trusted-root={sigstore.trusted_root}") if config else ()
        )
        sigstore.cosign("sign", f"--key={sigstore.key}", *given, *words, str(image), password=PASSWORD)

    return sign


def _cosign_identity(sigstore: Sigstore, image: Image) -> None:
    config = (f"--signing-config={sigstore.signing_config}", f"--trusted-root={sigstore.trusted_root}")
    sigstore.cosign("sign", f"--identity-token={sigstore.token(ME)}", *config, str(image))


def _cosign_old_identity(log: bool) -> Callable[[Sigstore, Image], None]:
    def sign(sigstore: Sigstore, image: Image) -> None:
        where = f"--rekor-url={sigstore.rekor_v1.url}" if log else "--tlog-upload=false"
        stamp = () if log else (f"--timestamp-server-url={sigstore.tsa}",)
        given = (f"--fulcio-url={sigstore.fulcio}", where, *stamp)
        sigstore.cosign("sign", f"--identity-token={sigstore.token(ME)}", *OLD, *given, str(image))

    return sign


def _cosign_old_key_logged(sigstore: Sigstore, image: Image) -> None:
    given = (f"--rekor-url={sigstore.rekor_v1.url}", "--tlog-upload=true")
    sigstore.cosign("sign", f"--key={sigstore.key}", *OLD, *given, str(image), password=PASSWORD)


def _skep_tag(sigstore: Sigstore, image: Image) -> None:
    private = read_private(sigstore.key.read_bytes(), "release.key", PASSWORD.encode())
    signing.push_tagged(image.repository, image.name, image.digest, private)


def _skep_bundle(sigstore: Sigstore, image: Image) -> None:
    private = read_private(sigstore.key.read_bytes(), "release.key", PASSWORD.encode())
    signing.push_bundle(image.repository, image.digest, private, datetime.now(UTC))


def _skep_identity(sigstore: Sigstore, image: Image) -> None:
    """As `skep image sign` does."""
    config = ceremony.File(path="signing_config.json", data=sigstore.signing_config.read_bytes())
    root = ceremony.File(path="trusted_root.json", data=sigstore.trusted_root.read_bytes())
    signed = keyless.sign(sigstore.issuer.token(ME), image.digest, config, root)
    signing.attach_bundle(image.repository, image.digest, signed.bundle, datetime.now(UTC))


def _python_identity(sigstore: Sigstore, image: Image) -> None:
    """sigstore-python makes the bundle; it knows no registries, so skep puts it there."""
    from sigstore.dsse import StatementBuilder, Subject
    from sigstore.models import ClientTrustConfig
    from sigstore.oidc import IdentityToken
    from sigstore.sign import SigningContext

    config = {
        "mediaType": "application/vnd.dev.sigstore.clienttrustconfig.v0.1+json",
        "trustedRoot": json.loads(sigstore.trusted_root.read_text()),
        "signingConfig": json.loads(sigstore.signing_config.read_text()),
    }
    context = SigningContext.from_trust_config(ClientTrustConfig.from_json(json.dumps(config)))
    digests: Any = {"sha256": image.digest.partition(":")[2]}  # Any: a model of pydantic's, made from this
    statement = (
        StatementBuilder()
        .subjects([Subject(name=image.name, digest=digests)])
        .predicate_type(COSIGN_SIGN)
        .predicate({})
        .build()
    )
    with context.signer(IdentityToken(sigstore.issuer.token(ME))) as signer:
        attach(image, signer.sign_dsse(statement).to_json().encode())


def attach(image: Image, bundle: bytes) -> None:
    """Put a bundle beside the image, as a referrer."""
    subject = image.repository.manifest(image.digest).descriptor()
    layer = Descriptor(media_type=sign.BUNDLE_V03, digest=digest_of(bundle), size=len(bundle))
    empty = Descriptor(media_type=manifest.OCI_EMPTY, digest=digest_of(b"{}"), size=2)
    image.repository.upload_blob(layer, bundle)
    image.repository.upload_blob(empty, b"{}")
    whole = Manifest(
        media_type=manifest.OCI_MANIFEST,
        artifact_type=sign.BUNDLE_V03,
        config=empty,
        layers=(layer,),
        subject=Descriptor(media_type=subject.media_type, digest=subject.digest, size=subject.size),
    )
    image.repository.put_manifest(manifest.pack(whole), whole.media_type)


def bundle_of(image: Image) -> bytes:
    """The first bundle beside an image."""
    (found, *_) = image.repository.referrers(image.digest)
    whole = image.repository.manifest(found.digest).parse()
    assert isinstance(whole, Manifest)
    return read_blob(image.repository, whole.layers[0])


def python_verify(sigstore: Sigstore, image: Image) -> bool:
    """Whether sigstore-python accepts the image's bundle for the identity."""
    return python_accepts(sigstore.trusted_root, bundle_of(image), sigstore.issuer.url)


def python_accepts(root: Path, bundle: bytes, issuer: str) -> bool:
    """Whether sigstore-python accepts a bundle, whatever it is about."""
    from sigstore.errors import Error
    from sigstore.models import Bundle, TrustedRoot
    from sigstore.verify import Verifier
    from sigstore.verify.policy import Identity

    try:
        verifier = Verifier(trusted_root=TrustedRoot.from_file(os.fspath(root)))
        verifier.verify_dsse(Bundle.from_json(bundle), Identity(identity=ME, issuer=issuer))
    except (Error, ValueError):
        return False
    return True


NO_LOG = ("--insecure-ignore-tlog",)
OLD_FORM = ("--new-bundle-format=false",)

WAYS: tuple[Way, ...] = (
    Way(
        name="cosign-key-tag", signer="cosign 3", form="tag `.sig`", who="key", extras="",
        sign=_cosign_key("", *OLD, "--tlog-upload=false"), key=True, logged=False, cosign=(*OLD_FORM, *NO_LOG),
    ),
    Way(
        name="cosign-key-tag-log", signer="cosign 3", form="tag `.sig`", who="key", extras="Rekor 1",
        sign=_cosign_old_key_logged, key=True, logged=True, cosign=OLD_FORM,
    ),
    Way(
        name="cosign-identity-tag-log", signer="cosign 3", form="tag `.sig`", who="identity", extras="Rekor 1, SCT",
        sign=_cosign_old_identity(True), key=False, logged=True, cosign=OLD_FORM,
    ),
    Way(
        name="cosign-identity-tag-stamp", signer="cosign 3", form="tag `.sig`", who="identity",
        extras="timestamp, SCT", sign=_cosign_old_identity(False), key=False, logged=False,
        cosign=(*OLD_FORM, *NO_LOG, "--use-signed-timestamps"),
    ),
    Way(
        name="cosign-key-bundle", signer="cosign 3", form="bundle", who="key", extras="",
        sign=_cosign_key("bare_config.json"), key=True, logged=False, cosign=NO_LOG,
    ),
    Way(
        name="cosign-key-bundle-log", signer="cosign 3", form="bundle", who="key", extras="Rekor 2, timestamp",
        sign=_cosign_key("signing_config.json"), key=True, logged=True,
    ),
    Way(
        name="cosign-key-bundle-log1", signer="cosign 3", form="bundle", who="key", extras="Rekor 1",
        sign=_cosign_key("old_config.json"), key=True, logged=True,
    ),
    Way(
        name="cosign-identity-bundle", signer="cosign 3", form="bundle", who="identity",
        extras="Rekor 2, timestamp, SCT", sign=_cosign_identity, key=False, logged=True,
        readers=frozenset({"skep", "cosign", "sigstore-python"}),
    ),
    Way(
        name="python-identity-bundle", signer="sigstore-python", form="bundle", who="identity",
        extras="Rekor 2, timestamp, SCT", sign=_python_identity, key=False, logged=True,
        readers=frozenset({"skep", "cosign", "sigstore-python"}),
    ),
    Way(
        name="skep-key-tag", signer="skep", form="tag `.sig`", who="key", extras="",
        sign=_skep_tag, key=True, logged=False, cosign=(*OLD_FORM, *NO_LOG),
    ),
    Way(
        name="skep-key-bundle", signer="skep", form="bundle", who="key", extras="",
        sign=_skep_bundle, key=True, logged=False, cosign=NO_LOG,
    ),
    Way(
        name="skep-identity-bundle", signer="skep", form="bundle", who="identity",
        extras="Rekor 2, timestamp, SCT", sign=_skep_identity, key=False, logged=True,
        readers=frozenset({"skep", "cosign", "sigstore-python"}),
    ),
)  # fmt: skip
