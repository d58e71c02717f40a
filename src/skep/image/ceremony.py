"""Drives sigstore-python through a signature for an identity, and says in skep's words why it does not sign.

An optional dependency, imported here and in ``publicroot`` alone. It raises classes of its own insides, of requests and
of pydantic, waits for ever, and logs what it goes without; this module turns all that into errors.
"""

from __future__ import annotations

import contextlib
import json
import logging
import threading
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final, TypeVar

from skep import errors

if TYPE_CHECKING:
    from sigstore.oidc import IdentityToken
    from sigstore.sign import Signer, SigningContext

AUDIENCE: Final = "sigstore"
"""For whom a token has to be: the client id that every instance of Sigstore goes by."""

_SECONDS: Final = 60.0
"""How long one answer may take. Rekor 2 answers when the entry is in the log."""

_CLIENT_CONFIG: Final = "application/vnd.dev.sigstore.clienttrustconfig.v0.1+json"

Value = TypeVar("Value")


@dataclass(frozen=True, slots=True, kw_only=True)
class File:
    """A file that was read; ``path`` is said in errors."""

    path: str
    data: bytes


def context_of(config: File, root: File) -> SigningContext:
    """The services of a signing config, believed by a trusted root; both are JSON. Unsupported without the library."""
    try:
        from sigstore.models import ClientTrustConfig
        from sigstore.sign import SigningContext
    except ImportError as error:
        raise errors.Unsupported(
            "nothing can be signed for an identity",
            feature="sigstore",
            why="sigstore-python is not installed",
            do="install skep[sigstore], or sign with a key: --key FILE",
        ) from error
    whole = {
        "mediaType": _CLIENT_CONFIG,
        "trustedRoot": json.loads(root.data),
        "signingConfig": json.loads(config.data),
    }
    try:
        return SigningContext.from_trust_config(ClientTrustConfig.from_json(json.dumps(whole)))
    except Exception as error:  # its own, pydantic's, and ValueError
        raise errors.InvalidRequest(
            f"{config.path} is no signing config that can be used",
            why=str(error).replace("\n", " ")[:300],
            do="it has to name a Fulcio and a Rekor that are valid today: `cosign signing-config create` makes one",
        ) from error


def identity_of(token: str) -> IdentityToken:
    """The token, read but not verified: Fulcio does that."""
    from jwt.exceptions import ExpiredSignatureError, InvalidAudienceError
    from sigstore.oidc import IdentityError, IdentityToken

    try:
        return IdentityToken(token, AUDIENCE)
    except IdentityError as error:
        why = str(error.__cause__ or error)
        do = f"get an identity token (OpenID Connect) for the audience {AUDIENCE!r}"
        if isinstance(error.__cause__, ExpiredSignatureError):
            why, do = "it has expired", "get a new one, and sign at once: it lives some minutes"
        elif isinstance(error.__cause__, InvalidAudienceError):
            why = f"it is for another audience than {AUDIENCE!r}"
        raise errors.InvalidRequest("the identity token cannot be used", why=why, do=do) from error


def certificate(context: SigningContext, identity: IdentityToken, urls: list[str]) -> Signer:
    """A key in memory and Fulcio's certificate for it."""
    with _warnings():
        try:
            return _within(lambda: context.signer(identity).__enter__())
        except Exception as error:  # it lets through what requests, pydantic and its own insides raise
            why, status = _reason(error)
            what = f"Fulcio ({', '.join(urls)}) issues no certificate for {identity.identity}"
            if 400 <= status < 500:
                raise errors.Denied(
                    what, why=why, do=f"does it trust the token's issuer, {identity.issuer}? get a new token there"
                ) from error
            raise errors.Unavailable(what, why=why, do="nothing is signed; try again when it answers") from error


def bundle(signer: Signer, statement: bytes) -> bytes:
    """A bundle (0.3) around the statement: signed, stamped where an authority answers, and entered in the log."""
    from sigstore.dsse import Statement
    from sigstore.models import InvalidBundle

    with _warnings() as told:
        try:
            return _within(lambda: signer.sign_dsse(Statement(statement))).to_json().encode()
        except InvalidBundle as error:
            # An authority that does not answer is no error to it, until a log that tells no time is all that is left.
            raise errors.Unavailable(
                "nobody says when it was signed",
                why="; ".join(told) or str(error),
                do="nothing is signed; name a timestamp authority that answers (tsaUrls), and try again",
            ) from error
        except Exception as error:  # as above
            raise errors.Unavailable(
                "the signature is entered in no log",
                why=_reason(error)[0],
                do="nothing is signed; try again when Rekor answers",
            ) from error


def _within(call: Callable[[], Value]) -> Value:
    """The call's result, or TimeoutError. What does not end is left behind: it ends with this process."""
    done: list[Value] = []
    failed: list[Exception] = []

    def run() -> None:
        try:
            done.append(call())
        except Exception as error:
            failed.append(error)

    thread = threading.Thread(target=run, name="skep-keyless", daemon=True)
    thread.start()
    thread.join(_SECONDS)
    if failed:
        raise failed[0]
    if not done:
        raise TimeoutError(f"no answer within {_SECONDS:.0f} s")
    return done[0]


def _reason(error: BaseException) -> tuple[str, int]:
    """Why, in words, and the HTTP status, 0 without one: the error that says most is at the bottom of the chain."""
    chain = [error]
    while (inner := chain[-1].__cause__ or chain[-1].__context__) is not None and inner not in chain:
        chain.append(inner)
    for each in chain:
        # requests' errors, told by what they carry: requests is sigstore-python's dependency and none of ours
        response: Any = getattr(each, "response", None)
        if response is not None:
            return f"{response.url} answers {response.status_code}: {_message(response.text)}", response.status_code
    url = next((request.url for each in chain if (request := getattr(each, "request", None)) is not None), "")
    said = next((each.strerror for each in reversed(chain) if isinstance(each, OSError) and each.strerror), "")
    if url:
        return f"{url} cannot be reached: {said or chain[-1]}", 0
    return said or str(error).split("\n")[0] or type(error).__name__, 0


def _message(text: str) -> str:
    """What a service says, which is JSON with a message in it, or not."""
    with contextlib.suppress(ValueError, KeyError, TypeError):
        return str(json.loads(text)["message"])[:300]
    return text.strip()[:300]


@contextlib.contextmanager
def _warnings() -> Iterator[list[str]]:
    """What sigstore-python logs meanwhile, which otherwise goes to the terminal: that it does without a timestamp."""
    told: list[str] = []

    class Keep(logging.Handler):
        def emit(self, record: logging.LogRecord) -> None:
            told.append(record.getMessage().split("\n")[0])

    logger, keep = logging.getLogger("sigstore"), Keep(level=logging.WARNING)
    before = logger.propagate
    logger.addHandler(keep)
    logger.propagate = False
    try:
        yield told
    finally:
        logger.removeHandler(keep)
        logger.propagate = before
