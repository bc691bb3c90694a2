"""An executor that reads at once what needs no resolving, instead of field by field.

A selection on objects of one type is compiled, once for each document, to a function that makes the dictionary that is
answered: of plain attributes and of what methods without arguments return, where these are leaves, or objects and lists
of such. What is left, as it is asynchronous or has arguments, permissions or an abstract type, graphql-core executes
after that.

A compiled function reports no error. Where it meets anything but a value that it knows to be right (null where none
may be, a wrong type, an exception, an awaitable), graphql-core executes that object instead, and what is in it goes the
same two ways again. So data and errors are graphql-core's. Attributes, and methods without arguments, must bear being
read twice.
"""

from __future__ import annotations

import weakref
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from enum import Enum
from functools import lru_cache
from inspect import CORO_CREATED, getcoroutinestate
from types import CoroutineType, GeneratorType, NoneType
from typing import Any, TypeGuard, cast

from graphql import (
    GraphQLBoolean,
    GraphQLEnumType,
    GraphQLID,
    GraphQLInt,
    GraphQLList,
    GraphQLObjectType,
    GraphQLOutputType,
    GraphQLScalarType,
    GraphQLString,
    NamedTypeNode,
    NonNullTypeNode,
    OperationDefinitionNode,
    TypeNode,
    get_nullable_type,
)
from graphql.execution import Executor
from graphql.execution.collect_fields import FieldDetailsList, GroupedFieldSet
from graphql.pyutils import UndefinedType, is_awaitable
from strawberry.schema.schema import StrawberryGraphQLCoreExecutionContext
from strawberry.schema.schema_converter import CustomGraphQLEnumType, GraphQLCoreConverter
from strawberry.types.base import StrawberryObjectDefinition
from strawberry.types.cast import TYPE_CAST_ATTRIBUTE
from strawberry.types.field import StrawberryField

VARIANTS = 16  # of the values of its boolean variables, for how many an operation's plans are kept

Read = Callable[[Any], Any]

# Leaves whose values mostly are answered as they are: where this holds for a value, which is called v behind its place.
AS_IT_IS = {
    GraphQLString: "{}.__class__ is str",
    GraphQLID: "{}.__class__ is str",
    GraphQLBoolean: "{} is True or v is False",
    GraphQLInt: "{}.__class__ is int and -2147483648 <= v <= 2147483647",
}


@dataclass(frozen=True, slots=True)
class Plan:
    """How a selection on objects of one type is executed."""

    read: Read  # the dictionary of an object, with None in the place of what is left
    refuses: bool  # whether it raises for all but objects of its class, so also for null
    left: GroupedFieldSet  # what graphql-core executes
    fields: FieldDetailsList  # that the selection belongs to; kept, as a plan is found by the ids of their nodes


Plans = dict[tuple[object, ...], Plan | None]  # by type and nodes; None where all is left to graphql-core


class Unexpected(Exception):
    """What was read is not known to be right."""


class Noted:
    """Tells what can be awaited, as graphql-core does, and notes it. To be closed when the operation has ended.

    Of one that is cut short, by its client, its time or an error, graphql-core leaves coroutines that it has not begun,
    each of which Python would warn of.
    """

    def __init__(self) -> None:
        self._coroutines: list[CoroutineType[Any, Any, Any]] = []

    def __call__(self, value: object) -> TypeGuard[Awaitable[Any]]:
        if isinstance(value, CoroutineType):
            self._coroutines.append(value)
            return True
        return is_awaitable(value)

    def close(self) -> None:
        for each in self._coroutines:
            if getcoroutinestate(each) == CORO_CREATED:
                each.close()


class FastExecutor(StrawberryGraphQLCoreExecutionContext):
    """Executes valid operations with the same result as Strawberry's executor."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        is_known = self.is_awaitable is is_awaitable or isinstance(self.is_awaitable, Noted)
        usual = self.middleware_manager is None and is_known
        self._plans = plans_of(self) if usual else None

    def complete_object_value(
        self, return_type: Any, field_details_list: Any, info: Any, path: Any, result: Any, position_context: Any
    ) -> Any:
        plan = self.plan(return_type, field_details_list) if position_context is None else None
        if plan is not None:
            try:
                data = plan.read(result)
            except Exception:  # graphql-core meets it again, and reports it
                plan = None
        if plan is None:
            return super().complete_object_value(return_type, field_details_list, info, path, result, position_context)
        if not plan.left:
            return data
        rest = self.execute_fields(return_type, result, path, plan.left, None)
        return {**data, **rest} if isinstance(rest, dict) else merged(data, rest)

    def complete_list_value(
        self, return_type: Any, field_details_list: Any, info: Any, path: Any, result: Any, position_context: Any
    ) -> Any:
        if position_context is None and isinstance(get_nullable_type(return_type.of_type), GraphQLObjectType):
            read = self.reading(return_type, field_details_list)
            try:
                if read is not None:
                    return read(result)
            except Exception:  # graphql-core meets it again, and reports it
                pass
        return super().complete_list_value(return_type, field_details_list, info, path, result, position_context)

    def plan(self, type: GraphQLObjectType, fields: FieldDetailsList) -> Plan | None:
        """How to execute what `fields` select on objects of a type; None where all of it is left to graphql-core."""
        if self._plans is None:
            return None
        key = (type, *[id(each.node) for each in fields])
        if key not in self._plans:
            self._plans[key] = None
            try:
                self._plans[key] = self._compiled(type, fields)
            except Exception:  # graphql-core meets it again, and reports it
                pass
        return self._plans[key]

    def _compiled(self, type: GraphQLObjectType, fields: FieldDetailsList) -> Plan | None:
        definition: StrawberryObjectDefinition = type.extensions[GraphQLCoreConverter.DEFINITION_BACKREF]
        selected, deferred, _ = self.collect_subfields(type, fields)
        if deferred or not is_ordinary(fields) or definition.is_type_of is not None:
            return None
        code = Code()
        left: GroupedFieldSet = {}
        entries = []
        for name, details in selected.items():
            value = self._value(code, type, details)
            if value is None:
                left[name] = details
            entries.append(f"{name!r}: {value}")
        if len(left) == len(selected):
            return None
        text = f"{{{', '.join(entries)}}}"
        refuses = type.is_type_of is not None  # which is Strawberry's own, and may say yes or no to other classes
        if refuses:
            uncast = f"getattr(it, {TYPE_CAST_ATTRIBUTE!r}, None) is None"
            text += f" if it.__class__ is {code.name(definition.origin)} and {uncast} else {code.name(refuse)}(it)"
        kind: Any = definition.origin
        return Plan(code.function(text), refuses and is_plain(kind), left, fields)

    def _value(self, code: Code, type: GraphQLObjectType, fields: FieldDetailsList) -> str | None:
        """A field's value, as code; None where graphql-core has to execute the field."""
        name = fields[0].node.name.value
        if name == "__typename":
            return repr(type.name)
        field = type.fields[name]
        definition: StrawberryField = field.extensions[GraphQLCoreConverter.DEFINITION_BACKREF]
        if not is_ordinary(fields) or not (is_attribute(definition) or is_method(definition)):
            return None
        complete = self.reading(field.type, fields)
        if complete is None:
            return None
        if is_attribute(definition):
            return completed(code, field.type, f"it.{definition.python_name}", complete)
        method = cast(Any, definition.base_resolver).wrapped_func
        return completed(code, field.type, f"{code.name(method)}(it)", once_returned(complete))

    def reading(self, type: GraphQLOutputType, fields: FieldDetailsList) -> Read | None:
        """What makes of a value what is answered, or raises; None where graphql-core has to complete such values."""
        inner = get_nullable_type(type)
        read: Read | None = None
        if isinstance(inner, GraphQLScalarType | GraphQLEnumType):
            return leaf(inner, nullable=inner is type)
        if isinstance(inner, GraphQLList):
            item = self.reading(inner.of_type, fields)
            read = item and items(item)
        elif isinstance(inner, GraphQLObjectType):
            plan = self.plan(inner, fields)
            if plan and plan.refuses and not plan.left and inner is not type:
                return plan.read
            read = plan.read if plan and not plan.left else None
        return read and checked(read, nullable=inner is type)


async def merged(data: dict[str, Any], rest: Awaitable[dict[str, Any]]) -> dict[str, Any]:
    return {**data, **await rest}


class Code:
    """The text of a function, and what it names."""

    def __init__(self) -> None:
        self._names: dict[str, Any] = {}

    def name(self, value: object) -> str:
        name = f"c{len(self._names)}"
        self._names[name] = value
        return name

    def function(self, text: str) -> Read:
        """The function of `it` with this value. Of a document, the text holds only names that GraphQL allows."""
        read: Read = eval(f"lambda it: {text}", self._names)
        return read


def completed(code: Code, type: GraphQLOutputType, value: str, complete: Read) -> str:
    """A completed value, as code: at once where it is as values mostly are, and with `complete` otherwise."""
    inner, otherwise = get_nullable_type(type), code.name(complete)
    if isinstance(inner, GraphQLScalarType) and inner in AS_IT_IS:
        return f"v if {AS_IT_IS[inner].format(f'(v := {value})')} else {otherwise}(v)"
    if isinstance(inner, CustomGraphQLEnumType):
        members: list[Enum] = list(cast(Any, inner.wrapped_cls))
        names = {member.name: inner.coerce_output_value(member) for member in members}
        is_member = f"(v := {value}).__class__ is {code.name(inner.wrapped_cls)}"
        return f"{code.name(names)}[v._name_] if {is_member} else {otherwise}(v)"
    return f"{otherwise}({value})"


def items(read: Read) -> Read:
    def read_all(values: Any) -> list[Any]:
        if values.__class__ is not list and values.__class__ is not tuple:
            raise Unexpected  # it may not bear being read twice
        return [read(value) for value in values]

    return read_all


def checked(read: Read, nullable: bool) -> Read:
    """Reads only what is a value, or null where it may be."""

    def read_checked(value: Any) -> Any:
        if value is None and nullable:
            return None
        if not is_plain(value.__class__):
            raise Unexpected
        return read(value)

    return read_checked


def leaf(type: GraphQLScalarType | GraphQLEnumType, nullable: bool) -> Read:
    """The same for a leaf, in one go: there are so many of them."""
    coerce = type.coerce_output_value

    def read(value: Any) -> Any:
        if value is None and nullable:
            return None
        if not is_plain(value.__class__):
            raise Unexpected
        coerced = coerce(value)
        if coerced.__class__ is not str and not is_plain(coerced.__class__):
            raise Unexpected
        return coerced

    return read


def once_returned(read: Read) -> Read:
    """Reads what a method returned. Where that cannot be read, the method will be called again."""

    def read_returned(value: Any) -> Any:
        try:
            return read(value)
        except Exception:
            discard(value)
            raise

    return read_returned


def discard(value: Any) -> None:
    """Ends coroutines that nobody is going to await."""
    if isinstance(value, CoroutineType):
        value.close()
    elif isinstance(value, list | tuple):
        for each in value:
            discard(each)


def refuse(value: object) -> None:
    raise Unexpected


@lru_cache(1000)
def is_plain(kind: type) -> bool:
    """Whether objects of a class are values, rather than null, exceptions, or awaitable."""
    if issubclass(kind, NoneType | UndefinedType | Exception | CoroutineType | GeneratorType):
        return False
    return not any(name in each.__dict__ for each in kind.__mro__ for name in ("__await__", "__getattr__"))


def is_attribute(definition: StrawberryField) -> bool:
    """Whether a field is an attribute of its object, and nothing else is done about it."""
    return definition.is_basic_field and definition.default_resolver is getattr


def is_method(definition: StrawberryField) -> bool:
    """Whether a field is a method of its object that takes nothing, and nothing else is done about it."""
    resolver = definition.base_resolver
    if resolver is None or resolver.is_async or definition.extensions:
        return False
    return resolver.self_parameter is not None and len(resolver.signature.parameters) == 1


def is_ordinary(fields: FieldDetailsList) -> bool:
    """Whether there is nothing about these fields but what is known when they are collected."""
    return all(
        each.defer_usage is None
        and each.fragment_variable_values is None
        and all(directive.name.value in ("skip", "include") for directive in each.node.directives or ())
        for each in fields
    )


class Kept:
    """The plans of one operation, while it lives."""

    def __init__(self, operation: OperationDefinitionNode) -> None:
        variables = operation.variable_definitions or ()
        self._booleans = [each.variable.name.value for each in variables if is_boolean(each.type)]
        self._variants: dict[object, tuple[Plans, object]] = {}

    def plans(self, executor: Executor[Any]) -> Plans:
        """Those for the same fragments and the same values of boolean variables, which decide what is included."""
        fragments = list(executor.fragment_definitions.values())
        values = executor.variable_values.coerced
        key = (*map(id, fragments), *[values.get(name) for name in self._booleans])
        if key not in self._variants:
            if len(self._variants) == VARIANTS:
                del self._variants[next(iter(self._variants))]
            self._variants[key] = {}, fragments  # which are kept, as their ids are in the key
        return self._variants[key][0]


_kept: dict[int, Kept] = {}  # by the ids of operations that are alive; documents are compared by all that they hold


def plans_of(executor: Executor[Any]) -> Plans:
    operation = executor.operation
    kept = _kept.get(id(operation))
    if kept is None:
        kept = _kept[id(operation)] = Kept(operation)
        weakref.finalize(operation, _kept.pop, id(operation)).atexit = False
    return kept.plans(executor)


def is_boolean(type: TypeNode) -> bool:
    if isinstance(type, NonNullTypeNode):
        type = type.type
    return isinstance(type, NamedTypeNode) and type.name.value == "Boolean"
