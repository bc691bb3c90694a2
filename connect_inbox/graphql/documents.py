"""Documents: parsed, limited and validated once, and kept, whether they are valid or not."""

from __future__ import annotations

from collections import OrderedDict
from dataclasses import dataclass
from typing import Any

from graphql import (
    DocumentNode,
    GraphQLError,
    OperationDefinitionNode,
    get_operation_ast,
    parse,
    specified_rules,
    validate,
)
from graphql.execution import Executor
from graphql.validation.rules import overlapping_fields_can_be_merged
from strawberry.schema.validation_rules.maybe_null import MaybeNullValidationRule
from strawberry.schema.validation_rules.one_of import OneOfInputValidationRule

from connect_inbox.graphql.cost import Cost, Pricing
from connect_inbox.graphql.errors import coded, formatted
from connect_inbox.graphql.executor import FastExecutor
from connect_inbox.graphql.limits import MOST_CHARACTERS, Limits, above, refusals
from connect_inbox.graphql.operation import SCHEMA, Invalid, Operation, Request, Result
from connect_inbox.graphql.sharing import Sharing, sharing_of
from schema.types.errors import ApiError, bad_input, too_complex

RULES = (*specified_rules, MaybeNullValidationRule, OneOfInputValidationRule)
KEPT = 256 * 1024  # characters of all documents that are kept, which take some 130 bytes each
LARGEST_KEPT = 16 * 1024  # characters of one
overlapping_fields_can_be_merged.MAX_COMPLEXITY_BUDGET = 100_000  # the one rule whose work is not linear


@dataclass(frozen=True)
class Document:
    """A valid document."""

    query: str
    node: DocumentNode
    costs: dict[int, Cost]  # by the id() of its operations
    sharing: Sharing


class Documents:
    """What turns requests into operations, under limits."""

    def __init__(self, limits: Limits, executor: type[Executor[Any]] = FastExecutor) -> None:
        self._limits = limits
        self._executor = executor
        self._kept: OrderedDict[str, Document | list[Result]] = OrderedDict()  # the one used last is last
        self._size = 0  # characters of those that are kept
        self.hits = self.misses = 0

    def prepare(self, request: Request) -> Operation:
        """The operation that a request asks for, and its cost with these variables. Raises Invalid."""
        document = self._document(request.query)
        if isinstance(document, list):
            raise Invalid(document)
        node = operation_of(document.node, request.operation_name)
        request = Request(document.query, declared(node, request.variables), request.operation_name)
        cost = document.costs[id(node)].of(request.variables)
        if cost > self._limits.cost:
            raise Invalid([coded(above("objects in its answer", cost, self._limits.cost))])
        return Operation(
            document.node, node.operation, request, document.sharing, self._executor, cost,
            hide_suggestions=not self._limits.suggestions, seconds=self._limits.seconds,
        )  # fmt: skip

    def knows(self, query: str) -> bool:
        """Whether a document needs not be read again."""
        return query in self._kept

    def _document(self, query: str) -> Document | list[Result]:
        known = self._kept.get(query)
        if known is not None:
            self._kept.move_to_end(query)
            self.hits += 1
            return known
        self.misses += 1
        document = self._read(query)
        if len(query) <= LARGEST_KEPT:
            self._keep(query, document)
        return document

    def _keep(self, query: str, document: Document | list[Result]) -> None:
        self._kept[query] = document
        self._size += len(query)
        while self._size > KEPT:
            oldest, _ = self._kept.popitem(last=False)
            self._size -= len(oldest)

    def _read(self, query: str) -> Document | list[Result]:
        """A valid document, or what is wrong with it."""
        try:
            node = parsed(query, self._limits.tokens)
        except GraphQLError as error:
            return [formatted(error)]
        except ApiError as error:
            return [coded(error)]
        refused = refusals(node, self._limits)
        if refused:
            return [coded(each) for each in refused]
        errors = validate(SCHEMA, node, RULES, hide_suggestions=not self._limits.suggestions)
        if errors:
            return [formatted(error) for error in errors]
        pricing = Pricing(node)
        operations = [each for each in node.definitions if isinstance(each, OperationDefinitionNode)]
        return Document(query, node, {id(each): pricing.cost(each) for each in operations}, sharing_of(SCHEMA, node))


def parsed(query: str, tokens: int) -> DocumentNode:
    """Raises GraphQLError, or ApiError for a document that is too long to be read to its end."""
    if len(query) > MOST_CHARACTERS:
        raise above("characters", len(query), MOST_CHARACTERS)
    try:
        return parse(query, max_tokens=tokens)
    except GraphQLError as error:
        if not error.message.endswith("Parsing aborted."):
            raise
        deep = "deeply" in error.message
    if deep:
        raise too_complex("the document is nested too deeply to be read")
    raise too_complex(f"the document has more than {tokens} tokens; the limit is {tokens}")


def declared(operation: OperationDefinitionNode, variables: dict[str, Any]) -> dict[str, Any]:
    """What is sent beside that is ignored, so it need not be kept for as long as a subscription lasts."""
    names = [each.variable.name.value for each in operation.variable_definitions or ()]
    return {name: variables[name] for name in names if name in variables}


def operation_of(document: DocumentNode, name: str | None) -> OperationDefinitionNode:
    """Raises Invalid where it is not clear which one is meant."""
    operation = get_operation_ast(document, name)
    if operation is not None:
        return operation
    if name is None:
        message = "the document has several operations or none; operationName must name one"
    else:
        message = f"the document has no operation {name[:60]!r}"
    raise Invalid([coded(bad_input(message))])
