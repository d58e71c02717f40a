"""What the systemd units promise: no mount namespace, least capabilities, each with its reason."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from tests.unit.house import unit_file

# Settings with which systemd 252 gives a service its own mount namespace (exec_needs_mount_namespace() in
# src/core/execute.c), by name; any value of them counts.
OWN_MOUNTS = {
    "BindPaths", "BindReadOnlyPaths", "DynamicUser", "ExecPaths", "ExtensionDirectories", "ExtensionImages",
    "InaccessiblePaths", "MountAPIVFS", "MountFlags", "MountImages", "NoExecPaths", "PrivateDevices", "PrivateIPC",
    "PrivateMounts", "PrivateTmp", "PrivateUsers", "ProcSubset", "ProtectControlGroups", "ProtectHome",
    "ProtectHostname", "ProtectKernelLogs", "ProtectKernelModules", "ProtectKernelTunables", "ProtectProc",
    "ProtectSystem", "ReadOnlyPaths", "ReadWritePaths", "RootDirectory", "RootImage", "TemporaryFileSystem",
}  # fmt: skip


def test_the_service_shares_the_hosts_mounts() -> None:
    """Pins in a bpffs that was mounted in a service's own mount namespace end with the service, and with them every
    attached program; and a path that a client names must mean the same file to the daemon.
    """
    assert OWN_MOUNTS & {setting.key for setting in unit_file.read(unit_file.SERVICE)} == set()


def test_every_capability_has_its_reason() -> None:
    """A capability without a reason is one that nobody dares to remove."""
    settings = [item for item in unit_file.read(unit_file.SERVICE) if item.key == "CapabilityBoundingSet"]
    assert settings
    for setting in settings:
        for name in setting.value.split():
            assert name in setting.comment, f"{name} has no comment above it that names it and says why"
    assert len(set(unit_file.capabilities())) == len(unit_file.capabilities())


def test_the_socket_is_where_clients_of_bpfman_look() -> None:
    """Path and mode are the peer's, so that its operator and libraries work unchanged; group and others get nothing
    unless an administrator says so.
    """
    settings = {item.key: item.value for item in unit_file.read(unit_file.SOCKET)}
    assert settings["ListenStream"] == "/run/bpfman-sock/bpfman.sock"
    assert settings["SocketMode"] == "0660"
    assert "SocketGroup" not in settings


@pytest.mark.slow
def test_systemd_accepts_both_units(tmp_path: Path) -> None:
    """``systemd-analyze verify`` reads the units as systemd will; it wants the program to be there, so the one of this
    environment stands in for /usr/bin/skep, and needs no running systemd.
    """
    program = Path(sys.executable)
    for unit in (unit_file.SERVICE, unit_file.SOCKET):
        (tmp_path / unit.name).write_text(unit.read_text().replace("/usr/bin/skep", str(program)))
    done = subprocess.run(
        ["systemd-analyze", "verify", "--man=no", tmp_path / "skep.service", tmp_path / "skep.socket"],
        capture_output=True,
        text=True,
        check=False,
    )
    assert (done.returncode, done.stderr) == (0, "")


def test_a_line_that_is_no_setting_is_refused(tmp_path: Path) -> None:
    """A typo in a unit must not make this parser, and so the tests above, skip the line."""
    path = tmp_path / "x.service"
    path.write_text("[Service]\nExecStart /bin/true\n")
    with pytest.raises(ValueError, match="not a setting"):
        unit_file.read(path)
