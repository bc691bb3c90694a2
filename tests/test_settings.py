"""Settings: what each may be, and what is said of one that is wrong."""

from __future__ import annotations

from dataclasses import fields
from ipaddress import ip_network
from pathlib import Path

import pytest

from connect_inbox.settings import Settings, WrongSetting, settings_table


def test_defaults_are_those_of_an_empty_environment() -> None:
    assert Settings.from_env({}) == Settings()
    assert Settings.from_env({"CONNECT_INBOX_BIND": "", "MONGODB_URI": " "}) == Settings()


def test_each_default_is_shown_as_it_could_be_set() -> None:
    for field in fields(Settings):
        shown = field.metadata["shown"]
        if field.default not in (None, ()):
            assert field.metadata["parse"](shown) == field.default, field.name


def test_everything_that_is_set_is_read() -> None:
    settings = Settings.from_env(
        {
            "CONNECT_INBOX_BIND": "[::]:80",
            "CONNECT_INBOX_PUBLIC_URL": "https://inbox.example.com/",
            "CONNECT_INBOX_ALLOWED_ORIGINS": "https://App.example.com, http://localhost:5173",
            "CONNECT_INBOX_DATA": "/srv/inbox",
            "MONGODB_URI": "mongodb://user:secret@db.example.com",
            "MONGODB_DATABASE": "inbox-2",
            "BROADCAST_URL": "rediss://user:secret@redis.example.com:6380/",
            "CONNECT_INBOX_LOG_DAYS": "0.042",
            "CONNECT_INBOX_MAX_BODY": "1024",
            "CONNECT_INBOX_MAX_ATTACHMENT": "4096",
            "CONNECT_INBOX_MAX_FRAME": "2048",
            "CONNECT_INBOX_INIT_TIMEOUT": "3",
            "CONNECT_INBOX_MAX_DEPTH": "9",
            "CONNECT_INBOX_MAX_ALIASES": "0",
            "CONNECT_INBOX_MAX_DIRECTIVES": "1",
            "CONNECT_INBOX_MAX_TOKENS": "100",
            "CONNECT_INBOX_MAX_SELECTIONS": "101",
            "CONNECT_INBOX_MAX_COST": "102",
            "CONNECT_INBOX_OPERATION_TIMEOUT": "1.5",
            "CONNECT_INBOX_INTROSPECTION": "off",
            "CONNECT_INBOX_SUGGESTIONS": "Off",
            "CONNECT_INBOX_RATE_PER_TOKEN": "0",
            "CONNECT_INBOX_RATE_PER_ADDRESS": "1",
            "CONNECT_INBOX_STREAMS_PER_TOKEN": "2",
            "CONNECT_INBOX_STREAMS_PER_ADDRESS": "3",
            "CONNECT_INBOX_OPERATIONS_PER_SOCKET": "4",
            "CONNECT_INBOX_TRUSTED_PROXIES": "10.0.0.5, fd00::/8",
            "CONNECT_INBOX_UPKEEP_INTERVAL": "0.5",
            "CONNECT_INBOX_METRICS": "on",
            "CONNECT_INBOX_LOG_FORMAT": "JSON",
            "CONNECT_INBOX_LOG_LEVEL": "debug",
            "CONNECT_INBOX_FAST_EXECUTOR": "off",
        }
    )
    assert settings == Settings(
        bind=("::", 80),
        public_url="https://inbox.example.com",
        allowed_origins=("https://app.example.com", "http://localhost:5173"),
        data=Path("/srv/inbox"),
        mongodb_uri="mongodb://user:secret@db.example.com",
        mongodb_database="inbox-2",
        broadcast_url="rediss://user:secret@redis.example.com:6380/",
        log_days=0.042,
        max_body_size=1024,
        max_attachment_size=4096,
        max_frame_size=2048,
        init_timeout=3,
        max_depth=9,
        max_aliases=0,
        max_directives=1,
        max_tokens=100,
        max_selections=101,
        max_cost=102,
        operation_timeout=1.5,
        introspection=False,
        suggestions=False,
        rate_per_token=0,
        rate_per_address=1,
        streams_per_token=2,
        streams_per_address=3,
        operations_per_socket=4,
        trusted_proxies=(ip_network("10.0.0.5/32"), ip_network("fd00::/8")),
        upkeep_interval=0.5,
        metrics=True,
        log_format="json",
        log_level="debug",
        fast_executor=False,
    )
    assert "secret" not in repr(settings)


@pytest.mark.parametrize(
    ("variable", "value"),
    [
        ("CONNECT_INBOX_BIND", "8000"),
        ("CONNECT_INBOX_BIND", ":8000"),
        ("CONNECT_INBOX_BIND", "127.0.0.1:65536"),
        ("CONNECT_INBOX_BIND", "127.0.0.1:http"),
        ("CONNECT_INBOX_BIND", "tcp://10.0.0.1:80/"),
        ("CONNECT_INBOX_PUBLIC_URL", "inbox.example.com"),
        ("CONNECT_INBOX_PUBLIC_URL", "ftp://inbox.example.com"),
        ("CONNECT_INBOX_PUBLIC_URL", "http://[::1"),
        ("CONNECT_INBOX_PUBLIC_URL", "http://inbox.example.com:99999"),
        ("CONNECT_INBOX_PUBLIC_URL", "http://inbox.example.com?a=b"),
        ("CONNECT_INBOX_ALLOWED_ORIGINS", "*"),
        ("CONNECT_INBOX_ALLOWED_ORIGINS", "https://app.example.com/inbox"),
        ("CONNECT_INBOX_ALLOWED_ORIGINS", "https://a.example.com;https://b.example.com"),
        ("CONNECT_INBOX_DATA", "a\0b"),
        ("MONGODB_URI", "postgres://db.example.com"),
        ("MONGODB_URI", "mongodb://"),
        ("MONGODB_DATABASE", "a/b"),
        ("MONGODB_DATABASE", "a" * 39),
        ("BROADCAST_URL", "memory"),
        ("BROADCAST_URL", "kafka://localhost"),
        ("BROADCAST_URL", "redis-stream://localhost"),
        ("BROADCAST_URL", "redis://"),
        ("BROADCAST_URL", "redis://:6379"),
        ("BROADCAST_URL", "redis://localhost:0x1"),
        ("BROADCAST_URL", "redis://localhost:65536"),
        ("BROADCAST_URL", "redis://:pass/word@localhost"),
        ("BROADCAST_URL", "redis://:pass#word@localhost"),
        ("BROADCAST_URL", "redis://localhost:0"),
        ("BROADCAST_URL", "redis://localhost/inbox"),
        ("BROADCAST_URL", "redis://localhost?socket_timeout=5"),
        ("CONNECT_INBOX_LOG_DAYS", "0.03"),
        ("CONNECT_INBOX_LOG_DAYS", "nan"),
        ("CONNECT_INBOX_LOG_DAYS", "a week"),
        ("CONNECT_INBOX_MAX_BODY", "256k"),
        ("CONNECT_INBOX_MAX_FRAME", "0"),
        ("CONNECT_INBOX_INIT_TIMEOUT", "-1"),
        ("CONNECT_INBOX_MAX_DEPTH", "1"),
        ("CONNECT_INBOX_MAX_COST", "1e5"),
        ("CONNECT_INBOX_RATE_PER_TOKEN", "-1"),
        ("CONNECT_INBOX_INTROSPECTION", "no"),
        ("CONNECT_INBOX_TRUSTED_PROXIES", "10.0.0.1/8"),
        ("CONNECT_INBOX_TRUSTED_PROXIES", "proxy.example.com"),
        ("CONNECT_INBOX_UPKEEP_INTERVAL", "inf"),
        ("CONNECT_INBOX_METRICS", "true"),
        ("CONNECT_INBOX_LOG_FORMAT", "xml"),
        ("CONNECT_INBOX_LOG_LEVEL", "trace"),
    ],
)
def test_a_wrong_one_is_named_in_one_line_with_what_it_must_be(variable: str, value: str) -> None:
    with pytest.raises(WrongSetting) as raised:
        Settings.from_env({variable: value})
    message = str(raised.value)
    assert message.startswith(f"{variable} must be ") and "\n" not in message


@pytest.mark.parametrize("variable", ["MONGODB_URI", "BROADCAST_URL"])
def test_a_wrong_address_that_may_hold_a_password_is_not_repeated(variable: str) -> None:
    with pytest.raises(WrongSetting) as raised:
        Settings.from_env({variable: "mongo://user:secret@db.example.com"})
    assert "secret" not in str(raised.value)


def test_the_table_has_every_setting_once() -> None:
    rows = settings_table().splitlines()[2:]
    assert [row.split("`")[1] for row in rows] == [field.metadata["env"] for field in fields(Settings)]
