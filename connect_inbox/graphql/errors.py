"""Errors as clients see them: a message, a place, and a code. Faults of ours are logged, and masked."""

from __future__ import annotations

import logging
import secrets
from typing import Any

from graphql import GraphQLError

from schema.types.errors import ApiError, ErrorCode, Refused

logger = logging.getLogger("connect_inbox.graphql")


def formatted(error: GraphQLError) -> dict[str, Any]:
    """An error of an execution, with its code.

    An error without a path is one of the document or its variables, which are the client's.
    """
    original = error.original_error
    while isinstance(original, GraphQLError):
        original = original.original_error
    shown: dict[str, Any] = {"message": error.message}
    if error.locations:
        shown["locations"] = [{"line": each.line, "column": each.column} for each in error.locations]
    if error.path:
        shown["path"] = error.path
    if isinstance(original, ApiError):
        return {**shown, "extensions": {"code": original.code.value}}
    if isinstance(original, Refused) or error.path is None:
        return {**shown, "extensions": {"code": ErrorCode.BAD_USER_INPUT.value}}
    return {**shown, **fault(original or error)}


def fault(error: BaseException) -> dict[str, Any]:
    """A fault of ours: the client gets an id, by which the log tells what it was."""
    id = secrets.token_hex(8)
    logger.error("fault %s", id, exc_info=error)
    extensions = {"code": ErrorCode.INTERNAL.value, "requestId": id}
    return {"message": f"something went wrong here; it is in the log as {id}", "extensions": extensions}


def coded(error: Exception) -> dict[str, Any]:
    """An error outside of any field."""
    if isinstance(error, ApiError):
        return {"message": error.message, "extensions": {"code": error.code.value}}
    if isinstance(error, Refused):
        return {"message": error.error.message, "extensions": {"code": ErrorCode.BAD_USER_INPUT.value}}
    if isinstance(error, GraphQLError):
        return formatted(error)
    return fault(error)
