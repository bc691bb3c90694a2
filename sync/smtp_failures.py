"""What it means when a mail server refuses something, or is gone; and its own words, without ours to it."""

from __future__ import annotations

import base64
import re
import ssl
from collections.abc import Iterator
from contextlib import contextmanager

from aiosmtplib import SMTPException, SMTPResponseException

from sync.mail_server import Failure, MailServer, MailServerFailed

WORDS = 500  # characters
HIDDEN = "…"

_NOT_IN_WORDS = re.compile(r"[\s\x00-\x1f\x7f-\x9f\ud800-\udfff]+")


@contextmanager
def told_apart(server: MailServer, step: str, refused: Failure) -> Iterator[None]:
    """Turns whatever goes wrong at a step into MailServerFailed. `refused` is what a refusal for good means here."""
    try:
        yield
    except SMTPResponseException as error:
        failure = failure_of(error.code, error.message, refused)
        raise MailServerFailed(failure, f"{step}: {said(server, error.code, error.message)}") from None
    except ssl.SSLError as error:
        raise MailServerFailed(Failure.TLS, f"{step}: {tls_words(error)}") from None
    except (SMTPException, OSError) as error:
        raise lost(step, error) from None


def failure_of(code: int, message: str, refused: Failure) -> Failure:
    if 400 <= code < 500:
        return Failure.BUSY
    if not 500 <= code < 600:
        return Failure.PROTOCOL
    if code == 538 or "STARTTLS" in message.upper():
        return Failure.TLS
    return Failure.LOGIN if code == 530 else refused


def lost(step: str, error: Exception) -> MailServerFailed:
    """For a connection on which nothing is said any more. aiosmtplib hides what went wrong with a certificate in it."""
    if isinstance(error.__cause__, ssl.SSLError):
        return MailServerFailed(Failure.TLS, f"{step}: {tls_words(error.__cause__)}")
    if isinstance(error, TimeoutError):
        return MailServerFailed(Failure.LOST, f"{step}: the server did not answer in time")
    return MailServerFailed(Failure.LOST, f"{step}: the connection was lost")


def tls_words(error: ssl.SSLError) -> str:
    if isinstance(error, ssl.SSLCertVerificationError):
        return f"the server's certificate is not good: {error.verify_message}"
    return f"no encryption could be agreed on ({error.reason or type(error).__name__})"


def said(server: MailServer, code: int, message: str) -> str:
    """What the server said, on one line, without what it was told to let us in."""
    for secret in secrets_of(server):
        message = message.replace(secret, HIDDEN)
    words = _NOT_IN_WORDS.sub(" ", f"{code} {message}" if code > 0 else message)
    return words.strip()[:WORDS]


def secrets_of(server: MailServer) -> list[str]:
    """The secret, in each form in which it is sent. The longest first, as it may hold the others."""
    if not server.secret:
        return []
    sent = [
        server.secret,
        f"\0{server.user}\0{server.secret}",  # PLAIN
        f"user={server.user}\x01auth=Bearer {server.secret}\x01\x01",  # XOAUTH2
    ]
    encoded = [base64.b64encode(each.encode("utf-8", "replace")).decode() for each in sent]
    return sorted([server.secret, *encoded, *(each.rstrip("=") for each in encoded)], key=len, reverse=True)
