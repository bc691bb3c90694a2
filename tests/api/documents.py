"""Documents made from the schema, for tests that have to reach all of it; their variables are made in `values`.

    operations()            every field of Query, Mutation and Subscription, and every other field that takes arguments,
                            each with a document that has all of its arguments as variables and selects all it gives
    selection_for(type, n)  all fields of a type, n levels of objects deep, with fragments for the types of an interface

The types of one interface may give a field of one name different types, and a document must not select two such under
one name. These fields are selected as `field_Type` wherever they appear, so that an object looks the same everywhere.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cache
from typing import cast

from graphql import (
    GraphQLArgument,
    GraphQLField,
    GraphQLInputType,
    GraphQLInterfaceType,
    GraphQLNonNull,
    GraphQLObjectType,
    GraphQLSchema,
    get_named_type,
    is_leaf_type,
    is_required_argument,
)

from schema.root import schema

SCHEMA: GraphQLSchema = schema._schema
DEPTH = 2  # levels of objects that a generated document selects
ROOTS = {"query": "Query", "mutation": "Mutation", "subscription": "Subscription"}


@dataclass(frozen=True)
class Operation:
    """A field that can be asked for: `name` is that of a root field, or `Type.field` of one that takes arguments."""

    kind: str
    name: str
    arguments: Mapping[str, GraphQLInputType] = field(compare=False)
    required: frozenset[str] = field(compare=False)
    document: str = field(compare=False)

    @property
    def owner(self) -> str:
        """What its arguments' names are told apart by."""
        return self.name if "." in self.name else f"{ROOTS[self.kind]}.{self.name}"

    @property
    def is_root(self) -> bool:
        return "." not in self.name

    def __str__(self) -> str:
        return f"{self.kind} {self.name}"


@cache
def operations() -> tuple[Operation, ...]:
    """Everything that can be asked for."""
    found = []
    for kind, root in ROOTS.items():
        for name, each in object_type(root).fields.items():
            found.append(_operation(kind, name, each, f"{name}{_passed(each)} {_selected(each, DEPTH)}"))
    for type in SCHEMA.type_map.values():
        if isinstance(type, GraphQLObjectType) and type.name not in ROOTS.values() and not type.name.startswith("__"):
            for name, each in type.fields.items():
                if each.args:
                    found.append(_nested(type, name, each))
    return tuple(found)


def operation(name: str, kind: str | None = None) -> Operation:
    """The operation of that name; `kind` tells those of two roots apart."""
    return next(each for each in operations() if each.name == name and kind in (None, each.kind))


def object_type(name: str) -> GraphQLObjectType:
    return cast(GraphQLObjectType, SCHEMA.type_map[name])


def _nested(type: GraphQLObjectType, name: str, each: GraphQLField) -> Operation:
    """A field with arguments of an object, which is reached by the object's id."""
    assert any(interface.name == "Node" for interface in type.interfaces), f"{type.name}.{name} is out of reach"
    body = f"node(id: $node) {{ ... on {type.name} {{ {name}{_passed(each)} {_selected(each, DEPTH)} }} }}"
    return _operation("query", f"{type.name}.{name}", each, body, ["$node: ID!"])


def _operation(kind: str, name: str, each: GraphQLField, body: str, more: list[str] | None = None) -> Operation:
    variables = [*(more or []), *[f"${argument}: {declared(it)}" for argument, it in each.args.items()]]
    declaration = f"({', '.join(variables)})" if variables else ""
    required = frozenset(argument for argument, it in each.args.items() if is_required_argument(it))
    arguments = {argument: it.type for argument, it in each.args.items()}
    return Operation(kind, name, arguments, required, f"{kind}{declaration} {{ {body} }}")


def declared(argument: GraphQLArgument) -> GraphQLInputType:
    """The type of the variable for an argument, which can be left out where the argument can."""
    if isinstance(argument.type, GraphQLNonNull) and not is_required_argument(argument):
        return cast(GraphQLInputType, argument.type.of_type)
    return argument.type


def _passed(each: GraphQLField) -> str:
    return f"({', '.join(f'{name}: ${name}' for name in each.args)})" if each.args else ""


def _selected(each: GraphQLField, depth: int) -> str:
    named = get_named_type(each.type)
    return "" if is_leaf_type(named) else selection_for(named.name, depth)


@cache
def selection_for(type_name: str, depth: int = DEPTH) -> str:
    """`{ ... }` with every field of a type, `depth` levels of objects deep (0: what is no object)."""
    return _selection(type_name, depth, ())


@cache
def _selection(type_name: str, depth: int, above: tuple[str, ...]) -> str:
    """Objects of a type that is being selected already, further up, are left at their ids and plain fields."""
    type = SCHEMA.type_map[type_name]
    parts = []
    if isinstance(type, GraphQLInterfaceType):
        for each in sorted(SCHEMA.get_possible_types(type), key=lambda it: it.name):
            parts.append(f"... on {each.name} {_selection(each.name, depth, above)}")
        return f"{{ __typename {' '.join(parts)} }}"
    assert isinstance(type, GraphQLObjectType)
    for name, each in type.fields.items():
        named = get_named_type(each.type)
        if is_leaf_type(named):
            parts.append(response_name(type, name))
        elif depth > 0 and not any(is_required_argument(it) for it in each.args.values()):
            inner = 0 if named.name in above or named.name == type_name else depth - 1
            parts.append(f"{response_name(type, name)} {_selection(named.name, inner, (*above, type_name))}")
    return f"{{ __typename {' '.join(parts)} }}"


def response_name(type: GraphQLObjectType, name: str) -> str:
    """`name`, or `name_Type: name` where the types of an interface disagree on its type."""
    if type.interfaces and type.interfaces[0].name != "Payload" and len(_types_of(name)) > 1:
        return f"{name}_{type.name}: {name}"
    return name


@cache
def _types_of(name: str) -> frozenset[str]:
    """The types that the objects with an interface give to a field of that name."""
    return frozenset(
        str(type.fields[name].type)
        for type in SCHEMA.type_map.values()
        if isinstance(type, GraphQLObjectType)
        and name in type.fields
        and any(interface.name != "Payload" for interface in type.interfaces)
    )
