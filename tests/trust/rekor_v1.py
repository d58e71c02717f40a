"""Rekor's first version, which promises a time (SET): its server, Trillian's two, and PostgreSQL below them."""

from __future__ import annotations

import glob
import os
import pwd
import shutil
import subprocess
import tempfile
from pathlib import Path

import pytest

from tests.parts import Server, free_port, part


class RekorV1:
    """``url``, and its public key in PEM. Skips where PostgreSQL is not installed."""

    def __init__(self, directory: Path) -> None:
        self._servers: list[Server] = []
        self._data = ""
        try:
            self._start(directory)
        except BaseException:
            self.close()
            raise

    def close(self) -> None:
        for server in reversed(self._servers):
            server.close()
        if self._data:
            shutil.rmtree(self._data, ignore_errors=True)

    def _start(self, directory: Path) -> None:
        uri = self._start_postgres(directory)
        rpc, signer_rpc, self._port = free_port(), free_port(), free_port()
        common = ("--storage_system=postgresql", f"--postgresql_uri={uri}", "--quota_system=noop", "--http_endpoint=")
        trillian = self._run(
            directory / "trillian-server.log", part("trillian-server"), *common, f"--rpc_endpoint=127.0.0.1:{rpc}"
        )
        self._run(
            directory / "trillian-signer.log", part("trillian-signer"), *common,
            f"--rpc_endpoint=127.0.0.1:{signer_rpc}", "--force_master", "--election_system=noop",
            "--sequencer_interval=50ms",
        )  # fmt: skip
        trillian.wait_until_it_listens(rpc)  # Rekor asks once, and ends when nobody answers
        endpoints = "getLogInfo,getPublicKey,getLogProof,createLogEntry,getLogEntryByIndex,getLogEntryByUUID"
        rekor = self._run(
            directory / "rekor-v1.log", part("rekor-v1"), "serve", f"--port={self._port}",
            "--rekor_server.address=127.0.0.1", "--rekor_server.hostname=127.0.0.1", "--rekor_server.signer=memory",
            f"--trillian_log_server.port={rpc}", f"--enabled_api_endpoints={endpoints}",
        )  # fmt: skip
        self.url = f"http://127.0.0.1:{self._port}"
        self.key = rekor.wait_for(f"{self.url}/api/v1/log/publicKey")

    def _run(self, log: Path, *command: str | Path) -> Server:
        server = Server(log, *command)
        self._servers.append(server)
        return server

    def _start_postgres(self, directory: Path) -> str:
        """A cluster of our own, which its server refuses to run as root."""
        found = sorted(glob.glob("/usr/lib/postgresql/*/bin"))
        if not found:
            pytest.fail("PostgreSQL is not installed, and Trillian needs it: run scripts/packages")
        programs = Path(found[-1])
        user = pwd.getpwnam("postgres") if os.geteuid() == 0 else pwd.getpwuid(os.geteuid())
        self._data = tempfile.mkdtemp(prefix="skep-postgres-")
        os.chown(self._data, user.pw_uid, user.pw_gid)
        drop = ("setpriv", f"--reuid={user.pw_uid}", f"--regid={user.pw_gid}", "--clear-groups")
        below = f"{self._data}/data"
        subprocess.run(
            [*drop, programs / "initdb", "-D", below, "-A", "trust", "-U", "trillian", "--no-sync"],
            check=True, capture_output=True, cwd=self._data,
        )  # fmt: skip
        port = free_port()
        self._run(
            directory / "postgres.log", *drop, programs / "postgres", "-D", below, "-p", str(port), "-k", self._data,
            "-h", "127.0.0.1", "-F",
        )  # fmt: skip
        psql = ("psql", "-h", "127.0.0.1", "-p", str(port), "-U", "trillian", "-q", "-v", "ON_ERROR_STOP=1")
        for _ in range(200):
            ready = (programs / "pg_isready", "-q", "-h", "127.0.0.1", "-p", str(port))
            if subprocess.run(ready, check=False).returncode == 0:
                break
            Server.pause()
        subprocess.run([*psql, "-d", "postgres", "-c", "CREATE DATABASE trillian"], check=True, capture_output=True)
        subprocess.run([*psql, "-d", "trillian", "-f", self._schema()], check=True, capture_output=True)
        return f"postgresql://trillian@127.0.0.1:{port}/trillian?sslmode=disable"

    @staticmethod
    def _schema() -> Path:
        """Trillian's tables, out of the module that its servers were built from."""
        return part("trillian-server").with_name("trillian-server.sql")
