"""Who may share the events of a subscription: found in its document, once."""

from __future__ import annotations

from dataclasses import dataclass
from hashlib import sha256
from typing import Any

import orjson
from graphql import (
    ArgumentNode,
    DocumentNode,
    FieldNode,
    GraphQLSchema,
    TypeInfo,
    TypeInfoVisitor,
    VariableDefinitionNode,
    VariableNode,
    Visitor,
    visit,
)

from schema.types.context import Caller

SINCE = "since"


@dataclass(frozen=True)
class Sharing:
    """What tells two subscriptions with the same document apart."""

    is_per_viewer: bool  # whether a field is selected that has another value for each viewer
    since: frozenset[str]  # variables that only say where to begin

    def key(self, caller: Caller, query: str, name: str | None, variables: dict[str, Any]) -> bytes:
        """Equal for those who are told the same: in one workspace, by one document, for one viewer if that counts, who
        may do the same by each of their tokens.
        """
        viewer = [caller.id, caller.role, sorted(caller.scopes)] if self.is_per_viewer else None
        asked = {each: value for each, value in variables.items() if each not in self.since}
        told = orjson.dumps([caller.workspace, viewer, query, name, asked], option=orjson.OPT_SORT_KEYS)
        return sha256(told).digest()  # there is one for each group, and a document may be long


def sharing_of(schema: GraphQLSchema, document: DocumentNode) -> Sharing:
    """Looks through a whole document, fragments included: a field that turns out not to be asked for does no harm."""
    types = TypeInfo(schema)
    finder = Finder(types)
    visit(document, TypeInfoVisitor(types, finder))
    since = {name for name in finder.since if finder.since.count(name) == finder.used.count(name)}
    return Sharing(finder.is_per_viewer, frozenset(since))


class Finder(Visitor):
    """Looks for fields of the viewer's own, and for variables that are used as `since` and as nothing else."""

    def __init__(self, types: TypeInfo) -> None:
        super().__init__()
        self._types = types
        self.is_per_viewer = False
        self.since: list[str] = []
        self.used: list[str] = []

    def enter_field(self, node: FieldNode, *_: Any) -> None:
        field = self._types.get_field_def()
        declared = field.extensions.get("strawberry-definition") if field else None
        if declared is not None and declared.metadata.get("viewer"):
            self.is_per_viewer = True

    def enter_argument(self, node: ArgumentNode, *_: Any) -> None:
        is_of_subscription = self._types.get_parent_type() is self._types._schema.subscription_type
        if is_of_subscription and node.name.value == SINCE and isinstance(node.value, VariableNode):
            self.since.append(node.value.name.value)

    def enter_variable(self, node: VariableNode, _key: Any, parent: Any, *_: Any) -> None:
        if not isinstance(parent, VariableDefinitionNode):
            self.used.append(node.name.value)
