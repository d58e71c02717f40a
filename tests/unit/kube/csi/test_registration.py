"""Being found by kubelet, and again after a refusal: each time later."""

from __future__ import annotations

import os
from pathlib import Path

import grpc

from skep.kube.csi import registration
from skep.pb import pluginregistration_pb2, pluginregistration_pb2_grpc


def notify(path: Path, registered: bool) -> None:
    with grpc.insecure_channel(f"unix:{path}") as channel:
        pluginregistration_pb2_grpc.RegistrationStub(channel).NotifyRegistrationStatus(
            pluginregistration_pb2.RegistrationStatus(plugin_registered=registered, error="not yet")
        )


def made_anew(registrar: registration.Registrar, path: Path, now: float) -> bool:
    before = path.stat().st_ctime_ns if path.exists() else 0
    registrar.check(now)
    return path.stat().st_ctime_ns != before


def test_the_socket_is_made_anew_later_each_time(tmp_path: Path) -> None:
    path = tmp_path / registration.SOCKET
    registrar = registration.Registrar(str(tmp_path), "/the/driver.sock")
    registrar.start()
    try:
        assert not made_anew(registrar, path, 0), "nobody has refused"
        now = 100.0
        for pause in (1, 2, 4, 8, 16, 32, 60, 60):
            notify(path, False)
            assert not made_anew(registrar, path, now), "not at once"
            assert not made_anew(registrar, path, now + pause - 0.1)
            assert made_anew(registrar, path, now + pause)
            now += pause
        notify(path, True)
        assert not made_anew(registrar, path, now + 1000)
        notify(path, False)
        registrar.check(now + 1000)
        assert made_anew(registrar, path, now + 1001), "a success makes it quick again"
        os.unlink(path)
        assert made_anew(registrar, path, now + 1002), "at once when somebody has removed it"
        notify(path, True)
    finally:
        registrar.stop()
    assert not path.exists()


def test_what_another_put_in_its_place_is_left_alone(tmp_path: Path) -> None:
    path = tmp_path / registration.SOCKET
    registrar = registration.Registrar(str(tmp_path), "/the/driver.sock")
    registrar.start()
    path.unlink()
    path.write_text("another's")
    registrar.check(0)
    registrar.stop()
    assert path.read_text() == "another's"
