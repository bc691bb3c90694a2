"""Who may do what: every operation of the schema, for every role and for every scope alone."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import pytest

from schema.types.context import SCOPES, Role
from schema.types.node import new_id
from storage.store import Store
from storage.workspaces import add_partner, create_workspace, operator_of
from tests.api.conftest import Brand, member_api, token_for
from tests.api.documents import Operation, operation, operations
from tests.api.values import ANY, Samples, leaves, replaced, values_for
from tests.client import Api, ApiFailed, Json, Server

READERS = {"VIEWER", "MEMBER", "ADMIN", "inbox:read"}
MEMBERS = {"VIEWER", "MEMBER", "ADMIN"}
WRITERS = {"MEMBER", "ADMIN"}
EVERYONE = {*MEMBERS, *SCOPES}

MAY = {
    "query viewer": EVERYONE,
    "query node": READERS,
    "query nodes": READERS,
    "query inbox": READERS,
    "query thread": READERS,
    "query influencer": READERS,
    "query unreadCount": MEMBERS,
    "query notifications": MEMBERS,
    "query changes": READERS,
    "query campaigns": READERS,
    "query variables": READERS,
    "query tags": READERS,
    "query tokens": {"ADMIN"},
    "query members": READERS,
    "query rateLimit": EVERYONE,
    "query mailboxes": READERS,
    "query mailboxProviders": READERS,
    "query quarantinedMails": READERS,
    "query Thread.messages": READERS,
    "query Message.html": READERS,
    "mutation createInfluencer": WRITERS | {"influencers:write"},
    "mutation updateInfluencer": WRITERS | {"influencers:write"},
    "mutation archiveInfluencers": WRITERS | {"influencers:write"},
    "mutation restoreInfluencers": WRITERS | {"influencers:write"},
    "mutation tagInfluencers": WRITERS | {"influencers:write"},
    "mutation addNote": WRITERS | {"influencers:write"},
    "mutation deleteNote": WRITERS | {"influencers:write"},
    "mutation createTag": {"ADMIN"},
    "mutation updateTag": {"ADMIN"},
    "mutation deleteTag": {"ADMIN"},
    "mutation createVariable": {"ADMIN"},
    "mutation updateVariable": {"ADMIN"},
    "mutation deleteVariable": {"ADMIN"},
    "mutation createCampaign": WRITERS | {"campaigns:write"},
    "mutation updateCampaign": WRITERS | {"campaigns:write"},
    "mutation setParticipation": WRITERS | {"campaigns:write"},
    "mutation sendMessage": WRITERS | {"messages:send"},
    "mutation receiveMessage": {"messages:ingest"},
    "mutation markThreadRead": MEMBERS,
    "mutation markThreadsRead": MEMBERS,
    "mutation markMessageUnread": MEMBERS,
    "mutation markNotificationsRead": MEMBERS,
    "mutation createMember": {"ADMIN"},
    "mutation updateMember": {"ADMIN"},
    "mutation removeMember": {"ADMIN"},
    "mutation createToken": {"ADMIN"},
    "mutation revokeToken": {"ADMIN"},
    "mutation connectMailbox": WRITERS,
    "mutation beginMailboxAuthorization": WRITERS,
    "mutation updateMailbox": WRITERS,
    "mutation disconnectMailbox": WRITERS,
    "mutation setDefaultMailbox": WRITERS,
    "mutation checkMailbox": WRITERS,
    "mutation retryQuarantinedMail": WRITERS,
    "mutation discardQuarantinedMail": WRITERS,
    "mutation resolveDelivery": WRITERS,
    "mutation saveDraft": WRITERS,
    "mutation deleteDraft": MEMBERS,
    "subscription messageAdded": READERS,
    "subscription threadChanged": READERS,
    "subscription inboxChanged": READERS,
    "subscription unreadCount": MEMBERS,
    "subscription notificationAdded": MEMBERS,
    "subscription mailboxChanged": READERS,
    "subscription changed": READERS,
}

# What is asked for where no id can be one that does not exist: something that is refused for its form, or changes
# nothing that others of these tests go on with.
ASKED: dict[str, dict[str, Any]] = {
    "markThreadsRead": {"input": {"threadIds": []}},
    "createToken": {"input": {"label": "nothing", "expiresInDays": 0}},
}

pytestmark = pytest.mark.usefixtures("quiet")


@dataclass(frozen=True)
class Office:
    """A workspace with a caller for each role and for each scope alone."""

    store: Store
    workspace: str
    position: str
    callers: dict[str, Api]

    async def log_head(self) -> int:
        applied: int = (await self.store.log.state(self.workspace))["applied"]
        return applied


@pytest.fixture(scope="module")
async def office(store: Store, server: Server) -> Office:
    workspace = await create_workspace(store, "Office")
    callers = {role.name: await member_api(store, server, workspace, role) for role in Role}
    partner = (await add_partner(store, operator_of(workspace), "Partner")).result.id
    for scope in SCOPES:
        callers[scope] = server.api(await token_for(store, workspace, partner, [scope]))
    position = (await callers["ADMIN"].run("{ viewer { position } }"))["viewer"]["position"]
    return Office(store, workspace, position, callers)


def harmless(each: Operation, office: Office) -> dict[str, Any]:
    """Variables with ids of nothing, so that who may is told NOT_FOUND and who may not FORBIDDEN."""
    if each.name in ASKED:
        return ASKED[each.name]
    samples = Samples(ids=lambda kind: new_id("tag" if kind == ANY else kind), position=office.position)
    values = values_for(each, samples)
    if any(leaf.path == ("since",) for leaf in leaves(each)):  # a subscription, which else would wait
        values = {**values, "since": "no position"}
    return values


async def codes_of(api: Api, each: Operation, values: dict[str, Any]) -> list[str]:
    """The codes of what is told first."""
    if each.kind != "subscription":
        answer: Json = await api.post(each.document, **values)
        # What is beyond the objects that were changed is test_who_may_not_read_sees_only_what_they_changed.
        told = [error for error in answer.get("errors", []) if len(error.get("path", [])) < 2]
        return [error["extensions"]["code"] for error in told]
    async with api.socket() as socket:
        await socket.subscribe(each.document, **values)
        first = await socket.receive()
    return [error["extensions"]["code"] for error in first["payload"]] if first["type"] == "error" else []


def test_the_table_holds_every_operation() -> None:
    assert sorted(MAY) == sorted(str(each) for each in operations())
    assert all(who <= EVERYONE for who in MAY.values())


@pytest.mark.parametrize("each", operations(), ids=str)
async def test_who_may_and_who_may_not(office: Office, each: Operation) -> None:
    values, allowed = harmless(each, office), MAY[str(each)]
    for name in sorted(EVERYONE - allowed):
        before = await office.log_head()
        assert await codes_of(office.callers[name], each, values) == ["FORBIDDEN"], name
        assert await office.log_head() == before, name
    for name in sorted(allowed):
        codes = await codes_of(office.callers[name], each, values)
        assert set(codes) <= {"NOT_FOUND", "BAD_USER_INPUT"}, name
        values = unlike(values)


def unlike(values: dict[str, Any]) -> dict[str, Any]:
    """The same, for another caller: what must be unique is so again."""
    return replaced(values, ("input", "name"), f"name {new_id('name')}") if "input" in values else values


async def test_what_is_refused_says_what_it_needs(office: Office) -> None:
    tag = operation("createTag")
    answer = await office.callers["MEMBER"].post(tag.document, input={"name": "Tag"})
    assert answer["errors"][0]["message"] == "this needs the role ADMIN"
    assert answer["errors"][0]["path"] == ["createTag"] and answer["data"] is None
    send = operation("sendMessage")
    answer = await office.callers["inbox:read"].post(send.document, **harmless(send, office))
    assert answer["errors"][0]["message"] == "this needs the scope messages:send"


async def test_a_token_without_scopes_may_only_ask_who_it_is(store: Store, office: Office) -> None:
    partner = (await add_partner(store, operator_of(office.workspace), "Partner")).result.id
    nobody = office.callers["ADMIN"].server.api(await token_for(store, office.workspace, partner, []))
    for each in operations():
        codes = await codes_of(nobody, each, harmless(each, office))
        assert codes == ([] if each.name in ("viewer", "rateLimit") else ["FORBIDDEN"]), str(each)


async def test_who_may_not_read_sees_only_what_they_changed(brand: Brand) -> None:
    partner = (await add_partner(brand.store, operator_of(brand.workspace), "Writer")).result.id
    token = await token_for(brand.store, brand.workspace, partner, ["messages:ingest"])
    writer = brand.server.api(token)
    thread = (await brand.influencer("Ada", emails=["ada@x.example"]))["thread"]
    await brand.send(thread, "private")
    input = {"threadId": thread, "text": "Hi", "externalId": "1"}
    payload = await writer.mutate("receiveMessage", "message { text } thread { id } position", **input)
    assert payload["message"] == {"text": "Hi"} and payload["thread"] is None and payload["position"]
    for beyond in ("thread { id }", "author { name }", "thread { messages { nodes { text } } }"):
        with pytest.raises(ApiFailed) as failed:
            await writer.mutate("receiveMessage", f"message {{ {beyond} }}", **input)
        assert failed.value.codes == ["FORBIDDEN"]
