"""One instance of skep in this process: its directories, its lock, and a ``Manager`` on the real kernel."""

from __future__ import annotations

import contextlib
import logging
import os
from collections.abc import Iterator
from typing import TYPE_CHECKING

from skep import config, errors, manager, paths, policy, store
from skep.daemon import lock
from skep.kernel import linux, pods

if TYPE_CHECKING:
    from skep.image import around, images

log = logging.getLogger("skep.daemon")


def layout_of(settings: config.Settings) -> paths.Layout:
    """Where the instance that the settings describe keeps its things."""
    return paths.layout(
        runtime=settings.runtime_dir,
        state=settings.state_dir,
        pins=settings.bpffs_dir,
        socket=settings.socket_path,
        images=settings.image_cache_dir,
        applications=settings.apps_dir,
    )


@contextlib.contextmanager
def open_manager(settings: config.Settings, *, owner: lock.Owner, lock_timeout: float) -> Iterator[manager.Manager]:
    """A Manager that owns its instance until the block ends; what a killed one left half done is put right first.

    Busy when somebody else owns the instance, Denied without root, Unsupported when the pins would not be in the host's
    bpffs, Conflict when the store is from a newer version.
    """
    layout = layout_of(settings)
    with contextlib.ExitStack() as stack:
        make_directory(layout.runtime, 0o755)
        stack.enter_context(lock.held(layout.lock, owner, lock_timeout))
        make_directory(layout.state, 0o700)
        kernel = linux.Linux(layout.pins)
        stack.callback(kernel.close)
        kernel.check_pins()
        point_at_pins(layout)
        if owner == "daemon":
            kernel.warm_up()
        remembered = store.Store(layout.database)
        stack.callback(remembered.close)
        for moved in remembered.set_aside():
            log.error(
                "the store could not be read and was set aside; see `skep doctor` for what can be adopted",
                extra={"moved_to": moved},
            )
        managed = manager.Manager(
            kernel,
            remembered,
            paths.Pins(layout.pins),
            access=access_of(settings),
            xdp_modes=settings.xdp_modes,
            images=images_of(settings, layout, remembered),
            finder=pods.Pods(settings.cgroup_dir, runtime_of(settings)),
            sanctioned=settings.sanctioned,
        )
        managed.sweep()
        yield managed


def access_of(settings: config.Settings) -> policy.Access:
    """Who may change things, as the settings say."""
    rule = policy.Reading(uids=frozenset(settings.read_only_uids), gids=frozenset(settings.read_only_gids))
    return policy.Access(rules=(rule,)) if rule.uids or rule.gids else policy.ANYBODY


def runtime_of(settings: config.Settings) -> pods.Runtime | None:
    """The container runtime to ask about pods, if one is named."""
    if not settings.cri_socket:
        return None
    from skep.rpc import cri  # imports gRPC

    return cri.Runtime(settings.cri_socket)


def images_of(settings: config.Settings, layout: paths.Layout, remembered: store.Store) -> around.Begin:
    """How to begin with images: imported then, for most instances never see one."""

    def begin(rest: around.Around) -> images.Images:
        from skep.image import gate, images, registries

        how = registries.of(settings)
        asked = gate.Gate(settings.trust_policy, remembered, gate.contents, rest.clock)
        return images.Images(layout.images, how, rest, asked)

    return begin


def make_directory(path: str, mode: int) -> None:
    """Make a directory and, with mode 0755, what is above it; an existing one is left as it is. Denied, Conflict."""
    try:
        missing = []
        above = path
        while not os.path.isdir(above):
            missing.append(above)
            above = os.path.dirname(above)
        for place in reversed(missing):
            os.mkdir(place)
            # The umask must not decide: a service's is 0077, and clients have to reach their socket.
            os.chmod(place, mode if place == path else 0o755)
    except OSError as error:
        kind = errors.Denied if isinstance(error, PermissionError) else errors.Conflict
        raise kind(
            f"cannot make the directory {path}",
            why=error.strerror or str(error),
            do="run as root, or choose another",
            errno=error.errno or 0,
        ) from error


def point_at_pins(layout: paths.Layout) -> None:
    """Make ``<runtime>/fs`` a symbolic link to the pins. Conflict when something else is there."""
    wanted, link = layout.pins, layout.pins_link
    try:
        if os.path.islink(link):
            if os.readlink(link) == wanted:
                return
            os.unlink(link)
        os.symlink(wanted, link)
    except OSError as error:
        raise errors.Conflict(
            f"cannot make the symbolic link {link}",
            why=error.strerror or str(error),
            do="remove what is there (bpfman mounts a file system at that path), or choose another --runtime-dir",
            errno=error.errno or 0,
        ) from error
