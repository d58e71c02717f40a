"""The public socket and systemd's protocol."""

from __future__ import annotations

import os
import socket
import subprocess
import sys
from pathlib import Path

import pytest

from skep import errors
from skep.rpc import listen


def test_a_new_socket_is_for_owner_and_group(tmp_path: Path):
    with listen.listen(str(tmp_path / "new/s")) as listener:
        assert (tmp_path / "new/s").stat().st_mode & 0o777 == 0o660
        assert listener.getsockopt(socket.SOL_SOCKET, socket.SO_ACCEPTCONN) == 1
        assert not listener.get_inheritable()


def test_a_dead_daemons_socket_is_replaced(tmp_path: Path):
    listen.listen(str(tmp_path / "s")).close()  # leaves its file, as a killed process does

    with listen.listen(str(tmp_path / "s")), socket.socket(socket.AF_UNIX) as client:
        client.connect(str(tmp_path / "s"))


def test_a_live_daemons_socket_is_not(tmp_path: Path):
    with listen.listen(str(tmp_path / "s")) as living:
        with pytest.raises(errors.Conflict, match="another daemon is listening"):
            listen.listen(str(tmp_path / "s"))

        with socket.socket(socket.AF_UNIX) as client:
            client.connect(str(tmp_path / "s"))
            client.close()
        living.accept()[0].close()


def test_a_file_in_the_way_stays(tmp_path: Path):
    (tmp_path / "s").write_text("precious")

    with pytest.raises(errors.Conflict, match="not a socket"):
        listen.listen(str(tmp_path / "s"))

    assert (tmp_path / "s").read_text() == "precious"


def test_a_path_that_no_socket_can_have_is_refused(tmp_path: Path):
    with pytest.raises(errors.InvalidRequest, match="107 bytes"):
        listen.listen(f"/tmp/{'x' * 103}")


def test_an_unknown_group_is_refused(tmp_path: Path):
    with pytest.raises(errors.NotFound, match="no group"):
        listen.listen(str(tmp_path / "s"), group="no-such-group")
    assert not (tmp_path / "s").exists()


def test_only_our_own_file_is_removed(tmp_path: Path):
    path = str(tmp_path / "s")
    listen.listen(path).close()
    ours = listen.identity(path)
    os.rename(path, path + ".kept")  # keeps the inode in use, so that the next file gets another
    listen.listen(path).close()

    listen.remove(path, ours)
    assert os.path.exists(path)

    listen.remove(path, listen.identity(path))
    assert not os.path.exists(path)
    listen.remove(path, ours)


def test_nothing_is_taken_from_another_processs_variables():
    environment = {"LISTEN_PID": "1", "LISTEN_FDS": "1", "LISTEN_FDNAMES": "skep.socket", "HOME": "/"}

    assert listen.activated(environment) is None
    assert environment == {"HOME": "/"}


TAKE = """
import os
os.environ["LISTEN_PID"] = str(os.getpid())
from skep import errors
from skep.rpc import listen
try:
    taken = listen.activated(os.environ)
    print(taken.getsockname(), taken.get_inheritable(), "LISTEN_FDS" in os.environ)
except errors.SkepError as error:
    print(type(error).__name__, error)
"""


def started_with(passed: socket.socket, count: str) -> str:
    """What a process says that gets a socket the way systemd passes it."""
    script = f"import os\nos.dup2({passed.fileno()}, 3)\n{TAKE}"
    done = subprocess.run(
        [sys.executable, "-c", script], pass_fds=(passed.fileno(),), capture_output=True, text=True, check=True,
        env={**os.environ, "LISTEN_FDS": count, "PYTHONPATH": str(Path(listen.__file__).parents[2])},
    )  # fmt: skip
    return done.stdout.strip()


def test_a_socket_from_systemd_is_taken(tmp_path: Path):
    with listen.listen(str(tmp_path / "s")) as passed:
        assert started_with(passed, "1") == f"{tmp_path}/s False False"


def test_two_sockets_from_systemd_are_refused(tmp_path: Path):
    with listen.listen(str(tmp_path / "s")) as passed:
        assert started_with(passed, "2").startswith("InvalidRequest systemd passed 2 sockets")


def test_another_kind_of_socket_from_systemd_is_refused():
    with socket.socket(socket.AF_INET, socket.SOCK_STREAM) as passed:
        passed.bind(("127.0.0.1", 0))
        passed.listen()
        assert started_with(passed, "1").startswith("InvalidRequest the socket that systemd passed is not")


def test_systemd_is_told(tmp_path: Path):
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as systemd:
        systemd.settimeout(10)
        systemd.bind(str(tmp_path / "notify"))

        listen.notify({"NOTIFY_SOCKET": str(tmp_path / "notify")}, "READY=1")

        assert systemd.recv(100) == b"READY=1"


def test_without_systemd_nobody_is_told(tmp_path: Path):
    listen.notify({}, "READY=1")
    listen.notify({"NOTIFY_SOCKET": str(tmp_path / "gone")}, "READY=1")
