"""What user-space probes are aimed at: programs and libraries of every make, as the host and a container have them."""

from __future__ import annotations

import contextlib
import ctypes
import os
import stat
import subprocess
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from skep import errors
from skep.hooks import uprobe, uprobe_multi, usdt
from skep.kernel import elffile, userfile
from tests import native_build
from tests.kernel import container, types_rig, usdt_rig
from tests.kernel.types_rig import Rig

# What is looked up where is the same on every kernel, and takes minutes under emulation.
pytestmark = pytest.mark.native


@pytest.fixture
def rig(tmp_path: Path) -> Iterator[Rig]:
    with types_rig.rig(tmp_path) as made:
        yield made


@pytest.fixture
def root(tmp_path: Path) -> Path:
    """A container's directory, with its libraries where no host has them."""
    made = tmp_path / "root"
    container.fill(made, usdt_rig.program(), libraries="/odd/place")
    return made


@contextlib.contextmanager
def contained(root: Path, how: str = "pivot", program: str = "/bin/probes") -> Iterator[usdt_rig.Process]:
    """A process in a container that has passed its probes once, and so is where it will stay."""
    words = container.command(root, program, how=how)
    made = usdt_rig.Process(words[-1], *words[:-1])
    try:
        made.turn()
        yield made
    finally:
        made.end()


def hits(rig: Rig, turn: Callable[[], object]) -> int:
    """How often the program ran while something was done."""
    before = rig.hits()
    turn()
    return rig.hits() - before


# ---------------------------------------------------------------- containers


@pytest.mark.parametrize("how", ["pivot", "chroot"])
@pytest.mark.parametrize("name", ["libc", "libc.so.6", "/odd/place/libc.so.6"])
def test_a_library_of_a_container(rig: Rig, root: Path, how: str, name: str) -> None:
    program = rig.load("on_uprobe_multi")
    with contained(root, how) as inside, usdt_rig.process() as outside:
        wanted = uprobe_multi.UprobeMultiAttachment(target=name, functions=("getppid",), container_pid=inside.pid)
        link = rig.attach(program, wanted)
        assert hits(rig, lambda: inside.turn(3)) == 3
        assert hits(rig, lambda: outside.turn(3)) == 0
        rig.detach(link)
        assert hits(rig, inside.turn) == 0


@pytest.mark.parametrize("libraries", ["/usr/lib64", "/usr/local/lib"])
def test_a_container_without_a_cache_of_libraries(tmp_path: Path, rig: Rig, libraries: str) -> None:
    container.fill(tmp_path / "root", native_build.build("probes", "-static"), libraries=libraries, cache=False)
    with open(path_of("libc"), "rb") as libc:
        (tmp_path / "root" / libraries.strip("/") / "libc.so.6").write_bytes(libc.read())
    with contained(tmp_path / "root") as inside:
        for name in ("libc", "libc.so.6"):
            file = userfile.opened(name, inside.pid)
            os.close(file.fd)
            assert file.name == f"{libraries}/libc.so.6"
        with pytest.raises(errors.NotFound, match="did you mean libc"):
            userfile.opened("libcc", inside.pid)


def path_of(name: str) -> str:
    file = userfile.opened(name, None)
    os.close(file.fd)
    return file.name


@pytest.mark.parametrize("kind", ["uprobe", "usdt"])
def test_every_type_looks_into_the_container(rig: Rig, root: Path, kind: str) -> None:
    with contained(root) as inside:
        if kind == "uprobe":
            program = rig.load("on_uprobe")
            rig.attach(program, uprobe.UprobeAttachment(target="/bin/probes", fn_name="work", container_pid=inside.pid))
            assert hits(rig, inside.turn) == 1
        else:
            rig.load_from(usdt_rig.bpf_object(), "on_usdt")
            assert rig.program is not None
            rig.attach(
                rig.program,
                usdt.UsdtAttachment(target="/bin/probes", probe="other:plain", container_pid=inside.pid),
            )
            inside.turn(2)
            assert (usdt_rig.seen(rig).runs, usdt_rig.seen(rig).values[0]) == (2, 3)


def test_a_link_in_a_container_stays_in_it(rig: Rig, root: Path) -> None:
    """What the host has at the link's target has no probes."""
    (root / "usr/bin").mkdir(parents=True)
    (root / "bin/probes").rename(root / "usr/bin/true")
    (root / "bin/run").symlink_to("/usr/bin/true")
    (root / "bin/probes").symlink_to("../../../../../../usr/bin/true")
    with contained(root, program="/usr/bin/true") as inside:
        for path in ("/bin/run", "/bin/probes", "/../../../usr/bin/true"):
            program = rig.load_from(usdt_rig.bpf_object(), "on_usdt")
            rig.attach(program, usdt.UsdtAttachment(target=path, probe="demo:plain", container_pid=inside.pid))
            inside.turn()
            assert usdt_rig.seen(rig).runs == 1


def fifo(path: Path) -> None:
    os.mkfifo(path)


def device(path: Path) -> None:
    os.mknod(path, stat.S_IFCHR | 0o666, os.makedev(1, 5))  # /dev/zero


def loop(path: Path) -> None:
    path.symlink_to("/trap")


def escape(path: Path) -> None:
    """The host's files, through the procfs of a container that sees the host's processes."""
    path.symlink_to("/proc/self/root/usr/bin/python3")


def bomb(path: Path) -> None:
    """An ELF file whose tables are a sparse gigabyte."""
    data = bytearray(usdt_rig.program().read_bytes())
    elf = elffile.Elf(lambda offset, size: bytes(data[offset : offset + size]))
    at = int.from_bytes(data[40:48], "little")
    for number in range(len(elf._sections)):
        header = at + 64 * number
        data[header + 24 : header + 32] = (1 << 20).to_bytes(8, "little")
        data[header + 32 : header + 40] = (256 << 20).to_bytes(8, "little")
    path.write_bytes(data)
    os.truncate(path, 1 << 30)


def endless(path: Path) -> None:
    path.touch()
    os.truncate(path, 1 << 40)


TRAPS: dict[str, tuple[Callable[[Path], object], str]] = {
    "directory": (lambda path: path.mkdir(), "not a regular file"),
    "FIFO": (fifo, "not a regular file"),
    "device": (device, "not a regular file"),
    "loop of links": (loop, "loop of links"),
    "link to the host": (escape, "a link into procfs"),
    "gigabyte of symbols": (bomb, "work|probe|symbols|did not answer"),
    "terabyte of nothing": (endless, "not an ELF file"),
    "text": (lambda path: path.write_text("#!/bin/sh\n"), "not an ELF file"),
    "nothing": (lambda path: None, "cannot open"),
}


@pytest.mark.parametrize("trap", TRAPS)
def test_a_hostile_container_gets_an_error_and_no_more(rig: Rig, root: Path, trap: str) -> None:
    make, told = TRAPS[trap]
    make(root / "trap")
    began = time.monotonic()
    with contained(root) as inside:
        for wanted in (
            uprobe.UprobeAttachment(target="/trap", fn_name="work", container_pid=inside.pid),
            uprobe_multi.UprobeMultiAttachment(target="/trap", functions=("wor*",), container_pid=inside.pid),
            usdt.UsdtAttachment(target="/trap", probe="demo:plain", container_pid=inside.pid),
        ):
            loaded = {
                uprobe.UprobeAttachment: lambda: rig.load("on_uprobe"),
                uprobe_multi.UprobeMultiAttachment: lambda: rig.load("on_uprobe_multi"),
                usdt.UsdtAttachment: lambda: rig.load_from(usdt_rig.bpf_object(), "on_usdt"),
            }[type(wanted)]()
            with pytest.raises((errors.InvalidRequest, errors.NotFound, errors.Unavailable), match=told):
                rig.attach(loaded, wanted)
    assert rig.links() == ()
    assert time.monotonic() - began < 60


def test_a_container_whose_cache_of_libraries_is_a_trap(tmp_path: Path) -> None:
    root = tmp_path / "root"
    container.fill(root, native_build.build("probes", "-static"), libraries="/odd/place", cache=False)
    os.mkfifo(root / "etc/ld.so.cache")
    with contained(root, program="/bin/probes") as inside, pytest.raises(errors.NotFound, match="no library 'libc'"):
        userfile.opened("libc", inside.pid)


def test_a_process_that_is_gone_has_no_files(rig: Rig) -> None:
    with usdt_rig.process() as ended:
        pass
    with pytest.raises(errors.NotFound, match="no such process"):
        rig.attach(
            rig.load("on_uprobe"), uprobe.UprobeAttachment(target="libc", fn_name="getppid", container_pid=ended.pid)
        )


def test_a_file_system_that_does_not_answer_is_given_up(root: Path) -> None:
    """A look that takes too long is abandoned, and what it opens in the end is closed."""
    closed = []

    def slow(file: userfile.Opened) -> None:
        time.sleep(0.3)
        closed.append(file.fd)

    with pytest.raises(errors.Unavailable, match=r"did not answer for 0\.05 s"):
        userfile.examined(str(root / "bin/probes"), None, slow, patience=0.05)
    types_rig.until(lambda: bool(closed))
    types_rig.until(lambda: not os.path.exists(f"/proc/self/fd/{closed[0]}"))


# ---------------------------------------------------------------- makes of programs

MAKES = {
    "pie": (),
    "not pie": ("-no-pie",),
    "static": ("-static",),
    "static pie": ("-static-pie",),
}


@pytest.mark.parametrize("make", MAKES)
@pytest.mark.parametrize("function", ["work", "main.paint", "_ZN4demo5paintEi"])
def test_functions_of_every_make_of_program(rig: Rig, make: str, function: str) -> None:
    path = native_build.build("probes", *MAKES[make])
    rig.attach(rig.load("on_uprobe"), uprobe.UprobeAttachment(target=str(path), fn_name=function))
    with usdt_rig.process(path) as probed:
        assert hits(rig, lambda: probed.turn(2)) == 2


@pytest.mark.parametrize("make", MAKES)
def test_a_stripped_program_by_offset_and_by_its_probes(rig: Rig, make: str) -> None:
    whole, path = (native_build.build("probes", *MAKES[make], strip=strip) for strip in (False, True))
    with open(whole, "rb") as file:
        elf = elffile.Elf(lambda offset, size: os.pread(file.fileno(), size, offset))
        offset = elf.function("work")
    assert offset is not None
    program = rig.load("on_uprobe")
    with pytest.raises(errors.NotFound, match="a stripped file needs an offset"):
        rig.attach(program, uprobe.UprobeAttachment(target=str(path), fn_name="paint_the_wall"))
    rig.attach(program, uprobe.UprobeAttachment(target=str(path), offset=offset))
    with usdt_rig.process(path) as probed:
        assert hits(rig, probed.turn) == 1
        rig.load_from(usdt_rig.bpf_object(), "on_usdt")
        assert rig.program is not None
        rig.attach(rig.program, usdt_rig.attachment("demo:sites", path))
        probed.turn()
        assert usdt_rig.seen(rig).runs == 3


@pytest.mark.parametrize("wanted", ["demo::paint", "paint", "demo::paint(int)"])
def test_mangled_names_are_suggested(rig: Rig, wanted: str) -> None:
    with pytest.raises(errors.NotFound) as told:
        rig.attach(rig.load("on_uprobe"), uprobe.UprobeAttachment(target=str(usdt_rig.program()), fn_name=wanted))
    assert set(told.value.near) >= {"_ZN4demo5paintEi", "_RNvCsbDqzXfLQacH_4demo5paint"}


# ---------------------------------------------------------------- versions of symbols


@pytest.fixture(scope="module")
def versions() -> Path:
    script = native_build.SOURCES / "versions.map"
    return native_build.build("versions", "-shared", "-fPIC", f"-Wl,--version-script={script}", strip=True)


@pytest.mark.parametrize(
    ("name", "called"), [("answer", 2), ("answer@@NEW_2", 2), ("answer@NEW_2", 2), ("answer@OLD_1", 1)]
)
def test_a_version_of_a_symbol(rig: Rig, versions: Path, name: str, called: int) -> None:
    """The library is stripped; its versions are told by .gnu.version, and dlvsym knows which is which."""
    library = ctypes.CDLL(str(versions))
    libc = ctypes.CDLL(None)
    libc.dlvsym.restype = ctypes.c_void_p
    libc.dlvsym.argtypes = [ctypes.c_void_p, ctypes.c_char_p, ctypes.c_char_p]
    functions = {
        version: ctypes.CFUNCTYPE(ctypes.c_int)(libc.dlvsym(library._handle, b"answer", word))
        for version, word in ((1, b"OLD_1"), (2, b"NEW_2"))
    }
    wanted = uprobe.UprobeAttachment(target=str(versions), fn_name=name, pid=os.getpid())
    rig.attach(rig.load("on_uprobe"), wanted)
    for version, function in functions.items():
        assert hits(rig, function) == (version == called)
        assert function() == version


def test_a_version_that_is_not_there_is_told_from_those_that_are(rig: Rig, versions: Path) -> None:
    with pytest.raises(errors.NotFound) as told:
        rig.attach(rig.load("on_uprobe"), uprobe.UprobeAttachment(target=str(versions), fn_name="answer@NEW_3"))
    assert set(told.value.near) == {"answer@OLD_1", "answer@NEW_2"}


def test_names_agree_with_nm(versions: Path) -> None:
    told = subprocess.check_output(["nm", "-D", "--defined-only", str(versions)], text=True).split()
    with open(versions, "rb") as file:
        elf = elffile.Elf(lambda offset, size: os.pread(file.fileno(), size, offset))
        for name in ("answer@OLD_1", "answer@@NEW_2"):
            address = int(told[told.index(name) - 2], 16)
            assert elf.function(name) == elf.offset(address)
