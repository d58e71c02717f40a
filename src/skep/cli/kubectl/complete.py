"""What may come next on a command line of ``kubectl skep``: nodes, applications and interfaces out of the cluster.

Whoever presses Tab waits for it: questions take two seconds at most, and what cannot be found out is not offered.
"""

from __future__ import annotations

import contextlib
import subprocess
from collections.abc import Callable, Iterable, Sequence

import click

from skep.cli.kubectl import asked

SECONDS = 2.0
"""How long an answer may take."""
NO_FILES = 4
"""``ShellCompDirectiveNoFileComp`` of cobra, whose protocol kubectl speaks: offer no files."""


def answer(words: Sequence[str]) -> str:
    """The answer to kubectl for the words after its plugin's name, the last of which is being typed: a line for each
    word with a tab and its help, and the directive."""
    from click.shell_completion import ShellComplete

    from skep.cli.kubectl import root

    *before, typed = words or [""]
    with contextlib.redirect_stderr(None):
        found = ShellComplete(root.KUBECTL, {"obj": asked.Asked()}, root.NAME, "").get_completions(before, typed)
    lines = [f"{each.value}\t{each.help}" if each.help else each.value for each in found if each.type == "plain"]
    return "\n".join([*lines, f":{NO_FILES}"])


def nodes(ctx: click.Context, parameter: click.Parameter, incomplete: str) -> list[str]:
    """Names of nodes."""
    return _offered(ctx, incomplete, _nodes)


def applications(ctx: click.Context, parameter: click.Parameter, incomplete: str) -> list[str]:
    """Names of applications of the cluster and of the namespace."""
    return _offered(ctx, incomplete, _applications)


def nodes_and_applications(ctx: click.Context, parameter: click.Parameter, incomplete: str) -> list[str]:
    """Both."""
    return _offered(ctx, incomplete, _nodes) + _offered(ctx, incomplete, _applications)


def interfaces(ctx: click.Context, parameter: click.Parameter, incomplete: str) -> list[str]:
    """Interfaces of the node that was typed before, those that objects name."""
    node = str(ctx.params.get("node") or "")
    return _offered(ctx, incomplete, lambda wanted: _interfaces(wanted, node)) if node else []


def contexts(ctx: click.Context, incomplete: str) -> list[str]:
    """Contexts of the kubeconfig."""
    return _named(ctx, incomplete, "config", "get-contexts", "-o", "name")


def namespaces(ctx: click.Context, incomplete: str) -> list[str]:
    """Namespaces of the cluster."""
    words = ("get", "namespaces", "-o", "name", f"--request-timeout={SECONDS:g}s")
    return [
        each.rpartition("/")[2] for each in _named(ctx, "", *words) if each.rpartition("/")[2].startswith(incomplete)
    ]


def _offered(ctx: click.Context, incomplete: str, look: Callable[[asked.Asked], Iterable[str]]) -> list[str]:
    from skep import errors

    wanted = asked.of(ctx)
    wanted.seconds = SECONDS
    try:
        return sorted({each for each in look(wanted) if each.startswith(incomplete)})
    except errors.SkepError:
        return []


def _nodes(wanted: asked.Asked) -> list[str]:
    from skep.cli.kubectl import gather
    from skep.kube.plugin import machinery, part, resource

    with wanted.cluster() as opened:
        found = part.seen(lambda: opened.every(resource.NODE))
        if found.known:
            return [each["metadata"]["name"] for each in found.objects]
        return [machinery.home(each) for each in gather.pods(opened, gather.config_of(opened)).objects]


def _applications(wanted: asked.Asked) -> list[str]:
    from skep.kube.plugin import part, resource

    with wanted.cluster() as opened:
        where = wanted.where(opened)
        cluster, own = opened.together(
            lambda: part.seen(lambda: opened.every(resource.CLUSTER_APPLICATION)),
            lambda: part.seen(lambda: opened.every(resource.APPLICATION, namespace=where)),
        )
    return [each["metadata"]["name"] for each in (*cluster.objects, *own.objects)]


def _interfaces(wanted: asked.Asked, node: str) -> tuple[str, ...]:
    from skep.cli.kubectl import gather
    from skep.kube.plugin import chain, part, resource

    with wanted.cluster() as opened:
        held = part.seen(lambda: [opened.find(resource.INVENTORY, node)])
        states = [state for each in gather.states_on(opened, node, None) for state in each.objects]
    return chain.interfaces(states, next(iter(held.objects), None))


def _named(ctx: click.Context, incomplete: str, *words: str) -> list[str]:
    """What kubectl prints that begins so, line by line."""
    from skep import errors
    from skep.kube.plugin import door

    try:
        command = [door.program(), *asked.of(ctx).words(), *words]
    except errors.NotFound:
        return []
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    return [line for line in done.stdout.splitlines() if line.startswith(incomplete)]
