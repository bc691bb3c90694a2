"""Errors as clients see them: a message, a place, and a code. Faults of ours are logged, and masked."""

from __future__ import annotations

import logging
import re
from typing import Any

from graphql import FieldNode, GraphQLError

from connect_inbox.logs import current_request
from schema.types.errors import ApiError, ErrorCode, Refused

logger = logging.getLogger("connect_inbox.graphql")

LONGEST = 240  # characters of a message: the executor's may hold whatever the client sent
# What the executor repeats of a value that has not its type, which may hold a password beside what is wrong.
QUOTED = re.compile(r", found: .*|(\brepresent [^:]*): .*", re.DOTALL)


def formatted(error: GraphQLError) -> dict[str, Any]:
    """An error of an execution, with its code."""
    innermost: Exception = error
    while isinstance(innermost, GraphQLError) and innermost.original_error is not None:
        innermost = innermost.original_error
    is_ours = isinstance(innermost, ApiError | Refused)
    shown: dict[str, Any] = {"message": cut(error.message if is_ours else QUOTED.sub(r"\1", error.message))}
    if error.locations:
        shown["locations"] = [{"line": each.line, "column": each.column} for each in error.locations]
    if error.path:
        shown["path"] = error.path
    if isinstance(innermost, ApiError):
        return {**shown, "extensions": extensions_of(innermost)}
    if isinstance(innermost, Refused) or error.path is None or is_of_an_argument(innermost):
        return {**shown, "extensions": {"code": ErrorCode.BAD_USER_INPUT.value}}
    return {**shown, **fault(innermost)}


def is_of_an_argument(error: Exception) -> bool:
    """Whether the executor found it in what the document says, beside the field: then it is the client's.

    So is one without a path, which is found before any field is executed.
    """
    nodes = error.nodes if isinstance(error, GraphQLError) else None
    return bool(nodes) and not any(isinstance(node, FieldNode) for node in nodes or [])


def cut(message: str) -> str:
    return message if len(message) <= LONGEST else f"{message[: LONGEST - 1]}…"


def extensions_of(error: ApiError) -> dict[str, Any]:
    return {"code": error.code.value, **error.extensions}


def fault(error: BaseException) -> dict[str, Any]:
    """A fault of ours: the client gets the request's id, by which the log tells what it was."""
    id = current_request()
    if isinstance(error, GraphQLError):  # as text it holds the document, and behind the colon a value
        logger.error("fault %s: %s", id, cut(error.message.partition(":")[0]))
    else:
        logger.error("fault %s", id, exc_info=error)
    extensions = {"code": ErrorCode.INTERNAL.value, "requestId": id}
    return {"message": f"something went wrong here; it is in the log as {id}", "extensions": extensions}


def coded(error: Exception) -> dict[str, Any]:
    """An error outside of any field."""
    if isinstance(error, ApiError):
        return {"message": error.message, "extensions": extensions_of(error)}
    if isinstance(error, Refused):
        return {"message": error.error.message, "extensions": {"code": ErrorCode.BAD_USER_INPUT.value}}
    if isinstance(error, GraphQLError):
        return formatted(error)
    return fault(error)
