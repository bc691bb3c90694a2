"""Times: UTC, RFC 3339, cut to milliseconds when they are made, as the database keeps them."""

from __future__ import annotations

from datetime import UTC, datetime

import strawberry


def now() -> datetime:
    """The time, in UTC, in whole milliseconds."""
    return to_milliseconds(datetime.now(UTC))


def to_milliseconds(time: datetime) -> datetime:
    return time.replace(microsecond=time.microsecond // 1000 * 1000)


def format_time(time: datetime) -> str:
    return time.astimezone(UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")


def parse_time(text: object) -> datetime:
    """Reads an RFC 3339 time; one without an offset is refused, as it would mean something else elsewhere."""
    if not isinstance(text, str):
        raise ValueError("a time is a string such as 2026-01-31T09:30:00.000Z")
    try:
        time = datetime.fromisoformat(text)
    except ValueError:
        time = datetime.min
    if time.tzinfo is None:
        raise ValueError(f"{text[:40]!r} is not an RFC 3339 time such as 2026-01-31T09:30:00.000Z")
    try:
        return to_milliseconds(time.astimezone(UTC))
    except OverflowError:
        raise ValueError(f"{text[:40]!r} is outside the years 1 to 9999") from None


DATE_TIME = strawberry.scalar(
    name="DateTime",
    description="A time in UTC as RFC 3339 writes it, with milliseconds: 2026-01-31T09:30:00.000Z.",
    specified_by_url="https://www.rfc-editor.org/rfc/rfc3339",
    serialize=format_time,
    parse_value=parse_time,
)
