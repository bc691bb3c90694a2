"""One operation: read from what a client sent, and executed."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from inspect import isawaitable
from typing import Any, cast

import orjson
from graphql import DocumentNode, ExecutionResult, OperationType, execute
from graphql.execution import Executor, create_source_event_stream

from connect_inbox.graphql.errors import coded, formatted
from connect_inbox.graphql.executor import Noted
from connect_inbox.graphql.sharing import Sharing
from resolvers.context import Context
from resolvers.feed import Feed
from schema.root import schema
from schema.types.context import Caller
from schema.types.errors import ApiError, ErrorCode, bad_input

Result = dict[str, Any]
SCHEMA = schema._schema


@dataclass(frozen=True)
class Request:
    """What a client asks for, before it is looked into."""

    query: str
    variables: dict[str, Any]
    operation_name: str | None


@dataclass(frozen=True)
class Operation:
    """A valid operation of a document, and what it costs."""

    document: DocumentNode
    kind: OperationType
    request: Request
    sharing: Sharing
    executor: type[Executor[Any]]
    cost: int = 0
    hide_suggestions: bool = False
    seconds: float = 10.0  # that it may take to be answered, or to begin

    @property
    def kept(self) -> int:
        """The size of what is kept for as long as it lasts, beside its document: of a subscription's variables."""
        return size_of(self.request.variables) if self.kind is OperationType.SUBSCRIPTION else 0

    def group_key(self, caller: Caller) -> bytes:
        """The same for all subscriptions whose events are the same."""
        request = self.request
        return self.sharing.key(caller, request.query, request.operation_name, request.variables)


def size_of(variables: dict[str, Any]) -> int:
    """The characters of their names and values, and one for each value, however deep they are."""
    size, waiting = sum(map(len, variables)), list(variables.values())
    while waiting:
        value = waiting.pop()
        if isinstance(value, dict):
            size += sum(map(len, value))
            waiting += value.values()
        elif isinstance(value, list):
            waiting += value
        size += len(value) + 1 if isinstance(value, str) else 1
    return size


class Invalid(Exception):
    """A document that cannot be executed, and why."""

    def __init__(self, errors: list[Result]) -> None:
        super().__init__(errors)
        self.errors = errors


class Failed(Invalid):
    """An event that could not be executed for a fault of ours: it is still to be told."""


def errors_of(error: Exception) -> list[Result]:
    """What a client is told of an operation that raises this."""
    return error.errors if isinstance(error, Invalid) else [coded(error)]


def request_of(body: object) -> Request:
    """The request in a decoded body or payload. Raises BAD_USER_INPUT for whatever has not its form."""
    if not isinstance(body, dict):
        raise bad_input("a request is an object with a query")
    query, variables, name = body.get("query"), body.get("variables"), body.get("operationName")
    if not isinstance(query, str) or not query.strip():
        raise bad_input("query must be a GraphQL document, as a string")
    if variables is not None and not isinstance(variables, dict):
        raise bad_input("variables must be an object")
    if name is not None and not isinstance(name, str):
        raise bad_input("operationName must be a string")
    if not isinstance(body.get("extensions", {}), dict | None):
        raise bad_input("extensions must be an object")
    return Request(query, variables or {}, name)


@asynccontextmanager
async def in_time(operation: Operation) -> AsyncIterator[None]:
    """Ends what takes longer than the operation may. Raises TIMED_OUT."""
    try:
        async with asyncio.timeout(operation.seconds):
            yield
    except TimeoutError:
        message = f"the operation was ended after {operation.seconds:g} s"
        raise ApiError(ErrorCode.TIMED_OUT, message) from None


async def run(operation: Operation, context: Context) -> Result:
    """Executes a query or mutation."""
    return await _execute(operation, context, None)


async def feed_of(operation: Operation, context: Context) -> Feed:
    """What a subscription's resolver returns: its source, before any event. Raises what the resolver refuses."""
    request = operation.request
    executor = Executor.build(
        SCHEMA,
        operation.document,
        context_value=context,
        raw_variable_values=request.variables,
        operation_name=request.operation_name,
        hide_suggestions=operation.hide_suggestions,
    )
    if isinstance(executor, list):
        raise Invalid([formatted(error) for error in executor])
    source = create_source_event_stream(executor)
    if isawaitable(source):
        source = await source
    if isinstance(source, ExecutionResult):
        raise Invalid([formatted(error) for error in source.errors or []])
    return cast(Feed, source)


async def run_event(operation: Operation, context: Context, event: object) -> bytes:
    """Executes a subscription's selection on one of its events; the result, encoded. Raises Failed."""
    result = await _execute(operation, context, event)
    errors = result.get("errors", [])
    if any(error["extensions"]["code"] == ErrorCode.INTERNAL.value for error in errors):
        raise Failed(errors)
    return encode(result)


async def _execute(operation: Operation, context: Context, root: object) -> Result:
    noted = Noted()
    result = execute(
        SCHEMA,
        operation.document,
        root,
        context_value=context,
        variable_values=operation.request.variables,
        operation_name=operation.request.operation_name,
        executor_class=operation.executor,
        is_awaitable=noted,
        hide_suggestions=operation.hide_suggestions,
    )
    try:
        if not isinstance(result, ExecutionResult):
            result = await cast(Any, result)
    finally:
        noted.close()
    return result_of(result)


def result_of(result: ExecutionResult) -> Result:
    shown: Result = {"data": result.data}
    if result.errors:
        shown = {"errors": [formatted(error) for error in result.errors], **shown}
    return shown


def encode(result: object) -> bytes:
    return orjson.dumps(result)


def decode(text: str | bytes) -> object:
    """JSON (RFC 8259). Raises BAD_USER_INPUT."""
    try:
        return orjson.loads(text)
    except orjson.JSONDecodeError as error:
        raise bad_input(f"this is not JSON: {error.msg} at {error.pos}") from None
