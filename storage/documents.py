"""Entities to documents and back. An entity is declared once, in `schema/types`; this is the only translation.

Stored are the fields of the dataclass, without resolvers and without what is filled per viewer. The `id` is the
document's `_id`; enums are stored by value, times as milliseconds since 1970 and booleans as 0 or 1, because one of
the engines changes a time or boolean that is set on an existing document.
"""

from __future__ import annotations

import dataclasses
import types
import typing
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from enum import Enum
from functools import cache
from typing import Any, TypeVar

Document = dict[str, Any]
T = TypeVar("T")

EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
PER_VIEWER = {"unread", "unread_messages"}
AS_IT_IS = {str, int, type(None)}


def to_milliseconds(time: datetime) -> int:
    return (time - EPOCH) // timedelta(milliseconds=1)


def from_milliseconds(value: int) -> datetime:
    return EPOCH + timedelta(milliseconds=value)


def to_value(value: object) -> Any:
    """A field's value as it is stored."""
    if type(value) in AS_IT_IS:
        return value
    if isinstance(value, bool):
        return int(value)
    if isinstance(value, datetime):
        return to_milliseconds(value)
    if isinstance(value, Enum):
        return value.value
    if isinstance(value, list):
        return [to_value(item) for item in value]
    if dataclasses.is_dataclass(value) and not isinstance(value, type):
        return {field.name: to_value(getattr(value, field.name)) for field in stored_fields(type(value))}
    return value


def to_document(entity: object) -> Document:
    """The document of an entity, without its `_id`, which is named where the document is written."""
    document: Document = to_value(entity)
    del document["id"]
    return document


def from_document(kind: type[T], document: Document, **per_viewer: Any) -> T:
    """The entity in a document; `per_viewer` fills what is never stored."""
    read_all = readers(kind)  # type: ignore[arg-type]  # a class is hashable
    values = {name: read(document[name]) for name, read in read_all if name in document}
    if "_id" in document:
        values["id"] = document["_id"]
    return kind(**values, **per_viewer)


@cache
def stored_fields(kind: type) -> list[dataclasses.Field[Any]]:
    return [field for field in dataclasses.fields(kind) if field.init and field.name not in PER_VIEWER]


@cache
def readers(kind: type[Any]) -> list[tuple[str, Callable[[Any], Any]]]:
    hints = typing.get_type_hints(kind)
    return [(field.name, reader(hints[field.name])) for field in stored_fields(kind)]  # type: ignore[arg-type]  # a class is hashable


def reader(hint: Any) -> Callable[[Any], Any]:
    """What turns a stored value back into one of this type."""
    origin, arguments = typing.get_origin(hint), typing.get_args(hint)
    if origin in (typing.Union, types.UnionType):
        read = reader(next(a for a in arguments if a is not type(None)))
        return lambda value: None if value is None else read(value)
    if origin is list:
        read = reader(arguments[0])
        return lambda value: [read(item) for item in value]
    if hint is datetime:
        return from_milliseconds
    if hint is bool:
        return bool
    if isinstance(hint, type) and issubclass(hint, Enum):
        return hint
    if dataclasses.is_dataclass(hint):
        return lambda value: from_document(hint, value)  # type: ignore[arg-type]  # a dataclass is a type here
    return lambda value: value
