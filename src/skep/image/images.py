"""The use cases of images: pull, look, take the object out, prune.

Looking is for everybody who may look; pulling and pruning are changes.
"""

from __future__ import annotations

import contextlib
import os
import sys
import time
from collections.abc import Generator, Iterator, Mapping, Sequence
from dataclasses import replace
from typing import Final

from skep import errors, model
from skep.capability import manifest as capabilities
from skep.image import admission, bytecode, fetcher, local, manifest, reference, registries, staging
from skep.image.around import Around
from skep.image.cache import Cache
from skep.image.cached import Cached
from skep.image.gate import Gate
from skep.image.manifest import Manifest
from skep.image.record import Record
from skep.image.reference import Digest, Reference
from skep.image.registries import Registries
from skep.image.turns import Turns
from skep.model.capability import ProgramCapabilities
from skep.policy.images import Asked, Decision, explain, limit
from skep.trust.refused import Reason
from skep.trust.verdict import Verdict

PULL: Final = "pull"
PRUNE: Final = "prune"


class Images:
    """The images of one instance, in the cache at ``directory``; nothing is made there before it is needed."""

    def __init__(self, directory: str, settings: Registries, around: Around, gate: Gate) -> None:
        """``gate`` asks the trust policy before an object is taken out."""
        self._gate = gate
        self._cache = Cache(directory)
        self._settings = settings
        self._around = around
        self._turns = Turns()
        self._prepared = False
        self._platform = bytecode.host_platform(os.uname().machine, sys.byteorder)

    # ---------------------------------------------------------------- change

    def pull(
        self, caller: model.Caller, wanted: model.ImageRequest
    ) -> Generator[model.PullProgress | model.Image, None, None]:
        """Have an image in the cache, as its policy says; the last thing told is the image.

        NotFound, Denied, Unavailable: the registry; BadObject: the image; Exhausted: a limit, or the disk.
        """
        began, operation = time.monotonic(), model.OperationId(0)
        fresh: Record | None = None
        try:
            self._around.access.check(caller, PULL)
            place = local.parse(wanted.url)
            asked = None if place is not None else reference.parse(wanted.url)
            name = str(place or asked)
            found = None if asked is None else self._present(asked, wanted.policy)
            if found is None:
                operation = self._around.begin()
                self._prepare()
                pulled = (
                    self._from_files(caller, place)
                    if place is not None
                    else self._from_registry(reference.parse(wanted.url), wanted.login)
                )
                for told in pulled:
                    if isinstance(told, Record):
                        found = fresh = told
                    else:
                        yield told
                assert found is not None
        except errors.SkepError as failed:
            self._around.tell(caller, PULL, operation, f"image {wanted.url[:300]}", began, failed)
            raise
        if fresh is not None:
            self._around.tell(caller, PULL, operation, f"image {name}@{fresh.digest}", began, None)
        yield replace(self._described(found), fresh=fresh is not None)

    def ensure(self, caller: model.Caller, wanted: model.ImageRequest) -> model.Image:
        """``pull`` for whoever does not want to hear how far it is."""
        found: model.Image | None = None
        for told in self.pull(caller, wanted):
            if isinstance(told, model.Image):
                found = told
        assert found is not None
        return found

    def prune(
        self, caller: model.Caller, *, everything: bool = False, older_than: float = 0.0, dry_run: bool = False
    ) -> model.Pruned:
        """Remove images that no program was loaded from and that have no name any more; with ``everything``, also
        those with a name. ``older_than``: only what was not used for so many seconds."""
        began = time.monotonic()
        if dry_run:
            return model.Pruned(digests=self._prunable(everything, older_than), freed=0)
        operation = model.OperationId(0)
        try:
            self._around.access.check(caller, PRUNE)
            self._prepare()
            operation = self._around.begin()
            with self._cache.changing():
                gone = self._prunable(everything, older_than)
                freed = self._cache.remove(gone)
        except errors.SkepError as failed:
            self._around.tell(caller, PRUNE, operation, "images", began, failed)
            raise
        self._around.tell(caller, PRUNE, operation, f"{len(gone)} images", began, None)
        return model.Pruned(digests=gone, freed=freed)

    # ---------------------------------------------------------------- look

    def listed(self) -> tuple[model.Image, ...]:
        """Every image, the newest first."""
        names, loaded = self._cache.names(), self._around.loaded()
        return tuple(self._described(each, names, loaded) for each in self._cache.records())

    def one(self, ref: str) -> model.Image:
        """An image by its reference, its digest, or the beginning of that, with what its programs can do. NotFound,
        InvalidRequest."""
        found = self._find(ref)
        shown = self._described(found)
        if shown.damage:
            return shown
        try:
            return replace(shown, capabilities=capabilities.read(self._unpacked(found)))
        except (errors.BadObject, errors.Exhausted):
            return shown  # an object that is none of BPF's: loading it will say so

    def check(self, ref: str, asked: Asked | None = None) -> tuple[Decision, Verdict]:
        """Who signed an image of the cache, and what the trust policy, or whom ``asked`` names, makes of it.

        NotFound, InvalidRequest: no such image, a slip in the policy, a key that is none.
        """
        found = self._find(ref)
        decision, verdict = self._gate.look(self._name(ref, found), _digests(found), Cached(self._cache, found), asked)
        if decision.rule is not None and decision.rule.denied:
            decision = limit(decision, capabilities.read(self._unpacked(found)))
        return decision, verdict

    def repository(self, digest: Digest) -> Cached:
        """An image in the cache with all that was said about it, for whoever judges signatures. NotFound."""
        found = self._cache.by_digest(digest)
        if found is None:
            raise _not_here(str(digest))
        return Cached(self._cache, found)

    def object(
        self, source: model.ImageSource, programs: Sequence[model.ProgramSpec] = ()
    ) -> tuple[bytes, model.ImageSource]:
        """The object in an image of the cache, and its source with the digest filled in. ``programs``: those that are
        to be loaded, () for all of them: the policy may deny what they can do.

        Every blob on the way to it is checked again. NotFound: not in the cache; Broken: changed since.
        """
        found = self._find(source.digest or source.url)
        decision = self._gate.decide(self._name(source.url, found), _digests(found), lambda: Cached(self._cache, found))
        if decision.reason == Reason.UNSIGNED and found.missed:
            decision = replace(decision, why=f"{decision.why} (not all could be fetched: {found.missed[0]})")
        decision.check()
        data = self._unpacked(found)
        if decision.rule is not None and decision.rule.denied:
            limit(decision, _wanted(data, programs)).check()
        self._cache.touch(found, self._around.clock())
        return data, replace(source, digest=found.digest, trust=explain(decision))

    def _name(self, url: str, found: Record) -> str:
        """The image's name as the trust policy sees it; of one that was asked for by its digits, the first it has."""
        place = local.parse(url)
        if place is not None:
            return str(place)
        names = [name for name, digest in sorted(self._cache.names().items()) if digest == found.digest]
        if reference.is_digest(url) or found.digest.removeprefix("sha256:").startswith(url.removeprefix("sha256:")):
            url = names[0] if names else ""
        return reference.parse(url).name if url and local.parse(url) is None else url

    def resolved(
        self, caller: model.Caller, op: model.Load | model.ReplaceProgram
    ) -> model.Load | model.ReplaceProgram:
        """An operation on an image, with the image's digest; without one it is pulled as its policy says.

        Who serves others calls this before it takes a turn, so that nobody waits for a registry.
        """
        source = op.source
        if not isinstance(source, model.ImageSource) or source.digest:
            return op
        wanted = model.ImageRequest(url=source.url, policy=_policy(source.pull_policy))
        return replace(op, source=replace(source, digest=self.ensure(caller, wanted).digest))

    def filled(self, caller: model.Caller, op: model.Load | model.ReplaceProgram) -> model.Load | model.ReplaceProgram:
        """An operation on an image with the object: out of the image itself, and from nobody else."""
        if op.object:
            raise errors.InvalidRequest(
                "the request carries an object that is said to be an image's",
                why="skep takes an image's object out of the image itself",
                do="send it without one, or name a file as its source",
            )
        op = self.resolved(caller, op)
        assert isinstance(op.source, model.ImageSource)
        object, source = self.object(op.source, op.programs if isinstance(op, model.Load) else ())
        return replace(op, object=object, source=source)

    # ---------------------------------------------------------------- inside

    def _present(self, wanted: Reference, when: model.PullPolicy) -> Record | None:
        """The image as the cache has it, None when it is to be pulled. NotFound under the policy Never."""
        if when is model.PullPolicy.ALWAYS:
            return None
        found = self._cache.by_name(str(wanted)) if wanted.digest is None else self._cache.by_digest(wanted.digest)
        if found is None and when is model.PullPolicy.NEVER:
            raise errors.NotFound(
                f"the cache has no {wanted}",
                why="the pull policy Never forbids to ask its registry",
                do="see 'skep image list', or use the policy IfNotPresent",
            )
        return found

    def _from_registry(self, wanted: Reference, login: model.Login | None) -> Iterator[model.PullProgress | Record]:
        how = registries.access_to(wanted, self._settings, login)
        with contextlib.ExitStack() as held:
            held.enter_context(self._turns.held(str(wanted)))
            directory = held.enter_context(self._staging())
            fetched: fetcher.Fetched | None = None
            for told in fetcher.fetch(directory, wanted, how, self._platform, self._lacking(held), evidence=True):
                if isinstance(told, fetcher.Fetched):
                    fetched = told
                else:
                    yield told
            # The process has ended: nobody else can write to the directory now.
            assert fetched is not None
            admit = admission.Admission(self._cache, self._platform, self._around.clock())
            yield admit.fetched(directory, wanted, fetched)

    def _from_files(self, caller: model.Caller, place: local.Place) -> Iterator[model.PullProgress | Record]:
        def read(path: str, most: int) -> bytes:
            return self._around.read(caller, path, most)

        admit = admission.Admission(self._cache, self._platform, self._around.clock())
        inside = local.layout_of(place, read)
        if inside is not None:
            yield admit.layout(inside, place)
            return
        archive = read(place.path, local.MOST_ARCHIVE)
        with contextlib.ExitStack() as held:
            directory = held.enter_context(self._staging())
            fetched: fetcher.Fetched | None = None
            for told in fetcher.take(directory, archive, place.path, place.name, self._platform, self._lacking(held)):
                if isinstance(told, fetcher.Fetched):
                    fetched = told
                else:
                    yield told
            assert fetched is not None
            yield admit.fetched(directory, place, fetched)

    def _lacking(self, held: contextlib.ExitStack) -> fetcher.Lacking:
        """What is to be fetched of an image, once it is known which it is and nobody else fetches it."""

        def lacking(resolved: fetcher.Resolved) -> tuple[Digest, ...]:
            held.enter_context(self._turns.held(resolved.chain[-1].digest))
            return tuple(each.digest for each in resolved.blobs if not self._cache.has(each))

        return lacking

    @contextlib.contextmanager
    def _staging(self) -> Iterator[int]:
        with contextlib.ExitStack() as held:
            try:
                directory = held.enter_context(fetcher.staging(self._cache.staging))
            except OSError as error:
                raise staging.full(error) from error
            yield directory

    def _prepare(self) -> None:
        if not self._prepared:
            self._cache.prepare()
            self._prepared = True

    def _find(self, ref: str) -> Record:
        """By digest or the first digits of it, or by reference."""
        if reference.is_digest(ref):
            found = self._cache.by_digest(Digest(ref))
        elif local.parse(ref) is not None:
            found = self._cache.by_name(str(local.parse(ref)))
        else:
            short = ref.removeprefix("sha256:")
            records = self._cache.records()
            alike = [each for each in records if len(short) >= 6 and reference.hex_of(each.digest).startswith(short)]
            if len(alike) == 1:
                return alike[0]
            wanted = reference.parse(ref)
            found = self._cache.by_name(str(wanted)) if wanted.digest is None else self._cache.by_digest(wanted.digest)
        if found is None:
            raise _not_here(ref, errors.near_misses(ref, self._cache.names()))
        return found

    def _unpacked(self, one: Record) -> bytes:
        document = self._cache.read(one.chain[-1])
        found = manifest.parse(document, one.chain[-1].media_type)
        assert isinstance(found, Manifest)  # the digest is that of what was admitted
        return admission.object_of(found, self._cache.read)

    def _described(
        self,
        one: Record,
        names: Mapping[str, Digest] | None = None,
        loaded: Mapping[str, tuple[model.ProgramId, ...]] | None = None,
    ) -> model.Image:
        names = self._cache.names() if names is None else names
        loaded = self._around.loaded() if loaded is None else loaded
        image = model.Image(
            digest=one.digest,
            manifest=one.manifest,
            names=tuple(sorted(name for name, digest in names.items() if digest == one.digest)),
            platform=str(one.platform or ""),
            size=one.size(),
            evidence=len(one.evidence),
            pulled_at=one.pulled_at,
            used_at=one.used_at,
            loaded=loaded.get(one.digest, ()),
        )
        try:
            labels = admission.labels_of(one, self._cache.read)
        except errors.SkepError as damaged:
            return replace(image, damage=str(damaged.why or damaged))
        return replace(image, programs=labels.programs, maps=labels.maps, labelled=labels.told)

    def _prunable(self, everything: bool, older_than: float) -> tuple[Digest, ...]:
        named, loaded = set(self._cache.names().values()), self._around.loaded()
        now = self._around.clock()
        return tuple(
            each.digest
            for each in self._cache.records()
            if each.digest not in loaded
            and (everything or each.digest not in named)
            and now - each.used_at >= older_than
        )


def _wanted(object: bytes, programs: Sequence[model.ProgramSpec]) -> tuple[ProgramCapabilities, ...]:
    """What the programs of an object can do that are to be loaded, as the types that the caller says."""
    types = {one.name: one.hook for one in programs if one.hook is not None}
    found = capabilities.read(object, types)
    return tuple(one for one in found if not programs or one.program in {each.name for each in programs})


def _policy(name: str) -> model.PullPolicy:
    try:
        return model.PullPolicy(name)
    except ValueError:
        raise errors.InvalidRequest(
            f"unknown pull policy {name[:40]!r}",
            why="no policy has that name",
            do=f"write one of {', '.join(model.PullPolicy)}",
        ) from None


def _digests(one: Record) -> tuple[Digest, ...]:
    """From the top down to this host's manifest: a signature of any is one of the image."""
    return tuple(each.digest for each in one.chain)


def _not_here(ref: str, near: tuple[str, ...] = ()) -> errors.NotFound:
    return errors.NotFound(
        f"the cache has no image {ref[:300]}",
        near=near,
        do="" if near else "see 'skep image list', or pull it: skep image pull REFERENCE",
    )
