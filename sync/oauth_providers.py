"""Whom mailboxes are connected at by OAuth 2: Google and Microsoft, and any other provider that a file names."""

from __future__ import annotations

import ipaddress
import json
import re
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from types import MappingProxyType
from typing import Any, Literal
from urllib.parse import urlsplit

import httpx2

CONNECT_TIME = 5.0  # seconds
SILENCE = 10.0  # that a provider may be silent for
NAME = re.compile(r"[a-z0-9-]{1,32}")
ENCRYPTIONS = ("tls", "starttls", "none")
LARGEST_FILE = 1024 * 1024


@dataclass(frozen=True)
class MailHost:
    """Where a provider's mail is read or sent."""

    host: str
    port: int
    encryption: Literal["tls", "starttls", "none"]


@dataclass(frozen=True)
class Provider:
    """Where a provider asks its user, where it gives tokens, what we are there, and where the mail is."""

    name: str
    authorize_url: str
    token_url: str
    client_id: str
    client_secret: str = field(repr=False)
    scopes: tuple[str, ...]
    imap: MailHost
    smtp: MailHost
    parameters: Mapping[str, str] = field(default_factory=dict)  # more of the authorization request
    files_sent: bool = False  # whether it puts what is sent by SMTP into the Sent folder itself


def google(client_id: str, client_secret: str) -> Provider:
    return Provider(
        name="google",
        authorize_url="https://accounts.google.com/o/oauth2/v2/auth",
        token_url="https://oauth2.googleapis.com/token",
        client_id=client_id,
        client_secret=client_secret,
        scopes=("https://mail.google.com/",),
        imap=MailHost("imap.gmail.com", 993, "tls"),
        smtp=MailHost("smtp.gmail.com", 465, "tls"),
        # Without these two there is a refresh token the first time only, or none.
        parameters=MappingProxyType({"access_type": "offline", "prompt": "consent"}),
        files_sent=True,
    )


def microsoft(client_id: str, client_secret: str) -> Provider:
    return Provider(
        name="microsoft",
        authorize_url="https://login.microsoftonline.com/common/oauth2/v2.0/authorize",
        token_url="https://login.microsoftonline.com/common/oauth2/v2.0/token",
        client_id=client_id,
        client_secret=client_secret,
        scopes=(
            "offline_access",
            "https://outlook.office.com/IMAP.AccessAsUser.All",
            "https://outlook.office.com/SMTP.Send",
        ),
        imap=MailHost("outlook.office365.com", 993, "tls"),
        smtp=MailHost("smtp.office365.com", 587, "starttls"),
        files_sent=True,
    )


class Providers:
    """The providers that are configured, and how they are called."""

    def __init__(self, providers: Sequence[Provider], redirect_uri: str, http: httpx2.AsyncClient) -> None:
        self._providers = {provider.name: provider for provider in providers}
        self.redirect_uri = redirect_uri
        self.http = http

    @property
    def names(self) -> list[str]:
        return list(self._providers)

    def get(self, name: str | None) -> Provider | None:
        return self._providers.get(name) if name is not None else None


@asynccontextmanager
async def open_providers(providers: Sequence[Provider], redirect_uri: str) -> AsyncIterator[Providers]:
    """The providers with a client to call them by, which follows nobody elsewhere and checks certificates."""
    timeout = httpx2.Timeout(SILENCE, connect=CONNECT_TIME)
    async with httpx2.AsyncClient(timeout=timeout, follow_redirects=False, verify=True) as http:
        yield Providers(providers, redirect_uri, http)


# The file that names other providers


def providers_in(path: Path) -> tuple[Provider, ...]:
    """The providers in a JSON file, which holds a list of them. Raises ValueError, which says where it is wrong."""
    try:
        with path.open("rb") as file:
            content = json.loads(file.read(LARGEST_FILE))
    except OSError as error:
        raise ValueError(f"it cannot be read: {error.strerror}") from error
    except ValueError:
        raise ValueError("it is not JSON") from None
    if not isinstance(content, list):
        raise ValueError("it must hold a list of providers")
    providers = []
    for number, each in enumerate(content, start=1):
        try:
            providers.append(provider_of(each))
        except ValueError as error:
            raise ValueError(f"provider {number}: {error}") from None
    names = [provider.name for provider in providers]
    if len(set(names)) < len(names):
        raise ValueError("two providers have the same name")
    return tuple(providers)


def provider_of(given: Any) -> Provider:
    unknown = sorted(set(given) - set(Provider.__dataclass_fields__)) if isinstance(given, dict) else []
    if not isinstance(given, dict) or unknown:
        raise ValueError(f"there is no field {unknown[0][:40]!r}" if unknown else "it must be an object")
    name = text_of(given, "name")
    if not NAME.fullmatch(name) or name in ("google", "microsoft"):
        raise ValueError("name must be a-z, 0-9 and -, and neither google nor microsoft")
    return Provider(
        name=name,
        authorize_url=url_of(given, "authorize_url"),
        token_url=url_of(given, "token_url"),
        client_id=text_of(given, "client_id"),
        client_secret=text_of(given, "client_secret"),
        scopes=scopes_of(given),
        imap=mail_host_of(given, "imap"),
        smtp=mail_host_of(given, "smtp"),
        parameters=parameters_of(given),
        files_sent=given.get("files_sent") is True,
    )


def text_of(given: dict[str, Any], name: str) -> str:
    value = given.get(name)
    if not isinstance(value, str) or not value:
        raise ValueError(f"{name} must be a text")
    return value


def url_of(given: dict[str, Any], name: str) -> str:
    url = text_of(given, name)
    try:
        parts = urlsplit(url)
        is_safe = parts.scheme == "https" or (parts.scheme == "http" and is_loopback(parts.hostname))
    except ValueError:
        is_safe = False
    if not is_safe or not parts.hostname or parts.fragment or parts.username is not None:
        raise ValueError(f"{name} must be an https address")
    return url


def is_loopback(host: str | None) -> bool:
    """Whether what is sent to a host stays on this machine."""
    if host == "localhost":
        return True
    try:
        return ipaddress.ip_address(host or "").is_loopback
    except ValueError:
        return False


def scopes_of(given: dict[str, Any]) -> tuple[str, ...]:
    scopes = given.get("scopes")
    if not isinstance(scopes, list) or not scopes or not all(isinstance(each, str) and each for each in scopes):
        raise ValueError("scopes must be a list of texts")
    return tuple(scopes)


def mail_host_of(given: dict[str, Any], name: str) -> MailHost:
    value = given.get(name)
    if isinstance(value, dict):
        host, port, encryption = value.get("host"), value.get("port"), value.get("encryption", "tls")
        if isinstance(host, str) and host and type(port) is int and 0 < port < 65536 and encryption in ENCRYPTIONS:
            return MailHost(host, port, encryption)
    raise ValueError(f'{name} must be like {{"host": "mail.example.com", "port": 993, "encryption": "tls"}}')


def parameters_of(given: dict[str, Any]) -> Mapping[str, str]:
    value = given.get("parameters", {})
    if not isinstance(value, dict) or not all(isinstance(each, str) for each in value.values()):
        raise ValueError("parameters must be an object of texts")
    return MappingProxyType(dict(value))
