"""Probes answer anybody, metrics whoever may read them; a certificate that is renewed is served."""

from __future__ import annotations

import asyncio
import os
import ssl
from pathlib import Path
from typing import Any

import pytest

from skep import errors
from skep.kube.api import certificate, connect, health, listen, metrics, served
from skep.kube.api.events import Events
from skep.kube.api.informer import Informer
from skep.kube.api.key import Key
from skep.kube.api.lease import Election
from skep.kube.api.queue import Queue
from skep.kube.api.review import Reviewer
from tests.kube.eventually import running
from tests.kube.pki import Authority
from tests.kube.plane import ControlPlane


def trusting_nobody() -> ssl.SSLContext:
    context = ssl.create_default_context()
    context.check_hostname = False
    context.verify_mode = ssl.CERT_NONE
    return context


async def asked(port: int, path: str, token: str = "", tls: ssl.SSLContext | None = None) -> tuple[int, str]:
    """Status and body."""
    reader, writer = await asyncio.open_connection("127.0.0.1", port, ssl=tls)
    bearer = f"Authorization: Bearer {token}\r\n" if token else ""
    writer.write(f"GET {path} HTTP/1.1\r\nHost: x\r\n{bearer}\r\n".encode())
    head, _, body = (await reader.read()).decode().partition("\r\n\r\n")
    writer.transport.abort()
    return int(head.split()[1]), body


def account(plane: ControlPlane, namespace: str, name: str, *, may: bool) -> str:
    """A token of a new ServiceAccount."""
    plane.kubectl("create", "serviceaccount", name, "-n", namespace)
    if may:
        role = f"metrics-{namespace}"
        plane.kubectl("create", "clusterrole", role, "--verb=get", "--non-resource-url=/metrics")
        bound = f"--serviceaccount={namespace}:{name}"
        plane.kubectl("create", "clusterrolebinding", role, f"--clusterrole={role}", bound)
    return plane.kubectl("create", "token", name, "-n", namespace).strip()


def test_metrics_are_for_whoever_may_read_them(plane: ControlPlane, namespace: str) -> None:
    async def body() -> None:
        reader, other = account(plane, namespace, "reader", may=True), account(plane, namespace, "other", may=False)
        plane.kubectl("create", "serviceaccount", "operator", "-n", namespace)
        plane.kubectl(
            "create", "clusterrolebinding", f"delegate-{namespace}", "--clusterrole=system:auth-delegator",
            f"--serviceaccount={namespace}:operator",
        )  # fmt: skip
        async with connect.connect(str(plane.kubeconfig_for(namespace, "operator"))) as api:
            registry = metrics.registry()
            routes = metrics.routes(registry, Reviewer(api)) | health.routes(live={}, ready={"x": lambda: "not yet"})
            async with listen.listening("127.0.0.1", 0, routes, tls=certificate.made("operator")) as port:
                tls = trusting_nobody()
                status, text = await asked(port, "/metrics", reader, tls)
                assert status == 200 and "process_resident_memory_bytes" in text
                assert (await asked(port, "/metrics", "", tls))[0] == 401
                assert (await asked(port, "/metrics", "nonsense", tls))[0] == 401
                assert (await asked(port, "/metrics", "nonsense\tx y", tls))[0] == 401
                assert (await asked(port, "/metrics", other, tls))[0] == 403
                assert (await asked(port, "/healthz", "", tls))[0] == 200
                assert (await asked(port, "/readyz", "", tls))[0] == 503
                # What is known is not asked again, and what is not known is not guessed.
                await asyncio.to_thread(plane.stop_apiserver)
                assert (await asked(port, "/metrics", reader, tls))[0] == 200
                assert (await asked(port, "/metrics", "another", tls))[0] == 503
                await asyncio.to_thread(plane.start_apiserver)

    asyncio.run(body())


def test_queues_and_informers_are_counted(plane: ControlPlane, namespace: str) -> None:
    async def body() -> None:
        token = account(plane, namespace, "reader", may=True)

        async def handle(key: str) -> None:
            if key == "bad":
                raise errors.Unavailable("it", why="is", do="bad")

        def keep(object: dict[str, Any]) -> str:
            return ""

        async with connect.connect(str(plane.kubeconfig)) as api:
            queue: Queue[str] = Queue()
            informer = Informer(api, served.NAMESPACE, keep=keep, changed=lambda key, old, new: queue.add(key.name))
            election = Election(api, Key(namespace=namespace, name="lease"), identity="me")
            events = Events(api, component="c", host="h")
            registry = metrics.registry(
                queues={"apps": queue}, informers={"namespaces": informer}, election=election, events=events
            )
            async with (
                running(informer.run(), queue.run(handle)),
                listen.listening("127.0.0.1", 0, metrics.routes(registry, Reviewer(api))) as port,
            ):
                await informer.synced()
                queue.add("bad")
                while not queue.failed:
                    await asyncio.sleep(0)
                _, text = await asked(port, "/metrics", token)
                lines = dict(line.rsplit(" ", 1) for line in text.splitlines() if not line.startswith("#"))
                assert lines['skep_queue_failures_total{queue="apps"}'] == "1.0"
                assert lines['skep_queue_keys{queue="apps"}'] == "1.0"
                assert lines['skep_informer_watching{informer="namespaces"}'] == "1.0"
                assert float(lines['skep_informer_objects{informer="namespaces"}']) >= 4
                assert (lines["skep_leading"], lines["skep_events_left_out"]) == ("0.0", "0.0")
                assert float(lines['skep_queue_handled_total{queue="apps"}']) >= 5

    asyncio.run(body())


def test_a_certificate_that_is_renewed_is_served(tmp_path: Path) -> None:
    async def body() -> None:
        authority = Authority(tmp_path)
        for name in ("old", "new"):
            authority.server(name, addresses=dict.fromkeys(("127.0.0.1",)), names=(name,))
        for file in ("crt", "key"):
            (tmp_path / f"tls.{file}").symlink_to(tmp_path / f"old.{file}")
        crt, key = tmp_path / "tls.crt", tmp_path / "tls.key"
        trusting = ssl.create_default_context(cafile=str(tmp_path / "ca.crt"))

        async def served_name(port: int) -> str:
            _, writer = await asyncio.open_connection("127.0.0.1", port, ssl=trusting)
            names = writer.get_extra_info("peercert")["subjectAltName"]
            writer.transport.abort()
            return str(next(value for kind, value in names if kind == "DNS"))

        async with (
            certificate.from_files(crt, key, look=0.05) as tls,
            listen.listening("127.0.0.1", 0, health.routes(live={}, ready={}), tls=tls) as port,
        ):
            assert await served_name(port) == "old"
            for file in ("key", "crt"):
                (tmp_path / "next").symlink_to(tmp_path / f"new.{file}")
                os.replace(tmp_path / "next", tmp_path / f"tls.{file}")
            async with asyncio.timeout(10):
                while await served_name(port) != "new":
                    await asyncio.sleep(0.05)

    asyncio.run(body())


def test_a_certificate_that_is_not_there_is_told(tmp_path: Path) -> None:
    async def body() -> None:
        with pytest.raises(errors.InvalidRequest, match=r"tls\.crt"):
            async with certificate.from_files(tmp_path / "tls.crt", tmp_path / "tls.key"):
                pass

    asyncio.run(body())
