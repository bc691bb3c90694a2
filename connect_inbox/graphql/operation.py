"""One operation: read from what a client sent, parsed, validated, executed."""

from __future__ import annotations

from collections.abc import AsyncIterator
from dataclasses import dataclass
from functools import lru_cache
from typing import Any, cast

import orjson
from graphql import (
    DocumentNode,
    ExecutionResult,
    GraphQLError,
    OperationType,
    execute,
    get_operation_ast,
    parse,
    specified_rules,
    subscribe,
)
from strawberry.schema.schema import validate_document

from connect_inbox.graphql.errors import coded, formatted
from resolvers.context import Context
from schema.root import schema
from schema.types.errors import bad_input

MOST_TOKENS = 10_000
KEPT_DOCUMENTS = 500

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
    """A valid operation of a document."""

    document: DocumentNode
    kind: OperationType
    request: Request


class Invalid(Exception):
    """A document that cannot be executed, and why."""

    def __init__(self, errors: list[Result]) -> None:
        super().__init__(errors)
        self.errors = errors


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


def prepare(request: Request) -> Operation:
    """Parses and validates. Raises Invalid."""
    parsed = _document(request.query)
    if isinstance(parsed, list):
        raise Invalid(parsed)
    operation = get_operation_ast(parsed, request.operation_name)
    if operation is None:
        if request.operation_name is None:
            message = "the document has several operations or none; operationName must name one"
        else:
            message = f"the document has no operation {request.operation_name[:60]!r}"
        raise Invalid([coded(bad_input(message))])
    return Operation(parsed, operation.operation, request)


@lru_cache(KEPT_DOCUMENTS)
def _document(query: str) -> DocumentNode | list[Result]:
    """A valid document, or what is wrong with it."""
    try:
        document = parse(query, max_tokens=MOST_TOKENS)
    except GraphQLError as error:
        return [formatted(error)]
    except RecursionError:
        return [coded(bad_input("the document is nested too deeply"))]
    errors = validate_document(SCHEMA, document, tuple(specified_rules))
    return [formatted(error) for error in errors] or document


async def run(operation: Operation, context: Context) -> Result:
    """Executes a query or mutation."""
    result = execute(SCHEMA, operation.document, **_arguments(operation, context))
    if not isinstance(result, ExecutionResult):
        result = await cast(Any, result)
    return result_of(result)


async def follow(operation: Operation, context: Context) -> AsyncIterator[Result]:
    """Executes a subscription: a result for each event. Raises what its beginning or its source raises."""
    stream = subscribe(SCHEMA, operation.document, **_arguments(operation, context))
    if not isinstance(stream, ExecutionResult) and not hasattr(stream, "__aiter__"):
        stream = await cast(Any, stream)
    if isinstance(stream, ExecutionResult):
        raise Invalid([formatted(error) for error in stream.errors or []])
    source = cast(Any, stream)
    try:
        async for result in source:
            yield result_of(result)
    finally:
        await source.aclose()


def _arguments(operation: Operation, context: Context) -> dict[str, Any]:
    return {
        "context_value": context,
        "variable_values": operation.request.variables,
        "operation_name": operation.request.operation_name,
        "executor_class": schema.execution_context_class,
    }


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
