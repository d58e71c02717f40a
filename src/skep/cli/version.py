"""``skep version``: this program, the daemon, and which of the two does the work."""

from __future__ import annotations

import os
import platform

import click

import skep as package
from skep import errors
from skep.cli import lazy, output, session


@click.command(
    "version",
    cls=lazy.Command,
    help="Show versions, and whether commands go to a daemon or work directly.",
    examples="skep version\nskep version -o json\nskep version --daemon",
)
@output.option
@click.option("--daemon", "needed", is_flag=True, help="Fail unless a daemon answers: for probes.")
@click.pass_obj
def version(current: session.Session, form: output.Format, needed: bool) -> None:
    """Print versions; without a daemon too."""
    document: dict[str, object] = {
        "client": package.__version__,
        "python": platform.python_version(),
        "kernel": os.uname().release,
        "mode": "none",
        "reason": "",
        "socket": None,
        "daemon": None,
    }
    try:
        address = None if current.direct else current.address()
    except errors.Denied as error:
        address, document["reason"] = None, error.what
    if address is not None:
        document |= _daemon(address)
    elif os.geteuid() == 0:
        document["mode"] = "direct"
    elif not document["reason"]:
        document["reason"] = "no daemon answers, and only root works without one"

    if needed and document["mode"] != "daemon":
        raise errors.Unavailable(
            "no daemon answers", why=str(document["reason"]), do="start it with 'skep serve', or see its log"
        )

    def text(wide: bool) -> None:
        print(f"skep {document['client']} (Python {document['python']}, Linux {document['kernel']})")
        match document["mode"]:
            case "daemon":
                print(f"daemon {document['daemon']} at {document['socket']}: commands go to it")
            case "direct":
                print(f"no daemon: commands work directly, under the lock {current.layout.lock}")
            case _:
                print(f"no way to work: {document['reason']}")

    output.show(
        output.View(
            document=lambda: document, items=lambda: [document], names=lambda: [str(document["client"])], text=text
        ),
        form,
    )


def _daemon(address: str) -> dict[str, object]:
    from skep.rpc import client

    try:
        with client.Client(address) as connected:
            return {"mode": "daemon", "socket": address, "daemon": connected.version().version}
    except errors.Unavailable as error:
        return {"mode": "none", "socket": address, "reason": str(error)}


VERSION: click.Command = version
