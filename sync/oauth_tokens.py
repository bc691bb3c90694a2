"""What a provider's token endpoint is asked, and what its answers mean."""

from __future__ import annotations

import asyncio
import json
import re
import ssl
from urllib.parse import urlsplit

import httpx2

from schema.types.scalars import now
from storage.credentials import Credentials
from storage.documents import to_milliseconds
from sync.mail_server import Failure, MailServerFailed
from sync.oauth_providers import Provider, Providers

ANSWER_TIME = 15.0  # seconds for the whole of an answer
LARGEST = 128 * 1024  # bytes of an answer
REFRESHED_AT = 0.8  # of an access token's lifetime
USUAL_LIFETIME = 3600.0  # seconds, where the provider does not say
LONGEST_LIFETIME = 30 * 24 * 3600.0
ENDED = {"invalid_grant", "interaction_required", "consent_required", "login_required", "access_denied"}
NOT_US = {"invalid_client", "unauthorized_client"}
_TOKEN = re.compile(r"[\x21-\x7e]{1,16384}")


class GrantEnded(Exception):
    """The provider gives no tokens for this code or refresh token any more."""


async def exchange(providers: Providers, provider: Provider, code: str, verifier: str) -> Credentials:
    """The tokens for an authorization code. Raises GrantEnded, MailServerFailed."""
    form = {
        "grant_type": "authorization_code",
        "code": code,
        "redirect_uri": providers.redirect_uri,
        "code_verifier": verifier,
    }
    credentials = await request(providers.http, provider, form, None)
    if credentials.refresh_token is None:
        raise MailServerFailed(Failure.PERMISSION, f"{provider.name} gave no refresh token")
    return credentials


async def refresh(providers: Providers, provider: Provider, refresh_token: str) -> Credentials:
    """New tokens; the refresh token is the same where the provider gave no other. Raises as `exchange` does."""
    form = {"grant_type": "refresh_token", "refresh_token": refresh_token}
    return await request(providers.http, provider, form, refresh_token)


async def request(
    http: httpx2.AsyncClient, provider: Provider, form: dict[str, str], refresh_token: str | None
) -> Credentials:
    asked_at = to_milliseconds(now())
    form = {**form, "client_id": provider.client_id, "client_secret": provider.client_secret}
    status, body = await post(http, provider.token_url, form)
    try:
        answer = json.loads(body)
    except ValueError:
        answer = None
    if status != 200 or not isinstance(answer, dict):
        raise failure_of(provider, status, answer)
    return credentials_of(provider, answer, asked_at, refresh_token)


async def post(http: httpx2.AsyncClient, url: str, form: dict[str, str]) -> tuple[int, bytes]:
    """The status and body of an answer. Raises MailServerFailed where there is none."""
    host = urlsplit(url).hostname
    body = bytearray()
    try:
        async with asyncio.timeout(ANSWER_TIME):
            async with http.stream("POST", url, data=form, headers={"accept": "application/json"}) as answer:
                async for part in answer.aiter_bytes():
                    body += part
                    if len(body) > LARGEST:
                        raise MailServerFailed(Failure.PROTOCOL, f"{host} answered at too great length")
                return answer.status_code, bytes(body)
    except (httpx2.ConnectError, httpx2.ConnectTimeout) as error:
        if is_of_tls(error):
            raise MailServerFailed(Failure.TLS, f"{host} has no certificate that is good for it") from error
        raise MailServerFailed(Failure.HOST, f"{host} cannot be reached") from error
    except (httpx2.HTTPError, TimeoutError) as error:
        raise MailServerFailed(Failure.LOST, f"{host} did not answer, or not to the end") from error


def is_of_tls(error: BaseException | None) -> bool:
    while error is not None:
        if isinstance(error, ssl.SSLError):
            return True
        error = error.__cause__ or error.__context__
    return False


def failure_of(provider: Provider, status: int, answer: object) -> Exception:
    """What an answer without tokens means. What the provider says in words is not repeated: it may hold anything."""
    error = answer.get("error") if isinstance(answer, dict) else None
    if isinstance(error, str) and error in ENDED:
        return GrantEnded(f"{provider.name} answered {error}")
    if isinstance(error, str) and error in NOT_US:
        return MailServerFailed(Failure.PERMISSION, f"{provider.name} does not accept our client id and secret")
    if status == 429 or status >= 500:
        return MailServerFailed(Failure.BUSY, f"{provider.name} answered with {status}")
    return MailServerFailed(Failure.PROTOCOL, f"{provider.name} answered with {status} and no tokens")


def credentials_of(provider: Provider, answer: dict[str, object], at: int, before: str | None) -> Credentials:
    access_token, refresh_token = answer.get("access_token"), answer.get("refresh_token", before)
    is_whole = is_token(access_token) and (refresh_token is None or is_token(refresh_token))
    if not is_whole or str(answer.get("token_type", "bearer")).lower() != "bearer":
        raise MailServerFailed(Failure.PROTOCOL, f"{provider.name} gave no token that can be used")
    lifetime = 1000 * lifetime_of(answer.get("expires_in"))
    return Credentials(
        provider=provider.name,
        access_token=str(access_token),
        refresh_at=at + int(REFRESHED_AT * lifetime),
        expires_at=at + int(lifetime),
        refresh_token=None if refresh_token is None else str(refresh_token),
    )


def is_token(value: object) -> bool:
    """Whether it is one that can be sent: a token with a control character would be more than a token in XOAUTH2."""
    return isinstance(value, str) and bool(_TOKEN.fullmatch(value))


def lifetime_of(value: object) -> float:
    """An access token's lifetime, in seconds, from `expires_in`."""
    try:
        seconds = float(value) if isinstance(value, int | float | str) else USUAL_LIFETIME
    except ValueError:
        return USUAL_LIFETIME
    return min(seconds, LONGEST_LIFETIME) if seconds > 0 else USUAL_LIFETIME
