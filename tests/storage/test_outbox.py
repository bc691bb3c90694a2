"""What waits to be sent: given to a server by one at a time and never twice unless somebody says so."""

from __future__ import annotations

import asyncio
import secrets
from typing import Any

import pytest

from schema.types.errors import ApiError, ErrorCode, Refused, UserErrorCode
from schema.types.mailbox import MailboxState
from schema.types.message import DeliveryState, MessageDirection, MessageKind
from schema.types.node import new_id
from storage import outbox
from storage.check import check
from storage.claims import Key, key_of
from storage.deliveries import AFTER, WORDS, States
from storage.documents import Document
from storage.mailboxes import change_mailbox, disconnect_mailbox, set_state
from storage.messages import NewMessage
from storage.outbox import DONE, TO_FILE, WAITING, NewMail, send_mail
from storage.store import Store
from tests.mailboxes import connected
from tests.storage.deeds import assert_dense, influencer, send
from tests.storage.stores import LATER, refusal, second_store
from tests.team import Team

ADA, EVE = "ada@x.example", "eve@x.example"
SOON = 10**6  # milliseconds since 1970, when a lease ends


async def queued(store: Store, team: Team, key: Key | None = None, cc: tuple[str, ...] = (EVE,)) -> str:
    """A mail that waits to be sent."""
    await connected(store, team.id, team.member.id)
    name = secrets.token_hex(4)
    thread = await influencer(store, team, name, emails=[f"{name}@x.example"])
    return await waiting(store, team, thread, key, cc)


async def waiting(store: Store, team: Team, thread: str, key: Key | None = None, cc: tuple[str, ...] = (EVE,)) -> str:
    new = NewMessage(thread, MessageDirection.OUTBOUND, MessageKind.DIRECT, "Hi", subject="Hi")
    return (await send_mail(store, team.member, NewMail(new, None, list(cc)), key)).result.id


async def get(store: Store, collection: str, id: str) -> Document:
    found = await store.database.get(collection, id)
    assert found is not None
    return found


async def addresses(store: Store, id: str) -> list[str]:
    return [each["address"] for each in (await get(store, "messages", id))["recipients"]]


async def states(store: Store, id: str) -> list[tuple[str, str | None]]:
    found = (await get(store, "messages", id))["recipients"]
    return [(each["delivery"]["state"], each["delivery"]["detail"]) for each in found]


async def claim(store: Store, id: str, owner: str, now: int = 1, until: int = SOON) -> bool:
    return await outbox.claim(store, id, owner, now, until)


async def begin(store: Store, team: Team, id: str, owner: str) -> bool:
    states: States = {each.lower(): (DeliveryState.SENDING, None) for each in await addresses(store, id)}
    return await outbox.begin_sending(store, team.operator, id, owner, states)


async def settle(
    store: Store, team: Team, id: str, state: DeliveryState, words: str | None = None, stage: int = DONE, **more: Any
) -> None:
    """By whoever has the item, unless another one is named."""
    found: States = {each.lower(): (state, words) for each in await addresses(store, id)}
    given = {"due": 0, "attempts": 1, "owner": (await get(store, "outbox", id))["lease"], **more}
    await outbox.settle(store, team.operator, id, found, stage, **given)


async def head(store: Store, team: Team) -> int:
    return int((await store.log.state(team.id))["applied"])


async def test_an_item_is_there_with_its_message(store: Store, workspace: Team) -> None:
    id = await queued(store, workspace)
    item, message = await get(store, "outbox", id), await get(store, "messages", id)
    assert item["position"] == message["position"], "they are one change"
    assert (item["stage"], item["sending"], item["attempts"], item["lease"]) == (WAITING, 0, 0, "")
    assert item["mailbox"] == message["mailbox_id"] and item["first"] == item["due"]
    assert await states(store, id) == [("QUEUED", None)] * 2 and message["delivery"]["state"] == "QUEUED"
    assert message["mail_id"] == f"<{id}@brand.example>"
    assert id in [each["_id"] for each in await outbox.due_items(store, item["due"], 1000)]
    assert id not in [each["_id"] for each in await outbox.due_items(store, item["due"] - 1, 1000)]


async def test_the_same_key_is_one_mail(store: Store, workspace: Team) -> None:
    await connected(store, workspace.id, workspace.member.id)
    thread = await influencer(store, workspace, "Ada", emails=[ADA])
    key = key_of(workspace.member.id, "key", "k", "the same")
    many = [waiting(each, workspace, thread, key) for each in (store, second_store(store)) for _ in range(5)]
    ids = set(await asyncio.gather(*many))
    assert len(ids) == 1 and len(await store.database.find("outbox", {"workspace": workspace.id})) == 1


async def test_one_has_an_item_until_its_lease_is_over(store: Store, workspace: Team) -> None:
    id = await queued(store, workspace)
    assert sorted(await asyncio.gather(*[claim(store, id, f"{each}") for each in range(5)])) == [False] * 4 + [True]
    owner = (await get(store, "outbox", id))["lease"]
    assert not await claim(store, id, "another", now=SOON)
    assert await outbox.keep(store, id, owner, SOON + 5) and not await outbox.keep(store, id, "another", SOON + 9)
    assert await claim(store, id, "another", now=SOON + 6, until=SOON + 20)
    assert not await outbox.keep(store, id, owner, SOON + 90)
    await outbox.put_off(store, id, owner, 7, 3)
    assert (await get(store, "outbox", id))["due"] == SOON + 20, "it is somebody else's"
    await outbox.put_off(store, id, "another", 7, 3)
    item = await get(store, "outbox", id)
    assert (item["lease"], item["lease_until"], item["due"], item["attempts"]) == ("", 0, 7, 3)


async def test_who_has_no_lease_any_more_must_not_send(store: Store, workspace: Team) -> None:
    id = await queued(store, workspace)
    assert await claim(store, id, "first") and await claim(store, id, "second", now=SOON + 1, until=LATER)
    before = await head(store, workspace)
    assert not await begin(store, workspace, id, "first")
    assert await head(store, workspace) == before and await states(store, id) == [("QUEUED", None)] * 2
    assert await begin(store, workspace, id, "second")
    assert await states(store, id) == [("SENDING", None)] * 2
    assert not await begin(store, workspace, id, "second"), "it was begun"


async def test_it_is_begun_once_however_many_processes_want_to(store: Store, workspace: Team) -> None:
    """The lease of each is over before the next one takes it, and none of them knows."""
    stores = [store, second_store(store), second_store(store)]
    for _ in range(5):
        id = await queued(store, workspace)
        owners = [f"{number}" for number in range(6)]

        async def work(number: int, id: str = id, owners: list[str] = owners) -> bool:
            mine = stores[number % 3]
            assert await claim(mine, id, owners[number], now=LATER - 10 + number, until=LATER - 10 + number)
            return await begin(mine, workspace, id, owners[number])

        begun = await asyncio.gather(*[work(number) for number in range(6)], return_exceptions=True)
        assert [each for each in begun if each is True] == [True]
    await assert_dense(store, workspace.id)


async def test_what_became_of_a_try_is_noted_once(store: Store, workspace: Team) -> None:
    id = await queued(store, workspace)
    await claim(store, id, "us")
    await begin(store, workspace, id, "us")
    await settle(store, workspace, id, DeliveryState.SENT, "250 ok", TO_FILE, due=9)
    item = await get(store, "outbox", id)
    assert (item["stage"], item["sending"], item["due"], item["lease"], item["attempts"]) == (TO_FILE, 0, 9, "", 1)
    assert await states(store, id) == [("SENT", "250 ok")] * 2
    before = await head(store, workspace)
    await settle(store, workspace, id, DeliveryState.FAILED, "late", DONE, owner="us")
    await settle(second_store(store), workspace, id, DeliveryState.SENT, "250 ok", TO_FILE, due=9)
    assert await head(store, workspace) == before and await get(store, "outbox", id) == item
    await outbox.finish_filing(store, id)
    await outbox.finish_filing(store, id)
    assert (await get(store, "outbox", id))["stage"] == DONE and not await claim(store, id, "us", now=LATER)


async def test_who_has_no_lease_any_more_has_nothing_to_say(store: Store, workspace: Team) -> None:
    id = await queued(store, workspace)
    assert await claim(store, id, "first") and await claim(store, id, "second", now=SOON + 1, until=LATER)
    before = await head(store, workspace)
    await settle(store, workspace, id, DeliveryState.FAILED, "no such host", DONE, owner="first")
    assert await head(store, workspace) == before
    await settle(store, workspace, id, DeliveryState.QUEUED, "busy", WAITING, owner="second")
    assert await states(store, id) == [("QUEUED", "busy")] * 2


async def test_each_recipient_has_a_state_of_their_own(store: Store, workspace: Team) -> None:
    id = await queued(store, workspace)
    to, cc = await addresses(store, id)
    await claim(store, id, "us")
    await begin(store, workspace, id, "us")
    found: States = {to: (DeliveryState.QUEUED, "450 later"), cc: (DeliveryState.SENT, "250 ok")}
    await outbox.settle(store, workspace.operator, id, found, WAITING, due=0, attempts=1, owner="us")
    assert await states(store, id) == [("QUEUED", "450 later"), ("SENT", "250 ok")]
    assert (await get(store, "messages", id))["delivery"]["state"] == "QUEUED"
    await claim(store, id, "us", now=LATER)
    assert await outbox.begin_sending(store, workspace.operator, id, "us", {to: (DeliveryState.SENDING, None)})
    await outbox.settle(store, workspace.operator, id, {to: (DeliveryState.FAILED, "x" * 999)}, DONE, 0, 2, "us")
    assert await states(store, id) == [("FAILED", "x" * WORDS), ("SENT", "250 ok")]


async def test_words_that_were_said_before_change_nothing(store: Store, workspace: Team) -> None:
    id = await queued(store, workspace)
    for words in ("x" * 999, "x" * 999):
        await settle(store, workspace, id, DeliveryState.QUEUED, words, WAITING)
        message = await get(store, "messages", id)
    position = message["position"]
    await settle(store, workspace, id, DeliveryState.QUEUED, "x" * 999, WAITING, attempts=2)
    assert (await get(store, "messages", id))["position"] == position
    assert (await get(store, "outbox", id))["attempts"] == 2


@pytest.mark.parametrize("old", [each for each in DeliveryState if each is not DeliveryState.QUEUED])
async def test_a_state_is_never_taken_back(store: Store, workspace: Team, old: DeliveryState) -> None:
    for new in DeliveryState:
        id = await queued(store, workspace, cc=())
        await settle(store, workspace, id, old, "first", WAITING)
        await settle(store, workspace, id, new, "then", WAITING)
        expected, words = (new, "then") if new in AFTER[old] else (old, "first")
        assert [(DeliveryState(each), said) for each, said in await states(store, id)] == [(expected, words)], new
    final = {DeliveryState.SENT, DeliveryState.DELIVERED, DeliveryState.BOUNCED, DeliveryState.COMPLAINED}
    assert old not in final or AFTER[old] <= final - {DeliveryState.SENT}, "what was sent is not sent again"


async def resolve(store: Store, team: Team, id: str, was_sent: bool) -> None:
    await outbox.resolve(store, team.member, id, was_sent)


async def unknown(store: Store, team: Team, state: DeliveryState = DeliveryState.UNKNOWN) -> str:
    id = await queued(store, team)
    await claim(store, id, "us")
    await begin(store, team, id, "us")
    to, cc = await addresses(store, id)
    found: States = {to: (state, "lost"), cc: (DeliveryState.SENT, "250 ok")}
    await outbox.settle(store, team.operator, id, found, DONE, due=0, attempts=7, owner="us")
    return id


async def test_a_member_says_that_it_was_sent(store: Store, workspace: Team) -> None:
    id = await unknown(store, workspace)
    await resolve(store, workspace, id, True)
    assert await states(store, id) == [("SENT", "as a member says"), ("SENT", "250 ok")]
    assert (await get(store, "outbox", id))["stage"] == DONE
    for was_sent in (True, False):
        await assert_refused(store, workspace, id, was_sent, UserErrorCode.INVALID)


@pytest.mark.parametrize("state", [DeliveryState.UNKNOWN, DeliveryState.FAILED])
async def test_a_member_has_it_sent_again_to_those_who_have_not_got_it(
    store: Store, workspace: Team, state: DeliveryState
) -> None:
    id = await unknown(store, workspace, state)
    if state is DeliveryState.FAILED:
        await assert_refused(store, workspace, id, True, UserErrorCode.INVALID)
    await resolve(store, workspace, id, False)
    assert await states(store, id) == [("QUEUED", "sent again by a member"), ("SENT", "250 ok")]
    item = await get(store, "outbox", id)
    assert (item["stage"], item["sending"], item["attempts"]) == (WAITING, 0, 0)
    assert (await get(store, "messages", id))["mail_id"] == f"<{id}@brand.example>"
    await assert_refused(store, workspace, id, False, UserErrorCode.INVALID)


async def assert_refused(store: Store, team: Team, id: str, was_sent: bool, code: UserErrorCode) -> None:
    before = await head(store, team)
    with pytest.raises(Refused) as refused:
        await resolve(store, team, id, was_sent)
    assert (refused.value.error.code, refused.value.error.field) == (code, ["messageId"])
    assert await head(store, team) == before


async def test_what_cannot_be_resolved(store: Store, workspace: Team) -> None:
    id = await queued(store, workspace)
    for was_sent in (True, False):
        await assert_refused(store, workspace, id, was_sent, UserErrorCode.INVALID)
    await claim(store, id, "us")
    await begin(store, workspace, id, "us")
    for was_sent in (True, False):
        await assert_refused(store, workspace, id, was_sent, UserErrorCode.INVALID)
    written = await send(store, workspace.member, await influencer(store, workspace, "Bob"))
    await assert_refused(store, workspace, written.result.id, True, UserErrorCode.INVALID)
    with pytest.raises(ApiError, check=refusal(ErrorCode.NOT_FOUND)):
        await resolve(store, workspace, new_id("message"), True)


async def test_it_is_sent_again_from_a_mailbox_that_its_member_may_use(store: Store, workspace: Team) -> None:
    id = await unknown(store, workspace)
    mailbox = (await get(store, "outbox", id))["mailbox"]
    with pytest.raises(Refused) as refused:
        await outbox.resolve(store, workspace.admin, id, False)
    assert (refused.value.error.code, refused.value.error.field) == (UserErrorCode.NOT_ALLOWED, ["messageId"])
    await set_state(store, workspace.operator, mailbox, MailboxState.NEEDS_RECONNECT, "no longer good")
    await assert_refused(store, workspace, id, False, UserErrorCode.NEEDS_RECONNECT)
    await disconnect_mailbox(store, workspace.member, mailbox)
    await assert_refused(store, workspace, id, False, UserErrorCode.NEEDS_RECONNECT)
    await outbox.resolve(store, workspace.admin, id, True)  # which needs no mailbox
    assert await states(store, id) == [("SENT", "as a member says"), ("SENT", "250 ok")]
    again = await unknown(store, workspace)
    await change_mailbox(store, workspace.member, mailbox, {"sender_ids": [workspace.admin.id]})
    await outbox.resolve(store, workspace.admin, again, False)
    assert (await states(store, again))[0][0] == "QUEUED"


async def test_what_is_noted_beside_the_log_is_no_difference(store: Store, workspace: Team) -> None:
    """Neither said nor put right: a lease would be lost by it, and a mail filed twice."""
    id = await queued(store, workspace)
    await claim(store, id, "us", until=LATER)
    leased = await get(store, "outbox", id)
    assert await check(store, workspace.id, repair=True) == [] and await get(store, "outbox", id) == leased
    await begin(store, workspace, id, "us")
    await settle(store, workspace, id, DeliveryState.SENT, None, TO_FILE)
    await outbox.finish_filing(store, id)
    filed = await get(store, "outbox", id)
    assert await check(store, workspace.id, repair=True) == [] and await get(store, "outbox", id) == filed
    await store.database.delete("outbox", {"_id": id})
    assert {each.id for each in await check(store, workspace.id, repair=True)} == {id}
    assert (await get(store, "outbox", id))["mailbox"] == leased["mailbox"], "one that is lost is made again"
