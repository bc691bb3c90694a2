"""What executing an operation costs at most, in objects of its answer. An object counts one; a page counts its size
times what each of its rows holds, at least one each. So a page of 100 in each row of a page of 100 is 10,000.

What does not depend on variables is counted once per document. What does is kept as steps, each of which adds up what
earlier ones gave, so that the cost of a request is found in one pass, and a fragment's in one step.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from graphql import (
    ArgumentNode,
    DocumentNode,
    FieldNode,
    FragmentDefinitionNode,
    FragmentSpreadNode,
    GraphQLField,
    GraphQLInterfaceType,
    GraphQLNamedType,
    GraphQLObjectType,
    InlineFragmentNode,
    IntValueNode,
    ListValueNode,
    OperationDefinitionNode,
    SelectionNode,
    SelectionSetNode,
    ValueNode,
    VariableNode,
    get_named_type,
    get_nullable_type,
    is_leaf_type,
    is_list_type,
)

from schema.root import schema
from schema.types.paging import MOST

SCHEMA = schema._schema
SIZED_BY = ("first", "last", "ids")  # the arguments that say how many rows there are
PAGE = 25  # rows, where nothing is said
LISTED = 5  # assumed of a list that has no pages
INTROSPECTION = {"__typename": 0, "__type": 100, "__schema": 2500}


def _fields() -> list[tuple[GraphQLNamedType, GraphQLField]]:
    types = [each for each in SCHEMA.type_map.values() if isinstance(each, GraphQLObjectType)]
    return [(type, field) for type in types if not type.name.startswith("__") for field in type.fields.values()]


PAGES = {get_named_type(each.type) for _, each in _fields() if {"first", "last"} & each.args.keys()}
EDGES = {
    get_named_type(each.type)
    for type, each in _fields()
    if type in PAGES and "cursor" in getattr(get_named_type(each.type), "fields", {})
}
WRAPPERS = PAGES | EDGES  # which hold the rows of a page, and are none
PAYLOADS = {get_named_type(each.type) for type, each in _fields() if type is SCHEMA.mutation_type}


@dataclass(frozen=True)
class Size:
    """How many rows there are: the most that the document and these variables say, or else `otherwise`."""

    said: tuple[int, ...]
    variables: tuple[str, ...]
    otherwise: int

    def of(self, values: Mapping[str, Any]) -> int:
        given = [rows_of(values[name]) for name in self.variables if name in values]
        return max([*self.said, *(each for each in given if each is not None)], default=self.otherwise)


@dataclass
class Sum:
    """A fixed number, and for each part its size times what a step gave, or `least` if that is more."""

    fixed: int = 0
    parts: list[tuple[Size, int, int]] = field(default_factory=list)  # size, step, least

    def add(self, other: Sum) -> None:
        self.fixed += other.fixed
        self.parts += other.parts

    def of(self, values: Mapping[str, Any], steps: list[int]) -> int:
        return self.fixed + sum(size.of(values) * max(least, steps[step]) for size, step, least in self.parts)


@dataclass(frozen=True)
class Cost:
    """An operation's cost, in which only the variables' values are missing."""

    steps: list[Sum]
    total: Sum
    defaults: dict[str, Any]

    def of(self, variables: Mapping[str, Any]) -> int:
        values = {**self.defaults, **variables}
        found: list[int] = []
        for step in self.steps:
            found.append(step.of(values, found))
        return self.total.of(values, found)


class Pricing:
    """One valid document's walk."""

    def __init__(self, document: DocumentNode) -> None:
        self._fragments = {
            each.name.value: each for each in document.definitions if isinstance(each, FragmentDefinitionNode)
        }
        self._known: dict[str, Sum] = {}
        self._steps: list[Sum] = []

    def cost(self, operation: OperationDefinitionNode) -> Cost:
        total = self._selections(operation.selection_set, SCHEMA.get_root_type(operation.operation))
        defaults = {
            each.variable.name.value: literal(each.default_value)
            for each in operation.variable_definitions or ()
            if each.default_value is not None
        }
        return Cost(self._steps, total, defaults)

    def _selections(self, selections: SelectionSetNode | None, parent: GraphQLNamedType | None) -> Sum:
        total = Sum()
        for selection in selections.selections if selections else ():
            total.add(self._selection(selection, parent))
        return total

    def _selection(self, selection: SelectionNode, parent: GraphQLNamedType | None) -> Sum:
        if isinstance(selection, FragmentSpreadNode):
            return self._fragment(selection.name.value)
        if isinstance(selection, InlineFragmentNode):
            condition = selection.type_condition
            return self._selections(
                selection.selection_set, SCHEMA.type_map[condition.name.value] if condition else parent
            )
        assert isinstance(selection, FieldNode)
        name = selection.name.value
        if name in INTROSPECTION:
            return Sum(INTROSPECTION[name])
        assert isinstance(parent, GraphQLObjectType | GraphQLInterfaceType)
        return self._field(selection, parent, parent.fields[name])

    def _fragment(self, name: str) -> Sum:
        if name not in self._known:
            fragment = self._fragments[name]
            total = self._selections(fragment.selection_set, SCHEMA.type_map[fragment.type_condition.name.value])
            self._known[name] = self._times(Size((1,), (), 1), total, 0)
        return self._known[name]

    def _field(self, selection: FieldNode, parent: GraphQLNamedType, field: GraphQLField) -> Sum:
        type = get_named_type(field.type)
        if is_leaf_type(type):
            return Sum()
        within = self._selections(selection.selection_set, type)
        if parent in WRAPPERS:
            return within
        if field.args.keys() & set(SIZED_BY):
            return self._times(size_of(selection, field), within, 1)
        if is_list_type(get_nullable_type(field.type)):
            rows = MOST if parent in PAYLOADS and type.name != "UserError" else LISTED
            return self._times(Size((rows,), (), rows), within, 1)
        within.fixed += 1
        return within

    def _times(self, size: Size, within: Sum, least: int) -> Sum:
        if not size.variables and not within.parts:
            return Sum(size.of({}) * max(least, within.fixed))
        self._steps.append(within)
        return Sum(0, [(size, len(self._steps) - 1, least)])


def size_of(selection: FieldNode, field: GraphQLField) -> Size:
    """The size that a field's arguments give."""
    given: list[ArgumentNode] = [each for each in selection.arguments or () if each.name.value in SIZED_BY]
    variables = tuple(each.value.name.value for each in given if isinstance(each.value, VariableNode))
    said = [rows_of(literal(each.value)) for each in given if not isinstance(each.value, VariableNode)]
    defaults = [field.args[name].default_value for name in SIZED_BY if name in field.args]
    otherwise = next((each for each in defaults if isinstance(each, int)), MOST if "ids" in field.args else PAGE)
    return Size(tuple(each for each in said if each is not None), variables, otherwise)


def literal(value: ValueNode) -> object:
    """What of a literal says how many: a number, or a list's length as a list of that length."""
    if isinstance(value, IntValueNode):
        return int(value.value) if len(value.value) < 10 else MOST
    return [None] * len(value.values) if isinstance(value, ListValueNode) else None


def rows_of(value: object) -> int | None:
    """How many rows a value asks for; None where it asks for no number. No more than MOST are ever given."""
    if isinstance(value, list):
        return min(len(value), MOST)
    if isinstance(value, int) and not isinstance(value, bool):
        return max(0, min(value, MOST))
    return None
