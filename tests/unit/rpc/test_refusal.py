"""The little HTTP/2 that turns a client away."""

from __future__ import annotations

import pytest

from skep.rpc import refusal

PREFACE = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"
SETTINGS = b"\0\0\6\4\0\0\0\0\0" + b"\0\4\0\0\xff\xff"
HEADERS = b"\0\0\3\1\4\0\0\0\5" + b"abc"


@pytest.mark.parametrize(
    "heard, stream",
    [
        (b"", 0),
        (PREFACE[:10], 0),
        (PREFACE, 0),
        (PREFACE + SETTINGS, 0),
        (PREFACE + SETTINGS + HEADERS[:8], 0),
        (PREFACE + SETTINGS + HEADERS, 5),
        (PREFACE + SETTINGS[:12], 0),
    ],
)
def test_the_first_call_is_found_when_it_is_there(heard, stream):
    assert refusal.first_call(heard) == stream


def test_a_long_text_has_a_length_of_several_bytes():
    frames = refusal.answer(5, "x" * 300)

    # 300 = 127 + 173, and 173 = 0b1_0101101: seven bits with more to come, then one.
    assert b"\x0cgrpc-message" + bytes([127, 173 & 127 | 128, 1]) + b"x" * 300 in frames


def test_text_is_percent_encoded():
    assert b"100%25%0Afull" in refusal.answer(1, "100%\nfull")
