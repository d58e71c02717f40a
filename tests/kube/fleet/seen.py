"""How long it takes until an agent has done what an application's object says, and its state says so."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from lightkube.types import PatchType

from skep.kube import naming
from skep.kube.api import connect, served
from skep.kube.api.informer import Informer
from skep.kube.api.key import Key


def changes(
    kubeconfig: Path, application: str, node: str, specs: Sequence[Mapping[str, Any]], pause: float
) -> list[float]:
    """Change an application's spec, one merge patch after the other; for each the seconds from the request to the
    state's status, as somebody sees it who watches. ``pause``: seconds between them."""
    return asyncio.run(_changes(kubeconfig, application, node, specs, pause))


async def _changes(
    kubeconfig: Path, application: str, node: str, specs: Sequence[Mapping[str, Any]], pause: float
) -> list[float]:
    loop = asyncio.get_running_loop()
    told = asyncio.Event()
    labels = naming.state_labels(application, node)
    found: list[float] = []
    async with connect.connect(str(kubeconfig)) as api:
        states = Informer(
            api, served.CLUSTER_STATE, keep=_kept, changed=lambda *_: told.set(), labels=dict(labels)
        )  # fmt: skip
        watching = asyncio.create_task(states.run())
        await states.synced()
        state = Key(name=naming.state_name(application, node))
        for spec in specs:
            began = loop.time()
            done = await api.ask(
                "patch", served.CLUSTER_APPLICATION, Key(name=application), body={"spec": spec},
                content_type=PatchType.MERGE.value,
            )  # fmt: skip
            wanted = (done["metadata"]["generation"], naming.SUCCESS)
            async with asyncio.timeout(60):
                while states.get(state) != wanted:
                    told.clear()
                    await told.wait()
            found.append(loop.time() - began)
            await asyncio.sleep(pause)
        watching.cancel()
        await asyncio.gather(watching, return_exceptions=True)
    return found


def _kept(document: Mapping[str, Any]) -> tuple[int, str]:  # Any: JSON
    status = document.get("status") or {}
    condition: Mapping[str, Any] = next(iter(status.get("conditions") or ()), {})
    return status.get("observedGeneration", 0), condition.get("type", "")
