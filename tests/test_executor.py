"""The fast executor's answers are those of the stock one, errors included, whatever is asked and whatever is there."""

from __future__ import annotations

import asyncio
import gc
import re
import warnings
from dataclasses import dataclass
from inspect import isawaitable
from random import Random
from typing import Any

import pytest
import strawberry
from graphql import DocumentNode, ExecutionResult, execute, parse, validate
from graphql.execution import Executor, experimental_execute_incrementally
from hypothesis import given, settings
from hypothesis import strategies as st
from strawberry.schema.schema import StrawberryGraphQLCoreExecutionContext as Stock

from connect_inbox.graphql import executor
from connect_inbox.graphql.executor import VARIANTS, FastExecutor
from tests import executor_world as world
from tests.executor_world import SCHEMA, Box, Mood

VALUES = 6  # that each document is compared on

Answer = tuple[str, list[tuple[Any, ...]]]


async def answer(document: DocumentNode, kind: type[Executor[Any]], variables: dict[str, Any]) -> Answer:
    """Data as text, which tells 1 from True and one order from another; and what each error says, in their order."""
    result = execute(SCHEMA, document, variable_values=variables, executor_class=kind)
    if not isinstance(result, ExecutionResult):
        result = await result
    errors = [(e.message, e.path, e.locations, repr(e.original_error)) for e in result.errors or []]
    return repr(result.data), errors


def compare(random: Random) -> list[Answer]:
    """A random document, on random values, by both executors; the stock one's answers."""
    text = world.Documents(random).document()
    document = parse(text)
    assert not validate(SCHEMA, document), text
    return [asyncio.run(compared(document, text, random)) for _ in range(VALUES)]


async def compared(document: DocumentNode, text: str, random: Random) -> Answer:
    person = world.people(random)
    robot = world.Robot(id=strawberry.ID("r"), name=None, text="beep", maker=person)
    world.ROOT.update(person=person, box=world.make_box(person), robot=robot)
    variables = {"p": random.choice([True, False]), **random.choice([{}, {"q": True}, {"q": False}])}
    stock = await answer(document, Stock, variables)
    fast = await answer(document, FastExecutor, variables)
    await asyncio.sleep(0)  # for what an error has left behind
    assert fast == stock, (text, variables)
    return stock


@pytest.mark.filterwarnings("ignore:coroutine .* was never awaited")  # graphql-core leaves some, at an error
@given(st.randoms(use_true_random=True))  # as fast again as one that hypothesis could simplify
@settings(max_examples=40, deadline=None)
def test_any_document_on_any_values(random: Random) -> None:
    compare(random)


SELECTED = {name: name for name in world.LEAVES if "(" not in name}
SELECTED |= {name: f"{name} {{ id }}" for name in world.PERSONS} | {"box": "box { size grid { size } }"}
MADE_BY = {"shout": "said", "levelMade": "made", "kin": "kindred", "slow": "slowly", "promise": "said"}


@pytest.mark.filterwarnings("ignore:coroutine .* was never awaited")
@pytest.mark.parametrize("name", SELECTED)
def test_any_value_of_any_field(name: str) -> None:
    document = parse(f"{{ perhaps {{ friend {{ {SELECTED[name]} }} people {{ {SELECTED[name]} }} }} }}")
    attribute = MADE_BY.get(name) or re.sub("[A-Z]", lambda letter: f"_{letter[0].lower()}", name)

    async def answer_with(value: Any, kind: type[Executor[Any]]) -> Answer:
        friend, other = world.person(), world.person()
        setattr(friend, attribute, value)
        setattr(other, attribute, value)
        holder = world.person(friend=friend)
        holder.people = [world.person(), other]
        world.ROOT.update(person=holder)
        return await answer(document, kind, {})

    async def compare_all() -> None:
        for odd in [*world.ODD, [[2**31]], [Mood.GOOD, None], -(2**31) - 1, b"bytes"]:
            assert await answer_with(odd, FastExecutor) == await answer_with(odd, Stock), odd
            await asyncio.sleep(0)
        fast, stock = [await answer_with(iter([None]), kind) for kind in (FastExecutor, Stock)]
        assert fast == stock  # though it can be read once only

    asyncio.run(compare_all())


@pytest.mark.parametrize(
    "text",
    [
        """{ person { ...A friend { friend { ...A } } } }
        fragment A on Person { friend { ...D friend { text } } friend { id } } fragment D on Person { count }""",
        "{ box { ...E grid { ...E } } } fragment E on Box { either { __typename } }",
    ],
    ids=["fields", "types"],
)
def test_plans_are_told_apart_by_type_and_all_fields_that_are_merged(text: str) -> None:
    friend = world.person(friend=world.person(friend=world.person(friend=world.person())))
    box = Box(size=1, owner=None, held=None, either=world.make_box(), grid=[[world.make_box(friend)]])
    world.ROOT.update(person=world.person(friend=friend), box=box)
    document = parse(text)
    assert not validate(SCHEMA, document)
    assert asyncio.run(answer(document, FastExecutor, {})) == asyncio.run(answer(document, Stock, {}))


def test_an_object_cast_to_another_type_is_of_that_type() -> None:
    friends()
    strawberry.cast(world.Robot, world.ROOT["person"].friend)
    document = parse("{ perhaps { friend { id } } }")
    data, errors = asyncio.run(answer(document, FastExecutor, {}))
    assert (data, errors) == asyncio.run(answer(document, Stock, {}))
    assert errors


@dataclass
class Counted:
    """How often graphql-core executes a field."""

    count: int = 0

    def executor(self) -> type[FastExecutor]:
        counted = self

        class Counting(FastExecutor):
            def execute_field(self, *args: Any) -> Any:
                counted.count += 1
                return super().execute_field(*args)

        return Counting


def friends() -> None:
    """Persons with friends, and nothing odd about them."""
    person = world.person(friend=world.person())
    person.people = [world.person() for _ in range(10)]
    world.ROOT.update(person=person)


@pytest.mark.parametrize(
    ("selection", "executed"),
    [
        ("text shout mood friend { id box { size } } people { id numbers levelMade kin { id } }", 0),
        ("text friend { id where }", 2),  # the friend and its path
        ("text slow people { id }", 1),
        ("text times(by: 5) secret", 2),
        ("id things { id }", 1),  # whose type is not known before
        ("... on Thing { id } ...F @skip(if: false) ... @include(if: true) { x: count y: count }", 0),
    ],
)
def test_only_what_must_be_is_executed_by_graphql_core(selection: str, executed: int) -> None:
    friends()
    document = parse(f"{{ person {{ {selection} }} }} fragment F on Person {{ text }}")
    counted = Counted()
    asyncio.run(answer(document, counted.executor(), {}))
    assert counted.count == 1 + executed  # the root field


@pytest.mark.parametrize("selection", ["promise", "promises", "promise promises friend { promise }"])
def test_no_coroutine_is_left_that_nobody_awaits(selection: str) -> None:
    friends()
    document = parse(f"{{ person {{ {selection} }} }}")

    async def answers() -> list[Answer]:
        return [await answer(document, kind, {}) for kind in (Stock, FastExecutor)]

    gc.collect()  # what others have left
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        stock, fast = asyncio.run(answers())
        gc.collect()
    assert stock == fast and not stock[1]
    assert not caught


def test_plans_are_kept_for_as_long_as_their_document() -> None:
    friends()
    before = len(executor._kept)
    documents = [parse(f"{{ person {{ a{number}: id }} }}") for number in range(10)]
    for each in documents:
        asyncio.run(answer(each, FastExecutor, {}))
    assert len(executor._kept) == before + 10
    del documents, each
    gc.collect()
    assert len(executor._kept) <= before


def test_plans_of_one_document_are_bounded() -> None:
    friends()
    names = [f"v{number}" for number in range(6)]
    declared = ", ".join(f"${name}: Boolean!" for name in names)
    selected = " ".join(f"{name}: id @include(if: ${name})" for name in names)
    document = parse(f"query({declared}) {{ person {{ text {selected} }} }}")
    for number in range(2**6):
        variables = {name: bool(number >> place & 1) for place, name in enumerate(names)}
        assert asyncio.run(answer(document, FastExecutor, variables)) == asyncio.run(answer(document, Stock, variables))
    assert len(executor._kept[id(document.definitions[0])]._variants) == VARIANTS


def test_an_operation_with_other_fragments_is_another_one() -> None:
    friends()
    first, second = (parse(f"{{ person {{ ...F }} }} fragment F on Person {{ {name} }}") for name in ("id", "text"))
    mixed = DocumentNode(definitions=(first.definitions[0], second.definitions[1]))
    assert asyncio.run(answer(first, FastExecutor, {}))[0] == "{'person': {'id': 'p'}}"
    assert asyncio.run(answer(mixed, FastExecutor, {}))[0] == "{'person': {'text': 'hello'}}"


@pytest.mark.parametrize(
    "selection",
    ["id ... @defer { text friend { id } } people { id }", "id friend { id ... @defer { text mood } } ...F @defer",
     "people @stream(initialCount: 1) { id text }", "people @stream { id ... @defer { text } }"],
)  # fmt: skip
def test_what_is_deferred_or_streamed_comes_later(selection: str) -> None:
    friends()
    used = "fragment F on Person { happy people { count } }" if "...F" in selection else ""
    document = parse(f"{{ person {{ {selection} }} }} {used}")

    async def payloads(kind: type[Executor[Any]]) -> list[str]:
        result: Any = experimental_execute_incrementally(SCHEMA, document, executor_class=kind)
        result = await result if isawaitable(result) else result
        return [repr(result.initial_result), *[repr(each) async for each in result.subsequent_results]]

    stock, fast = asyncio.run(payloads(Stock)), asyncio.run(payloads(FastExecutor))
    assert fast == stock
    assert len(stock) > 1


def test_where_an_object_is_read_again_its_errors_are_told_once() -> None:
    person = world.person(friend=world.person())
    holder: Any = person.friend
    holder.count = None
    person.people = [holder, world.person()]
    person.people_or_not = [None, holder]
    world.ROOT.update(person=person)
    document = parse("{ perhaps { id friend { id count } peopleOrNot { id count } } person { people { count } } }")
    data, errors = asyncio.run(answer(document, FastExecutor, {}))
    assert (data, errors) == asyncio.run(answer(document, Stock, {}))
    assert [each[1] for each in errors] == [["person", "people", 0, "count"]] and data == "None"
