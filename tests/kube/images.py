"""Container images for the tests' pods, made without an engine: skep's own, pause, and busybox."""

from __future__ import annotations

import shutil
from pathlib import Path

from scripts.container import image
from scripts.container.tree import Directory, File, Link, Tree, archive, compressed
from tests import native_build

SKEP = "localhost/skep:test"
BUSYBOX = "localhost/busybox:test"
PAUSE = "localhost/pause:test"
READER = "localhost/reader:test"
APPLETS = ("cat", "hexdump", "httpd", "ls", "nc", "ping", "sh", "sleep", "wget", "od", "echo", "stat", "touch", "id")


def skep(directory: Path) -> Path:
    """The image of this checkout, as an archive for ``Node.import_image``."""
    place = directory / "skep.tar"
    if not place.exists():
        image.write(image.built(image.cache(), 0), place, SKEP)
    return place


def pause(directory: Path) -> Path:
    """What holds a pod's namespaces."""
    program = native_build.build("pause", "-static", "-Os", strip=True)
    return _made(directory / "pause.tar", PAUSE, {"pause": File(data=program.read_bytes(), mode=0o755)}, ["/pause"])


def busybox(directory: Path) -> Path:
    """A shell and some commands, for the tests' own pods."""
    return _made(directory / "busybox.tar", BUSYBOX, _shell(), ["/bin/sh"])


def reader(directory: Path) -> Path:
    """The same with /bin/element, which gets at pinned maps."""
    program = native_build.build("element", "-static", "-Os", strip=True)
    tree: Tree = {**_shell(), "bin/element": File(data=program.read_bytes(), mode=0o755)}
    return _made(directory / "reader.tar", READER, tree, ["/bin/sh"])


def _shell() -> Tree:
    program = shutil.which("busybox")
    assert program is not None, "scripts/packages --kube installs busybox-static"
    return {
        "bin/busybox": File(data=Path(program).read_bytes(), mode=0o755),
        **{f"bin/{name}": Link(target="busybox") for name in APPLETS},
        "tmp": Directory(mode=0o1777),
    }


def _made(place: Path, name: str, tree: Tree, command: list[str]) -> Path:
    layer = compressed(archive(tree, seconds=0))
    built = image.assembled([layer], {"Entrypoint": command, "Env": ["PATH=/bin"]}, seconds=0)
    image.write(built, place, name)
    return place
