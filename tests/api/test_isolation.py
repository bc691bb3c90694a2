"""Nothing of another workspace can be reached: its ids, in every argument of every operation, are as those that do not
exist. The operations and arguments come from the schema, so what is added to it is covered, or fails here."""

from __future__ import annotations

import json
import re
from collections.abc import AsyncIterator
from typing import Any

import pytest
from graphql import GraphQLInputObjectType, GraphQLObjectType, get_named_type

from schema.types.node import new_id
from storage.store import Store
from tests.api.asking import FILTERS, answers_to, caller_for, codes, told
from tests.api.documents import ROOTS, SCHEMA, Operation, operation, operations
from tests.api.values import ANY, Leaf, at, leaves, replaced, values_for
from tests.api.world import World, create_world
from tests.client import Json, Server

# What a text may be that leads to an object, by the name of its field.
CURSORS, POSITIONS, REFERENCES = {"after", "before"}, {"since"}, {"email", "emails", "handle", "externalId"}
PLAIN = {
    "name", "text", "value", "color", "label", "partner", "scopes", "subject", "search", "avatarUrl", "idempotencyKey",
    "html", "cc", "address", "password", "host", "user", "provider",
}  # fmt: skip

WITH_IDS = [each for each in operations() if any(leaf.kind for leaf in leaves(each))]
ANSWERED = [each for each in operations() if each.kind != "subscription"]

pytestmark = pytest.mark.usefixtures("quiet")


@pytest.fixture(scope="module")
async def worlds(store: Store, server: Server) -> AsyncIterator[tuple[World, World]]:
    """Ours, and another one with the word `plum` in all of its texts."""
    yield await create_world(store, server, "ours"), await create_world(store, server, "plum")


@pytest.fixture(scope="module")
async def crowded(store: Store, server: Server) -> World:
    """A third one, into which the words of the others may come."""
    return await create_world(store, server, "crowded")


async def state_of(world: World) -> tuple[int, list[str]]:
    return await world.log_head(), await world.tokens()


def test_every_id_of_the_schema_is_reached() -> None:
    declared = set()
    for type in SCHEMA.type_map.values():
        if isinstance(type, GraphQLObjectType) and not type.name.startswith("__"):
            declared |= {
                f"{type.name}.{name}.{argument}"
                for name, each in type.fields.items()
                for argument, it in each.args.items()
                if get_named_type(it.type).name == "ID"
            }
        elif isinstance(type, GraphQLInputObjectType):
            declared |= {
                f"{type.name}.{name}" for name, it in type.fields.items() if get_named_type(it.type).name == "ID"
            }
    assert declared == {leaf.owner for each in WITH_IDS for leaf in leaves(each) if leaf.kind}


def test_every_text_of_the_schema_is_known_for_what_it_leads_to() -> None:
    names = {leaf.path[-1] for each in operations() for leaf in leaves(each) if leaf.type == "String"}
    assert names == CURSORS | POSITIONS | REFERENCES | PLAIN


@pytest.mark.parametrize("operation", WITH_IDS, ids=str)
async def test_another_workspaces_ids_are_as_ids_that_do_not_exist(
    worlds: tuple[World, World], operation: Operation
) -> None:
    ours, theirs = worlds
    api, before = caller_for(operation, ours), [await state_of(world) for world in worlds]
    for leaf in leaves(operation):
        if leaf.kind is None or (operation.kind == "subscription" and leaf.owner in FILTERS):
            continue
        values = values_for(operation, ours.samples(), leaf.path)
        unknown = new_id("tag" if leaf.kind == ANY else leaf.kind)
        foreign = [*theirs.ids.values(), theirs.private]
        many = [replaced(values, leaf.path, id) for id in [unknown, *foreign]]
        assert [at(each, leaf.path) for each in many] == [unknown, *foreign]
        expected, *answers = await answers_to(api, operation, many)
        if leaf.owner in FILTERS:
            assert codes(expected) == [] and '"edges": []' in told(expected), expected
        else:
            assert codes(expected) == ["NOT_FOUND"], expected
        for id, answer in zip(foreign, answers, strict=True):
            assert told(answer, id) == told(expected, unknown), (str(leaf), id)
    assert [await state_of(world) for world in worlds] == before


async def test_the_ids_in_a_subscriptions_filter_match_nothing(worlds: tuple[World, World]) -> None:
    ours, theirs = worlds
    each = operation("inboxChanged")
    filters = [leaf for leaf in leaves(each) if leaf.owner in FILTERS]
    assert {leaf.path[-1] for leaf in filters} == {"campaignIds", "tagIds"}
    for leaf in filters:
        assert leaf.kind
        values = replaced(values_for(each, ours.samples(), leaf.path), leaf.path, theirs.ids[leaf.kind])
        async with ours.admin.subscription(each.document, **values) as matching_none:
            for world in (theirs, ours):  # theirs would come first, and ours is outside of the filter
                await world.admin.mutate("sendMessage", "position", threadId=world.ids["thread"], text="More")
            values["filter"] = {}
            async with ours.admin.subscription(each.document, **values, since=ours.position) as matching_all:
                assert (await matching_all.data())["threadId"] == ours.ids["thread"]
            # What was asked for first is answered first: nothing of it has come, and the socket is as it was.
            await matching_none.socket.send(type="ping")
            assert await matching_none.socket.receive() == {"type": "pong"}


@pytest.mark.parametrize("operation", ANSWERED, ids=str)
async def test_cursors_positions_and_references_of_another_workspace_lead_nowhere(
    worlds: tuple[World, World], crowded: World, operation: Operation
) -> None:
    ours, theirs = crowded if may_take(operation) else worlds[0], worlds[1]
    api, before = caller_for(operation, ours), await state_of(theirs)
    said: list[str] = []  # by ourselves: what may be taken here is seen in later answers
    for leaf in leaves(operation):
        name = leaf.path[-1]
        if leaf.type != "String" or name in PLAIN:
            continue
        values = values_for(operation, ours.samples(), leaf.path)
        for theirs_text, unknown in foreign_texts(theirs, name):
            many = [replaced(values, leaf.path, text) for text in (theirs_text, unknown)]
            given, expected = await answers_to(api, operation, many)
            assert shape(given) == shape(expected), (str(leaf), theirs_text)
            said.append(theirs_text)
            assert "plum" not in re.sub("|".join(map(re.escape, said)), "", json.dumps(given)), str(leaf)
    assert await state_of(theirs) == before


def may_take(operation: Operation) -> bool:
    """Whether what it is given is another's may be taken here too, as another workspace's is nobody's here."""
    return operation.kind == "mutation" and operation.name != "receiveMessage"


def foreign_texts(theirs: World, name: str) -> list[tuple[str, str]]:
    """What a field of that name may hold of theirs, each with a like of it that was never given out."""
    epoch = theirs.position.partition(".")[0]
    if name in POSITIONS:
        return [(theirs.position, theirs.position.replace(epoch, "0" * 12))]
    if name in CURSORS:
        return [(cursor, cursor.replace(epoch, "0" * 12)) for cursor in theirs.cursors.values() if cursor[0] == "0"]
    text = {
        "email": "plum@influencer.example",
        "emails": "plum@influencer.example",
        "handle": "plum-handle",
        "externalId": "plum-external",
    }[name]
    return [(text, text.replace("plum", "nobody"))]


def shape(answer: Json) -> str:
    """An answer without what is made anew each time; of a mutation's what was refused."""
    for payload in (answer["data"] or {}).values():
        if payload and "userErrors" in payload:
            answer = {"errors": answer.get("errors"), "userErrors": payload["userErrors"]}
    text = re.sub(r"(?<![a-z0-9])[a-z0-9]{12}\.[0-9]+", "POSITION", json.dumps(answer, sort_keys=True))
    text = re.sub(r"[a-z]+_[0-9A-Z]{26}", "ID", text)
    return re.sub(r"[0-9-]{10}T[0-9:.]+Z", "TIME", re.sub("plum|nobody", "WORD", text))


@pytest.mark.parametrize("operation", ANSWERED, ids=str)
async def test_nothing_of_another_workspace_is_in_any_answer(worlds: tuple[World, World], operation: Operation) -> None:
    ours, theirs = worlds
    values = values_for(operation, ours.samples())
    if operation.kind == "mutation":
        many = [{"input": {**values["input"], **{name: new_id("tag") for name in destroyed(values["input"])}}}]
    else:
        many = [values, values_for(operation, ours.samples(), everything=True)]
    answer = "".join(map(told, await answers_to(caller_for(operation, ours), operation, many)))
    assert "plum" not in answer
    assert not [id for id in theirs.ids.values() if id in answer]


def destroyed(input: dict[str, Any]) -> set[str]:
    """What names the members and tokens that the other tests go on with."""
    return {"memberId", "tokenId"} & input.keys()


async def test_a_members_notifications_are_nobody_elses(worlds: tuple[World, World]) -> None:
    ours, _ = worlds
    assert ours.ids["notification"] != ours.private
    before, unknown = await state_of(ours), new_id("notification")
    for name in ("node", "nodes", "markNotificationsRead"):
        each = operation(name)
        leaf: Leaf = leaves(each)[0]
        values = values_for(each, ours.samples(), leaf.path)
        private = await ours.admin.post(each.document, **replaced(values, leaf.path, ours.private))
        absent = await ours.admin.post(each.document, **replaced(values, leaf.path, unknown))
        assert codes(private) == ["NOT_FOUND"]
        assert told(private, ours.private) == told(absent, unknown)
    assert await state_of(ours) == before
    assert ours.private not in told(await ours.admin.post(operation("notifications").document))


async def test_what_a_member_has_read_is_told_to_nobody_else(worlds: tuple[World, World]) -> None:
    ours, _ = worlds
    since = (await ours.admin.run("{ viewer { position } }"))["viewer"]["position"]
    marked = await ours.member.mutate("markMessageUnread", "position", messageId=ours.ids["message"])
    await ours.member.mutate("markNotificationsRead", "position", notificationIds=[ours.private])
    await ours.member.mutate("markThreadsRead", "position")
    told_to = {
        api: (await api.run("query($since: String!) { changes(since: $since) { changes { kind } } }", since=since))
        for api in (ours.admin, ours.partner, ours.member)
    }
    assert [len(each["changes"]["changes"]) for each in told_to.values()] == [0, 0, 3]
    for name in ("threadChanged", "inboxChanged"):
        each = operation(name)
        values = {"threadId": ours.ids["thread"]} if name == "threadChanged" else {}
        async with ours.admin.subscription(each.document, since=since, **values) as theirs:
            sent = await ours.admin.mutate("sendMessage", "position", threadId=ours.ids["thread"], text="More")
            assert (await theirs.data())["position"] == sent["position"] != marked["position"]
        since = sent["position"]
        await ours.member.mutate("markMessageUnread", "position", messageId=ours.ids["message"])


def test_nothing_is_left_out() -> None:
    assert {each.kind for each in operations()} == set(ROOTS)
    assert len(WITH_IDS) > 30
