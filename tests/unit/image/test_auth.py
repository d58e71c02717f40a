"""Logins out of files and helpers."""

from __future__ import annotations

import base64
import contextlib
import json
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from skep import errors
from skep.image import auth, reference
from skep.image.auth import Helper
from skep.model.image import Login

ME = Login(username="me", password="p:w")
IMAGE = reference.parse("quay.io/team/x:1")


def encoded(login: Login) -> dict[str, str]:
    return {"auth": base64.b64encode(f"{login.username}:{login.password}".encode()).decode()}


def found(image: str, **fields: Any) -> Login | Helper | None:
    return auth.lookup(auth.parse(json.dumps(fields).encode(), "auth.json"), reference.parse(image))


@pytest.mark.parametrize(
    ("image", "name"),
    [
        ("quay.io/team/x", "quay.io"),
        ("quay.io/team/x", "https://quay.io"),
        ("quay.io/team/x", "quay.io/team"),
        ("quay.io/team/x", "quay.io/team/x"),
        ("x", "https://index.docker.io/v1/"),
        ("x", "docker.io"),
        ("me/x", "docker.io/me"),
        ("localhost:5000/x", "localhost:5000"),
    ],
)
def test_an_entry_fits_its_registry_and_what_is_below(image: str, name: str) -> None:
    assert found(image, auths={name: encoded(ME), "other.io": {}}) == ME


@pytest.mark.parametrize(
    "name", ["quay.io/tea", "quay.io/other", "evil-quay.io", "quay.io:5000", "https://quay.io.evil.org"]
)
def test_an_entry_fits_nothing_else(name: str) -> None:
    assert found("quay.io/team/x", auths={name: encoded(ME)}) is None


def test_the_entry_that_fits_best_counts() -> None:
    other = Login(username="all", password="x")
    auths = {"quay.io": encoded(other), "quay.io/team": encoded(ME)}
    assert found("quay.io/team/x", auths=auths) == ME
    assert found("quay.io/else/x", auths=auths) == other


def test_helpers_are_asked_for_their_registry_and_the_store_for_all_others() -> None:
    fields = {"credHelpers": {"quay.io": "one"}, "credsStore": "all", "auths": {"quay.io": {}}}
    assert found("quay.io/x", **fields) == Helper(name="one", server="quay.io")
    assert found("x", **fields) == Helper(name="all", server="https://index.docker.io/v1/")


def test_an_identity_token_is_kept_as_one() -> None:
    assert found("quay.io/x", auths={"quay.io": {"identitytoken": "t", "auth": "x"}}) == Login(identity_token="t")


@pytest.mark.parametrize(
    "data", [b"{", b"[]", b'{"auths":3}', b'{"auths":{"a":3}}', b'{"auths":{"a":{"auth":"!"}}}', b'{"credHelpers":[]}']
)
def test_a_broken_file_is_told_without_its_content(data: bytes) -> None:
    with pytest.raises(errors.InvalidRequest, match=r"auth\.json"):
        auth.parse(data, "auth.json")


@given(st.binary(max_size=200))
def test_any_file_is_read_or_refused(data: bytes) -> None:
    with contextlib.suppress(errors.InvalidRequest):
        assert auth.lookup(auth.parse(data, "auth.json"), IMAGE) is None


def test_the_first_file_with_a_login_counts(tmp_path: Path) -> None:
    first, second = tmp_path / "first", tmp_path / "second"
    first.write_text('{"auths":{"other.io":{"auth":"YTpi"}}}')
    second.write_text(json.dumps({"auths": {"quay.io": encoded(ME)}}))
    paths = (str(tmp_path / "none"), str(first), str(second))
    assert auth.login(IMAGE, paths, auth.environment_reader(), {}) == ME


def test_files_are_looked_for_where_docker_and_podman_write_them() -> None:
    assert auth.files({"HOME": "/h", "REGISTRY_AUTH_FILE": "/r"}, 7) == (
        "/r", "/run/user/7/containers/auth.json", "/run/containers/7/auth.json", "/h/.config/containers/auth.json",
        "/h/.docker/config.json",
    )  # fmt: skip


def helper(directory: Path, script: str) -> dict[str, str]:
    """A credential helper "test" and the environment that finds it."""
    program = directory / "docker-credential-test"
    program.write_text(f"#!/bin/sh\n{script}\n")
    program.chmod(0o755)
    return {"PATH": f"{directory}:/usr/bin:/bin", "SECRET_OF_OURS": "x"}


def test_a_helper_gets_the_server_on_stdin_and_nothing_of_ours(tmp_path: Path) -> None:
    script = f"""[ "$#" = 1 ] && [ -z "$SECRET_OF_OURS" ] || exit 1
cat >{tmp_path}/heard; echo '{{"Username":"me","Secret":"p:w"}}' """
    assert auth.ask(Helper(name="test", server="quay.io"), helper(tmp_path, script)) == ME
    assert (tmp_path / "heard").read_text() == "quay.io"


def test_a_helper_may_know_nothing(tmp_path: Path) -> None:
    environ = helper(tmp_path, "echo credentials not found in native keychain; exit 1")
    assert auth.ask(Helper(name="test", server="quay.io"), environ) is None


@pytest.mark.parametrize("script", ["exit 3", "echo nonsense", "echo '{\"Secret\":[]}'"])
def test_a_helper_that_fails_is_told_without_what_it_said(tmp_path: Path, script: str) -> None:
    with pytest.raises(errors.Unavailable, match="docker-credential-test"):
        auth.ask(Helper(name="test", server="quay.io"), helper(tmp_path, script))


@pytest.mark.parametrize("name", ["../evil", "a/b", "", "a b"])
def test_a_helper_is_a_name_and_no_path(name: str) -> None:
    with pytest.raises(errors.InvalidRequest):
        auth.ask(Helper(name=name, server="quay.io"), {})


def test_a_login_does_not_show_its_secret() -> None:
    assert "p:w" not in repr(ME)
    assert auth.encoded("bWU6cDp3") == ME
    with pytest.raises(errors.InvalidRequest) as refused:
        auth.encoded("hunter2")
    assert "hunter2" not in str(refused.value)
