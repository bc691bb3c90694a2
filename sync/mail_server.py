"""How a mail server is reached, for reading and for sending, and how it can fail."""

from __future__ import annotations

from dataclasses import dataclass, field
from enum import Enum
from typing import Literal


class Failure(Enum):
    """What was wrong, as far as it decides what to do."""

    HOST = "HOST"  # there is no such host, it may not be called, or it does not answer
    TLS = "TLS"  # no encryption, or a certificate that is not good for its name
    LOGIN = "LOGIN"  # the password or token was refused
    PERMISSION = "PERMISSION"  # let in, but not to do this
    BUSY = "BUSY"  # the server asks to come back later
    LOST = "LOST"  # the connection broke, or nothing was said in time
    PROTOCOL = "PROTOCOL"  # the server said what it must not say, or too much


class MailServerFailed(Exception):
    """A mail server did not do what it was asked for. `reason` is one line for people, without any secret."""

    def __init__(self, failure: Failure, reason: str) -> None:
        super().__init__(f"{failure.value}: {reason}")
        self.failure = failure
        self.reason = reason


@dataclass(frozen=True)
class MailServer:
    """A server, and how to be let in."""

    host: str
    port: int
    user: str
    secret: str = field(repr=False)  # a password, or an access token
    is_oauth: bool = False  # the secret is an access token, for XOAUTH2
    encryption: Literal["tls", "starttls", "none"] = "tls"  # "none" for allowed hosts only
    allowed_hosts: frozenset[str] = frozenset()  # names that may have private addresses and any port
    ca_file: str | None = None  # certificates of authorities to be trusted, instead of the system's
