"""``skep image`` and ``skep program load image``: what is asked, and what a person or a program reads."""

from __future__ import annotations

import base64
import json
from pathlib import Path

import pytest

from skep import model
from tests.unit.cli import fake

URL = "registry.test/bpf/pass:v1"


@pytest.fixture(autouse=True)
def nobodys_logins(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    for name in ("REGISTRY_AUTH_FILE", "SKEP_REGISTRY_AUTH", "BPFMAN_REGISTRY_AUTH", "DOCKER_CONFIG"):
        monkeypatch.delenv(name, raising=False)
    for name in ("HOME", "XDG_RUNTIME_DIR", "XDG_CONFIG_HOME"):
        monkeypatch.setenv(name, str(tmp_path))


def test_what_the_labels_name_is_loaded(run, skep) -> None:
    assert run("program", "load", "image", URL).code == 0
    assert skep.pulled == [model.ImageRequest(url=URL)]
    (op,) = skep.ran
    assert op.object == b""
    assert op.source == model.ImageSource(url=URL, pull_policy="IfNotPresent", digest=fake.IMAGE.digest)
    odd, passing = op.programs
    assert (odd.name, odd.hook) == ("odd", None), "a type of other tools is taken from the section"
    assert (passing.name, passing.hook) == ("pass", "xdp")


def test_what_is_named_is_loaded(run, skep) -> None:
    assert (
        run("program", "load", "image", URL, "--programs", "tcx:other", "-a", "fw", "-m", "a=b", "-p", "never").code
        == 0
    )
    (op,) = skep.ran
    assert op.programs == (model.ProgramSpec(name="other", hook=model.HookName("tcx")),)
    assert dict(op.metadata) == {"a": "b", "bpfman.io/application": "fw"}
    assert skep.pulled[0].policy is model.PullPolicy.NEVER


def test_an_image_that_says_nothing_needs_names(run, skep) -> None:
    result = run("program", "load", "image", "registry.test/bare")
    assert result.code == 10
    assert "--programs" in result.err
    assert skep.ran == []


def test_the_users_login_goes_along(run, skep, tmp_path, monkeypatch) -> None:
    auth = base64.b64encode(b"me:hunter2").decode()
    (tmp_path / "auth.json").write_text(json.dumps({"auths": {"registry.test": {"auth": auth}}}))
    monkeypatch.setenv("REGISTRY_AUTH_FILE", str(tmp_path / "auth.json"))
    assert run("image", "pull", URL).code == 0
    monkeypatch.setenv("BPFMAN_REGISTRY_AUTH", base64.b64encode(b"you:x").decode())
    assert run("image", "pull", URL).code == 0
    assert [each.login for each in skep.pulled] == [
        model.Login(username="me", password="hunter2"), model.Login(username="you", password="x"),
    ]  # fmt: skip


def test_a_relative_path_is_made_whole(run, skep, tmp_path, monkeypatch) -> None:
    monkeypatch.chdir(tmp_path)
    run("image", "pull", "oci:layout:v1")
    assert skep.pulled[0].url == f"oci:{tmp_path}/layout:v1"


@pytest.mark.parametrize("words", [(), (URL, "-i", URL)])
def test_there_is_one_image(run, skep, words) -> None:
    assert run("image", "pull", *words).code == 2
    assert skep.pulled == []


def test_the_list_for_a_person_and_for_a_program(run) -> None:
    head, first, second = run("image", "list").out.splitlines()
    assert head.split()[:3] == ["DIGEST", "NAME", "PROGRAMS"]
    assert first.split()[:4] == ["1a1a1a1a1a1a", "registry.test/bpf/pass:v1", "xdp:pass,tracing:odd", "12.1KiB"]
    assert "<none>" in second
    documents = run("image", "list", "-o", "json").json["images"]
    assert documents[0]["programs"] == {"odd": "tracing", "pass": "xdp"}
    assert documents[0]["loaded"] == [101]
    assert run("image", "list", "-q").out.splitlines() == [fake.IMAGE.digest, fake.BARE_IMAGE.digest]


def test_one_image(run) -> None:
    out = run("image", "inspect", URL).out
    assert "linux/amd64" in out
    assert "2 signatures and attestations" in out
    assert run("image", "inspect", "none").code == 3


def test_pruning(run, skep) -> None:
    assert "1 image removed, 2.0KiB freed" in run("image", "prune").out
    assert "nothing was changed" in run("image", "prune", "-a", "--older-than", "30d", "--dry-run").out
    assert skep.prunes == [(False, 0.0, False), (True, 30 * 86400.0, True)]
    assert run("image", "prune", "--older-than", "soon").code == 10
