"""Whether what a client says has the form it must have. What it means is decided in storage, at the log's head."""

from __future__ import annotations

import re
from datetime import date
from urllib.parse import urlsplit

from schema.types.errors import Refused, UserErrorCode, bad_input
from schema.types.node import kind_of
from schema.types.tag import VariableType
from storage.addresses import has_domain
from sync.composing_headers import is_address

NAME, TEXT, SUBJECT, KEY, URL, VALUE, NOTE = 200, 50_000, 500, 200, 2000, 2000, 10_000
MOST = 100

_CONTROL = re.compile(r"[\x00-\x1f\x7f-\x9f\u2028\u2029]")
_NOT_IN_TEXT = re.compile(r"[\x00-\x08\x0b\x0c\x0e-\x1f\x7f]")
_HANDLE = re.compile(r"[^\s@:/]{1,100}")
_COLOR = re.compile(r"#[0-9a-fA-F]{6}")
_NUMBER = re.compile(r"-?[0-9]{1,40}(\.[0-9]{1,40})?")


def line(value: str, *field: str, most: int = NAME) -> str:
    """One line of text, such as a name, without white space around it."""
    stripped = value.strip()
    if not stripped:
        raise Refused(UserErrorCode.BLANK, f"{field[-1]} must not be empty", *field)
    return optional_line(stripped, *field, most=most)


def optional_line(value: str, *field: str, most: int = NAME) -> str:
    if len(value) > most:
        raise Refused(UserErrorCode.TOO_LONG, f"{field[-1]} has at most {most} characters", *field)
    if _CONTROL.search(value):
        raise Refused(UserErrorCode.INVALID, f"{field[-1]} must be one line without control characters", *field)
    return value


def text(value: str, *field: str, most: int = TEXT) -> str:
    """Text of any number of lines."""
    if not value.strip():
        raise Refused(UserErrorCode.BLANK, f"{field[-1]} must not be empty", *field)
    return optional_text(value, *field, most=most)


def optional_text(value: str, *field: str, most: int = TEXT) -> str:
    if len(value) > most:
        raise Refused(UserErrorCode.TOO_LONG, f"{field[-1]} has at most {most} characters", *field)
    if _NOT_IN_TEXT.search(value):
        raise Refused(UserErrorCode.INVALID, f"{field[-1]} must not contain control characters", *field)
    return value


def email(value: str, *field: str) -> str:
    """Somebody's address, to which a mail can be written."""
    address = value.strip()
    if not has_domain(address) or not is_address(address):
        raise Refused(UserErrorCode.INVALID, f"{address[:80]!r} is not an e-mail address", *field)
    return address


def handle(value: str, *field: str) -> str:
    name = value.strip().removeprefix("@")
    if not _HANDLE.fullmatch(name) or _CONTROL.search(name):
        raise Refused(UserErrorCode.INVALID, f"{value[:80]!r} is not a handle", *field)
    return name


def url(value: str, *field: str) -> str:
    address = line(value, *field, most=URL)
    try:
        parts = urlsplit(address)
        is_web = parts.scheme in ("http", "https") and bool(parts.hostname)
    except ValueError:
        is_web = False
    if not is_web or " " in address:
        raise Refused(UserErrorCode.INVALID, f"{field[-1]} is not an http or https address", *field)
    return address


def color(value: str, *field: str) -> str:
    if not _COLOR.fullmatch(value):
        raise Refused(UserErrorCode.INVALID, "a colour is written as #rrggbb", *field)
    return value.lower()


def variable_value(value: str, type: VariableType, *field: str) -> str:
    """A custom variable's value as its type has it."""
    value = line(value, *field, most=VALUE)
    if type is VariableType.URL:
        return url(value, *field)
    if not _has_type(value, type):
        raise Refused(UserErrorCode.INVALID, f"{value[:80]!r} is not a {type.name}", *field)
    return value


def _has_type(value: str, type: VariableType) -> bool:
    if type is VariableType.NUMBER:
        return _NUMBER.fullmatch(value) is not None
    if type is VariableType.DATE:
        try:
            return date.fromisoformat(value).isoformat() == value
        except ValueError:
            return False
    if type is VariableType.BOOLEAN:
        return value in ("true", "false")
    return True


def optional_id(value: str | None) -> None:
    """Raises BAD_USER_INPUT for what is given and no id."""
    if value is not None:
        kind_of(value)


def ids(values: list[str], name: str) -> list[str]:
    """Ids, each once. Raises BAD_USER_INPUT for what is none and for more than a hundred."""
    if len(values) > MOST:
        raise bad_input(f"{name} has at most {MOST} ids, not {len(values)}")
    for value in values:
        kind_of(value)
    return list(dict.fromkeys(str(value) for value in values))


def at_most(values: list[object], most: int, *field: str) -> None:
    if len(values) > most:
        raise Refused(UserErrorCode.TOO_LONG, f"{field[-1]} has at most {most} items", *field)
