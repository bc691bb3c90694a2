"""Whatever a value is, in whatever argument of whatever operation: an error that names it, and nothing is changed.

The operations and their arguments come from the schema, so what is added to it is covered.
"""

from __future__ import annotations

import json
from typing import Any

import pytest

from schema.types.node import new_id
from storage.store import Store
from tests.api.asking import FILTERS, answers_to, caller_for, codes
from tests.api.documents import Operation, operation, operations
from tests.api.values import ANY, Leaf, at, leaves, replaced, values_for
from tests.api.world import World, create_world
from tests.client import Json, Server

pytestmark = pytest.mark.usefixtures("quiet")

NO_IDS = [
    "", "5", "thread_123", "01M846HP2YAZA3T2GE58RFTKQH", "thread_01m846hp2yaza3t2ge58rftkqh",
    "thread_01M846HP2YAZA3T2GE58RFTKQU", "thread_01M846HP2YAZA3T2GE58RFTKQH\n", "thread\0_01M846HP2YAZA3T2GE58RFTKQH",
    "$ne", "x" * 100_000,
]  # fmt: skip
NO_POSITIONS = [
    "", "0", "-1", "x", ".", "abcdefghijkl", "abcdefghijkl.", "abcdefghijkl.-1", "abcdefghijkl.01", "abcdefghijkl.1.5",
    "abcdefghijkl.1e5", "abcdefghijkl.\u0661", "ABCDEFGHIJKL.1", "abcdefghijkl.1\n", "abcdefghijkl." + "9" * 16,
    "\0", "x" * 100_000,
]  # fmt: skip
NO_CURSORS = [
    "", "x", "0" * 17, "0" * 17 + ".", "0" * 17 + ".x", "0" * 16 + ".abcdefghijkl.1",
    "-" + "0" * 16 + ".abcdefghijkl.1", "9" * 17 + ".abcdefghijkl.1", "\u0661" * 17 + ".abcdefghijkl.1",
    "0" * 17 + ".abcdefghijkl.1\n", "0" * 50_000,
    "YXJyYXljb25uZWN0aW9uOjc=",
]  # fmt: skip
NO_TIMES = [
    "", "x", "now", "2026-01-31", "2026-01-31T09:30:00", "09:30:00Z", "0000-01-31T09:30:00Z", "10000-01-31T09:30:00Z",
    "2026-02-30T09:30:00Z", "2026-01-31T25:30:00Z", "2026-01-31T09:30:00+99:00", "0001-01-01T00:00:00+14:00",
    "9999-12-31T23:59:59-14:00", "2026-01-31T09:30:00Z\0",
    "20260131T093000Z", "2026-W05-6T09:30:00Z", "2026-01-31T09:30Z", "x" * 1000, 5, 1e300, True, {}, [],
]  # fmt: skip

WRONG_SIZES = [-1, 101, -(2**31), 2**31 - 1, 2**31, 10**10, 1.5, "25", True]
RIGHT_SIZES = [0, 1, 100, None, 1e1]

BY_KIND: dict[str, list[Any]] = {"id": NO_IDS, "position": NO_POSITIONS, "cursor": NO_CURSORS, "time": NO_TIMES}
WITH_ARGUMENTS = [each for each in operations() if leaves(each)]


@pytest.fixture(scope="module")
async def world(store: Store, server: Server) -> World:
    return await create_world(store, server, "here")


def kind_of_leaf(leaf: Leaf) -> str | None:
    if leaf.kind:
        return "id"
    if leaf.type == "DateTime":
        return "time"
    return {"since": "position", "after": "cursor", "before": "cursor"}.get(leaf.path[-1])


@pytest.mark.parametrize("each", WITH_ARGUMENTS, ids=str)
async def test_what_is_no_id_position_cursor_or_time(world: World, each: Operation) -> None:
    api, before = caller_for(each, world), await world.log_head()
    for leaf in leaves(each):
        if kind := kind_of_leaf(leaf):
            values = values_for(each, world.samples(), leaf.path)
            wrong = [replaced(values, leaf.path, it) for it in BY_KIND[kind]]
            for value, answer in zip(wrong, await answers_to(api, each, wrong), strict=True):
                assert codes(answer) == ["BAD_USER_INPUT"], (str(leaf), at(value, leaf.path))
    assert await world.log_head() == before


@pytest.mark.parametrize("each", WITH_ARGUMENTS, ids=str)
async def test_an_id_of_another_kind_is_that_of_nothing(world: World, each: Operation) -> None:
    """A thread's id and its influencer's differ in their kind only, so they are easily mistaken."""
    api, before = caller_for(each, world), await world.log_head()
    for leaf in leaves(each):
        if leaf.kind in (None, ANY) or (each.kind == "subscription" and leaf.owner in FILTERS):
            continue
        values = values_for(each, world.samples(), leaf.path)
        suffix = world.ids[leaf.kind].partition("_")[2]
        others = [id for kind, id in world.ids.items() if kind != leaf.kind]
        others += [f"{kind}_{suffix}" for kind in ("influencer", "thread", "nothing") if kind != leaf.kind]
        wrong = [replaced(values, leaf.path, id) for id in others]
        for value, answer in zip(wrong, await answers_to(api, each, wrong), strict=True):
            if leaf.owner in FILTERS:
                assert codes(answer) == [] and '"edges": []' in json.dumps(answer), (str(leaf), at(value, leaf.path))
            else:
                assert codes(answer) == ["NOT_FOUND"], (str(leaf), at(value, leaf.path))
    assert await world.log_head() == before


@pytest.mark.parametrize("each", [it for it in operations() if "first" in it.arguments], ids=str)
async def test_a_pages_size(world: World, each: Operation) -> None:
    values = values_for(each, world.samples())
    for name in {"first", "last"} & each.arguments.keys():
        for size in WRONG_SIZES:
            answer = await world.admin.post(each.document, **values, **{name: size})
            assert codes(answer) == ["BAD_USER_INPUT"], (name, size)
        for size in RIGHT_SIZES:
            assert codes(await world.admin.post(each.document, **values, **{name: size})) == [], (name, size)


@pytest.mark.parametrize("each", WITH_ARGUMENTS, ids=str)
async def test_a_list_of_more_than_a_hundred_ids(world: World, each: Operation) -> None:
    api, before = caller_for(each, world), await world.log_head()
    for leaf in leaves(each):
        values = values_for(each, world.samples(), leaf.path)
        if leaf.kind is None or not in_a_list(values, leaf):
            continue
        many = [str(new_id("tag" if leaf.kind == ANY else leaf.kind)) for _ in range(101)]
        [answer] = await answers_to(api, each, [lengthened(values, leaf, many)])
        refused = codes(answer) or [error["code"] for error in refusals(answer)]
        assert refused in (["BAD_USER_INPUT"], ["TOO_LONG"]), (str(leaf), answer)
    assert await world.log_head() == before


def in_a_list(values: Any, leaf: Leaf) -> bool:
    for name in leaf.path:
        if isinstance(values, list):
            return True
        values = values[name]
    return isinstance(values, list)


def lengthened(values: Any, leaf: Leaf, many: list[str]) -> Any:
    """The same values with a list in which each of these ids is."""
    path = leaf.path

    def build(value: Any, rest: tuple[str, ...]) -> Any:
        if isinstance(value, list):
            return [replaced(value[0], rest, id) for id in many]
        return {name: build(it, rest[1:]) if name == rest[0] else it for name, it in value.items()}

    return build(values, path)


def refusals(answer: Json) -> list[Json]:
    """The user errors in a mutation's answer."""
    found: list[Json] = []
    for payload in (answer.get("data") or {}).values():
        found += (payload or {}).get("userErrors", []) if isinstance(payload, dict) else []
    return found


TEXTS = [
    "", "\t\n", "a\0b", "a\x1b[31mb", "a\u2028b", "\u202e\ufeff", "\U0010ffff", "a" * 60_000, "é" * 300,
    "$where{{7*7}}",
]  # fmt: skip


@pytest.mark.parametrize("each", [it for it in WITH_ARGUMENTS if it.kind != "subscription"], ids=str)
async def test_a_text_is_taken_or_refused_for_a_reason(world: World, each: Operation) -> None:
    api = caller_for(each, world)
    for leaf in leaves(each):
        if leaf.type != "String" or kind_of_leaf(leaf):
            continue
        values = values_for(each, world.samples(), leaf.path)
        many = [replaced(values, leaf.path, text) for text in TEXTS]
        answers = await answers_to(api, each, many)
        for text, answer in zip(TEXTS, answers, strict=True):
            assert set(codes(answer)) <= {"BAD_USER_INPUT", "NOT_FOUND", "CONFLICT"}, (str(leaf), text[:20], answer)
            for error in refusals(answer):
                assert error["code"] in {"BLANK", "INVALID", "TOO_LONG", "TAKEN", "HOST_FAILED"}, (
                    str(leaf),
                    text[:20],
                    error,
                )
                assert len(error["message"]) < 300, str(leaf)


REFUSED: dict[str, list[tuple[str, str]]] = {
    "emails": [("a", "INVALID"), ("a@", "INVALID"), ("@a.b", "INVALID"), ("a b@c.de", "INVALID"), ("a@b", "INVALID"),
               ("a@b.c\r\nBcc: d@e.fg", "INVALID"), ("<a@b.cd>", "INVALID"), ("a@b.cd,e@f.gh", "INVALID"),
               ("a" * 250 + "@b.cd", "INVALID"), ("a" * 65 + "@b.cd", "INVALID"), ("=?a@b.cd", "INVALID"),
               ("a@b!.cd", "INVALID"), ("", "INVALID")],
    "handle": [("", "INVALID"), ("@", "INVALID"), ("a b", "INVALID"), ("a:b", "INVALID"), ("a/b", "INVALID"),
               ("a@b", "INVALID"), ("a" * 101, "INVALID"), ("a\x07b", "INVALID")],
    "name": [("", "BLANK"), (" \t ", "BLANK"), ("a" * 201, "TOO_LONG"), ("a\x07b", "INVALID"), ("a\nb", "INVALID"),
             ("a\u2028b", "INVALID")],
    "externalId": [("", "BLANK"), ("a\0b", "INVALID"), ("a" * 201, "TOO_LONG")],
    "avatarUrl": [("x", "INVALID"), ("javascript:alert(1)", "INVALID"), ("http://", "INVALID"), ("//a.b", "INVALID"),
                  ("http://[", "INVALID"), ("http://a b", "INVALID"), ("https://a.b/" + "x" * 2000, "TOO_LONG"),
                  ("", "BLANK"), ("data:text/html,x", "INVALID")],
    "idempotencyKey": [("", "BLANK"), ("a" * 201, "TOO_LONG"), ("a\0b", "INVALID")],
}  # fmt: skip


@pytest.mark.parametrize("name", REFUSED)
async def test_what_is_refused_of_an_influencer(world: World, name: str) -> None:
    before = await world.log_head()
    for text, code in REFUSED[name]:
        given: dict[str, Any] = {"name": "Ada", name: [text] if name == "emails" else text}
        payload = await world.admin.mutate(
            "createInfluencer", "position influencer { id } userErrors { code field }", **given
        )
        assert payload == {
            "position": None, "influencer": None, "userErrors": [{"code": code, "field": [name]}],
        }, text  # fmt: skip
    assert await world.log_head() == before


async def test_what_is_refused_of_colours_texts_and_variables(world: World) -> None:
    async def code(mutation: str, **given: object) -> list[str]:
        payload = await world.admin.mutate(mutation, "userErrors { code }", **given)
        return [error["code"] for error in payload["userErrors"]]

    before, thread = await world.log_head(), world.ids["thread"]
    for color in ("", "red", "#fff", "#12345g", "#1234567", "#123456\n", "#\u0661\u0661\u0661\u0661\u0661\u0661"):
        assert await code("createTag", name="A tag", color=color) == ["INVALID"], color
    for text in ("", " ", "\n\n", "\u2003"):
        assert await code("sendMessage", threadId=thread, text=text) == ["BLANK"], text
    assert await code("sendMessage", threadId=thread, text="a" * 50_001) == ["TOO_LONG"]
    assert await code("sendMessage", threadId=thread, text="a\0b") == ["INVALID"]
    assert await code("addNote", influencerId=world.ids["influencer"], text="a" * 10_001) == ["TOO_LONG"]
    for days in (0, -1, 3651, 2**31 - 1):
        assert await code("createToken", label="a", memberId=world.ids["member"], expiresInDays=days) == ["INVALID"]
    for scopes in ([], ["everything"], ["inbox:read", "x" * 1000]):
        assert await code("createToken", label="a", partner="P", scopes=scopes) in (["INVALID"], ["BLANK"]), scopes
    assert await world.log_head() == before


VALUES = {
    "NUMBER": ["", "x", "NaN", "Infinity", "-Infinity", "1e5000000", "1_000", "\u0661", "0x10", "1,5", "--1", "1 2"],
    "DATE": ["", "x", "2026-1-1", "2026-02-30", "20260131", "2026-01-31T00:00:00Z", "0000-01-01", "2026-W05-6"],
    "BOOLEAN": ["", "x", "True", "1", "yes"],
    "URL": ["", "x", "javascript:alert(1)", "http://", "http://["],
    "TEXT": ["", " ", "a\0b", "a\nb", "a" * 2001],
}
TAKEN = {"NUMBER": "-12.5", "DATE": "2026-01-31", "BOOLEAN": "true", "URL": "https://brand.example/a", "TEXT": "Any é"}


@pytest.mark.parametrize("type", VALUES)
async def test_a_variables_value_is_of_its_type(world: World, type: str) -> None:
    made = await world.admin.mutate("createVariable", "variable { id }", name=f"A {type}", type=type)
    before, selection = await world.log_head(), "influencer { variables { value } } userErrors { code field }"

    async def put(value: str) -> Json:
        variables = [{"variableId": made["variable"]["id"], "value": value}]
        return await world.admin.mutate("createInfluencer", selection, name="Ada", variables=variables)

    for value in VALUES[type]:
        payload = await put(value)
        assert payload["influencer"] is None and payload["userErrors"][0]["field"] == ["variables"], (value, payload)
    assert await world.log_head() == before
    assert (await put(TAKEN[type]))["influencer"]["variables"] == [{"value": TAKEN[type]}]


async def test_a_time_is_taken_in_any_offset_and_given_in_utc(world: World) -> None:
    each = operation("receiveMessage")
    for given, shown in {
        "2026-01-31T09:30:00Z": "2026-01-31T09:30:00.000Z",
        "2026-01-31T09:30:00.123456Z": "2026-01-31T09:30:00.123Z",
        "2026-01-31t09:30:00.1z": "2026-01-31T09:30:00.100Z",
        "2026-01-31 09:30:00.123456789-00:00": "2026-01-31T09:30:00.123Z",
        "2026-01-31T09:30:00+02:00": "2026-01-31T07:30:00.000Z",
        "0001-01-01T00:00:00Z": "0001-01-01T00:00:00.000Z",
        "9999-12-31T23:59:59.999Z": "9999-12-31T23:59:59.999Z",
    }.items():
        values = values_for(each, world.samples())
        values["input"] |= {"sentAt": given, "externalId": f"at {given}"}
        answer = await world.partner.run("mutation($input: ReceiveMessageInput!) { receiveMessage(input: $input) "
                                         "{ message { sentAt } } }", **values)  # fmt: skip
        assert answer["receiveMessage"]["message"]["sentAt"] == shown
