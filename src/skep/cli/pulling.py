"""Have skep pull an image for a command: whose login, which reference, and how far it is, on a terminal."""

from __future__ import annotations

import contextlib
import os
import sys
from collections.abc import Callable, Iterator
from typing import Any

import click

from skep import errors, model
from skep.cli import door, table

Decorator = Callable[..., Any]  # Any: click's decorators


def _policy(ctx: click.Context, parameter: click.Parameter, value: str) -> model.PullPolicy:
    for policy in model.PullPolicy:
        if policy.lower() == value.lower():
            return policy
    raise click.BadParameter(f"{value!r} is not one of {', '.join(model.PullPolicy)}", ctx, parameter)


def _complete(ctx: click.Context, parameter: click.Parameter, incomplete: str) -> list[str]:
    return [policy.value for policy in model.PullPolicy if policy.lower().startswith(incomplete.lower())]


def policy_option(default: model.PullPolicy) -> Decorator:
    """``--pull-policy`` of a command."""
    return click.option(
        "-p",
        "--pull-policy",
        "--image-pull-policy",
        "policy",
        default=default.value,
        show_default=True,
        metavar="POLICY",
        callback=_policy,
        shell_complete=_complete,
        help=f"{', '.join(model.PullPolicy)}: whether the registry is asked.",
    )


auth_option = click.option(
    "-r",
    "--registry-auth",
    "registry_auth",
    default=None,
    metavar="BASE64",
    envvar=["SKEP_REGISTRY_AUTH", "BPFMAN_REGISTRY_AUTH"],
    help="base64 of name:password; better in SKEP_REGISTRY_AUTH, for others see arguments.",
)
url_option = click.option("-i", "--image-url", "image_url", default=None, metavar="IMAGE", help="The image, by a flag.")


def chosen(argument: str | None, option: str | None) -> str:
    """The image out of the argument or bpfman's flag. UsageError unless there is one of them."""
    if bool(argument) is bool(option):
        raise click.UsageError("name one image, as an argument or with --image-url")
    return argument or option or ""


def request(url: str, policy: model.PullPolicy, registry_auth: str | None) -> model.ImageRequest:
    """What to ask for: with the user's own login, and a path that the daemon understands."""
    from skep.image import auth, local, reference

    transport = next((each for each in local.TRANSPORTS if url.startswith(each)), None)
    if transport is not None:
        path, colon, name = url[len(transport) :].partition(":")
        return model.ImageRequest(url=f"{transport}{os.path.abspath(path)}{colon}{name}", policy=policy)
    wanted = reference.parse(url)
    if registry_auth is not None:
        login: model.Login | None = auth.encoded(registry_auth)
    elif policy is model.PullPolicy.NEVER:
        login = None
    else:
        paths = auth.files(os.environ, os.getuid())
        login = auth.login(wanted, paths, auth.environment_reader(), os.environ)
    return model.ImageRequest(url=url, policy=policy, login=login)


def pull(skep: door.Skep, wanted: model.ImageRequest) -> model.Image:
    """Pull, telling a person on a terminal how far it is. See ``image.images.Images.pull`` for what it raises."""
    with shown(f"pulling {wanted.url}") as show:
        for told in skep.images.pull(wanted):
            if isinstance(told, model.Image):
                return told
            show(told)
    raise errors.Unavailable("the image was not pulled", why="the daemon said nothing more", do="see the daemon's log")


@contextlib.contextmanager
def shown(what: str) -> Iterator[Callable[[model.PullProgress], None]]:
    """Shows progress on a terminal; nothing anywhere else, and nothing for what is over at once."""
    if not table.terminal(sys.stderr):
        yield lambda progress: None
        return
    from rich.console import Console
    from rich.progress import BarColumn, DownloadColumn, Progress, TextColumn, TransferSpeedColumn

    columns = (TextColumn("{task.description}"), BarColumn(), DownloadColumn(), TransferSpeedColumn())
    with Progress(*columns, console=Console(stderr=True), transient=True) as bar:
        task = bar.add_task(what, total=None)
        yield lambda progress: bar.update(task, total=progress.total or None, completed=progress.done)
