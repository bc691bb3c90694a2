"""What tests do to a workspace, in one line each; and a workspace in which everything has happened."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any

from schema.types.campaign import AssetKind, CampaignState, ParticipationStatus
from schema.types.context import Caller
from schema.types.influencer import Handle, Network
from schema.types.message import MessageDirection, MessageKind
from schema.types.node import thread_id_of
from schema.types.tag import VariableType
from storage.assets import NewAsset, create_asset, give_asset
from storage.campaigns import create_campaign, set_participation
from storage.claims import Key, Made, key_of
from storage.documents import Document
from storage.influencers import NewInfluencer, add_note, change_influencer, create_influencer, set_archived
from storage.log import Outcome
from storage.mail_in import take_in
from storage.marks import mark_message_unread, mark_thread_read
from storage.messages import NewMessage, add_message
from storage.outbox import NewMail, send_mail
from storage.positions import parse_position
from storage.store import Store
from storage.tags import create_tag, create_variable, delete_tag, tag_influencers
from storage.workspaces import remove_member
from tests.mailboxes import connected, found_mail
from tests.team import Team


async def influencer(store: Store, team: Team, name: str, **more: object) -> str:
    """A new influencer's thread."""
    made = await create_influencer(store, team.member, NewInfluencer(name=name, **more), None)  # type: ignore[arg-type]
    return thread_id_of(made.result.id)


def id_of(thread: str) -> str:
    return f"influencer_{thread.partition('_')[2]}"


async def receive(
    store: Store,
    team: Team,
    thread: str,
    text: str = "Hello",
    external_id: str | None = None,
    campaign: str | None = None,
    automatic: bool = False,
) -> Outcome[Made]:
    """An influencer writes."""
    new = NewMessage(
        thread_id=thread, direction=MessageDirection.INBOUND, text=text, campaign_id=campaign, automatic=automatic,
        kind=MessageKind.CAMPAIGN if campaign else MessageKind.DIRECT,
    )  # fmt: skip
    key = key_of(team.id, "message", external_id, new) if external_id else None
    return await add_message(store, team.partner, new, key)


async def send(
    store: Store, caller: Caller, thread: str, text: str = "Hi", key: str | None = None, campaign: str | None = None
) -> Outcome[Made]:
    """A member writes."""
    new = NewMessage(
        thread_id=thread, direction=MessageDirection.OUTBOUND, text=text, campaign_id=campaign,
        kind=MessageKind.CAMPAIGN if campaign else MessageKind.DIRECT,
    )  # fmt: skip
    return await add_message(store, caller, new, sending_key(caller, key, new) if key else None)


def sending_key(caller: Caller, key: str, new: NewMessage) -> Key:
    return key_of(caller.id, "key", key, ["sendMessage", new])


async def read(store: Store, caller: Caller, thread: str, message: str) -> Outcome[None]:
    return await mark_thread_read(store, caller, caller.id, thread, message)


async def unread(store: Store, caller: Caller, message: str) -> Outcome[None]:
    return await mark_message_unread(store, caller, caller.id, message)


def number_of(outcome: Outcome[Any]) -> int:
    """The log position of a change."""
    return parse_position(outcome.position)[1]


async def texts(store: Store, thread: str) -> list[str]:
    """What is written in a thread, in its order."""
    messages = await store.database.find("messages", {"thread_id": thread}, sort=[("order", 1)])
    return [message["text"] for message in messages]


async def entries_of(store: Store, workspace: str) -> list[Document]:
    return await store.database.find("entries", {"workspace": workspace}, sort=[("last", 1)])


async def assert_dense(store: Store, workspace: str) -> None:
    """Positions from 1 on without a hole, all applied."""
    entries = await entries_of(store, workspace)
    positions = [change["position"] for entry in entries for change in entry["changes"]]
    assert positions == list(range(1, len(positions) + 1))
    assert (await store.log.state(workspace))["applied"] == len(positions)


@dataclass(frozen=True)
class Scene:
    """Ids in a workspace in which everything has happened."""

    summer: str  # a campaign
    winter: str
    vip: str  # a tag
    anna: str  # a thread: unread for some, with messages of a campaign
    bruno: str  # written to and never answered
    carla: str  # archived, with something unread
    dora: str  # never written to
    first: str  # Anna's first message
    last: str  # and her last
    mail_id: str  # the Message-ID of an e-mail to her


async def play(store: Store, team: Team) -> Scene:
    summer, winter = [
        (await create_campaign(store, team.admin, name, CampaignState.LIVE, [], None)).result.id
        for name in ("Summer", "Winter")
    ]
    vip, gone = [(await create_tag(store, team.admin, name, None, None)).result.id for name in ("VIP", "Gone")]
    size = (await create_variable(store, team.admin, "Shoe size", VariableType.NUMBER, None)).result.id
    anna = await influencer(
        store, team, "Anna Ångström", emails=["Anna@mail.test"], external_id="crm-1", tag_ids=[vip, gone],
        handles=[Handle(network=Network.INSTAGRAM, name="anna.a")], values={size: "38"},
    )  # fmt: skip
    bruno, carla, dora = [await influencer(store, team, name) for name in ("Bruno", "Carla", "Dora Duck")]
    await change_influencer(store, team.member, id_of(dora), {"name": "Dora Drake", "emails": ["dora@mail.test"]})
    await add_note(store, team.member, id_of(dora), "Prefers mail", None)

    first = (await receive(store, team, anna, "One", "x1")).result.id
    second = (await receive(store, team, anna, "Two", "x2", campaign=summer)).result.id
    await receive(store, team, anna, "Out of office", automatic=True)
    await send(store, team.member, anna, "Thanks", "k1", campaign=winter)
    await read(store, team.admin, anna, second)
    last = (await receive(store, team, anna, "Three", "x3", campaign=summer)).result.id
    await unread(store, team.member, second)
    await send(store, team.member, bruno, "Hello?")
    await receive(store, team, carla, "Bye")
    await set_archived(store, team.member, [id_of(carla)], True)

    asset = await create_asset(store, team.admin, summer, NewAsset(AssetKind.COUPON_CODE, "Ten percent"))
    await give_asset(store, team.member, asset.result, id_of(bruno), "Yours", code="TEN")
    await set_participation(store, team.member, winter, [id_of(bruno), id_of(dora)], ParticipationStatus.INVITED)
    await set_participation(store, team.member, winter, [id_of(dora)], ParticipationStatus.REMOVED)
    await tag_influencers(store, team.member, [id_of(dora)], [vip, gone], [])
    await delete_tag(store, team.admin, gone)
    await remove_member(store, team.admin, team.viewer.id)
    mailbox = await connected(store, team.id, team.member.id, "team@brand.test")
    new = NewMessage(anna, MessageDirection.OUTBOUND, MessageKind.CAMPAIGN, "Hi", subject="Hi", campaign_id=summer)
    mail = (await send_mail(store, team.member, NewMail(new, mailbox, ["eve@mail.test"]), None)).result.id
    mail_id = f"<{mail}@brand.test>"
    for answer in ("I am away", "Yes"):
        found = found_mail(mailbox, "anna@mail.test", ["team@brand.test"], answer, references=[mail_id])
        await take_in(store, team.operator, replace(found, is_automatic=answer != "Yes"))
    await receive(store, team, anna, "Four")
    return Scene(summer, winter, vip, anna, bruno, carla, dora, first, last, mail_id)
