"""What can be set, each declared once: its variable, its default, and what it must be."""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, fields
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

HOUR = 1 / 24  # in days
_DATABASE_NAME = re.compile(r"[A-Za-z0-9_-]{1,38}")  # allowed by every engine


class WrongSetting(Exception):
    """A variable is not what it must be. The message is one line that names it."""


def setting(env: str, default: Any, parse: Callable[[str], Any], shown: str, description: str, **how: Any) -> Any:
    """A field that is read from a variable. `shown` is the default as the table of settings has it."""
    metadata = {"env": env, "parse": parse, "shown": shown, "description": description}
    return field(default=default, metadata=metadata, **how)


def parse_bind(text: str) -> tuple[str, int]:
    host, colon, port = text.rpartition(":")
    host = host.removeprefix("[").removesuffix("]")
    if not host or not re.fullmatch(r"[0-9]{1,5}", port) or int(port) > 65535:
        raise ValueError("an address and a port, such as 127.0.0.1:8000 or [::1]:8000")
    return host, int(port)


def parse_url(text: str) -> str:
    wanted = "an http or https address without a query, such as https://inbox.example.com"
    if not is_web_address(text) or "?" in text or "#" in text:
        raise ValueError(wanted)
    return text.rstrip("/")


def is_web_address(text: str) -> bool:
    try:
        parts = urlsplit(text)
        return parts.scheme in ("http", "https") and bool(parts.hostname) and (parts.port or 1) > 0 and " " not in text
    except ValueError:
        return False


def parse_origins(text: str) -> tuple[str, ...]:
    origins = [each.strip().rstrip("/").lower() for each in text.split(",") if each.strip()]
    for origin in origins:
        parts = urlsplit(origin) if is_web_address(origin) else None
        if parts is None or parts.path or parts.query or parts.fragment or parts.username is not None:
            raise ValueError("origins separated by commas, such as https://app.example.com,http://localhost:5173")
    return tuple(dict.fromkeys(origins))


def parse_folder(text: str) -> Path:
    if "\0" in text:
        raise ValueError("the path of a folder")
    return Path(text).expanduser()


def parse_mongodb_uri(text: str) -> str:
    if not re.match(r"mongodb(\+srv)?://[^/]", text):
        raise ValueError("an address that begins with mongodb:// or mongodb+srv://")
    return text


def parse_database_name(text: str) -> str:
    if not _DATABASE_NAME.fullmatch(text):
        raise ValueError("a name of at most 38 letters, digits, - and _")
    return text


def parse_broadcast_url(text: str) -> str:
    if text != "memory://":
        raise ValueError("memory://, the only wire between processes that this version has")
    return text


def number(least: float, most: float, wanted: str) -> Callable[[str], float]:
    def parse(text: str) -> float:
        try:
            value = float(text)
        except ValueError:
            value = math.nan
        if not least <= value <= most:  # which NaN is not, either
            raise ValueError(wanted)
        return value

    return parse


def bytes_of(least: int, most: int) -> Callable[[str], int]:
    def parse(text: str) -> int:
        if not re.fullmatch(r"[0-9]{1,12}", text) or not least <= int(text) <= most:
            raise ValueError(f"a whole number of bytes from {least} to {most}")
        return int(text)

    return parse


@dataclass(frozen=True)
class Settings:
    """How the server is configured. Values are passed down from here; nothing below reads the environment."""

    bind: tuple[str, int] = setting(
        "CONNECT_INBOX_BIND", ("127.0.0.1", 8000), parse_bind, "127.0.0.1:8000",
        "Address and port to listen at; port 0 takes any free one.",
    )  # fmt: skip
    public_url: str | None = setting(
        "CONNECT_INBOX_PUBLIC_URL", None, parse_url, "the bind address",
        "Address at which clients reach the server, if that is another one, such as a proxy's.",
    )  # fmt: skip
    allowed_origins: tuple[str, ...] = setting(
        "CONNECT_INBOX_ALLOWED_ORIGINS", (), parse_origins, "none",
        "Origins of the web pages that may use the API, separated by commas.",
    )  # fmt: skip
    data: Path = setting(
        "CONNECT_INBOX_DATA", Path("data/connect-inbox"), parse_folder, "data/connect-inbox",
        "Folder of the embedded database. Unused where MONGODB_URI is set.",
    )  # fmt: skip
    mongodb_uri: str | None = setting(
        "MONGODB_URI", None, parse_mongodb_uri, "the embedded database",
        "Address of a MongoDB server, with the credentials it needs.", repr=False,
    )  # fmt: skip
    mongodb_database: str = setting(
        "MONGODB_DATABASE", "connect_inbox", parse_database_name, "connect_inbox",
        "Name of the database on that server.",
    )  # fmt: skip
    broadcast_url: str = setting(
        "BROADCAST_URL", "memory://", parse_broadcast_url, "memory://",
        "The wire that tells other processes of a change at once. With memory://, the only one so far, they find it "
        "at their next upkeep.",
    )  # fmt: skip
    log_days: float = setting(
        "CONNECT_INBOX_LOG_DAYS", 7.0, number(HOUR - 0.001, 3650, "a number of days from 0.042 (an hour) to 3650"), "7",
        "Days that a client can be away for and still be told what changed.",
    )  # fmt: skip
    max_body_size: int = setting(
        "CONNECT_INBOX_MAX_BODY", 256 * 1024, bytes_of(1024, 16 * 1024 * 1024), "262144",
        "Greatest size of a request's body, in bytes.",
    )  # fmt: skip
    max_frame_size: int = setting(
        "CONNECT_INBOX_MAX_FRAME", 256 * 1024, bytes_of(1024, 16 * 1024 * 1024), "262144",
        "Greatest size of a WebSocket message from a client, in bytes.",
    )  # fmt: skip
    init_timeout: float = setting(
        "CONNECT_INBOX_INIT_TIMEOUT", 10.0, number(0.1, 300, "a number of seconds from 0.1 to 300"), "10",
        "Seconds in which a WebSocket client must have sent `connection_init`.",
    )  # fmt: skip
    upkeep_interval: float = setting(
        "CONNECT_INBOX_UPKEEP_INTERVAL", 2.0, number(0.1, 60, "a number of seconds from 0.1 to 60"), "2",
        "Seconds between two looks for changes that other processes have made.",
    )  # fmt: skip

    @classmethod
    def from_env(cls, environ: Mapping[str, str]) -> Settings:
        """The settings that these variables give; an empty one counts as not set. Raises `WrongSetting`."""
        values: dict[str, Any] = {}
        for each in fields(cls):
            env, text = each.metadata["env"], environ.get(each.metadata["env"], "").strip()
            if not text:
                continue
            try:
                values[each.name] = each.metadata["parse"](text)
            except ValueError as error:
                told = "" if env == "MONGODB_URI" else f", not {text[:80]!r}"  # it may hold a password
                raise WrongSetting(f"{env} must be {error}{told}") from None
        return cls(**values)


def settings_table() -> str:
    """All settings, as a table in Markdown."""
    rows = [each.metadata for each in fields(Settings)]
    lines = [f"| `{row['env']}` | {row['shown']} | {row['description']} |" for row in rows]
    return "\n".join(["| variable | default | what it is |", "| --- | --- | --- |", *lines])
