"""Which providers there are, as settings say: Google, Microsoft, and others from a file."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from connect_inbox.settings import Settings, WrongSetting
from storage.keys import KeyRing, format_key, new_key
from sync.oauth_providers import MailHost

GIVEN: dict[str, Any] = {
    "name": "example", "client_id": "an-id", "client_secret": "hidden",
    "authorize_url": "https://login.example.com/authorize?tenant=1", "token_url": "https://login.example.com/token",
    "scopes": ["offline_access", "mail"], "parameters": {"prompt": "consent"},
    "imap": {"host": "imap.example.com", "port": 993, "encryption": "tls"},
    "smtp": {"host": "smtp.example.com", "port": 587, "encryption": "starttls"},
}  # fmt: skip


def test_keys_and_providers_are_read_and_never_shown(tmp_path: Path) -> None:
    (tmp_path / "providers.json").write_text(json.dumps([GIVEN]))
    key = new_key()
    settings = Settings.from_env(
        {
            "CONNECT_INBOX_SECRET_KEYS": format_key(key),
            "CONNECT_INBOX_GOOGLE": "1-a.apps.googleusercontent.com:GOCSPX:hidden",
            "CONNECT_INBOX_MICROSOFT": "00000000-0000-0000-0000-000000000000:hidden~1",
            "CONNECT_INBOX_OAUTH_PROVIDERS": str(tmp_path / "providers.json"),
        }
    )
    assert settings.secret_keys is not None
    assert settings.secret_keys.open(KeyRing([key]).seal(b"plain", "one"), "one") == b"plain"
    names = {each.name: (each.client_id, each.client_secret) for each in settings.providers}
    assert names == {
        "google": ("1-a.apps.googleusercontent.com", "GOCSPX:hidden"),
        "microsoft": ("00000000-0000-0000-0000-000000000000", "hidden~1"),
        "example": ("an-id", "hidden"),
    }
    example = settings.providers[-1]
    assert example.smtp == MailHost("smtp.example.com", 587, "starttls")
    assert (example.scopes, dict(example.parameters)) == (("offline_access", "mail"), {"prompt": "consent"})
    assert "hidden" not in f"{settings!r} {settings.providers!r}"
    assert Settings().providers == []


@pytest.mark.parametrize(
    ("variable", "value"),
    [
        ("CONNECT_INBOX_GOOGLE", "hidden"),
        ("CONNECT_INBOX_GOOGLE", ":hidden"),
        ("CONNECT_INBOX_MICROSOFT", "hidden:"),
        ("CONNECT_INBOX_SECRET_KEYS", "hidden"),
        ("CONNECT_INBOX_SECRET_KEYS", "a:hidden"),
        ("CONNECT_INBOX_OAUTH_PROVIDERS", "/nowhere/providers.json"),
        ("CONNECT_INBOX_OAUTH_PROVIDERS", "/"),
    ],
)
def test_a_wrong_one_is_one_line_that_names_it(variable: str, value: str) -> None:
    with pytest.raises(WrongSetting) as wrong:
        Settings.from_env({variable: value})
    assert str(wrong.value).startswith(f"{variable} must be ")
    assert "\n" not in str(wrong.value) and "hidden" not in str(wrong.value)


def without(name: str) -> dict[str, Any]:
    return {each: value for each, value in GIVEN.items() if each != name}


@pytest.mark.parametrize(
    ("content", "words"),
    [
        ("{", "not JSON"),
        ("\udc80", "not JSON"),
        ({}, "a list of providers"),
        (["hidden"], "provider 1: it must be an object"),
        ([{**GIVEN, "secret": "hidden"}], "provider 1: there is no field 'secret'"),
        ([GIVEN, GIVEN], "the same name"),
        ([GIVEN, {**GIVEN, "name": "google"}], "provider 2: name must be"),
        ([{**GIVEN, "name": "A b"}], "name must be"),
        ([without("name")], "name must be a text"),
        ([without("client_id")], "client_id must be a text"),
        ([{**GIVEN, "client_secret": ""}], "client_secret must be a text"),
        ([without("scopes")], "scopes must be"),
        ([{**GIVEN, "scopes": "mail"}], "scopes must be"),
        ([{**GIVEN, "scopes": [1]}], "scopes must be"),
        ([{**GIVEN, "parameters": {"prompt": 1}}], "parameters must be"),
        ([without("imap")], "imap must be like"),
        ([{**GIVEN, "smtp": {"host": "a", "port": "25"}}], "smtp must be like"),
        ([{**GIVEN, "smtp": {"host": "a", "port": True}}], "smtp must be like"),
        ([{**GIVEN, "smtp": {"host": "a", "port": 25, "encryption": "ssl"}}], "smtp must be like"),
        *(
            ([{**GIVEN, "token_url": url}], "token_url must be an https address")
            for url in (
                "http://login.example.com/", "ftp://login.example.com/", "https:///token", "https://[::1/",
                "https://user:hidden@login.example.com/", "https://login.example.com/#a", "http://127.0.0.1.example.com/",
            )
        ),
    ],
)  # fmt: skip
def test_a_wrong_file_is_one_line_that_says_where(tmp_path: Path, content: object, words: str) -> None:
    file = tmp_path / "providers.json"
    text = content if isinstance(content, str) else json.dumps(content)
    file.write_bytes(text.encode("utf-8", "surrogateescape"))
    with pytest.raises(WrongSetting) as wrong:
        Settings.from_env({"CONNECT_INBOX_OAUTH_PROVIDERS": str(file)})
    assert words in str(wrong.value) and str(file)[:60] in str(wrong.value)
    assert "\n" not in str(wrong.value) and "hidden" not in str(wrong.value)


@pytest.mark.parametrize("host", ["localhost:3000", "127.0.0.1:3000", "[::1]:3000"])
def test_on_the_same_machine_a_provider_needs_no_tls(tmp_path: Path, host: str) -> None:
    (tmp_path / "providers.json").write_text(json.dumps([{**GIVEN, "token_url": f"http://{host}/token"}]))
    settings = Settings.from_env({"CONNECT_INBOX_OAUTH_PROVIDERS": str(tmp_path / "providers.json")})
    assert settings.providers[0].token_url == f"http://{host}/token"
