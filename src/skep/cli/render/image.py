"""Images for people."""

from __future__ import annotations

import time
from collections.abc import Sequence

from skep import model
from skep.cli import output, table, when
from skep.cli.document import image as document
from skep.cli.render import capability
from skep.cli.render.trust import Report


def listing(images: Sequence[model.Image], *, bare: bool = False) -> output.View:
    """``image list``; ``bare`` names are digests alone (-q)."""
    return output.View(
        document=lambda: {"images": [document.full(each) for each in images]},
        items=lambda: (document.full(each) for each in images),
        names=lambda: (each.digest if bare else f"image/{each.digest}" for each in images),
        text=lambda wide: table.show(_table(images), wide=wide),
    )


def one(image: model.Image, trust: Report | None = None) -> output.View:
    """``image inspect`` and ``image pull``. ``trust``: who signed it and what the trust policy makes of that."""

    def whole() -> dict[str, object]:
        shown = {"capabilities": capability.document(image.capabilities)} if image.capabilities else {}
        return document.full(image) | shown | ({} if trust is None else {"trust": trust.document})

    return output.View(
        document=whole,
        items=lambda: [whole()],
        names=lambda: [f"image/{image.digest}"],
        text=lambda wide: table.tree(tree(image, () if trust is None else trust.lines)),
    )


def pruned(what: model.Pruned, *, dry_run: bool) -> output.View:
    """``image prune``."""
    fields = {"dry_run": dry_run, "digests": list(what.digests), "freed": what.freed}

    def text(wide: bool) -> None:
        for digest in what.digests:
            print(f"{'would remove' if dry_run else 'removed'} {digest}")
        if dry_run:
            print("nothing was changed (--dry-run)")
        else:
            print(f"{_images(len(what.digests))} removed, {size(what.freed)} freed")

    return output.View(
        document=lambda: fields,
        items=lambda: [fields],
        names=lambda: (f"image/{digest}" for digest in what.digests),
        text=text,
    )


def tree(image: model.Image, trust: Sequence[tuple[str, str]] = ()) -> table.Section:
    """Everything about one image."""
    fields = [
        ("Digest", image.digest),
        ("Manifest", image.manifest if image.manifest != image.digest else "the same"),
        ("Names", ", ".join(image.names) or "None"),
        ("Platform", image.platform or "any"),
        ("Size", size(image.size)),
        ("Programs", _typed(image.programs, image.labelled)),
        ("Maps", _typed(image.maps, image.labelled)),
        ("Evidence", f"{image.evidence} signatures and attestations" if image.evidence else "None"),
        ("Pulled At", when.stamp(image.pulled_at, whole=True)),
        ("Used At", when.stamp(image.used_at, whole=True)),
        ("Loaded", table.joined(image.loaded)),
    ]
    fields += trust
    if image.damage:
        fields.append(("Damage", image.damage))
    return table.Section(title="Image:", fields=tuple(fields), sections=capability.sections(image.capabilities))


def size(amount: int) -> str:
    """Bytes for a person."""
    for unit, least in (("MiB", 1 << 20), ("KiB", 1 << 10)):
        if amount >= least:
            return f"{amount / least:.1f}{unit}"
    return f"{amount}B"


def _table(images: Sequence[model.Image]) -> table.Table:
    now = time.time()
    return table.Table(
        columns=(
            table.Column(title="DIGEST", style="cyan"),
            table.Column(title="NAME", style="bold", folds=True),
            table.Column(title="PROGRAMS", folds=True),
            table.Column(title="SIZE", right=True),
            table.Column(title="PULLED", right=True, spare=2),
            table.Column(title="USED", right=True, spare=1),
            table.Column(title="LOADED"),
            table.Column(title="PLATFORM", wide=True),
            table.Column(title="EVIDENCE", right=True, wide=True),
            table.Column(title="WHOLE DIGEST", wide=True),
        ),
        rows=tuple(
            (
                image.digest.partition(":")[2][:12],
                ",".join(image.names) or "<none>",
                "damaged" if image.damage else ",".join(f"{kind}:{name}" for name, kind in image.programs.items()),
                size(image.size),
                when.age(now - image.pulled_at),
                when.age(now - image.used_at),
                table.joined(image.loaded, empty=""),
                image.platform,
                str(image.evidence),
                image.digest,
            )
            for image in images
        ),
    )


def _typed(names: object, labelled: bool) -> str:
    if not labelled:
        return "the image does not say"
    return table.pairs(sorted(names.items())) if isinstance(names, dict) and names else "None"


def _images(count: int) -> str:
    return "1 image" if count == 1 else f"{count} images"
