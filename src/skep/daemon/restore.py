"""Applications of a directory, restored at every start of the daemon, and again when it is told to reload.

The daemon serves first: an image that takes long, or a registry that is away, keeps nobody waiting. What fails for a
reason that may pass (an interface that is not there yet, a registry) is tried again: when interfaces come or go, and
else after a time that doubles.
"""

from __future__ import annotations

import hashlib
import logging
import os
import threading
import time
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from skep import errors, model
from skep.manager import Manager

if TYPE_CHECKING:
    from skep.kube import act, host, resources
    from skep.kube.plain import directory

log = logging.getLogger("skep.daemon")

FIRST_SECONDS, LONGEST_SECONDS = 2.0, 300.0
"""How long until what failed is tried again: at first, and at most."""
LOOK_SECONDS = 2.0
"""How often it is seen whether interfaces came or went; only while something has failed."""
STOP_SECONDS = 20.0
"""How long the end waits for an application that is being loaded; then it is one that was interrupted."""
_PASSING: Final = (errors.NotFound, errors.Conflict, errors.Exhausted, errors.Busy, errors.Unavailable)
_VERB = "restore"


@dataclass(frozen=True, slots=True)
class Trouble:
    """What is wrong with a file or an application of it; ``key`` "" for the file itself."""

    file: str
    key: str
    error: errors.SkepError

    @property
    def subject(self) -> str:
        """What it is about, in words."""
        return f"{self.file}: {self.key}" if self.key else self.file

    @property
    def passes(self) -> bool:
        """Whether it may pass without anybody writing a file."""
        return bool(self.key) and isinstance(self.error, _PASSING)


class Restorer:
    """Brings a directory's applications, on a thread of its own."""

    def __init__(self, managed: Manager, path: str) -> None:
        self._manager = managed
        self._path = path
        self._caller = model.Caller(uid=os.geteuid(), gid=os.getegid(), pid=os.getpid(), origin="apps.d")
        self._files: tuple[directory.File, ...] = ()
        self._troubles: dict[str, Trouble] = {}
        self._awake = threading.Event()
        self._read_again = True
        self._stopping = False
        # Not waited for by the interpreter's end: what it was doing is then interrupted, which a start puts right.
        self._thread = threading.Thread(target=self._work, name="restore", daemon=True)
        managed.examined.append(self.findings)

    def start(self) -> None:
        """Begin."""
        self._thread.start()

    def reload(self) -> None:
        """Read the directory again and make it so; may be called from any thread."""
        self._read_again = True
        self._awake.set()

    def stop(self) -> None:
        """End after what is being done."""
        self._stopping = True
        self._awake.set()
        if self._thread.is_alive():
            self._thread.join(STOP_SECONDS)

    def findings(self) -> tuple[model.Finding, ...]:
        """What ``skep doctor`` says of it."""
        return tuple(
            model.Finding(
                kind="application not restored",
                subject=f"{self._path}/{each.subject}" if each.file else self._path,
                explanation=f"{each.error.what}: {each.error.why}" if each.error.why else each.error.what,
                remedy=f"{each.error.do or 'correct it'}; "
                + ("it is tried again" if each.passes else "then 'systemctl reload skep' (SIGHUP to the daemon)"),
            )
            for each in list(self._troubles.values())
        )

    def _work(self) -> None:
        delay = FIRST_SECONDS
        while not self._stopping:
            if self._read_again:
                self._read_again = False
                self._guarded(self._load)
                delay = FIRST_SECONDS
            else:
                self._guarded(self._again)
                delay = min(delay * 2, LONGEST_SECONDS)
            self._wait(delay)

    def _guarded(self, do: Callable[[], None]) -> None:
        """A bug ends one round, not the thread, and least of all the daemon."""
        try:
            do()
        except errors.SkepError as error:
            self._tell({"": Trouble("", "", error)})
            self._read_again = isinstance(error, _PASSING)
        except Exception:
            log.exception("applications could not be restored: a bug in skep", extra={"directory": self._path})

    def _wait(self, delay: float) -> None:
        """Until there is something to do: told to, or what failed is due, or interfaces came or went."""
        end = time.monotonic() + delay
        before = self._interfaces()
        while not (self._awake.is_set() or self._stopping):
            if not (self._read_again or any(each.passes for each in self._troubles.values())):
                self._awake.wait()
            elif time.monotonic() >= end or self._interfaces() != before:
                return
            else:
                self._awake.wait(min(LOOK_SECONDS, max(end - time.monotonic(), 0)))
        self._awake.clear()

    def _interfaces(self) -> tuple[str, ...]:
        if not self._troubles:
            return ()
        try:
            return self._here().interfaces
        except errors.SkepError:
            return ()

    def _here(self) -> host.Host:
        from skep.kube.plain import sight

        return sight.here(self._manager.sight.describe_host())

    # ---------------------------------------------------------------- what is done

    def _load(self) -> None:
        """Read the files, bring every application, and unload what no file names any more."""
        if not os.path.exists(self._path) and not self._files:
            return  # so that a host without such a directory pays for nothing
        from skep.kube.plain import directory

        files = directory.look(self._path)
        self._files = files or ()
        troubles = {each.name: Trouble(each.name, "", each.error) for each in self._files if each.error is not None}
        troubles |= self._bring(lambda file, application: True)
        if files is not None and not any(each.error for each in files):
            troubles |= self._remove()
        self._tell(troubles)
        log.info(
            "applications restored",
            extra={
                "directory": self._path,
                "files": len(self._files),
                "applications": sum(len(each.applications) for each in self._files),
                "failed": len(troubles),
            },
        )

    def _again(self) -> None:
        """Try again what may have passed."""
        due = {each.key for each in self._troubles.values() if each.passes}
        kept = {subject: each for subject, each in self._troubles.items() if each.key not in due}
        self._tell(kept | self._bring(lambda file, application: application.key in due))

    def _bring(self, wanted: Callable[[directory.File, resources.Application], bool]) -> dict[str, Trouble]:
        here = self._here() if self._files else None
        troubles = {}
        for file in self._files:
            for application in file.applications:
                if self._stopping or not wanted(file, application):
                    continue
                assert here is not None
                if not application.nodes.selects(here.labels):
                    log.info("an application is not for this host", extra={"file": file.name, "key": application.key})
                    continue
                error = self._one(file, application, here)
                if error is not None:
                    trouble = Trouble(file.name, application.key, error)
                    troubles[trouble.subject] = trouble
        return troubles

    def _one(
        self, file: directory.File, application: resources.Application, here: host.Host
    ) -> errors.SkepError | None:
        from skep.kube import act
        from skep.kube import host as hosts

        door = Inside(self._manager, self._caller)
        try:
            programs = hosts.programs(application, here)
            plan = act.decide(
                application,
                programs,
                self._code(door, application),
                act.owner(door, application),
                act.observe(door, application.key),
                metadata={**hosts.metadata(application), hosts.FILE: file.name},
            )
            return _first(act.run(door, plan, whole=True))
        except errors.SkepError as error:
            return error

    def _code(self, door: Inside, application: resources.Application) -> act.Code:
        from skep.kube import act

        code = application.byte_code
        if isinstance(code, str):
            object = self._manager.read_object(self._caller, code)
            digest = hashlib.sha256(object).hexdigest()
            return act.Code(source=model.FileSource(path=code), digest=digest, object=object)
        return act.pulled(door, model.ImageRequest(url=code.url, policy=code.policy))

    def _remove(self) -> dict[str, Trouble]:
        """Unload applications that came out of this directory and are in none of its files, or not for this host."""
        from skep.kube import act, reconcile
        from skep.kube import host as hosts

        door = Inside(self._manager, self._caller)
        here = self._here() if self._files else None
        kept = {
            each.key
            for file in self._files
            for each in file.applications
            if here is not None and each.nodes.selects(here.labels)
        }
        gone: dict[str, str] = {}
        for program in act.managed(door, model.ProgramFilter(managed_only=True)):
            metadata = program.record.metadata
            if hosts.FILE in metadata and reconcile.OWNER in metadata and metadata[reconcile.OWNER] not in kept:
                gone[metadata[reconcile.OWNER]] = metadata[hosts.FILE]
        troubles = {}
        for key, file in gone.items():
            log.info("an application is in no file any more", extra={"file": file, "key": key})
            error = _first(act.run(door, act.removal(key, act.observe(door, key))))
            if error is not None:
                trouble = Trouble(file, key, error)
                troubles[trouble.subject] = trouble
        return troubles

    def _tell(self, troubles: dict[str, Trouble]) -> None:
        """Put into history and log what is new of it, and what has passed."""
        before, self._troubles = self._troubles, troubles
        for subject, each in troubles.items():
            if subject not in before or str(before[subject].error) != str(each.error):
                self._manager.remember(self._caller, _VERB, subject or self._path, each.error)
        for subject in before.keys() - troubles.keys():
            self._manager.remember(self._caller, _VERB, subject or self._path, None)


def _first(rows: Iterable[act.Row]) -> errors.SkepError | None:
    return next((row.error for row in rows if row.error is not None), None)


class Inside:
    """A Manager as applications are brought through it, for one caller."""

    def __init__(self, managed: Manager, caller: model.Caller) -> None:
        self._manager = managed
        self._caller = caller

    def run(self, op: model.Operation, *, wait: float | None = None) -> model.Done:
        """See ``act.Door``."""
        return self._manager.run(self._caller, op, wait=wait)

    def programs(self, filter: model.ProgramFilter) -> tuple[model.Program | model.ForeignProgram, ...]:
        """See ``act.Door``."""
        return self._manager.programs(filter)

    def links(self, filter: model.LinkFilter) -> tuple[model.Link, ...]:
        """See ``act.Door``."""
        return self._manager.links(filter)

    @property
    def images(self) -> Inside:
        """See ``act.Door``."""
        return self

    def pull(self, wanted: model.ImageRequest) -> Iterator[model.PullProgress | model.Image]:
        """See ``act.Images``."""
        return self._manager.images.pull(self._caller, wanted)
