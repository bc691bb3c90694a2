"""What is executed at once and held, above all for those who walk by themselves, and that it is everything, once."""

from __future__ import annotations

import asyncio
import gc
from collections import Counter

import pytest

from connect_inbox.auth import Gate
from connect_inbox.graphql import groups as groups_module
from connect_inbox.graphql.documents import Documents
from connect_inbox.graphql.groups import Executed, Group, Groups, Payload, Subscriber
from connect_inbox.graphql.limits import Limits
from connect_inbox.graphql.operation import Operation, Request
from connect_inbox.settings import Settings
from schema.types.context import Caller
from schema.types.message import MessageDirection, MessageKind
from storage.feed import Batch
from storage.messages import NewMessage, add_messages
from storage.store import Store
from storage.workspaces import begin_epoch
from tests.api.conftest import Brand, create_brand
from tests.client import DEADLINE, until
from tests.raw_socket import masked, raw_subscription
from tests.server import running

FOLLOW = "subscription($since: String) { messageAdded(since: $since) { position message { text } } }"
LONG = 49_000  # characters


class Client(Subscriber):
    """One who has room for so many events, and then for none until it is let go on."""

    def __init__(self, caller: Caller, gate: Gate, room: int) -> None:
        super().__init__(caller, gate)
        self.taken: list[bytes] = []
        self.room = room
        self.waits = 0
        self.going_on = asyncio.Event()
        self.error: Exception | None = None

    @property
    def is_admitted(self) -> bool:
        return True

    async def readmit(self) -> None:
        pass

    def offer(self, payloads: list[bytes]) -> int:
        count = min(self.room, len(payloads))
        self.room -= count
        self.taken += payloads[:count]
        return count

    async def send(self, payload: bytes) -> None:
        self.waits += 1
        await self.going_on.wait()
        self.taken.append(payload)

    async def fail(self, error: Exception) -> None:
        self.error = error


@pytest.fixture
async def caller(brand: Brand) -> Caller:
    return (await Gate(brand.store).admit(brand.viewer.token)).caller


def client(brand: Brand, caller: Caller, room: int) -> Client:
    return Client(caller, Gate(brand.store), room)


async def write(brand: Brand, count: int, characters: int) -> None:
    thread = (await brand.influencer())["thread"]
    for start in range(0, count, 20):
        await write_at_once(brand, thread, min(20, count - start), characters)


async def write_at_once(brand: Brand, thread: str, count: int, characters: int) -> None:
    author = (await Gate(brand.store).admit(brand.member.token)).caller
    new = NewMessage(thread, MessageDirection.OUTBOUND, MessageKind.DIRECT, "x" * characters)
    await add_messages(brand.store, author, [new] * count)


def operation_since(position: str) -> Operation:
    return Documents(Limits()).prepare(Request(FOLLOW, {"since": position}, None))


@pytest.fixture
def steps(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """How many changes were executed at a time."""
    taken: list[int] = []
    execute = Group.tell

    async def tell(group: Group, batch: Batch) -> Executed:
        if batch.changes:
            taken.append(len(batch.changes))
        return await execute(group, batch)

    monkeypatch.setattr(Group, "tell", tell)
    return taken


def held() -> int:
    """Events that are executed, and held by anybody."""
    gc.collect()
    return sum(type(each) is Payload for each in gc.get_objects())  # isinstance would ask proxies of what is gone


async def test_one_who_finds_no_room_holds_a_single_event(brand: Brand, caller: Caller, steps: list[int]) -> None:
    since = await brand.position()
    await write(brand, 60, 10)
    groups, slow = Groups(brand.store), client(brand, caller, room=33)
    others = held()
    async with asyncio.timeout(DEADLINE):
        await groups.subscribe(operation_since(since), slow)
        await until(lambda: slow.waits == 1)
        assert held() == others + 1 and len(slow.taken) == 33
        slow.going_on.set()
        await until(lambda: len(slow.taken) == 60 and slow.walking is None)
    assert len(set(slow.taken)) == 60 and slow.taken == sorted(slow.taken, key=position_of)
    assert slow.waits == 27 and steps[-26:] == [1] * 26  # nothing is executed for room that there is not
    await slow.stop()


def position_of(payload: bytes) -> int:
    return int(payload.partition(b'"position":"')[2].partition(b".")[2].partition(b'"')[0])


async def test_the_more_an_event_takes_the_fewer_are_executed_at_once(
    brand: Brand, caller: Caller, steps: list[int]
) -> None:
    for characters, expected in ((10, [10, 20, 40, 10, 100]), (LONG, [10, 5, 5, 5])):
        steps.clear()
        since = await brand.position()
        await write(brand, 400 if characters == 10 else 50, characters)
        groups, quick = Groups(brand.store), client(brand, caller, room=1000)
        async with asyncio.timeout(DEADLINE):
            await groups.subscribe(operation_since(since), quick)
            assert quick.walking is not None
            await quick.walking
        assert steps[: len(expected)] == expected
        await quick.stop()


@pytest.mark.parametrize(
    ("characters", "expected"), [(10, [10, 20, 10]), (LONG, [10, 5, 5, 5, 5, 5, 5])], ids=["small", "large"]
)
async def test_those_who_have_joined_are_told_of_a_burst_by_its_size(
    brand: Brand, caller: Caller, steps: list[int], characters: int, expected: list[int]
) -> None:
    thread = (await brand.influencer())["thread"]
    groups, quick = Groups(brand.store), client(brand, caller, room=1000)
    async with asyncio.timeout(DEADLINE):
        await groups.subscribe(operation_since(await brand.position()), quick)
        assert quick.walking is not None
        await quick.walking
        steps.clear()
        await write_at_once(brand, thread, 40, characters)
        await until(lambda: len(quick.taken) == 40)
    assert steps == expected
    assert len(set(quick.taken)) == 40 and quick.taken == sorted(quick.taken, key=position_of)
    await quick.stop()


async def test_who_has_no_room_in_the_middle_of_a_burst_goes_on_alone(
    brand: Brand, caller: Caller, steps: list[int]
) -> None:
    """One for whom the others have gone on, and then the last of them."""
    thread = (await brand.influencer())["thread"]
    since = await brand.position()
    groups = Groups(brand.store)
    clients = [client(brand, caller, room) for room in (5, 25)]
    async with asyncio.timeout(DEADLINE):
        for each in clients:
            await groups.subscribe(operation_since(since), each)
            assert each.walking is not None
            await each.walking
        assert len(groups) == 1
        await write_at_once(brand, thread, 90, 10)
        await until(lambda: all(each.waits == 1 for each in clients))
        for each in clients:
            each.room = 1000
            each.going_on.set()
        await until(lambda: all(len(each.taken) == 90 for each in clients))
    for each in clients:
        assert len(set(each.taken)) == 90 and each.taken == sorted(each.taken, key=position_of)
        await each.stop()


async def test_few_are_executed_for_at_a_time_however_many_walk(
    brand: Brand, caller: Caller, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Whoever waits for a client is not among them."""
    since = await brand.position()
    await write(brand, 20, 10)
    execute = Group.tell
    running: Counter[str] = Counter()
    going_on = asyncio.Event()

    async def tell(group: Group, batch: Batch) -> Executed:
        if running and batch.changes:
            running["now"] += 1
            running["most"] = max(running["most"], running["now"])
            await going_on.wait()
            running["now"] -= 1
        return await execute(group, batch)

    monkeypatch.setattr(Group, "tell", tell)
    groups, walkers = Groups(brand.store), [client(brand, caller, room=1000) for _ in range(30)]
    slow = [client(brand, caller, room=0) for _ in range(groups_module.STEPS)]
    async with asyncio.timeout(DEADLINE):
        for each in slow:
            await groups.subscribe(operation_since(since), each)
        await until(lambda: all(each.waits == 1 for each in slow))
        running["most"] = 0
        await asyncio.gather(*[groups.subscribe(operation_since(since), each) for each in walkers])
        await until(lambda: running["now"] >= groups_module.STEPS)
        for _ in range(10):
            await brand.position()  # time enough for the others to begin
        assert running["most"] == groups_module.STEPS
        going_on.set()
        await until(lambda: all(len(each.taken) == 20 for each in walkers))
    await asyncio.gather(*[each.stop() for each in (*slow, *walkers)])


async def test_one_who_waits_for_room_while_the_log_is_begun_anew_is_told(brand: Brand, caller: Caller) -> None:
    since = await brand.position()
    await write(brand, 20, 10)
    groups, slow = Groups(brand.store), client(brand, caller, room=5)
    async with asyncio.timeout(DEADLINE):
        await groups.subscribe(operation_since(since), slow)
        await until(lambda: slow.waits == 1)
        await begin_epoch(brand.store, brand.workspace)
        await brand.store.log.refresh(brand.workspace)
        slow.going_on.set()
        await until(lambda: slow.error is not None)
    assert len(slow.taken) == 6 and (len(groups), groups.subscribers) == (0, 0)


async def test_of_all_that_walk_for_a_socket_one_holds_an_event(
    store: Store, monkeypatch: pytest.MonkeyPatch, steps: list[int]
) -> None:
    count = 10
    async with running(store, Settings()) as server:
        brand = await create_brand(store, server)
        thread = (await brand.influencer())["thread"]
        since = await brand.position()
        async with raw_subscription(server, brand.viewer.token, FOLLOW, since=since) as slow:
            for number in range(1, count):
                query = {"query": FOLLOW.replace("text", f"a{number}: text"), "variables": {"since": since}}
                slow.transport.write(masked({"type": "subscribe", "id": f"a{number}", "payload": query}))
            await brand.send(thread)
            await until(lambda: slow.received.count(b'"type":"next"') == count)
            slow.transport.pause_reading()
            steps.clear()
            others = held()
            await write(brand, 20, LONG)
            await until(lambda: len(steps) > count)  # the groups have told, and there is one who walks
            for _ in range(10):
                await brand.position()  # time enough for others to walk
                assert held() <= others + 2
            slow.transport.resume_reading()
            await until(lambda: slow.received.count(b'"type":"next"') == 21 * count)
