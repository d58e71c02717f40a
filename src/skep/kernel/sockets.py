"""Sockets of processes, where others have links: found, noted, given a program and freed of it again.

The kernel has no link and no pin for a program on a socket. A symbolic link below our pins stands for it, whose text
says which socket it is; it is written before the program is attached and removed after it. A socket is known by its
cookie, which no other gets in this boot. Where it was found (a process and its descriptor) is only a hint: a socket
that a process handed on, or inherited, is looked for by its inode number in every process.

The attachment ends with the socket. One exception is the kernel's: a reuseport program belongs to the group of sockets
and stays as long as one of them is open.
"""

from __future__ import annotations

import dataclasses
import errno
import json
from typing import Final

from skep import errors, model, paths, steps
from skep.hooks import request
from skep.kernel import abi, bpffs, observe, proc_sockets, refused, sys

_ATTACH: Final = {
    request.SocketOption.FILTER: abi.SO_ATTACH_BPF,
    request.SocketOption.REUSEPORT: abi.SO_ATTACH_REUSEPORT,
}
_DETACH: Final = {
    request.SocketOption.FILTER: abi.SO_DETACH_BPF,
    request.SocketOption.REUSEPORT: abi.SO_DETACH_REUSEPORT,
}


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class _Note:
    """The text of the symbolic link. ``program``: the kernel's id of what was attached last."""

    socket: model.SocketRef
    option: request.SocketOption
    program: int


def is_noted(pins: bpffs.Bpffs, pin: model.LinkPin) -> bool:
    """Whether a path is one where a socket is noted, and no kernel link pinned."""
    return pin.endswith(paths.SOCKET)


def find(named: model.Descriptor | model.LocalAddress, netns: str | None, *, several: bool) -> model.Socket:
    """The socket that a caller names. ``several``: of sockets that share the address any will do, else InvalidRequest.
    NotFound; Denied."""
    if isinstance(named, model.LocalAddress):
        named = proc_sockets.holder(named, netns, several=several)
    try:
        fd = proc_sockets.taken(named)
    except OSError as refusal:
        raise _not_there(named, refusal) from refusal
    with sys.held(fd):
        return proc_sockets.described(fd, named)


def observed(pins: bpffs.Bpffs, pin: model.LinkPin) -> model.KernelLink | None:
    """What is noted at ``pin`` as a link without a number; ``detail`` says why when it is defunct."""
    note = _read(pins, pin)
    if note is None:
        return None
    fd = proc_sockets.again(note.socket)
    detail, defunct = f"socket {note.socket.inode}", True
    if fd is None:
        detail = "its socket is closed"
        if note.option is request.SocketOption.REUSEPORT:
            detail += "; sockets that shared its address keep the program until they close"
    else:
        with sys.held(fd):
            defunct = note.option is request.SocketOption.FILTER and not proc_sockets.has_filter(fd)
        if defunct:
            detail = "its filter was taken away by somebody else"
    return model.KernelLink(
        id=model.KernelLinkId(0), type=0, program_id=model.ProgramId(note.program), detail=detail, defunct=defunct
    )


def attach(
    pins: bpffs.Bpffs, program: model.ProgramPin, wanted: request.SocketTarget, pin: model.LinkPin
) -> steps.Linked:
    """Attach to a socket that was found before. NotFound: it is closed meanwhile. Conflict: it has a filter."""
    what = f"cannot attach to {wanted}"
    assert wanted.socket is not None
    if _read(pins, pin) is not None:
        raise errors.AlreadyExists(f"a socket is noted at {pin} already", do="see 'skep doctor'")
    fd = proc_sockets.again(wanted.socket)
    if fd is None:
        raise errors.NotFound(what, why="it was closed meanwhile", do="see `ss -lntup`", errno=errno.EBADF)
    with sys.held(fd), sys.held(pins.need(program)) as program_fd:
        if wanted.option is request.SocketOption.FILTER and proc_sockets.has_filter(fd):
            raise errors.Conflict(what, why="it has a filter meanwhile", do="take that away first")
        note = _Note(socket=wanted.socket, option=wanted.option, program=observe.program(program_fd).id)
        pins.alias(pin, _text(note))
        try:
            sys.set_socket_option(fd, _ATTACH[wanted.option], program_fd)
        except OSError as refusal:
            pins.remove_alias(pin)
            raise _refused(what, wanted.option, refusal) from refusal
    seen = observed(pins, pin)
    assert seen is not None
    return steps.Linked(kernel=seen, taken=0)


def swap(pins: bpffs.Bpffs, pin: model.LinkPin, old: model.ProgramPin | None, new: model.ProgramPin) -> bool:
    """Put another program in the place of ours, at once; with ``old`` only if that is the one noted. False when nothing
    is noted there, or the socket is closed."""
    note = _read(pins, pin)
    fd = None if note is None else proc_sockets.again(note.socket)
    if note is None or fd is None:
        return False
    what = f"cannot change the program of socket {note.socket.inode}"
    with sys.held(fd), sys.held(pins.need(new)) as new_fd:
        if old is not None:
            with sys.held(pins.need(old)) as old_fd:
                expected = observe.program(old_fd).id
            if note.program != expected:
                raise errors.Conflict(
                    what, why=f"it runs program {note.program} now, not {expected}", do="look at it again"
                )
        try:
            sys.set_socket_option(fd, _ATTACH[note.option], new_fd)
        except OSError as refusal:
            raise _refused(what, note.option, refusal) from refusal
        pins.alias(pin, _text(dataclasses.replace(note, program=observe.program(new_fd).id)))
    return True


def detach(pins: bpffs.Bpffs, pin: model.LinkPin) -> None:
    """Take the program off the socket, then forget it. Fine when either is gone already."""
    note = _read(pins, pin)
    if note is None:
        return
    fd = proc_sockets.again(note.socket)
    if fd is not None:
        with sys.held(fd):
            try:
                sys.set_socket_option(fd, _DETACH[note.option], 0)
            except OSError as refusal:
                if refusal.errno != errno.ENOENT:
                    raise refused.general(
                        f"cannot take the program off socket {note.socket.inode}",
                        refusal,
                        do="its process locked the filter (SO_LOCK_FILTER): it ends when the socket is closed",
                    ) from refusal
    pins.remove_alias(pin)


# ---------------------------------------------------------------- notes


def _text(note: _Note) -> str:
    return json.dumps({**dataclasses.asdict(note.socket), "option": note.option.value, "program": note.program})


def _read(pins: bpffs.Bpffs, pin: model.LinkPin) -> _Note | None:
    text = pins.read_alias(pin)
    if text is None:
        return None
    try:
        value = json.loads(text)
        option, program = request.SocketOption(value.pop("option")), int(value.pop("program"))
        return _Note(socket=model.SocketRef(**value), option=option, program=program)
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise errors.Broken(f"the note at {pin} cannot be read", why=str(error), do="remove it") from error


def _not_there(named: model.Descriptor, refusal: OSError) -> errors.SkepError:
    code = refusal.errno or 0
    what = f"no socket {named.pid}:{named.fd}"
    match code:
        case errno.ESRCH | errno.EINVAL:
            return errors.NotFound(what, why=f"no process {named.pid}", do="see `ss -lntup`", errno=code)
        case errno.EBADF:
            return errors.NotFound(
                what, why=f"process {named.pid} has no descriptor {named.fd}", do="see `ss -lntup`", errno=code
            )
        case errno.ENOSYS:
            return errors.Unsupported(
                what, feature="pidfd_getfd", first="5.6", why=refused.explain(code), errno=code, do="see 'skep feature'"
            )
    return refused.general(what, refusal, do="skep needs CAP_SYS_PTRACE to look into other processes")


def _refused(what: str, option: request.SocketOption, refusal: OSError) -> errors.SkepError:
    code = refusal.errno or 0
    reuseport = option is request.SocketOption.REUSEPORT
    match code:
        case errno.EPERM:
            return errors.Denied(
                what, why="its process locked the filter (SO_LOCK_FILTER)", do="choose another socket", errno=code
            )
        case errno.EINVAL | errno.EOPNOTSUPP | abi.ENOTSUPP if reuseport:
            return errors.InvalidRequest(
                what,
                why=f"{refused.explain(code)}: it was not bound with SO_REUSEPORT, or is neither TCP nor UDP",
                do="set SO_REUSEPORT on the sockets before they are bound",
            )
        case errno.ENOMEM:
            return errors.Exhausted(
                what,
                why="its memory for options is used up (net.core.optmem_max)",
                do="raise net.core.optmem_max",
                errno=code,
            )
    return refused.general(what, refusal)
