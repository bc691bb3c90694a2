"""What can be set, each declared once: its variable, its default, and what it must be."""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, fields
from ipaddress import IPv4Network, IPv6Network, ip_network
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from storage.keys import KeyRing, parse_keys
from sync.oauth_providers import Provider, google, microsoft, providers_in

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


def parse_file(text: str) -> str:
    path = parse_folder(text)
    if not path.is_file():
        raise ValueError("the path of a file that is there")
    return str(path)


def parse_hosts(text: str) -> tuple[str, ...]:
    hosts = [each.strip().lower() for each in text.split(",") if each.strip()]
    if any(re.search(r"[\s/:@]", each) for each in hosts):
        raise ValueError("names of hosts separated by commas, such as mail.intranet.example")
    return tuple(dict.fromkeys(hosts))


def parse_mongodb_uri(text: str) -> str:
    if not re.match(r"mongodb(\+srv)?://[^/]", text):
        raise ValueError("an address that begins with mongodb:// or mongodb+srv://")
    return text


def parse_database_name(text: str) -> str:
    if not _DATABASE_NAME.fullmatch(text):
        raise ValueError("a name of at most 38 letters, digits, - and _")
    return text


def parse_broadcast_url(text: str) -> str:
    if text != "memory://" and not is_redis_address(text):
        raise ValueError("memory://, or redis://USER:PASSWORD@HOST:PORT of which all but the host may be left out, "
                         "or the same with rediss:// for TLS; special characters in it percent-encoded")  # fmt: skip
    return text


def is_redis_address(text: str) -> bool:
    try:
        parts = urlsplit(text)
        known = parts.scheme in ("redis", "rediss") and bool(parts.hostname) and parts.port != 0
        bare = re.fullmatch(r"(/[0-9]{0,3})?", parts.path) and "?" not in text and "#" not in text and " " not in text
        return known and bool(bare)
    except ValueError:
        return False


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


def one_of(*words: str) -> Callable[[str], str]:
    def parse(text: str) -> str:
        if text.lower() not in words:
            raise ValueError(" or ".join([", ".join(words[:-1]), words[-1]]))
        return text.lower()

    return parse


def on_or_off(text: str) -> bool:
    return one_of("on", "off")(text) == "on"


def bytes_of(least: int, most: int) -> Callable[[str], int]:
    def parse(text: str) -> int:
        if not re.fullmatch(r"[0-9]{1,12}", text) or not least <= int(text) <= most:
            raise ValueError(f"a whole number of bytes from {least} to {most}")
        return int(text)

    return parse


def whole(least: int, most: int) -> Callable[[str], int]:
    def parse(text: str) -> int:
        if not re.fullmatch(r"[0-9]{1,12}", text) or not least <= int(text) <= most:
            raise ValueError(f"a whole number from {least} to {most}")
        return int(text)

    return parse


def parse_networks(text: str) -> tuple[IPv4Network | IPv6Network, ...]:
    try:
        return tuple(ip_network(each.strip()) for each in text.split(",") if each.strip())
    except ValueError:
        raise ValueError("addresses or networks separated by commas, such as 10.0.0.5,fd00::/8") from None


def client_of(make: Callable[[str, str], Provider]) -> Callable[[str], Provider]:
    """What we are at a provider that is known."""

    def parse(text: str) -> Provider:
        id, _, secret = text.partition(":")
        if not id or not secret:
            raise ValueError("a client id, a colon and the client secret, as the provider gave them")
        return make(id, secret)

    return parse


def parse_providers(text: str) -> tuple[Provider, ...]:
    try:
        return providers_in(parse_folder(text))
    except ValueError as error:
        raise ValueError(f"the path of a JSON file that lists providers ({error})") from None


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
        "Folder of the embedded database, which MONGODB_URI replaces, and of the key file `secret.keys`, which "
        "CONNECT_INBOX_SECRET_KEYS replaces.",
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
        "Address of the Redis server by which processes tell each other of changes at once; redis:// or rediss://. "
        "With memory:// they find them at their next upkeep.", repr=False,
    )  # fmt: skip
    secret_keys: KeyRing | None = setting(
        "CONNECT_INBOX_SECRET_KEYS", None, parse_keys, "a key file in the data folder",
        "Keys that mailboxes' credentials are encrypted with, separated by commas: the first encrypts, all decrypt. "
        "The same for all processes. `connect-inbox keys new` prints one.", repr=False,
    )  # fmt: skip
    google: Provider | None = setting(
        "CONNECT_INBOX_GOOGLE", None, client_of(google), "none",
        "Client id and client secret at Google, with a colon between them, to connect mailboxes there by OAuth.",
        repr=False,
    )  # fmt: skip
    microsoft: Provider | None = setting(
        "CONNECT_INBOX_MICROSOFT", None, client_of(microsoft), "none",
        "The same at Microsoft.", repr=False,
    )  # fmt: skip
    other_providers: tuple[Provider, ...] = setting(
        "CONNECT_INBOX_OAUTH_PROVIDERS", (), parse_providers, "none",
        "Path of a JSON file that lists other providers at which mailboxes can be connected by OAuth.",
    )  # fmt: skip
    sync: bool = setting(
        "CONNECT_INBOX_SYNC", True, on_or_off, "on",
        "Whether this process reads mailboxes and sends mail (on or off). `connect-inbox sync` does that alone.",
    )  # fmt: skip
    mail_hosts: tuple[str, ...] = setting(
        "CONNECT_INBOX_MAIL_HOSTS", (), parse_hosts, "none",
        "Names of mail servers that may have private addresses, any port and no encryption, separated by commas.",
    )  # fmt: skip
    mail_ca: str | None = setting(
        "CONNECT_INBOX_MAIL_CA", None, parse_file, "the system's",
        "Path of a file with the certificates of authorities that mail servers are trusted by.",
    )  # fmt: skip
    log_days: float = setting(
        "CONNECT_INBOX_LOG_DAYS", 7.0, number(HOUR - 0.001, 3650, "a number of days from 0.042 (an hour) to 3650"), "7",
        "Days that a client can be away for and still be told what changed.",
    )  # fmt: skip
    max_body_size: int = setting(
        "CONNECT_INBOX_MAX_BODY", 256 * 1024, bytes_of(1024, 16 * 1024 * 1024), "262144",
        "Greatest size of a request's body, in bytes.",
    )  # fmt: skip
    max_attachment_size: int = setting(
        "CONNECT_INBOX_MAX_ATTACHMENT", 25 * 1024 * 1024, bytes_of(1024, 1024**3), "26214400",
        "Greatest size of a file that is uploaded, in bytes.",
    )  # fmt: skip
    max_frame_size: int = setting(
        "CONNECT_INBOX_MAX_FRAME", 256 * 1024, bytes_of(1024, 16 * 1024 * 1024), "262144",
        "Greatest size of a WebSocket message from a client, in bytes.",
    )  # fmt: skip
    init_timeout: float = setting(
        "CONNECT_INBOX_INIT_TIMEOUT", 10.0, number(0.1, 300, "a number of seconds from 0.1 to 300"), "10",
        "Seconds in which a WebSocket client must have sent `connection_init`.",
    )  # fmt: skip
    max_depth: int = setting(
        "CONNECT_INBOX_MAX_DEPTH", 12, whole(2, 100), "12",
        "Most levels of fields in an operation.",
    )  # fmt: skip
    max_aliases: int = setting(
        "CONNECT_INBOX_MAX_ALIASES", 30, whole(0, 10_000), "30",
        "Most aliases in an operation, with its fragments expanded.",
    )  # fmt: skip
    max_directives: int = setting(
        "CONNECT_INBOX_MAX_DIRECTIVES", 30, whole(0, 10_000), "30",
        "Most directives in a document.",
    )  # fmt: skip
    max_tokens: int = setting(
        "CONNECT_INBOX_MAX_TOKENS", 2000, whole(100, 100_000), "2000",
        "Most tokens in a document.",
    )  # fmt: skip
    max_selections: int = setting(
        "CONNECT_INBOX_MAX_SELECTIONS", 5000, whole(100, 100_000), "5000",
        "Most fields and fragments that an operation selects, with its fragments expanded.",
    )  # fmt: skip
    max_cost: int = setting(
        "CONNECT_INBOX_MAX_COST", 10_000, whole(100, 10_000_000), "10000",
        "Most objects that an answer may hold, reckoned from the sizes of its pages.",
    )  # fmt: skip
    operation_timeout: float = setting(
        "CONNECT_INBOX_OPERATION_TIMEOUT", 10.0, number(0.1, 300, "a number of seconds from 0.1 to 300"), "10",
        "Seconds that a query or mutation may take.",
    )  # fmt: skip
    introspection: bool = setting(
        "CONNECT_INBOX_INTROSPECTION", True, on_or_off, "on",
        "Whether the schema can be asked for (on or off).",
    )  # fmt: skip
    suggestions: bool = setting(
        "CONNECT_INBOX_SUGGESTIONS", True, on_or_off, "on",
        "Whether an error about a name that there is not suggests others (on or off).",
    )  # fmt: skip
    rate_per_token: int = setting(
        "CONNECT_INBOX_RATE_PER_TOKEN", 600_000, whole(0, 2**31 - 1), "600000",
        "Points that a token can use in a minute, at one process; 0 for no limit.",
    )  # fmt: skip
    rate_per_address: int = setting(
        "CONNECT_INBOX_RATE_PER_ADDRESS", 3_000_000, whole(0, 2**31 - 1), "3000000",
        "Points that a client's address can use in a minute, at one process; 0 for no limit.",
    )  # fmt: skip
    streams_per_token: int = setting(
        "CONNECT_INBOX_STREAMS_PER_TOKEN", 1000, whole(0, 2**31 - 1), "1000",
        "Sockets, event streams and uploads that a token can hold, at one process; 0 for no limit.",
    )  # fmt: skip
    streams_per_address: int = setting(
        "CONNECT_INBOX_STREAMS_PER_ADDRESS", 20_000, whole(0, 2**31 - 1), "20000",
        "Sockets, event streams and uploads that a client's address can hold, at one process; 0 for no limit.",
    )  # fmt: skip
    operations_per_socket: int = setting(
        "CONNECT_INBOX_OPERATIONS_PER_SOCKET", 100, whole(1, 10_000), "100",
        "Operations that can run on a socket at a time, subscriptions included.",
    )  # fmt: skip
    trusted_proxies: tuple[IPv4Network | IPv6Network, ...] = setting(
        "CONNECT_INBOX_TRUSTED_PROXIES", (), parse_networks, "none",
        "Addresses or networks of the proxies whose `X-Forwarded-For` is believed, separated by commas.",
    )  # fmt: skip
    upkeep_interval: float = setting(
        "CONNECT_INBOX_UPKEEP_INTERVAL", 2.0, number(0.1, 60, "a number of seconds from 0.1 to 60"), "2",
        "Seconds between two looks for changes that other processes have made.",
    )  # fmt: skip
    metrics: bool = setting(
        "CONNECT_INBOX_METRICS", False, on_or_off, "off",
        "Whether `/metrics` is served (on or off). Let only your monitoring reach it.",
    )  # fmt: skip
    log_format: str = setting(
        "CONNECT_INBOX_LOG_FORMAT", "text", one_of("text", "json"), "text",
        "How log lines are written to standard error: text or json.",
    )  # fmt: skip
    log_level: str = setting(
        "CONNECT_INBOX_LOG_LEVEL", "info", one_of("debug", "info", "warning", "error"), "info",
        "The least level that is logged: debug, info, warning or error.",
    )  # fmt: skip

    fast_executor: bool = setting(
        "CONNECT_INBOX_FAST_EXECUTOR", True, on_or_off, "on",
        "Whether plain fields are read at once (on), or each by graphql-core (off). The answers are the same.",
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
                told = f", not {text[:80]!r}" if each.repr else ""  # it may hold a password
                raise WrongSetting(f"{env} must be {error}{told}") from None
        return cls(**values)

    @property
    def providers(self) -> list[Provider]:
        """All OAuth providers that are configured."""
        return [each for each in (self.google, self.microsoft, *self.other_providers) if each is not None]


def settings_table() -> str:
    """All settings, as a table in Markdown."""
    rows = [each.metadata for each in fields(Settings)]
    lines = [f"| `{row['env']}` | {row['shown']} | {row['description']} |" for row in rows]
    return "\n".join(["| variable | default | what it is |", "| --- | --- | --- |", *lines])
