"""``skep image build``, ``push`` and ``generate-build-args``: these need no daemon and no root.

They read files and reach registries with the rights and the logins of whoever runs them.
"""

from __future__ import annotations

import os
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import click

from skep import errors, model
from skep.cli import imagefiles, lazy, output, pulling, session

if TYPE_CHECKING:
    from skep.image.manifest import Descriptor

_FILES = click.argument("files", nargs=-1, metavar="[FILE | linux/ARCH=FILE]…")
_DIRECTORY = click.option(
    "-c",
    "--cilium-ebpf-project",
    "directory",
    metavar="DIRECTORY",
    type=click.Path(),
    help="Take what cilium's bpf2go wrote there, each file for what its name says.",
)


def _by_bpfmans_words(command: Callable[..., Any]) -> Callable[..., Any]:  # Any: click's decorators
    """bpfman 0.5's options: scripts go on; the Containerfile and the container engine are not needed."""
    for name in ("-t/--tag", "-b/--bytecode-file", "-f/--container-file", "-r/--runtime", *imagefiles.BY_PLATFORM):
        command = click.option(*name.split("/"), hidden=True, default=None)(command)
    return command


@click.command(
    "build",
    cls=lazy.Command,
    help="""Build an image of object files and push it; no container engine is needed.

    IMAGE is [REGISTRY/]NAME[:TAG], or oci:DIRECTORY[:NAME] for an OCI layout. A FILE alone is for every machine of its
    byte order, unless bpf2go named it for one; several files make an image for several platforms. Labels for programs,
    maps and capabilities come from the objects. The same files give the same digest; SOURCE_DATE_EPOCH is kept.
    """,
    examples="""
        skep image build registry.example/bpf/count:v1 count.bpf.o
        skep image build oci:./count:v1 count.bpf.o
        skep image build registry.example/bpf/count:v1 linux/amd64=count_x86.o linux/arm64=count_arm.o
        skep image build registry.example/bpf/count:v1 -c ./bpf --annotation org.opencontainers.image.source=URL
    """,
)
@click.argument("image", metavar="IMAGE", required=False)
@_FILES
@_DIRECTORY
@_by_bpfmans_words
@click.option("--annotation", "annotations", multiple=True, metavar="KEY=VALUE", help="On the image; may be repeated.")
@output.option
@click.pass_obj
def build(
    current: session.Session,
    /,
    image: str | None,
    files: tuple[str, ...],
    directory: str | None,
    annotations: tuple[str, ...],
    form: output.Format,
    **older: str | None,
) -> None:
    """Build, push, and print the digest."""
    from skep.cli import value
    from skep.cli.imageverify import local_url
    from skep.image import making, place, registries, transfer

    image, files = imagefiles.in_bpfmans_words(image, files, older)
    objects = [part for part, _ in imagefiles.parts(files, directory)]
    built = making.build(objects, seconds=source_date(), annotations=value.metadata(annotations))
    where, name, tag = place.destination(local_url(image), registries.of(current.settings), os.environ)
    with pulling.shown(f"pushing {name}") as show:
        sizes = [one.size for one, _ in (*built.blobs, *built.manifests)]
        digest = transfer.push(built, where, tag, _counted(show, sum(sizes)))
    _published(name, tag, digest, [str(part.platform) for part in objects], form)


@click.command(
    "push",
    cls=lazy.Command,
    help="""Copy an image, unchanged, from one place to another: all its platforms, its signatures and attestations.

    Both are [REGISTRY/]NAME[:TAG], or oci:DIRECTORY[:NAME]. The digest stays, and so do signatures.
    """,
    examples="""
        skep image push oci:./count:v1 registry.example/bpf/count:v1
        skep image push registry.example/bpf/count:v1 mirror.example/bpf/count:v1
        skep image push registry.example/bpf/count:v1 oci:/media/stick/count:v1
    """,
)
@click.argument("source", metavar="SOURCE")
@click.argument("image", metavar="IMAGE")
@click.option("--without-signatures", is_flag=True, help="Leave signatures and attestations behind.")
@output.option
@click.pass_obj
def push(current: session.Session, source: str, image: str, without_signatures: bool, form: output.Format) -> None:
    """Copy, and print the digest."""
    from skep.cli.imageverify import local_url
    from skep.image import place, registries, transfer

    settings = registries.of(current.settings)
    origin, _, which = place.open_(local_url(source), settings, os.environ)
    where, name, tag = place.destination(local_url(image), settings, os.environ)
    with pulling.shown(f"pushing {name}") as show:
        digest = transfer.copy(origin, which, where, tag, _counted(show, 0), signatures=not without_signatures)
    _published(name, tag, digest, None, form)


@click.command(
    "generate-build-args",
    cls=lazy.Command,
    help="""Print the build arguments of bpfman's Containerfiles for object files: which file is for which platform, and
    the labels for programs and maps.

    'skep image build' needs neither them nor a container engine.
    """,
    examples="""
        skep image generate-build-args count.o
        skep image generate-build-args linux/amd64=count_x86.o linux/arm64=count_arm.o
        skep image generate-build-args -c ./bpf -o json
    """,
)
@_FILES
@_DIRECTORY
@output.option
def arguments(files: tuple[str, ...], directory: str | None, form: output.Format) -> None:
    """Print KEY=VALUE lines."""
    import json

    from skep.image import making

    found = imagefiles.parts(files, directory)
    shown = making.arguments(found)
    document = {
        "platforms": [str(part.platform) for part, told in found if told],
        "build_args": {key: text for key, text in shown.items() if key not in ("PROGRAMS", "MAPS")},
        "programs": json.loads(shown["PROGRAMS"]),
        "maps": json.loads(shown["MAPS"]),
    }
    output.show(
        output.View(
            document=lambda: document,
            items=lambda: [document],
            names=lambda: shown,
            text=lambda wide: print("\n".join(f"{key}={text}" for key, text in shown.items())),
        ),
        form,
    )


def source_date() -> int | None:
    """SOURCE_DATE_EPOCH of reproducible-builds.org, seconds since 1970. InvalidRequest when it is no number."""
    text = os.environ.get("SOURCE_DATE_EPOCH", "")
    if not text:
        return None
    if not (text.isascii() and text.isdigit() and int(text) < 1 << 32):
        raise errors.InvalidRequest(
            "SOURCE_DATE_EPOCH cannot be used",
            why=f"{text!r} is no time",
            do="set it to seconds since 1970, or unset it",
        )
    return int(text)


def _counted(show: Callable[[model.PullProgress], None], total: int) -> Callable[[Descriptor], None]:
    """Tells of each part that is brought over, as bytes so far. ``total`` 0: nobody knows it yet."""
    done = 0

    def told(one: Descriptor) -> None:
        nonlocal done
        done += one.size
        show(model.PullProgress(done=done, total=total))

    return told


def _published(name: str, tag: str, digest: str, platforms: list[str] | None, form: output.Format) -> None:
    document: dict[str, Any] = {"image": name, "tag": tag, "digest": digest}  # Any: JSON
    if platforms is not None:
        document["platforms"] = platforms
    output.show(
        output.View(
            document=lambda: document,
            items=lambda: [document],
            names=lambda: [f"{name}@{digest}"],
            text=lambda wide: print(f"published: {name}@{digest}"),
        ),
        form,
    )
