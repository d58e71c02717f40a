"""``skep ready``: whether the daemon answers, for probes; imports next to nothing."""

from __future__ import annotations

import click

from skep import errors
from skep.cli import lazy, session


@click.command(
    "ready",
    cls=lazy.Command,
    help="""Say whether the daemon serves. The exit code is 0 if it does, else 5.

    Made for probes of containers and for scripts: it asks the daemon's socket (the health protocol of gRPC) and nothing
    else.
    """,
    examples="skep ready\nskep ready --timeout 1",
)
@click.option("--timeout", type=click.FloatRange(min=0.01, max=3600), default=5.0, show_default=True, help="Seconds.")
@click.pass_obj
def ready(current: session.Session, timeout: float) -> None:
    """Ask it."""
    address = current.address()
    if address is None:
        raise errors.Unavailable(
            "no skep daemon answers", why=f"nothing listens on {current.layout.socket}", do="start it: skep serve"
        )
    from skep.rpc import health

    health.check(address, timeout)
    print(f"the daemon at {address} serves")


READY: click.Command = ready
