"""How operations end, and how long they take: counted for `/metrics`, and a line in the log for one that takes long."""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Iterator
from contextlib import contextmanager

from graphql import get_operation_ast

from connect_inbox.graphql.operation import Invalid, Operation, Result
from connect_inbox.logs import SLOW
from connect_inbox.timings import Timings
from resolvers.context import Context
from schema.types.errors import ApiError, ErrorCode

logger = logging.getLogger("connect_inbox.operations")

OK = "ok"
CANCELLED = "cancelled"  # nobody waits for it any more
UNKNOWN = "unknown"  # the type of what is refused before it is known what it is
LONGEST_NAME = 60  # characters


class Outcome:
    """What an operation came to: an error code, why a mutation was refused, or neither."""

    def __init__(self) -> None:
        self.name = OK

    def is_of(self, result: Result, context: Context) -> None:
        errors = result.get("errors")
        if errors:
            self.name = errors[0]["extensions"]["code"]
        elif context.refused is not None:
            self.name = context.refused.name


def outcome_of(error: BaseException) -> str:
    if isinstance(error, Invalid):
        code: str = error.errors[0]["extensions"]["code"]
        return code
    if isinstance(error, asyncio.CancelledError):
        return CANCELLED
    return error.code.value if isinstance(error, ApiError) else ErrorCode.INTERNAL.value


@contextmanager
def timed(timings: Timings, operation: Operation) -> Iterator[Outcome]:
    """Counts what is done meanwhile as this operation; what it raises is its outcome, too."""
    outcome, started = Outcome(), time.monotonic()
    try:
        yield outcome
    except BaseException as error:
        outcome.name = outcome_of(error)
        raise
    finally:
        seconds = time.monotonic() - started
        timings.add(seconds, operation.kind.value, outcome.name)
        log(operation, outcome.name, seconds)


@contextmanager
def refused(timings: Timings) -> Iterator[None]:
    """Counts what is raised meanwhile as an operation that is not even begun."""
    started = time.monotonic()
    try:
        yield
    except Exception as error:
        timings.add(time.monotonic() - started, UNKNOWN, outcome_of(error))
        raise


def log(operation: Operation, outcome: str, seconds: float) -> None:
    """Of the document a line has the operation's name, no more."""
    level = logging.INFO if seconds >= SLOW else logging.DEBUG
    if logger.isEnabledFor(level):
        node = get_operation_ast(operation.document, operation.request.operation_name)
        name = node.name.value[:LONGEST_NAME] if node and node.name else "without a name"
        logger.log(level, "%s %s: %s after %.3f s", operation.kind.value, name, outcome, seconds)
