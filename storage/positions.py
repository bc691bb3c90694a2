"""A place in a workspace's log, as the opaque string that clients get for it.

It names the log's epoch, which is random and made anew when a backup is restored, so that a position of another
workspace, or of a log that is gone, is recognised as foreign.
"""

from __future__ import annotations

import re
import secrets

from schema.types.errors import bad_input

_POSITION = re.compile(r"([a-z0-9]{12})\.(0|[1-9][0-9]{0,14})")


def new_epoch() -> str:
    return "".join(secrets.choice("abcdefghijklmnopqrstuvwxyz0123456789") for _ in range(12))


def format_position(epoch: str, number: int) -> str:
    return f"{epoch}.{number}"


def parse_position(position: str) -> tuple[str, int]:
    """The epoch and the number. Raises BAD_USER_INPUT for what never was a position."""
    match = _POSITION.fullmatch(position)
    if match is None:
        raise bad_input(f"{position[:60]!r} is not a position")
    return match[1], int(match[2])
