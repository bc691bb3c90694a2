"""What a document may have at most. It is counted before anything else is done with the document.

Each definition is walked once, whatever spreads it: what a fragment has is added where it is spread. So counting takes
time that grows with the document as it is written, and not with what it would be with its fragments expanded.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from graphql import (
    DefinitionNode,
    DocumentNode,
    FieldNode,
    FragmentDefinitionNode,
    FragmentSpreadNode,
    OperationDefinitionNode,
    SelectionNode,
    SelectionSetNode,
)

from schema.types.errors import ApiError, bad_input, too_complex

MOST_CHARACTERS = 100 * 1024  # of a document
MOST_ROOT_FIELDS = 20  # of an operation
COUNTED = 10**9  # above it the number is of no interest

SCHEMA_FIELDS = ("__schema", "__type")
SCHEMA_LISTS = ("fields", "inputFields", "interfaces", "possibleTypes")  # the ways from a type to other types


@dataclass(frozen=True)
class Limits:
    """What a document may have at most, what it may ask about the schema, and for how long it may be executed."""

    depth: int = 12
    aliases: int = 30
    directives: int = 30
    tokens: int = 2000
    selections: int = 5000
    cost: int = 10_000
    introspection: bool = True
    suggestions: bool = True
    seconds: float = 10.0


@dataclass(frozen=True)
class Measures:
    """What selections have, with their fragments expanded."""

    depth: int = 0
    fields: int = 0  # beside each other, not those within
    selections: int = 0
    aliases: int = 0
    schema_lists: int = 0  # how many of SCHEMA_LISTS are within each other

    def __add__(self, other: Measures) -> Measures:
        return Measures(
            max(self.depth, other.depth),
            min(self.fields + other.fields, COUNTED),
            min(self.selections + other.selections, COUNTED),
            min(self.aliases + other.aliases, COUNTED),
            max(self.schema_lists, other.schema_lists),
        )


NOTHING = Measures()


class Counting:
    """One document's walk."""

    def __init__(self, document: DocumentNode) -> None:
        self.directives = 0  # as they are written
        self.asks_about_schema = False
        self.schema_lists = 0
        self._fragments = {
            each.name.value: each for each in document.definitions if isinstance(each, FragmentDefinitionNode)
        }
        self._known: dict[str, Measures] = {}

    def definition(self, definition: OperationDefinitionNode | FragmentDefinitionNode) -> Measures:
        """What one has; of two fragments of one name, which validation refuses, the first is never spread."""
        name = definition.name.value if definition.name else ""
        return self._fragment(name) if self._fragments.get(name) is definition else self._definition(definition)

    def _definition(self, definition: OperationDefinitionNode | FragmentDefinitionNode) -> Measures:
        self.directives += len(definition.directives or ())
        self.directives += sum(len(each.directives or ()) for each in definition.variable_definitions or ())
        return self._selections(definition.selection_set)

    def _fragment(self, name: str) -> Measures:
        """A fragment that leads to itself, or that there is none of, counts nothing: validation refuses it."""
        if name not in self._known:
            self._known[name] = NOTHING
            if name in self._fragments:
                self._known[name] = self._definition(self._fragments[name])
        return self._known[name]

    def _selections(self, selections: SelectionSetNode | None) -> Measures:
        found = NOTHING
        for selection in selections.selections if selections else ():
            found += self.selection(selection)
        return found

    def selection(self, selection: SelectionNode) -> Measures:
        self.directives += len(selection.directives or ())
        if isinstance(selection, FieldNode):
            return self._field(selection)
        if isinstance(selection, FragmentSpreadNode):
            within = self._fragment(selection.name.value)
        else:
            within = self._selections(getattr(selection, "selection_set", None))
        return within + Measures(selections=1)

    def _field(self, field: FieldNode) -> Measures:
        within = self._selections(field.selection_set)
        name = field.name.value
        if name in SCHEMA_FIELDS:
            self.asks_about_schema = True
            self.schema_lists = max(self.schema_lists, within.schema_lists)
        return Measures(
            depth=1 if name in SCHEMA_FIELDS else within.depth + 1,
            fields=1,
            selections=within.selections + 1,
            aliases=within.aliases + (field.alias is not None),
            schema_lists=within.schema_lists + (name in SCHEMA_LISTS),
        )


def refusals(document: DocumentNode, limits: Limits) -> list[ApiError]:
    """What is against executing a document, in whichever of its definitions it is; it need not be valid."""
    counting = Counting(document)
    definitions = [
        each for each in document.definitions if isinstance(each, OperationDefinitionNode | FragmentDefinitionNode)
    ]
    try:
        measured = [(each, counting.definition(each)) for each in definitions]
    except RecursionError:
        return [too_complex(f"the document is nested too deeply; the limit is {limits.depth} levels of fields")]
    for definition, measures in measured:
        found = list(exceeded(definition, measures, limits))
        if found:
            return found
    if counting.directives > limits.directives:
        return [above("directives", counting.directives, limits.directives)]
    if counting.asks_about_schema and not limits.introspection:
        return [bad_input("introspection is off; the schema is published beside the API")]
    if counting.schema_lists > 1:
        return [above("lists of types within each other, in its introspection", counting.schema_lists, 1)]
    return []


def exceeded(definition: DefinitionNode, measures: Measures, limits: Limits) -> Iterator[ApiError]:
    if measures.selections > limits.selections:
        yield above("selections with its fragments expanded", measures.selections, limits.selections)
    if not isinstance(definition, OperationDefinitionNode):
        return
    if measures.depth > limits.depth:
        yield above("levels of fields", measures.depth, limits.depth)
    if measures.aliases > limits.aliases:
        yield above("aliases", measures.aliases, limits.aliases)
    if measures.fields > MOST_ROOT_FIELDS:
        yield above("root fields", measures.fields, MOST_ROOT_FIELDS)


def above(what: str, found: int, most: int) -> ApiError:
    number = f"{found}" if found < COUNTED else f"more than {COUNTED}"
    return too_complex(f"the document has {number} {what}; the limit is {most}")
