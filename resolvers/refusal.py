"""A refusal is an answer, not a fault: it becomes the payload's `userErrors`."""

from __future__ import annotations

import functools
from collections.abc import Awaitable, Callable
from typing import Any, TypeVar

from schema.types.errors import Refused
from schema.types.payloads import Payload

P = TypeVar("P", bound=Payload)
Mutation = Callable[..., Awaitable[P]]


def refusable(payload: type[P]) -> Callable[[Mutation[P]], Mutation[P]]:
    """Makes of what a mutation refuses a payload that says why."""

    def decorate(mutation: Mutation[P]) -> Mutation[P]:
        @functools.wraps(mutation)
        async def run(*arguments: Any, **named: Any) -> P:
            try:
                return await mutation(*arguments, **named)
            except Refused as refusal:
                return payload(user_errors=[refusal.error])

        return run

    return decorate
