"""Groups of equal subscriptions: executed once, told to everyone, and nobody's own."""

from __future__ import annotations

import asyncio
import re
import struct
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack
from typing import Any

import orjson
import pytest
from graphql import (
    IDLE,
    REMOVE,
    FieldNode,
    TypeInfo,
    TypeInfoVisitor,
    Visitor,
    get_named_type,
    parse,
    print_ast,
    visit,
)

from connect_inbox import protocols
from connect_inbox import server as server_module
from connect_inbox.auth import Gate
from connect_inbox.graphql import operation as operations
from connect_inbox.graphql.documents import Documents
from connect_inbox.graphql.groups import Executed, Group, Groups, Subscriber
from connect_inbox.graphql.limits import Limits
from connect_inbox.graphql.sharing import sharing_of
from connect_inbox.settings import Settings
from resolvers.context import Context
from schema.types.context import Caller, Role
from schema.types.errors import ApiError, ErrorCode
from schema.types.message import MessageDirection, MessageKind
from storage.feed import Batch, begin, next_batch
from storage.hints import Hearing
from storage.mailboxes import change_mailbox
from storage.messages import NewMessage, add_messages
from storage.positions import parse_position
from storage.reader import StoreReader
from storage.store import Store
from storage.workspaces import add_member, add_partner, begin_epoch, operator_of
from tests.api.conftest import Brand, create_brand, keep_groups, token_for
from tests.api.documents import object_type, selection_for
from tests.client import DEADLINE, Api, Subscription, until
from tests.mailboxes import connected
from tests.raw_socket import raw_stream, raw_subscription
from tests.server import running
from tests.sse import open_stream
from tests.storage.stores import second_store

FOR_ALL = """subscription($since: String) {
  messageAdded(since: $since) { position message { id text author { id name } thread { influencer { name } } } }
}"""
FOR_ONE = "subscription($since: String) { messageAdded(since: $since) { message { id unread } } }"
COUNT = "subscription { unreadCount { threads position } }"
MAY_SEND = "subscription($since: String) { mailboxChanged(since: $since) { mailbox { maySend } } }"


async def subscribed(stack: AsyncExitStack, api: Api, query: str, **variables: object) -> Subscription:
    return await stack.enter_async_context(api.subscription(query, **variables))


async def calls_of_an_event(brand: Brand, thread: str, subscriptions: list[Subscription]) -> int:
    """The calls to the database from a message to all of its subscribers: the fewest, as others may call meanwhile."""
    return min([await calls_once(brand, thread, subscriptions) for _ in range(3)])


async def calls_once(brand: Brand, thread: str, subscriptions: list[Subscription]) -> int:
    before = brand.store.database.calls
    sent = await brand.send(thread)
    for event in await asyncio.gather(*[each.data() for each in subscriptions]):
        assert event["message"]["id"] == sent["id"]
    return brand.store.database.calls - before


@pytest.mark.parametrize("query", [FOR_ALL, FOR_ONE], ids=["for all", "for one"])
async def test_an_event_costs_the_same_for_one_subscriber_as_for_twenty(brand: Brand, query: str) -> None:
    thread = (await brand.influencer())["thread"]
    since = await brand.position()
    async with AsyncExitStack() as stack:
        first = await subscribed(stack, brand.viewer, query, since=since)
        await calls_of_an_event(brand, thread, [first])
        alone = await calls_of_an_event(brand, thread, [first])
        others = [await subscribed(stack, brand.viewer, query, since=await brand.position()) for _ in range(19)]
        await calls_of_an_event(brand, thread, [first, *others])
        assert await calls_of_an_event(brand, thread, [first, *others]) == alone


async def test_a_members_count_is_computed_once_for_whatever_asks_for_it(brand: Brand) -> None:
    thread = (await brand.influencer())["thread"]
    documents = [f"subscription {{ unreadCount {{ {fields} }} }}" for fields in ("threads", "messages", "id threads")]
    async with AsyncExitStack() as stack:
        subscriptions = [await subscribed(stack, brand.viewer, each) for each in documents]
        for each in subscriptions:
            await each.data()

        async def calls(count: int) -> int:
            before = brand.store.database.calls
            await brand.receive(thread)
            for each in subscriptions[:count]:
                await each.data()
            return brand.store.database.calls - before

        three = min([await calls(3) for _ in range(3)])
        for each in subscriptions[1:]:
            await each.socket.connection.close()
        assert min([await calls(1) for _ in range(3)]) == three


async def test_each_sees_their_own(brand: Brand) -> None:
    """The same document, whose answer depends on who looks."""
    thread = (await brand.influencer())["thread"]
    since = await brand.position()
    async with AsyncExitStack() as stack:
        subscriptions = [
            await subscribed(stack, api, FOR_ONE, since=since) for api in (brand.member, brand.viewer, brand.partner)
        ]
        await brand.receive(thread)
        seen = [(await each.data())["message"]["unread"] for each in subscriptions]
        assert seen == [True, True, False]  # a partner has no read state


async def test_each_token_is_told_what_it_may_do_itself(brand: Brand) -> None:
    """Two tokens of one partner's, and a member whose role has changed."""
    store, workspace = brand.store, brand.workspace
    operator = operator_of(workspace)
    owner = (await add_member(store, operator, "Owner", "owner@brand.example", Role.MEMBER)).result.id
    mailbox = await connected(store, workspace, owner, is_shared=True)
    partner = (await add_partner(store, operator, "Another")).result.id
    reader, sender = [
        brand.server.api(await token_for(store, workspace, partner, ["inbox:read", *more]))
        for more in ([], ["messages:send"])
    ]
    member, since = (await brand.viewer.run("{ viewer { id } }"))["viewer"]["id"], await brand.position()
    async with brand.viewer.subscription(MAY_SEND, since=since):  # by which the others' rights must not be told
        await brand.admin.mutate("updateMember", "position", memberId=member, role="MEMBER")
        writer = brand.server.api(await token_for(store, workspace, member))
        async with AsyncExitStack() as stack:
            asked = [await subscribed(stack, api, MAY_SEND, since=since) for api in (reader, sender, writer)]
            await change_mailbox(store, operator, mailbox, {"name": "Another name"})
            assert [(await each.data())["mailbox"]["maySend"] for each in asked] == [False, True, True]


async def test_what_only_one_member_may_know_is_told_to_nobody_else(brand: Brand) -> None:
    """All in one group: nothing that is selected differs from viewer to viewer, but who may know of a change does."""
    thread = (await brand.influencer())["thread"]
    received = await brand.receive(thread)
    query = "subscription($id: ID!, $since: String) { threadChanged(threadId: $id, since: $since) { kind position } }"
    async with AsyncExitStack() as stack:
        since = await brand.position()
        theirs = await subscribed(stack, brand.member, query, id=thread, since=since)
        others = await subscribed(stack, brand.viewer, query, id=thread, since=since)
        await brand.member.mutate("markThreadRead", "position", threadId=thread, upToMessageId=received["id"])
        sent = await brand.send(thread)
        assert (await theirs.data())["kind"] == "THREAD_UPDATED"
        for each in (theirs, others):
            event = await each.data()
            assert (event["kind"], event["position"]) == ("MESSAGE_ADDED", sent["position"])


class Shared(Visitor):
    """Takes out of a document what is declared to be the viewer's own."""

    def __init__(self, types: TypeInfo) -> None:
        super().__init__()
        self._types = types

    def enter_field(self, node: FieldNode, *_: Any) -> object:
        field = self._types.get_field_def()
        declared = field.extensions.get("strawberry-definition") if field else None
        return REMOVE if declared is not None and declared.metadata.get("viewer") else IDLE


def document_for_all(field: str, arguments: str) -> str:
    """Everything that can be selected of an event, three objects deep, but for what is the viewer's own."""
    kind = get_named_type(object_type("Subscription").fields[field].type)
    declared = "$since: String, $thread: ID!" if "thread" in arguments else "$since: String"
    document = parse(f"subscription({declared}) {{ {field}({arguments}) {selection_for(kind.name, 3)} }}")
    types = TypeInfo(operations.SCHEMA)
    return print_ast(visit(document, TypeInfoVisitor(types, Shared(types))))


@pytest.mark.parametrize(
    ("field", "arguments"),
    [("messageAdded", "since: $since"), ("threadChanged", "since: $since, threadId: $thread")],
)
async def test_what_is_told_to_all_is_the_same_for_each(brand: Brand, field: str, arguments: str) -> None:
    """Each field that differs from viewer to viewer says so: all others are executed for each, and compared."""
    campaign = (await brand.admin.mutate("createCampaign", "campaign { id }", name="Spring"))["campaign"]["id"]
    thread = (await brand.influencer())["thread"]
    since = await brand.position()
    received = await brand.receive(thread, campaignId=campaign)
    await brand.member.mutate("markThreadRead", "position", threadId=thread, upToMessageId=received["id"])
    await brand.send(thread, campaignId=campaign, idempotencyKey="member's")

    request = operations.Request(document_for_all(field, arguments), {"since": since, "thread": thread}, None)
    operation = prepared(request)
    assert not operation.sharing.is_per_viewer and operation.sharing.since == {"since"}
    store = brand.store
    told = []
    for api in (brand.admin, brand.member, brand.viewer, brand.partner):
        caller = (await Gate(store).admit(api.token)).caller
        reader = StoreReader(store, caller, await store.log.position(caller.workspace))
        context = Context(store, reader)
        feed = await operations.feed_of(operation, context)
        batch = await next_batch(store.log, brand.workspace, await begin(store.log, brand.workspace, since))
        events = [each for each in await feed.tell(batch, reader) if each.only is None]
        told.append([await operations.run_event(operation, context, each.event) for each in events])
    assert told[0] and b"errors" not in told[0][0]
    for each in told[1:]:
        assert each == told[0]


def prepared(request: operations.Request) -> operations.Operation:
    return Documents(Limits()).prepare(request)


@pytest.mark.parametrize(
    ("query", "is_per_viewer", "since"),
    [
        ("subscription($s: String) { messageAdded(since: $s) { message { id } } }", False, {"s"}),
        ("subscription { messageAdded { ...F } } fragment F on MessageAdded { message { unread } }", True, set()),
        ("subscription { unreadCount { threads } }", True, set()),
        ("subscription($s: String) { inboxChanged(since: $s) { threadId } }", True, {"s"}),
        ("subscription($s: String) { ...F } fragment F on Subscription { messageAdded(since: $s) { position } }",
         False, {"s"}),
        ("subscription($s: String, $t: ID) { messageAdded(since: $s, threadId: $t) { position } }", False, {"s"}),
    ],
)  # fmt: skip
def test_who_may_share(query: str, is_per_viewer: bool, since: set[str]) -> None:
    sharing = sharing_of(operations.SCHEMA, parse(query))
    assert (sharing.is_per_viewer, set(sharing.since)) == (is_per_viewer, since)


def test_a_variable_that_says_more_than_where_to_begin_is_not_left_out() -> None:
    query = """subscription($s: String, $t: ID!) { messageAdded(since: $s) { message { thread {
      messages(after: $s, first: 1) { nodes { id } } } } } }"""
    assert sharing_of(operations.SCHEMA, parse(query)).since == set()


JUNK = "x" * 250_000


def test_what_is_kept_for_a_subscription_is_what_its_document_declares() -> None:
    one, other = (
        prepared(operations.Request(FOR_ALL, {"since": "a.1", "junk": f"{each}{JUNK}", "more": [JUNK]}, None))
        for each in range(2)
    )
    assert one.request.variables == {"since": "a.1"}
    caller = Caller(id="m", name="M", workspace="w", token="t", role=None, scopes=frozenset())
    assert one.group_key(caller) == other.group_key(caller) == prepared(one.request).group_key(caller)
    assert len(one.group_key(caller)) == 32


def test_a_document_is_kept_once_however_many_ask_by_it() -> None:
    documents = Documents(Limits())
    one, other = (documents.prepare(operations.Request(f" {FOR_ALL}"[1:], {}, None)) for _ in range(2))
    assert one.request.query is other.request.query


async def test_what_is_not_declared_makes_no_group(patient: tuple[Brand, Groups]) -> None:
    brand, groups = patient
    async with (
        brand.viewer.subscription(COUNT, junk=JUNK) as one,
        brand.viewer.subscription(COUNT, since=1, junk=None) as other,
    ):
        await one.data()
        await other.data()
        assert (len(groups), groups.subscribers) == (1, 2)


async def test_a_completed_subscription_is_told_nothing_more_and_its_id_is_free(brand: Brand) -> None:
    thread = (await brand.influencer())["thread"]
    async with brand.viewer.socket() as socket:
        first = await socket.subscribe(FOR_ALL, since=await brand.position())
        await brand.send(thread)
        await first.data()
        await socket.send(id=first.id, type="complete")
        await socket.send(type="ping")
        assert await socket.receive() == {"type": "pong"}
        await brand.send(thread)
        query = {"query": FOR_ALL, "variables": {"since": await brand.position()}}
        await socket.send(id=first.id, type="subscribe", payload=query)
        again = await brand.send(thread, "again")
        assert (await first.data())["message"]["id"] == again["id"]


@pytest.fixture
async def patient(store: Store, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[tuple[Brand, Groups]]:
    """A server of its own, whose groups are at hand, and which does not ping."""
    kept = keep_groups(monkeypatch)
    monkeypatch.setattr(server_module, "PING_INTERVAL", 3600.0)
    async with running(store, Settings()) as server:
        yield await create_brand(store, server), kept[0]


LONG = "x" * 49_000


async def test_one_who_reads_slowly_lags_alone_and_has_everything(patient: tuple[Brand, Groups]) -> None:
    brand, _ = patient
    thread = (await brand.influencer())["thread"]
    since = await brand.position()
    sent = []
    async with (
        raw_subscription(brand.server, brand.viewer.token, FOR_ALL, since=since) as slow,
        brand.viewer.subscription(FOR_ALL, since=since) as fast,
    ):
        slow.transport.pause_reading()
        for number in range(40):  # some 2 MB, more than is held for anybody
            sent.append((await brand.send(thread, f"{number} {LONG}"))["id"])
            assert (await fast.data())["message"]["id"] == sent[-1]
        slow.transport.resume_reading()
        await until(lambda: sent[-1].encode() in slow.received)
    ids = re.findall(rb'"message":\{"id":"(message_\w+)"', bytes(slow.received))
    assert [each.decode() for each in ids] == sent


async def test_one_who_has_room_for_a_part_of_a_burst_has_the_rest_later(patient: tuple[Brand, Groups]) -> None:
    """A hundred messages in one entry: they are handed over together, as far as there is room."""
    brand, groups = patient
    thread = (await brand.influencer())["thread"]
    since = await brand.position()
    caller = (await Gate(brand.store).admit(brand.member.token)).caller
    async with raw_subscription(brand.server, brand.viewer.token, FOR_ALL, since=since) as slow:
        await until(lambda: groups.subscribers == 1)
        await brand.send(thread)
        await until(lambda: slow.received.count(b'"type":"next"') == 1)  # it has joined
        slow.transport.pause_reading()
        new = NewMessage(thread, MessageDirection.OUTBOUND, MessageKind.DIRECT, LONG[:9_000])
        sent = (await add_messages(brand.store, caller, [new] * 100)).result
        slow.transport.resume_reading()
        await until(lambda: slow.received.count(b'"type":"next"') >= 101)
    ids = re.findall(rb'"message":\{"id":"(message_\w+)"', bytes(slow.received))
    assert [each.decode() for each in ids[1:]] == sent


async def test_a_burst_is_executed_once_for_event_streams_too(patient: tuple[Brand, Groups]) -> None:
    """It goes into what waits for each as a few pieces, not as a hundred."""
    brand, groups = patient
    thread = (await brand.influencer())["thread"]
    caller = (await Gate(brand.store).admit(brand.member.token)).caller
    async with AsyncExitStack() as stack:
        streams = [await stack.enter_async_context(open_stream(brand.viewer, FOR_ALL)) for _ in range(3)]
        await until(lambda: groups.subscribers == 3)
        first = (await brand.send(thread))["id"]
        assert [(await each.data())["message"]["id"] for each in streams] == 3 * [first]  # they have joined
        executed = groups.executed
        new = NewMessage(thread, MessageDirection.OUTBOUND, MessageKind.DIRECT, LONG[:900])
        sent = (await add_messages(brand.store, caller, [new] * 100)).result
        for stream in streams:
            assert [(await stream.data())["message"]["id"] for _ in sent] == sent
        assert groups.executed == executed + 100


async def test_who_comes_while_others_are_told_has_everything_once(patient: tuple[Brand, Groups]) -> None:
    brand, groups = patient
    thread = (await brand.influencer())["thread"]
    since = await brand.position()
    sent: list[str] = []

    async def write() -> None:
        for _ in range(60):
            sent.append((await brand.send(thread))["id"])

    async def take(api: Api) -> list[str]:
        async with api.subscription(FOR_ALL, since=since) as subscription:
            return [(await subscription.data())["message"]["id"] for _ in range(60)]

    async def come() -> list[list[str]]:
        takers = []
        for number in range(12):
            takers.append(asyncio.create_task(take(brand.viewer if number % 2 else brand.member)))
            await until(lambda least=5 * number: len(sent) >= least)  # type: ignore[misc]
        return list(await asyncio.gather(*takers))

    _, taken = await asyncio.gather(write(), come())
    assert all(each == sent for each in taken)


class Taker(Subscriber):
    """One who always has room."""

    def __init__(self, caller: Caller, gate: Gate) -> None:
        super().__init__(caller, gate)
        self.taken: list[str] = []
        self.error: Exception | None = None

    @property
    def is_admitted(self) -> bool:
        return True

    async def readmit(self) -> None:
        pass

    def offer(self, payloads: list[bytes]) -> int:
        self.taken += [orjson.loads(each)["data"]["messageAdded"]["message"]["id"] for each in payloads]
        return len(payloads)

    async def send(self, payload: bytes) -> None:
        self.offer([payload])

    async def fail(self, error: Exception) -> None:
        self.error = error


@pytest.fixture
def hold(monkeypatch: pytest.MonkeyPatch) -> tuple[asyncio.Event, asyncio.Event]:
    """Groups are held up with their first events executed; the first event says so, the second lets go."""
    held, going_on = asyncio.Event(), asyncio.Event()
    execute = Group.tell

    async def tell(group: Group, batch: Batch) -> Executed:
        payloads, failed = await execute(group, batch)
        if payloads and not held.is_set():
            held.set()
            await going_on.wait()
        return payloads, failed

    monkeypatch.setattr(Group, "tell", tell)
    return held, going_on


async def joined(groups: Groups, operation: operations.Operation, subscriber: Subscriber) -> None:
    await groups.subscribe(operation, subscriber)
    assert subscriber.walking is not None
    await subscriber.walking


async def test_who_comes_to_a_new_log_does_not_wait_for_those_of_the_old_one(
    brand: Brand, hold: tuple[asyncio.Event, asyncio.Event]
) -> None:
    held, going_on = hold
    thread = (await brand.influencer())["thread"]
    gate = Gate(brand.store)
    caller = (await gate.admit(brand.viewer.token)).caller
    operation = prepared(operations.Request(FOR_ALL, {}, None))
    groups, old, new = Groups(brand.store), Taker(caller, gate), Taker(caller, gate)
    async with asyncio.timeout(DEADLINE):
        await joined(groups, operation, old)
        before = await brand.send(thread)
        await held.wait()
        await begin_epoch(brand.store, brand.workspace)
        await groups.subscribe(operation, new)
        going_on.set()
        await until(lambda: old.error is not None)
        assert isinstance(old.error, ApiError) and old.error.code is ErrorCode.RESYNC_REQUIRED
        after = await brand.send(thread)
        await until(lambda: new.taken == [after["id"]])
    assert (old.taken, new.error, groups.subscribers) == ([before["id"]], None, 1)
    await new.stop()


async def test_one_who_is_ahead_of_the_group_is_told_nothing_twice(
    brand: Brand, hold: tuple[asyncio.Event, asyncio.Event]
) -> None:
    """The group is held up while it executes; meanwhile more is done, and somebody comes who wants what is next."""
    held, going_on = hold
    thread = (await brand.influencer())["thread"]
    gate = Gate(brand.store)
    caller = (await gate.admit(brand.viewer.token)).caller
    operation = prepared(operations.Request(FOR_ALL, {"since": await brand.position()}, None))
    groups, first, second = Groups(brand.store), Taker(caller, gate), Taker(caller, gate)
    async with asyncio.timeout(DEADLINE):
        await joined(groups, operation, first)
        sent = [(await brand.send(thread))["id"]]
        await held.wait()
        sent += [(await brand.send(thread))["id"] for _ in range(2)]
        await joined(groups, prepared(operations.Request(FOR_ALL, {}, None)), second)
        assert len(groups) == 1
        going_on.set()
        await until(lambda: first.taken == sent)
        sent.append((await brand.send(thread))["id"])
        await until(lambda: sent[-1] in first.taken and sent[-1] in second.taken)
    assert (first.taken, second.taken) == (sent, sent[-1:])
    await asyncio.gather(first.stop(), second.stop())


async def test_what_another_process_tells_of_while_a_subscription_begins_is_not_passed_over(
    brand: Brand, monkeypatch: pytest.MonkeyPatch
) -> None:
    other, beginning, going_on = second_store(brand.store), asyncio.Event(), asyncio.Event()
    hearing, execute = Hearing(other.log), Group.tell
    thread = (await brand.influencer())["thread"]

    async def tell(group: Group, batch: Batch) -> Executed:
        beginning.set()
        await going_on.wait()
        return await execute(group, batch)

    monkeypatch.setattr(Group, "tell", tell)
    async with running(other, Settings()) as there, there.api(brand.viewer.token).subscription(FOR_ALL) as events:
        await beginning.wait()
        sent = await brand.send(thread)
        hearing.hear(orjson.dumps({brand.workspace: parse_position(sent["position"])[1]}).decode())
        going_on.set()
        assert (await events.data())["message"]["id"] == sent["id"]
    await hearing.stop()


async def test_one_who_does_not_read_is_cut_off(patient: tuple[Brand, Groups], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(protocols, "STALLED", 0.5)
    brand, groups = patient
    thread = (await brand.influencer())["thread"]
    since = await brand.position()
    async with (
        raw_subscription(brand.server, brand.viewer.token, FOR_ALL, since=since) as slow,
        brand.viewer.subscription(FOR_ALL, since=since) as fast,
    ):
        slow.transport.pause_reading()
        await until(lambda: groups.subscribers == 2)
        async with asyncio.timeout(DEADLINE):
            while groups.subscribers == 2:
                sent = await brand.send(thread, LONG)
                assert (await fast.data())["message"]["id"] == sent["id"]
        assert groups.subscribers == 1


async def test_an_event_stream_that_is_not_read_is_cut_off(
    patient: tuple[Brand, Groups], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(protocols, "STALLED", 0.5)
    brand, groups = patient
    thread = (await brand.influencer())["thread"]
    since = await brand.position()
    async with raw_stream(brand.server, brand.viewer.token, FOR_ALL, since=since) as slow:
        slow.transport.pause_reading()
        await until(lambda: groups.subscribers == 1)
        async with asyncio.timeout(DEADLINE):
            while groups.subscribers == 1:
                await brand.send(thread, LONG)


async def test_one_who_does_not_answer_a_ping_is_told_to_come_back(
    store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(server_module, "PING_INTERVAL", 0.6)
    monkeypatch.setattr(server_module, "PING_TIMEOUT", 0.6)
    async with running(store, Settings()) as server:
        brand = await create_brand(store, server)
        async with raw_subscription(server, brand.viewer.token, COUNT) as mute, asyncio.timeout(DEADLINE):
            await mute.lost
        assert struct.pack("!BB", 0x89, 4) in mute.received
        assert struct.pack("!H", 1013) + b"a ping was not answered" in mute.received


async def test_one_who_answers_pings_stays(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(server_module, "PING_INTERVAL", 0.02)
    async with running(store, Settings()) as server:
        brand = await create_brand(store, server)
        thread = (await brand.influencer())["thread"]
        async with brand.viewer.subscription(FOR_ALL, since=await brand.position()) as subscription:
            for _ in range(20):
                await brand.send(thread)
                await subscription.data()


async def test_a_group_is_forgotten_with_its_last_subscriber(patient: tuple[Brand, Groups]) -> None:
    brand, groups = patient
    async with brand.viewer.subscription(COUNT) as one, brand.viewer.subscription(COUNT) as other:
        await one.data()
        await other.data()
        assert (len(groups), groups.subscribers) == (1, 2)
    await until(lambda: (len(groups), groups.subscribers) == (0, 0))
