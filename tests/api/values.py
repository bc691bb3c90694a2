"""Values made from the schema, for the documents of `documents`.

leaves(operation)       the path of every single value in its variables, with the kind of object an id must name
values_for(operation)   variables that are accepted: the required ones, those of a wanted path, or all that go
                        together
"""

from __future__ import annotations

import itertools
import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from functools import cache
from typing import Any, cast

from graphql import (
    GraphQLEnumType,
    GraphQLInputObjectType,
    GraphQLInputType,
    GraphQLList,
    GraphQLNonNull,
    get_named_type,
    is_required_input_field,
)

from tests.api.documents import Operation

ANY = "any"  # the kind of an id that may name whatever there is

Path = tuple[str, ...]

KINDS = {
    "influencer", "thread", "message", "tag", "variable", "campaign", "participation", "asset", "delivery", "note",
    "notification", "member", "partner", "workspace", "token", "mailbox", "attachment", "draft", "mail",
}  # fmt: skip

# What an id names where its own name does not say so.
NAMED = {
    "Query.node.id": ANY,
    "Query.nodes.ids": ANY,
    "Query.thread.id": "thread",
    "InfluencerRef.id": "influencer",
    "Thread.messages.around": "message",
}

# Fields of which an input must have one: the first, unless another is wanted.
ALTERNATIVES = {
    "ReceiveMessageInput": ("threadId", "influencer"),
    "CreateTokenInput": ("memberId", "partner"),
    "InfluencerRef": ("id", "email", "handle", "externalId"),
}
TOGETHER = {"partner": ("scopes",), "mailboxId": ("channel", "subject")}  # what a field needs beside it
ENUMS = {"SendMessageInput.channel": "EMAIL"}  # instead of the first value

# What cannot be given with everything else: what only an e-mail has, what is used up by it, and a page goes one way.
APART = {
    "SendMessageInput": {"channel", "subject", "html", "cc", "mailboxId", "draftId"},
    "Thread.messages": {"last", "before", "around", "after"},
    "Query.inbox": {"after"}, "Query.campaigns": {"after"}, "Query.notifications": {"after"},
    "Query.quarantinedMails": {"after"},
    "CreateTokenInput": {"scopes"},
}  # fmt: skip


@dataclass(frozen=True)
class Leaf:
    """A single value in an operation's variables. `kind` is what it must name, where it is an id."""

    path: Path
    owner: str
    type: str
    kind: str | None

    def __str__(self) -> str:
        return ".".join(self.path)


@cache
def leaves(operation: Operation) -> tuple[Leaf, ...]:
    """Every single value that its variables can hold."""
    found: list[Leaf] = []
    for name, type in operation.arguments.items():
        found += _leaves(type, (name,), f"{operation.owner}.{name}")
    return tuple(found)


def _leaves(type: GraphQLInputType, path: Path, owner: str) -> Iterator[Leaf]:
    named = get_named_type(type)
    if isinstance(named, GraphQLInputObjectType):
        assert len(path) < 8, f"{path} has no end"
        for name, each in named.fields.items():
            yield from _leaves(each.type, (*path, name), f"{named.name}.{name}")
    else:
        yield Leaf(path, owner, named.name, kind_named(owner) if named.name == "ID" else None)


def kind_named(owner: str) -> str:
    """The kind of object that an id names, by its name: `upToMessageId` names a message."""
    if owner in NAMED:
        return NAMED[owner]
    match = re.search(r"([A-Z][a-z]+)Ids?$", "." + owner.rpartition(".")[2][:1].upper() + owner.rpartition(".")[2][1:])
    kind = match[1].lower() if match else ""
    assert kind in KINDS, f"say in tests/api/documents.py what {owner} names"
    return kind


@dataclass
class Samples:
    """Where values come from: ids of objects by their kind, and a position. Texts are new each time."""

    ids: Callable[[str], str]
    position: str = ""
    prefix: str = "sample"
    chosen: dict[str, object] = field(default_factory=dict)  # by owner, such as `TagInput.name`
    counter: Iterator[int] = field(default_factory=lambda: itertools.count(1))

    def value(self, owner: str, type: str) -> object:
        if owner in self.chosen:
            return self.chosen[owner]
        if type == "ID":
            return self.ids(kind_named(owner))
        return self.scalar(owner.rpartition(".")[2], type)

    def scalar(self, name: str, type: str) -> object:
        if type != "String":
            return {"Int": 10, "Boolean": True, "DateTime": "2026-01-31T09:30:00.000Z", "Float": 1.5}[type]
        new = f"{self.prefix}-{next(self.counter)}"
        return {
            "since": self.position,
            "email": f"{new}@brand.example",
            "emails": f"{new}@brand.example",
            "cc": f"{new}@brand.example",
            "address": f"{new}@brand.example",
            "host": "127.0.0.1",  # which is refused without any network
            "html": f"<p>{new}</p>",
            "avatarUrl": f"https://brand.example/{new}.png",
            "color": "#00aaff",
            "scopes": "inbox:read",
        }.get(name, new)


def values_for(operation: Operation, samples: Samples, wanted: Path = (), everything: bool = False) -> dict[str, Any]:
    """Variables that are accepted: what is required, and what is on the wanted path or all that goes together."""
    apart = APART.get(operation.name if not operation.is_root else operation.owner, set())
    given = {}
    for name, type in operation.arguments.items():
        if name in operation.required or wanted[:1] == (name,) or (everything and name not in apart):
            given[name] = _value(type, f"{operation.owner}.{name}", samples, wanted[1:], everything)
    return given if operation.is_root else {"node": samples.ids(operation.name.partition(".")[0].lower()), **given}


def _value(type: GraphQLInputType, owner: str, samples: Samples, wanted: Path, everything: bool) -> object:
    if isinstance(type, GraphQLNonNull):
        return _value(type.of_type, owner, samples, wanted, everything)
    if isinstance(type, GraphQLList):
        return [_value(type.of_type, owner, samples, wanted, everything)]
    if isinstance(type, GraphQLEnumType):
        return samples.chosen.get(owner, ENUMS.get(owner, next(iter(type.values))))
    if not isinstance(type, GraphQLInputObjectType):
        return samples.value(owner, type.name)
    return {
        name: _value(type.fields[name].type, f"{type.name}.{name}", samples, wanted[1:], everything)
        for name in _fields(type, wanted[:1], everything)
    }


def _fields(type: GraphQLInputObjectType, wanted: Path, everything: bool) -> list[str]:
    """The fields that are given: never two of which only one may be."""
    given = {name for name, each in type.fields.items() if is_required_input_field(each)} | set(wanted)
    alternatives = ALTERNATIVES.get(type.name, ())
    if everything:
        given |= type.fields.keys() - APART.get(type.name, set()) - set(alternatives)
    if alternatives and not given & set(alternatives):
        given.add(alternatives[0])
    for name in list(given):
        given |= set(TOGETHER.get(name, ()))
    return [name for name in type.fields if name in given]


def at(values: object, path: Path) -> object:
    """The value at a path; of a list, its first."""
    for name in path:
        values = cast(dict[str, Any], values[0] if isinstance(values, list) else values)[name]
    return values[0] if isinstance(values, list) else values


def replaced(values: Any, path: Path, new: object) -> Any:
    """The same values with another one at a path."""
    if isinstance(values, list):
        return [replaced(each, path, new) for each in values]
    if not path:
        return new
    return {name: replaced(each, path[1:], new) if name == path[0] else each for name, each in values.items()}
