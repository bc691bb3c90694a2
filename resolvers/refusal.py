"""A refusal is an answer, not a fault: it becomes the payload's `userErrors`."""

from __future__ import annotations

import functools
from collections.abc import Awaitable, Callable
from typing import Any, TypeVar

from resolvers import access
from resolvers.context import Info
from schema.types.errors import Refused
from schema.types.payloads import Payload

P = TypeVar("P", bound=Payload)
Mutation = Callable[..., Awaitable[P]]


def refusable(payload: type[P]) -> Callable[[Mutation[P]], Mutation[P]]:
    """Makes of what a mutation refuses a payload that says why."""

    def decorate(mutation: Mutation[P]) -> Mutation[P]:
        @functools.wraps(mutation)
        async def run(info: Info, input: Any) -> P:
            # Who may write but not read sees what they changed, and nothing that it leads to.
            reader = info.context.reader
            reader.is_open = True
            try:
                return await mutation(info, input)
            except Refused as refusal:
                info.context.refused = refusal.error.code
                return payload(user_errors=[refusal.error])
            finally:
                reader.is_open = access.may_read(reader.caller)

        return run

    return decorate
