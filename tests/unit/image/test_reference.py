"""Names of images as people write them."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from skep import errors
from skep.image import reference

HEX = "ab" * 32


@pytest.mark.parametrize(
    ("text", "whole"),
    [
        ("busybox", "docker.io/library/busybox:latest"),
        ("me/x", "docker.io/me/x:latest"),
        ("index.docker.io/x:1", "docker.io/library/x:1"),
        ("localhost/x", "localhost/x:latest"),
        ("localhost:5000/x:v1", "localhost:5000/x:v1"),
        ("quay.io/a/b/c:v1.2-3_4", "quay.io/a/b/c:v1.2-3_4"),
        ("Quay.IO/a", "quay.io/a:latest"),
        ("[::1]:5000/a", "[::1]:5000/a:latest"),
        (f"quay.io/a@sha256:{HEX}", f"quay.io/a@sha256:{HEX}"),
        (f"quay.io/a:v1@sha256:{HEX}", f"quay.io/a:v1@sha256:{HEX}"),
        ("a__b/c.d/e--f", "docker.io/a__b/c.d/e--f:latest"),
    ],
)
def test_what_is_left_out_is_filled_in(text: str, whole: str) -> None:
    assert str(reference.parse(text)) == whole
    assert reference.parse(whole) == reference.parse(text)


@pytest.mark.parametrize(
    "text",
    ["", " ", "a b", "https://quay.io/a", "quay.io/A", "quay.io/", "/a", "a//b", "a:", "a:.x", "a@", "a@sha256:12",
     f"a@sha256:{HEX.upper()}", f"a@md5:{HEX}", "a:" + "x" * 129, "a..b/c", "-a", "quay.io:99999/a", "[zz]/a", "a\n",
     "q_.io/a:é", "x" * 300],
)  # fmt: skip
def test_what_is_no_name_is_refused_with_a_reason(text: str) -> None:
    with pytest.raises(errors.InvalidRequest) as refused:
        reference.parse(text)
    assert refused.value.why or refused.value.do


@given(st.text(max_size=80))
def test_any_text_is_a_name_that_stays_itself_or_is_refused(text: str) -> None:
    try:
        found = reference.parse(text)
    except errors.InvalidRequest:
        return
    assert reference.parse(str(found)) == found


@pytest.mark.parametrize(
    ("registry", "loopback"),
    [("localhost", True), ("localhost:5000", True), ("127.3.2.1:80", True), ("[::1]:5000", True), ("a.localhost", True),
     ("127.0.0.1.example.org", False), ("localhost.example.org", False), ("10.0.0.1:5000", False), ("[::2]", False)],
)  # fmt: skip
def test_only_this_host_is_loopback(registry: str, loopback: bool) -> None:
    assert reference.is_loopback(registry) is loopback


def test_a_digest_decides_over_a_tag() -> None:
    both = reference.parse(f"quay.io/a:v1@sha256:{HEX}")
    assert both.which == f"sha256:{HEX}"
    assert reference.fallback_tag(reference.Digest(f"sha256:{HEX}"), ".sig") == f"sha256-{HEX}.sig"
