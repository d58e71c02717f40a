"""kubectl's options, which cluster and namespace they mean, and the way to it."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import click

from skep.cli import lazy, session

if TYPE_CHECKING:
    from skep.kube.plugin.door import Door


@dataclass(slots=True, kw_only=True)
class Asked(session.Session):
    """kubectl's options as the parser fills them in. ``seconds``: how long an answer may take."""

    kubectl: dict[str, tuple[str, ...]] = field(default_factory=dict)
    namespace: str = ""
    everywhere: bool = False
    seconds: float = 30.0

    @contextmanager
    def cluster(self) -> Iterator[Door]:
        """The cluster that is meant. Raises ``skep.errors``."""
        from skep.kube.plugin import door

        with door.Door(self.words(), tell=_tell, seconds=self.seconds) as opened:
            yield opened

    def words(self) -> list[str]:
        """The options as kubectl takes them."""
        return [f"--{name}={value}" for name, values in self.kubectl.items() for value in values]

    def where(self, opened: Door) -> str | None:
        """The namespace that is meant; None: all of them."""
        if self.everywhere:
            return None
        return self.namespace or opened.namespace()


class Command(lazy.Command):
    """A verb: with examples, and kubectl's options after its name too."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:  # Any: click's own
        super().__init__(*args, ground=False, **kwargs)
        taken = {name for parameter in self.params for name in parameter.opts}
        self.params += [option for option in options() if not taken & set(option.opts)]


_KUBECTL = (
    ("kubeconfig", "FILE", "The kubeconfig.  [default: KUBECONFIG, ~/.kube/config]"),
    ("context", "NAME", "Its context.  [default: the current one]"),
    ("cluster", "NAME", "Its cluster."),
    ("user", "NAME", "Its user."),
    ("as", "USER", "Impersonate this user."),
    ("as-group", "GROUP", "Impersonate a member of this group; may be repeated."),
    ("server", "URL", "The API server."),
)
"""Options that are kubectl's and are handed on to it."""
_COMMON = ("kubeconfig", "context")
"""Those that help shows."""


def options(*, hidden: bool = True) -> list[click.Option]:
    """Fresh options for the cluster and the namespace. ``hidden``: verbs show the usual ones only."""
    made = [
        click.Option(
            [f"--{name}", f"kubectl_{name.replace('-', '_')}"],
            metavar=metavar,
            multiple=True,
            hidden=hidden and name not in _COMMON,
            expose_value=False,
            callback=_keep(name),
            shell_complete=_contexts if name == "context" else None,
            help=text,
        )
        for name, metavar, text in _KUBECTL
    ]
    made.append(
        click.Option(
            ["-n", "--namespace"], metavar="NAME", expose_value=False, callback=_namespace, shell_complete=_namespaces,
            help="The namespace.  [default: the context's]",
        )
    )  # fmt: skip
    # What an internal error asks for.
    made.append(click.Option(["--log"], metavar="LEVEL", hidden=True, expose_value=False, callback=_log))
    return made


def everywhere(command: Any) -> Any:  # Any: click's decorators
    """``-A/--all-namespaces`` for a verb."""
    return click.option(
        "-A", "--all-namespaces", is_flag=True, expose_value=False, callback=_everywhere, help="In all namespaces."
    )(command)


def of(ctx: click.Context) -> Asked:
    """What is asked for in this run."""
    found = ctx.ensure_object(Asked)
    assert isinstance(found, Asked)
    return found


def _keep(name: str) -> Any:  # Any: click's callbacks
    def keep(ctx: click.Context, parameter: click.Parameter, value: tuple[str, ...]) -> None:
        if value:
            of(ctx).kubectl[name] = value

    return keep


def _namespace(ctx: click.Context, parameter: click.Parameter, value: str | None) -> None:
    if value:
        of(ctx).namespace = value


def _log(ctx: click.Context, parameter: click.Parameter, value: str | None) -> None:
    if value:
        of(ctx).flags["log_level"] = value


def _everywhere(ctx: click.Context, parameter: click.Parameter, value: bool) -> None:
    if value:
        of(ctx).everywhere = True


def _contexts(ctx: click.Context, parameter: click.Parameter, incomplete: str) -> list[str]:
    from skep.cli.kubectl import complete

    return complete.contexts(ctx, incomplete)


def _namespaces(ctx: click.Context, parameter: click.Parameter, incomplete: str) -> list[str]:
    from skep.cli.kubectl import complete

    return complete.namespaces(ctx, incomplete)


def _tell(text: str) -> None:
    print(text, file=sys.stderr, flush=True)
