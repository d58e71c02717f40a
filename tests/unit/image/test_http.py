"""What HTTP for registries decides without asking anybody."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from skep import errors
from skep.image import access, challenge, http, reference
from skep.image.access import Access
from skep.model.image import Login

PROXIES = {"https": "http://proxy:3128", "http": "proxy:3128"}


@pytest.mark.parametrize(
    ("url", "no_proxy", "proxy"),
    [
        ("https://quay.io/v2/", "", "http://proxy:3128"),
        ("http://quay.io/v2/", "", "http://proxy:3128"),
        ("https://quay.io/v2/", "quay.io", ""),
        ("https://quay.io:5000/v2/", "quay.io", ""),
        ("https://a.quay.io/v2/", ".quay.io, x", ""),
        ("https://a.quay.io/v2/", "*", ""),
        ("https://aquay.io/v2/", "quay.io", "http://proxy:3128"),
        ("https://localhost:5000/v2/", "", ""),
        ("https://[::1]:5000/v2/", "", ""),
    ],
)
def test_the_proxy_is_the_environments(url: str, no_proxy: str, proxy: str) -> None:
    assert http.proxy_of(url, Access(proxies=PROXIES, no_proxy=no_proxy)) == proxy


@pytest.mark.parametrize(
    ("value", "seconds"),
    [("7", 7.0), ("", 1.0), ("soon", 1.0), ("Thu, 01 Jan 1970 00:01:00 GMT", 30.0),
     ("Thu, 01 Jan 1970 00:00:01 GMT", 0.0)],
)  # fmt: skip
def test_how_long_a_busy_registry_wants_us_to_wait(value: str, seconds: float) -> None:
    assert http.retry_after(value, attempt=2, now=30.0) == seconds


@pytest.mark.parametrize(
    ("header", "scheme", "parameters"),
    [
        ('Bearer realm="https://a",scope="x:y,z"', "bearer", {"realm": "https://a", "scope": "x:y,z"}),
        ('Basic realm="a b"', "basic", {"realm": "a b"}),
        ('basic realm=x, Bearer realm="y"', "bearer", {"realm": "y"}),
        (r'Bearer realm="a\"b"', "bearer", {"realm": 'a"b'}),
    ],
    ids=["bearer", "basic", "both", "quoted"],
)  # fmt: skip
def test_what_a_registry_asks_for(header: str, scheme: str, parameters: dict[str, str]) -> None:
    asked = challenge.parse(header)
    assert asked is not None
    assert (asked.scheme, dict(asked.parameters)) == (scheme, parameters)


@given(st.text(max_size=200))
def test_any_header_is_a_challenge_or_none(header: str) -> None:
    asked = challenge.parse(header)
    assert asked is None or asked.scheme in ("bearer", "basic")


def test_mirrors_come_before_the_registry() -> None:
    wanted = reference.parse("x:1")
    first, second, last = access.endpoints(wanted, Access(mirrors=("m.lan:5000", "other.lan/hub")))
    assert (first.host, first.repository) == ("m.lan:5000", "library/x")
    assert (second.host, second.repository, second.mirror) == ("other.lan", "hub/library/x", True)
    assert (last.host, last.registry, last.may_be_plain) == ("registry-1.docker.io", "docker.io", False)


def test_what_travels_to_the_process_arrives_and_does_not_show() -> None:
    how = Access(
        logins={"a": Login(username="me", password="hunter2")},
        mirrors=("m",),
        plain_http=frozenset({"b"}),
        certificates="PEM",
        proxies={"http": "http://me:hunter2@proxy"},
        no_proxy="c",
    )
    assert access.unpack(access.pack(how)) == how
    assert "hunter2" not in repr(how)


@pytest.mark.parametrize(
    ("following", "why"),
    [
        ("http://127.0.0.1:80/x", "it is this very host"),
        ("http://[::1]/x", "it is this very host"),
        ("http://localhost:5000/x", "it is this very host"),
        ("http://somebody@127.0.0.1:80/x", "it is this very host"),
        ("http://a:b@[::1]:80/x", "it is this very host"),
        ("ftp://mirror.example/x", "TLS to something else"),
        ("http:///x", "TLS to something else"),
    ],
)
def test_a_registry_leads_nobody_to_the_hosts_own_services(following: str, why: str) -> None:
    with pytest.raises(errors.Unavailable, match="sends us to") as told:
        http._check_redirect("http://registry.example/v2/", following)
    assert why in told.value.why


@pytest.mark.parametrize("following", ["https://127.0.0.1@mirror.example/x", "http://127.0.0.1.mirror.example/x"])
def test_a_redirect_elsewhere_is_followed(following: str) -> None:
    http._check_redirect("http://registry.example/v2/", following)
