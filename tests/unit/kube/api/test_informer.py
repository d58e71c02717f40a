"""An informer against an API server, or something on the way to it, that answers nonsense."""

from __future__ import annotations

import asyncio
import json
from pathlib import Path
from typing import Any

import pytest

from skep.kube.api import connect, served
from skep.kube.api.informer import Informer
from skep.kube.api.key import Key

HEAD = b"HTTP/1.1 %b\r\nContent-Type: %b\r\nConnection: close\r\n\r\n"
OK = HEAD % (b"200 OK", b"application/json")


def config_map(name: str, version: str) -> dict[str, Any]:
    return {"metadata": {"name": name, "namespace": "n", "resourceVersion": version}}


LIST = OK + json.dumps({"metadata": {"resourceVersion": "1"}, "items": [config_map("listed", "1")]}).encode()


def event(kind: str, object: Any) -> bytes:
    return json.dumps({"type": kind, "object": object}).encode() + b"\n"


GOOD = OK + event("ADDED", config_map("good", "2"))


async def answered(tmp_path: Path, watches: list[bytes], lists: list[bytes]) -> tuple[Informer[str], list[str]]:
    """An informer that got these answers, one for each watch and list, until it knew the object ``good``."""
    asked: list[str] = []
    last = asyncio.Event()

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        line = (await reader.readuntil(b"\r\n\r\n")).decode().splitlines()[0]
        what = "watch" if "watch=true" in line else "list"
        asked.append(what)
        answers = watches if what == "watch" else lists
        answer = answers.pop(0) if len(answers) > 1 else answers[0]
        writer.write(answer)
        await writer.drain()
        if answer == GOOD:
            await last.wait()
        writer.close()

    server = await asyncio.start_server(serve, "127.0.0.1", 0)
    port = server.sockets[0].getsockname()[1]
    kubeconfig = {
        "clusters": [{"name": "y", "cluster": {"server": f"http://127.0.0.1:{port}"}}],
        "users": [{"name": "z", "user": {"token": "t"}}],
        "contexts": [{"name": "x", "context": {"cluster": "y", "user": "z"}}],
        "current-context": "x",
    }
    (tmp_path / "kubeconfig").write_text(json.dumps(kubeconfig))
    good = asyncio.Event()

    def changed(key: Key, old: str | None, new: str | None) -> None:
        if key.name == "good":
            good.set()

    async with server, connect.connect(str(tmp_path / "kubeconfig")) as api:
        made = Informer(api, served.CONFIG_MAP, keep=lambda object: object["metadata"]["name"], changed=changed)
        running = asyncio.create_task(made.run())
        try:
            async with asyncio.timeout(20):
                await asyncio.wait({running, asyncio.create_task(good.wait())}, return_when=asyncio.FIRST_COMPLETED)
            assert good.is_set(), running.exception()
        finally:
            running.cancel()
            last.set()
    return made, asked


@pytest.mark.slow
@pytest.mark.parametrize(
    ("bad", "lists"),
    [
        (HEAD % (b"200 OK", b"text/html") + b"<html>log in</html>\n", 1),
        (OK + b'{"type": "ADDED", "obj', 1),
        (OK + b"[]\n", 1),
        (OK + b"\n\n\xff\n", 1),
        (OK + event("ADDED", {}), 1),
        (OK + event("ADDED", None), 1),
        (OK + event("ADDED", {"metadata": {"resourceVersion": "2"}}), 1),
        (OK + b"[" * 100_000 + b"\n", 1),
        (OK + event("ERROR", {}), 1),
        (OK + event("ERROR", {"code": "nonsense"}), 1),
        (OK + event("ERROR", {"code": 500, "message": "oh"}), 1),
        (OK + event("ERROR", {"code": 410, "reason": "Expired", "message": "too old resource version: 1 (9)"}), 2),
        (HEAD % (b"410 Gone", b"application/json") + b'{"code": 410}', 2),
        (HEAD % (b"404 Not Found", b"text/plain") + b"404 page not found", 2),
        (HEAD % (b"504 Gateway Timeout", b"application/json") + b'{"code": 504, "message": "Too large"}', 2),
        (HEAD % (b"502 Bad Gateway", b"text/html") + b"<html>", 1),
        (b"HTTP/1.1 503 Service Unavailable\r\n\r\n", 1),
        (b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\n", 1),
        (b"\x00\x00", 1),
        (b"", 1),
        (OK, 1),
    ],
    ids=range(21),
)
def test_a_watch_that_goes_wrong_is_begun_again(tmp_path: Path, bad: bytes, lists: int) -> None:
    made, asked = asyncio.run(answered(tmp_path, [bad, GOOD], [LIST]))
    assert set(made.all().values()) == {"listed", "good"}
    assert (made.lists, asked.count("watch"), made.trouble) == (lists, 2, "")


@pytest.mark.slow
@pytest.mark.parametrize(
    "bad",
    [
        HEAD % (b"200 OK", b"text/html") + b"<html>log in</html>",
        OK + b"{}",
        OK + b'{"items": [1]}',
        OK + b'{"items": [{}]}',
        OK + b'{"items": [{"metadata": {"name": 1}}]}',
        OK + b'{"items": null, "metadata": []}',
        HEAD % (b"403 Forbidden", b"application/json") + b'{"code": 403, "message": "no"}',
        HEAD % (b"500 Oh", b"application/json") + b"{",
        HEAD % (b"410 Gone", b"application/json") + b'{"code": 410}',
        b"HTTP/1.1 503 Service Unavailable\r\n\r\n",
        b"",
    ],
    ids=range(11),
)
def test_a_list_that_goes_wrong_is_asked_for_again(tmp_path: Path, bad: bytes) -> None:
    made, asked = asyncio.run(answered(tmp_path, [GOOD], [bad, LIST]))
    assert set(made.all().values()) == {"listed", "good"}
    assert (made.lists, asked.count("list")) == (1, 2)
