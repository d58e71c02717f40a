"""One run of the command line: its global options, its settings, and how it reaches skep.

The daemon is found through the runtime directory: ``<runtime>/socket`` names the socket. Without a daemon, and as root,
the Manager is opened in this process under the same lock; a live daemon holds that lock, so the two never work at once.
"""

from __future__ import annotations

import os
import socket
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, ExitStack, contextmanager
from dataclasses import dataclass, field

from skep import config, errors, paths
from skep.cli import door

CONNECT_SECONDS = 5.0


@dataclass(slots=True, kw_only=True)
class Session:
    """Global options as the parser fills them in; ``opener`` replaces the search for a daemon (tests)."""

    flags: dict[str, object] = field(default_factory=dict)
    config_file: str | None = None
    direct: bool = False
    whole_log: bool = False
    opener: Callable[[], AbstractContextManager[door.Skep]] | None = None
    _loaded: config.Loaded | None = None

    @property
    def settings(self) -> config.Settings:
        """The settings in force; notes about the file are told once, on stderr."""
        if self._loaded is None:
            self._loaded = config.load(self.flags, file=self.config_file)
            if self._loaded.notes:
                from skep.cli import output

                for note in self._loaded.notes:
                    output.note(note)
        return self._loaded.settings

    @property
    def layout(self) -> paths.Layout:
        """Where this instance keeps its things."""
        chosen = self.settings
        return paths.layout(
            runtime=chosen.runtime_dir,
            state=chosen.state_dir,
            pins=chosen.bpffs_dir,
            socket=chosen.socket_path,
            images=chosen.image_cache_dir,
            applications=chosen.apps_dir,
        )

    @property
    def wait(self) -> float | None:
        """How long to wait for another writer, in seconds; None for ever."""
        return self.settings.lock_timeout or None

    @contextmanager
    def open(self) -> Iterator[door.Skep]:
        """The daemon's client, or a Manager in this process.

        Raises ``Unavailable`` without a daemon and without root, ``Denied`` when the socket may not be used, ``Busy``
        when ``--direct`` meets a daemon.
        """
        with ExitStack() as stack:
            yield stack.enter_context(self._open())

    def address(self) -> str | None:
        """The socket of a living daemon, None when there is none. Raises ``Denied`` when it may not be used."""
        given = self.settings.socket_path
        candidates = [given] if given else [_socket_file(self.layout.socket_file), self.layout.socket]
        return next((path for path in candidates if path and answers(path)), None)

    def _open(self) -> AbstractContextManager[door.Skep]:
        if self.opener is not None:
            return self.opener()
        address = None if self.direct else self.address()
        if address is not None:
            return self._client(address)
        if os.geteuid() != 0:
            if self.direct:
                raise errors.Denied("cannot work without the daemon", why="--direct needs root", do="use sudo")
            raise errors.Unavailable(
                "no skep daemon answers",
                why=f"nothing listens on {self.layout.socket}",
                do="start it with: sudo systemctl start skep, or: sudo skep serve; as root skep works without it",
            )
        return self._direct()

    @contextmanager
    def _client(self, address: str) -> Iterator[door.Skep]:
        from skep.rpc import client

        with client.Client(address) as connected:
            yield connected

    @contextmanager
    def _direct(self) -> Iterator[door.Skep]:
        from skep import daemon
        from skep.cli import directlog

        chosen = self.settings
        directlog.configure(chosen, shown="log_level" in self.flags)
        with daemon.open_manager(chosen, owner="direct", lock_timeout=chosen.lock_timeout) as manager:
            yield door.Direct(manager)


def answers(path: str) -> bool:
    """Whether something listens on a Unix socket. Raises ``Denied`` when this user may not connect."""
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as probe:
        probe.settimeout(CONNECT_SECONDS)
        try:
            probe.connect(path)
        except PermissionError as error:
            raise errors.Denied(
                f"may not use the daemon's socket {path}",
                why=error.strerror or "",
                do="ask for membership of the socket's group, or use sudo",
                errno=error.errno or 0,
            ) from error
        except OSError:
            return False
    return True


def _socket_file(path: str) -> str | None:
    """The address that a daemon left in its runtime directory."""
    try:
        with open(path, encoding="utf-8") as stream:
            line = stream.readline(4096).strip()
    except (OSError, UnicodeDecodeError):
        return None
    return line or None
