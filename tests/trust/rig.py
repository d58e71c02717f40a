"""A Sigstore of our own on loopback: Fulcio, Rekor, a timestamp authority, a registry; and cosign that uses them."""

from __future__ import annotations

import contextlib
import datetime
import json
import os
import subprocess
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec, ed25519
from cryptography.hazmat.primitives.serialization import (
    BestAvailableEncryption,
    Encoding,
    NoEncryption,
    PrivateFormat,
    PublicFormat,
)
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

from tests.parts import Server, free_port, part
from tests.trust.issuer import Issuer
from tests.trust.rekor_v1 import RekorV1
from tests.trust.relay import Relay

START = "2020-01-01T00:00:00Z"


def public_pem(key: ec.EllipticCurvePrivateKey | ed25519.Ed25519PrivateKey) -> bytes:
    return key.public_key().public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo)


def authority(name: str) -> tuple[ec.EllipticCurvePrivateKey, x509.Certificate]:
    """A root that issues certificates, for the ten years around now."""
    key = ec.generate_private_key(ec.SECP384R1())
    now = datetime.datetime.now(datetime.UTC)
    subject = x509.Name(
        [x509.NameAttribute(NameOID.ORGANIZATION_NAME, "skep tests"), x509.NameAttribute(NameOID.COMMON_NAME, name)]
    )
    certificate = (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(subject)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - datetime.timedelta(days=1825))
        .not_valid_after(now + datetime.timedelta(days=1825))
        .add_extension(x509.BasicConstraints(ca=True, path_length=1), critical=True)
        .add_extension(x509.SubjectKeyIdentifier.from_public_key(key.public_key()), critical=False)
        .add_extension(
            x509.KeyUsage(
                digital_signature=False,
                content_commitment=False,
                key_encipherment=False,
                data_encipherment=False,
                key_agreement=False,
                key_cert_sign=True,
                crl_sign=True,
                encipher_only=False,
                decipher_only=False,
            ),
            critical=True,
        )
        .add_extension(x509.ExtendedKeyUsage([ExtendedKeyUsageOID.CODE_SIGNING]), critical=False)
        .sign(key, hashes.SHA384())
    )
    return key, certificate


class Sigstore:
    """All of it. ``close`` stops everything."""

    def __init__(self, directory: Path) -> None:
        self.directory = directory
        self._running = contextlib.ExitStack()
        try:
            self._start()
        except BaseException:
            self.close()
            raise

    def close(self) -> None:
        self._running.close()

    def _start(self) -> None:
        self.issuer = Issuer()
        self._running.callback(self.issuer.close)
        self.cosign_program = part("cosign")
        self.registry = self._start_registry()
        self.fulcio = self._start_fulcio()
        self.rekor = self._start_rekor()
        self.tsa = self._start_tsa()
        self.rekor_v1 = self._start_rekor_v1()
        self._write_roots()
        self.cosign("generate-key-pair", "--output-key-prefix=release", password="secret")
        self.key, self.public = self.path("release.key"), self.path("release.pub")
        # The proof of a log's first entry is empty, which JSON leaves out, and sigstore-python then cannot read.
        self.cosign(
            "sign-blob", f"--key={self.key}", f"--signing-config={self.signing_config}", self.public,
            f"--trusted-root={self.trusted_root}", f"--bundle={self.path('first.json')}", password="secret",
        )  # fmt: skip

    def path(self, name: str) -> Path:
        return self.directory / name

    def token(self, email: str) -> Path:
        """An identity token for this address, in a file: cosign takes only RS256 on its command line."""
        path = self.path(f"token-{email}")
        path.write_text(self.issuer.token(email))
        return path

    def cosign(
        self, *words: str | Path, password: str = "", ok: bool = True, **environment: str
    ) -> subprocess.CompletedProcess[str]:
        """Run cosign without any network but loopback's services, and without the user's own files."""
        done = subprocess.run(
            [str(each) for each in (self.cosign_program, *words)],
            capture_output=True,
            text=True,
            cwd=self.directory,
            env={
                "PATH": os.environ["PATH"],
                "HOME": str(self.directory),
                "COSIGN_PASSWORD": password,
                "COSIGN_YES": "1",
            },
            check=False,
            timeout=180,
        )
        if ok and done.returncode:
            raise AssertionError(f"cosign {' '.join(map(str, words))}\n{done.stdout}{done.stderr}")
        return done

    def _server(self, name: str, *command: str | Path) -> Server:
        server = Server(self.path(f"{name}.log"), *command)
        self._running.callback(server.close)
        return server

    def _start_registry(self) -> str:
        port = free_port()
        config = {
            "version": 0.1,
            "log": {"level": "error"},
            "storage": {"filesystem": {"rootdirectory": str(self.path("registry"))}, "delete": {"enabled": True}},
            "http": {"addr": f"127.0.0.1:{port}"},
        }
        self.path("registry.yaml").write_text(json.dumps(config))
        self._server("registry", part("registry"), "serve", self.path("registry.yaml")).wait_for(
            f"http://127.0.0.1:{port}/v2/"
        )
        return f"127.0.0.1:{port}"

    def _start_fulcio(self) -> str:
        key, certificate = authority("fulcio")
        self.path("fulcio.pem").write_bytes(certificate.public_bytes(Encoding.PEM))
        self.path("fulcio.key").write_bytes(
            key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, BestAvailableEncryption(b"fulcio"))
        )
        self.path("ctlog.pub").write_bytes(public_pem(self.issuer.log_key))
        issuers = {self.issuer.url: {"IssuerURL": self.issuer.url, "ClientID": "sigstore", "Type": "email"}}
        self.path("fulcio.json").write_text(json.dumps({"OIDCIssuers": issuers}))
        port, grpc, metrics = free_port(), free_port(), free_port()
        server = self._server(
            "fulcio", part("fulcio"), "serve", "--host=127.0.0.1", f"--port={port}", "--grpc-host=127.0.0.1",
            f"--grpc-port={grpc}", f"--metrics-port={metrics}", "--ca=fileca", "--fileca-watch=false",
            f"--fileca-cert={self.path('fulcio.pem')}", f"--fileca-key={self.path('fulcio.key')}",
            "--fileca-key-passwd=fulcio", f"--ct-log-url={self.issuer.url}",
            f"--ct-log-public-key-path={self.path('ctlog.pub')}", f"--config-path={self.path('fulcio.json')}",
            f"--legacy-unix-domain-socket=@skep-fulcio-{port}",
        )  # fmt: skip
        server.wait_for(f"http://127.0.0.1:{port}/healthz")
        return f"http://127.0.0.1:{port}"

    def _start_rekor(self) -> str:
        key = ed25519.Ed25519PrivateKey.generate()
        self.path("rekor.key").write_bytes(key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()))
        self.path("rekor.pub").write_bytes(public_pem(key))
        port, grpc, metrics = free_port(), free_port(), free_port()
        server = self._server(
            "rekor", part("rekor-server"), "serve", f"--http-port={port}", f"--grpc-port={grpc}",
            f"--http-metrics-port={metrics}", "--hostname=127.0.0.1", f"--storage-dir={self.path('rekor')}",
            f"--signer-filepath={self.path('rekor.key')}", "--checkpoint-interval=1s", "--batch-max-age=50ms",
        )  # fmt: skip
        server.wait_for(f"http://127.0.0.1:{port}/healthz")
        return f"http://127.0.0.1:{port}"

    def _start_tsa(self) -> str:
        """In a network namespace of its own: it insists on a port for its metrics, which others may hold."""
        unshare = ("unshare", "--net") if os.geteuid() == 0 else ("unshare", "--map-root-user", "--net")
        socket = self.path("tsa.socket")
        server = self._server(
            "tsa", *unshare, part("timestamp-server"), "serve", "--scheme=unix", f"--socket-path={socket}",
            "--timestamp-signer=memory", "--disable-ntp-monitoring",
        )  # fmt: skip
        relay = Relay(str(socket))
        self._running.callback(relay.close)
        url = f"http://127.0.0.1:{relay.port}/api/v1/timestamp"
        self.path("tsa.pem").write_bytes(server.wait_for(f"{url}/certchain"))
        return url

    def _start_rekor_v1(self) -> RekorV1:
        one = RekorV1(self.directory)
        self._running.callback(one.close)
        self.path("rekor-v1.pub").write_bytes(one.key)
        return one

    def _write_roots(self) -> None:
        self.trusted_root = self.path("trusted_root.json")
        self.cosign(
            "trusted-root", "create", f"--out={self.trusted_root}",
            f"--fulcio=url={self.fulcio},certificate-chain={self.path('fulcio.pem')}",
            f"--rekor=url={self.rekor},public-key={self.path('rekor.pub')},start-time={START},origin=127.0.0.1",
            f"--rekor=url={self.rekor_v1.url},public-key={self.path('rekor-v1.pub')},start-time={START}",
            f"--ctfe=url={self.issuer.url},public-key={self.path('ctlog.pub')},start-time={START}",
            f"--tsa=url={self.tsa},certificate-chain={self.path('tsa.pem')}",
        )  # fmt: skip
        self.signing_config = self.path("signing_config.json")
        rest = f"start-time={START},operator=tests"
        self.cosign("signing-config", "create", f"--out={self.path('bare_config.json')}")
        self.cosign(
            "signing-config", "create", f"--out={self.path('old_config.json')}",
            f"--rekor=url={self.rekor_v1.url},api-version=1,{rest}", "--rekor-config=ANY",
        )  # fmt: skip
        self.cosign(
            "signing-config", "create", f"--out={self.signing_config}",
            f"--fulcio=url={self.fulcio},api-version=1,{rest}",
            f"--rekor=url={self.rekor},api-version=2,{rest}", "--rekor-config=ANY",
            f"--oidc-provider=url={self.issuer.url},api-version=1,{rest}",
            f"--tsa=url={self.tsa},api-version=1,{rest}", "--tsa-config=ANY",
        )  # fmt: skip
