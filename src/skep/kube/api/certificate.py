"""The certificate to serve with: one from files, read again when they change, or one made at start for this process.

A certificate that is made here proves nothing about who serves; it keeps a token from whoever only listens.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import os
import ssl
from collections.abc import AsyncIterator, Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Final

from skep import errors

log = logging.getLogger("skep.kube.api.certificate")

LOOK: Final = 60.0
"""Seconds between two looks whether the files have changed."""
_DAYS: Final = 3650


@contextlib.asynccontextmanager
async def from_files(certificate: Path, key: Path, *, look: float = LOOK) -> AsyncIterator[ssl.SSLContext]:
    """A context with the certificate of these files, as they are now and will be. Raises InvalidRequest."""
    context = _context()
    try:
        context.load_cert_chain(certificate, key)
    except (OSError, ssl.SSLError) as error:
        raise errors.InvalidRequest(
            f"serve with the certificate {certificate} and the key {key}", why=str(error), do="name files that fit"
        ) from error
    following = asyncio.create_task(_follow(context, certificate, key, look))
    try:
        yield context
    finally:
        following.cancel()


def made(name: str) -> ssl.SSLContext:
    """A context with a certificate for ``name`` that nobody has signed."""
    # Here, because agents on every node serve no metrics unless told to, and it takes 9 MiB of each.
    from cryptography import x509
    from cryptography.hazmat.primitives import hashes, serialization
    from cryptography.hazmat.primitives.asymmetric import ec
    from cryptography.x509.oid import NameOID

    key = ec.generate_private_key(ec.SECP256R1())
    today = datetime.now(UTC)
    subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name[:64])])
    certificate = (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(subject)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(today - timedelta(hours=1))
        .not_valid_after(today + timedelta(days=_DAYS))
        .add_extension(x509.SubjectAlternativeName([x509.DNSName(name)]), critical=False)
        .add_extension(x509.BasicConstraints(ca=False, path_length=None), critical=True)
        .sign(key, hashes.SHA256())
    )
    pem = certificate.public_bytes(serialization.Encoding.PEM) + key.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )
    context = _context()
    with _in_memory(pem) as path:
        context.load_cert_chain(path)
    return context


def _context() -> ssl.SSLContext:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    return context


@contextlib.contextmanager
def _in_memory(content: bytes) -> Iterator[str]:
    """A path with this content and no file on any disk: OpenSSL's reader wants a path."""
    with open(os.memfd_create("certificate"), "wb") as file:
        file.write(content)
        file.flush()
        yield f"/proc/self/fd/{file.fileno()}"


async def _follow(context: ssl.SSLContext, certificate: Path, key: Path, look: float) -> None:
    read = _stamp(certificate, key)
    while True:
        await asyncio.sleep(look)
        if (now := _stamp(certificate, key)) == read:
            continue
        try:
            context.load_cert_chain(certificate, key)
        except (OSError, ssl.SSLError) as error:
            # Of a pair, one file is written before the other.
            log.warning("certificate not read again: %s", error)
            continue
        read = now


def _stamp(*paths: Path) -> tuple[tuple[int, int], ...]:
    """Of each file the inode and time of change; a Secret's files are replaced by a symbolic link's new target."""
    stamps = []
    for path in paths:
        with contextlib.suppress(OSError):
            status = path.stat()
            stamps.append((status.st_ino, status.st_mtime_ns))
    return tuple(stamps)
