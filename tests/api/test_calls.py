"""How often the database is called: for a named document a constant, however much is asked for and there is."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from dataclasses import dataclass

import pytest

from connect_inbox import auth
from connect_inbox.auth import Gate
from connect_inbox.settings import Settings
from schema.types.campaign import CampaignState
from schema.types.message import MessageDirection, MessageKind
from schema.types.node import thread_id_of
from storage.campaigns import create_campaign
from storage.influencers import NewInfluencer, create_influencers
from storage.mail_in import take_in
from storage.marks import mark_all_read
from storage.messages import NewMessage, add_message, add_messages
from storage.outbox import NewMail, send_mail
from storage.store import Store
from tests.api.conftest import token_for
from tests.client import Api, Server
from tests.mailboxes import connected, found_mail
from tests.server import running
from tests.team import Team, create_team

THREADS, MESSAGES, UNREAD = 8, 6, 3  # of the smaller workspace; the greater one has ten times the first two

# Every request: its token and the token's owner, and the log's position.
REQUEST = 3

INBOX = """query($first: Int!) { inbox(first: $first) {
  position pageInfo { hasNextPage endCursor }
  edges { cursor node { id unread unreadMessages lastActivityAt influencer { id name } lastMessage { id preview } } }
} }"""
THREAD = """query($id: ID!, $last: Int!) { thread(id: $id) {
  id unread influencer { id name }
  messages(last: $last) { position edges { cursor node {
    id text unread author { id name } campaign { id name }
  } } }
} }"""
MAILS = """query($id: ID!, $last: Int!) { thread(id: $id) {
  id unread influencer { id name } draft { id text }
  messages(last: $last) { edges { node {
    id text html subject senderAddress recipients { address delivery { state } } attachments { url } author { id name }
    mailbox { id address maySend owner { name } }
  } } }
} }"""
COUNT = "{ unreadCount { threads messages position } }"
PUSHED_TO_ALL = "subscription($since: String) { messageAdded(since: $since) { position message { id text } } }"
PUSHED = "subscription($since: String) { messageAdded(since: $since) { position message { id text unread } } }"
PUSHED_ROW = """subscription($since: String) { messageAdded(since: $since) { position message {
  id text unread author { id name } campaign { id name }
  thread { id unread influencer { id name } lastMessage { id preview } }
} } }"""


@dataclass(frozen=True)
class Filled:
    """A workspace with messages, of which some are unread for everyone."""

    store: Store
    team: Team
    member: Api
    partner: Api
    threads: list[str]  # the first one is the longest; the last ones are unread
    campaign: str

    async def calls(self, run: Callable[[], Awaitable[object]]) -> int:
        await self.store.log.refresh(self.team.id)  # a turn that has been long ago looks at the log first
        before = self.store.database.calls
        await run()
        return self.store.database.calls - before


@pytest.fixture(scope="module")
async def quiet(store: Store) -> AsyncIterator[Server]:
    """A server that does not look after the tokens of its streams meanwhile."""

    async def watch_never(gate: Gate) -> None:
        await asyncio.Event().wait()

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(Gate, "_watch", watch_never)  # and not INTERVAL, which a server of other tests would sleep for
        patch.setattr(auth, "OLDEST", 3600.0)
        async with running(store, Settings()) as server:
            yield server


@pytest.fixture(scope="module", params=[1, 10], ids=["small", "ten times that"])
async def filled(store: Store, quiet: Server, request: pytest.FixtureRequest) -> Filled:
    team = await create_team(store)
    campaign = (await create_campaign(store, team.admin, "Spring", CampaignState.LIVE, [], None)).result.id
    people = [NewInfluencer(name=f"Influencer {n}") for n in range(THREADS * request.param)]
    threads = [thread_id_of(id) for id in (await create_influencers(store, team.admin, people)).result]
    await write(store, team, threads, MESSAGES * request.param, campaign)
    for caller in team.members:
        await mark_all_read(store, caller, caller.id)
    for thread in threads[-UNREAD:]:
        await add_message(store, team.partner, inbound(thread, campaign), None)
    member = quiet.api(await token_for(store, team.id, team.member.id))
    partner = quiet.api(await token_for(store, team.id, team.partner.id, ["messages:ingest"]))
    return Filled(store, team, member, partner, threads, campaign)


def inbound(thread: str, campaign: str) -> NewMessage:
    return NewMessage(thread, MessageDirection.INBOUND, MessageKind.CAMPAIGN, "Hello!", campaign_id=campaign)


async def write(store: Store, team: Team, threads: list[str], count: int, campaign: str) -> None:
    """One message from each side in every thread, and so many more in the first one."""
    out = NewMessage("", MessageDirection.OUTBOUND, MessageKind.CAMPAIGN, "Hi!", campaign_id=campaign)
    many = [inbound(thread, campaign) for thread in threads]
    many += [NewMessage(**{**vars(out), "thread_id": thread}) for thread in threads]
    many += [inbound(threads[0], campaign), NewMessage(**{**vars(out), "thread_id": threads[0]})] * (count // 2)
    for start in range(0, len(many), 40):  # each of which can make somebody a participant, which is a change too
        await add_messages(store, team.member, many[start : start + 40])


@pytest.mark.parametrize("first", [5, 50])
async def test_a_page_of_the_inbox(filled: Filled, first: int) -> None:
    # Marks, their influencers; the ids of what is unread, the others; the newest messages.
    assert await filled.calls(lambda: filled.member.run(INBOX, first=first)) == REQUEST + 5


@pytest.mark.parametrize("last", [5, 50])
async def test_a_page_of_a_thread(filled: Filled, last: int) -> None:
    # The influencer, the mark, the newest message; the page, the mark; the authors of two kinds, the campaigns.
    thread = filled.threads[0]
    assert await filled.calls(lambda: filled.member.run(THREAD, id=thread, last=last)) == REQUEST + 3 + 2 + 3


async def test_the_unread_count(filled: Filled) -> None:
    assert await filled.calls(lambda: filled.member.run(COUNT)) == REQUEST + 1


async def test_sending(filled: Filled) -> None:
    # The influencer, the members, their marks; the entry; the message, the influencer; the applied mark.
    # Then the message with its mark, and the thread with its mark and its newest message.
    async def send() -> None:
        await filled.member.mutate("sendMessage", "message { id text } position", threadId=filled.threads[1], text="Hi")

    assert await filled.calls(send) == REQUEST + 3 + 1 + 2 + 1 + 2 + 3


@pytest.fixture(scope="module")
async def correspondent(filled: Filled) -> str:
    """The thread of somebody with an address, who has answered a mail."""
    new = NewInfluencer(name="Ada", emails=["ada@x.example"])
    thread = thread_id_of((await create_influencers(filled.store, filled.team.operator, [new])).result[0])
    mailbox = await connected(filled.store, filled.team.id, filled.team.member.id)
    sent = NewMail(NewMessage(thread, MessageDirection.OUTBOUND, MessageKind.DIRECT, "Hi", subject="Hi"), mailbox, [])
    for number in range(THREADS if len(filled.threads) == THREADS else 3 * THREADS):
        await send_mail(filled.store, filled.team.member, sent, None)
        mail = found_mail(mailbox, "ada@x.example", ["team@brand.example"], f"{number}", cc=["eve@x.example"])
        await take_in(filled.store, filled.team.operator, mail)
    return thread


async def test_sending_an_e_mail(filled: Filled, correspondent: str) -> None:
    # As for sending; before that the member with their default, the mailboxes for the fallback, the one of them, the
    # mail that is answered, and whether the Message-ID is there. Written are also everyone's marks, as there is
    # something unread, the Message-ID, and what waits to be sent.
    async def send() -> None:
        sent = await filled.member.mutate(
            "sendMessage", "message { id delivery { state } } position userErrors { code }", threadId=correspondent,
            text="Hi", channel="EMAIL", cc=["eve@x.example"],
        )  # fmt: skip
        assert sent["userErrors"] == []

    assert await filled.calls(send) == REQUEST + 5 + 3 + 1 + 2 + 3 + 1 + 2 + 3


@pytest.mark.parametrize("last", [2, 16])
async def test_a_page_of_e_mails(filled: Filled, correspondent: str, last: int) -> None:
    # As for any page of a thread, without campaigns; the mailboxes, and who they are of; the draft.
    calls = await filled.calls(lambda: filled.member.run(MAILS, id=correspondent, last=last))
    assert calls == REQUEST + 3 + 2 + 2 + 2 + 1


async def test_receiving(filled: Filled) -> None:
    # The external id, then as for sending; written are also everyone's marks and notifications, and the external id.
    # A partner has no marks of its own to read, and one without inbox:read no thread.
    async def receive() -> None:
        await filled.partner.mutate(
            "receiveMessage", "message { id text } position", threadId=filled.threads[2], text="Hello", externalId="1"
        )

    assert await filled.calls(receive) == REQUEST + 1 + 3 + 1 + 5 + 1 + 1


async def test_marking_as_read(filled: Filled) -> None:
    # The influencer, the message, the mark, the notifications; the entry; the mark, the notifications; the applied
    # mark. Then the thread with its mark and its newest message, and the count.
    thread = filled.threads[-1]
    newest = (await filled.member.run(THREAD, id=thread, last=1))["thread"]["messages"]["edges"][0]["node"]["id"]

    async def mark() -> None:
        await filled.member.mutate(
            "markThreadRead", "thread { id unread } unreadCount { threads } position",
            threadId=thread, upToMessageId=newest,
        )  # fmt: skip

    assert await filled.calls(mark) == REQUEST + 4 + 1 + 2 + 1 + 3 + 1


@pytest.mark.parametrize(
    ("query", "expected"),
    [
        (PUSHED_TO_ALL, 0),  # the entry holds the message
        (PUSHED, 1),  # the mark
        (PUSHED_ROW, 1 + 3 + 2),  # and the thread with its mark and newest message; the author, the campaign
    ],
    ids=["a message for all", "a message", "a message and its row"],
)
async def test_pushing_a_message(filled: Filled, query: str, expected: int) -> None:
    """From an applied entry to a socket."""

    async def add() -> None:
        await add_message(filled.store, filled.team.partner, inbound(filled.threads[3], filled.campaign), None)

    await add()
    alone = await filled.calls(add)
    since = await filled.store.log.position(filled.team.id)
    async with filled.member.subscription(query, since=since) as live:
        await add()
        await live.data()

        async def pushed() -> None:
            await add()
            await live.data()

        assert await filled.calls(pushed) - alone == expected
