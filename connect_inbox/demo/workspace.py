"""Fills the demo's workspace: what it defines, who is in it, and a year of their conversations."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from datetime import timedelta
from random import Random
from typing import TypeVar

from connect_inbox.demo import texts
from connect_inbox.demo.people import make_people
from connect_inbox.demo.story import MAILBOX, Decide, Give, Person, Say, Stage, Step, plan_year, writes_lately
from schema.types.asset import AssetDeliveryState
from schema.types.campaign import AssetKind, CampaignState
from schema.types.context import Caller, Role
from schema.types.mailbox import MailboxAccess, _Server
from schema.types.message import MessageChannel, MessageDirection, MessageKind
from schema.types.node import thread_id_of
from schema.types.scalars import now
from schema.types.tag import VariableType
from storage import assets, campaigns, influencers, mailboxes, marks, messages, tags, workspaces
from storage.assets import NewAsset
from storage.influencers import NewInfluencer
from storage.mailboxes import NewMailbox
from storage.messages import NewMessage
from storage.store import Store

T = TypeVar("T")
Progress = Callable[[int, int], None]  # how much is done, of how much

BATCH = 100
TAGS = {"Outdoor": "#2f855a", "Climbing": "#b7791f", "Family": "#d53f8c", "Photography": "#3182ce",
        "Top partner": "#d69e2e", "Needs contract": "#e53e3e"}  # fmt: skip
VARIABLES = {
    "Followers": VariableType.NUMBER,
    "Jacket size": VariableType.TEXT,
    "Birthday": VariableType.DATE,
    "Newsletter": VariableType.BOOLEAN,
    "Media kit": VariableType.URL,
}
ASSETS = {
    AssetKind.FILE: NewAsset(AssetKind.FILE, "Briefing.pdf", url="https://files.example.com/briefing.pdf"),
    AssetKind.TRACKING_LINK: NewAsset(AssetKind.TRACKING_LINK, "Shop link", url="https://shop.example.com/new"),
    AssetKind.AGREEMENT: NewAsset(AssetKind.AGREEMENT, "Creator agreement", url="https://files.example.com/agreement"),
    AssetKind.PAYMENT: NewAsset(AssetKind.PAYMENT, "Fee for two posts", amount="450.00", currency="EUR"),
    AssetKind.COUPON_CODE: NewAsset(AssetKind.COUPON_CODE, "15 % for followers"),
    AssetKind.PRODUCT: NewAsset(AssetKind.PRODUCT, "One piece to keep", url="https://shop.example.com/gift"),
}
# Name, what it is about, state, days since it began and ended, and what it can give.
CAMPAIGNS = [
    ("Base Layer Field Test", "base layer", CampaignState.ENDED, 340, 250, [AssetKind.FILE, AssetKind.PRODUCT]),
    ("Refill Bottle Stories", "refill bottle", CampaignState.ENDED, 230, 150,
     [AssetKind.TRACKING_LINK, AssetKind.COUPON_CODE, AssetKind.PAYMENT]),
    ("Ridgeline Jacket Launch", "Ridgeline jacket", CampaignState.LIVE, 75, 0, list(AssetKind)),
    ("Weekend Pack Challenge", "weekend pack", CampaignState.LIVE, 30, 0, [AssetKind.FILE, AssetKind.COUPON_CODE]),
    ("Trail Kitchen Preview", "trail kitchen", CampaignState.DRAFT, 8, 0, [AssetKind.PRODUCT]),
]  # fmt: skip
WHAT_BECAME = {
    AssetKind.FILE: [AssetDeliveryState.OPENED],
    AssetKind.TRACKING_LINK: [AssetDeliveryState.OPENED],
    AssetKind.AGREEMENT: [AssetDeliveryState.ACCEPTED, AssetDeliveryState.DECLINED],
    AssetKind.PAYMENT: [AssetDeliveryState.FULFILLED],
    AssetKind.COUPON_CODE: [AssetDeliveryState.FULFILLED, AssetDeliveryState.CANCELLED],
    AssetKind.PRODUCT: [AssetDeliveryState.ACCEPTED, AssetDeliveryState.FULFILLED],
}


@dataclass(frozen=True)
class Team:
    """The workspace, and who acts in it."""

    workspace: str
    admin: Caller
    member: Caller
    partner: Caller

    @property
    def members(self) -> list[Caller]:
        return [self.admin, self.member]


@dataclass
class Told:
    """What was said, as far as it matters for what is read."""

    read_up_to: dict[str, str] = field(default_factory=dict)  # thread -> its last message before the unread ones
    given: list[tuple[str, AssetKind]] = field(default_factory=list)  # deliveries


async def fill_workspace(store: Store, count: int, progress: Progress) -> Team:
    """The workspace to look at, with so many influencers."""
    progress(0, 1)
    random = Random(1)  # so that every demo tells the same
    team = await create_team(store, "Alder & Wren", ("Ines Falk", "ines@alderandwren.example.com"),
                             ("Tomasz Nowak", "tomasz@alderandwren.example.com"))  # fmt: skip
    people = await add_people(store, team, count, random)
    stages = await add_campaigns(store, team)
    mailbox = await add_mailbox(store, team)
    steps = plan_year(people, stages, mailbox, now(), random)
    told = await tell(store, team, steps, random, progress)
    await settle(store, team, people, told, random)
    await mailboxes.disconnect_mailbox(store, team.admin, mailbox)
    return team


async def add_mailbox(store: Store, team: Team) -> str:
    """What the year's e-mail went by. It has no servers that there are, so it is disconnected once all is told."""
    server = _Server(host="mail.alderandwren.example.com", port=465, user=MAILBOX)
    new = NewMailbox(MAILBOX, "Alder & Wren", MailboxAccess.SEND_ONLY, smtp=server, imap=None)
    return (await mailboxes.connect_mailbox(store, team.admin, team.admin.id, new)).result


async def create_team(store: Store, name: str, admin: tuple[str, str], member: tuple[str, str]) -> Team:
    id = await workspaces.create_workspace(store, name)
    operator = workspaces.operator_of(id)
    partner = (await workspaces.add_partner(store, operator, "Creator Portal")).result.id

    async def join(name: str, email: str, role: Role) -> Caller:
        made = await workspaces.add_member(store, operator, name, email, role)
        return Caller(id=made.result.id, name=name, workspace=id, token="", role=role)

    return Team(
        workspace=id,
        admin=await join(*admin, Role.ADMIN),
        member=await join(*member, Role.MEMBER),
        partner=Caller(id=partner, name="Creator Portal", workspace=id, token="", role=None),
    )


async def add_people(store: Store, team: Team, count: int, random: Random) -> list[Person]:
    tag_ids = [(await tags.create_tag(store, team.admin, *tag, None)).result.id for tag in TAGS.items()]
    variables = {
        name: (await tags.create_variable(store, team.admin, name, type, None)).result.id
        for name, type in VARIABLES.items()
    }
    made = make_people(count, tag_ids, variables, random)
    ids: list[str] = []
    for start in range(0, count, BATCH):
        ids += (await influencers.create_influencers(store, team.admin, made[start : start + BATCH])).result
    return [person_of(index, id, new) for index, (id, new) in enumerate(zip(ids, made, strict=True))]


def person_of(index: int, id: str, new: NewInfluencer) -> Person:
    channels = [MessageChannel.PLATFORM] * new.has_account + [MessageChannel.EMAIL] * bool(new.emails)
    return Person(index, id, new.name.split()[0], new.emails[0] if new.emails else None, channels)


async def add_campaigns(store: Store, team: Team) -> list[Stage]:
    stages = []
    today = now()
    for name, gear, state, begun, ended, kinds in CAMPAIGNS:
        made = await campaigns.create_campaign(store, team.admin, name, state, kinds, None)
        id = made.result.id
        given = {kind: (await assets.create_asset(store, team.admin, id, ASSETS[kind])).result for kind in kinds}
        begins, ends = today - timedelta(days=begun), today - timedelta(days=ended)
        stages.append(Stage(id, gear, state, begins, ends, given))
    return stages


async def tell(store: Store, team: Team, steps: list[Step], random: Random, progress: Progress) -> Told:
    """Takes all steps, in their order. Those of a batch wait for their turn together, so they share log entries."""
    told = Told()
    for start in range(0, len(steps), BATCH):
        await together([take(store, team, step, told, random) for step in steps[start : start + BATCH]])
        progress(min(start + BATCH, len(steps)), len(steps))
    return told


async def together(work: list[Awaitable[T]]) -> list[T]:
    return await asyncio.gather(*work)


async def take(store: Store, team: Team, step: Step, told: Told, random: Random) -> None:
    author = random.choice(team.members)
    if isinstance(step, Say):
        caller = author if step.new.direction is MessageDirection.OUTBOUND else team.partner
        made = await messages.add_message(store, caller, step.new, None)
        if not step.lately:
            told.read_up_to[step.new.thread_id] = made.result.id
    elif isinstance(step, Decide):
        await campaigns.set_participation(store, author, step.campaign, [step.person], step.status)
    else:
        await give(store, author, step, told, random)


async def give(store: Store, author: Caller, step: Give, told: Told, random: Random) -> None:
    code = f"TRAIL-{random.randrange(16**5):05X}"
    url = f"https://go.example.com/{code.lower()}" if step.kind is AssetKind.TRACKING_LINK else None
    code_of = code if step.kind is AssetKind.COUPON_CODE else None
    given = await assets.give_asset(store, author, step.asset, step.person, step.text, url, code_of, step.at)
    told.given.append((given.result, step.kind))


async def settle(store: Store, team: Team, people: list[Person], told: Told, random: Random) -> None:
    """What was read, noted and filed away since."""
    for member in team.members:
        await read(store, team, member, people, told)
    for number, person in enumerate(people[::3]):
        text = texts.NOTES[number % len(texts.NOTES)].format(first=person.first)
        await influencers.add_note(store, team.members[number % 2], person.id, text, None)
    became = [(id, random.choice(WHAT_BECAME[kind])) for id, kind in told.given if random.random() < 0.6]
    await together([assets.set_delivery_state(store, team.partner, id, state) for id, state in became])
    gone = [person.id for person in people if person.index % 13 == 7 and not writes_lately(person)]
    await influencers.set_archived(store, team.admin, gone[:BATCH], True)


async def read(store: Store, team: Team, member: Caller, people: list[Person], told: Told) -> None:
    """Everything but what came lately; the second member has read some of that too."""
    left = {
        thread_id_of(person.id)
        for person in people
        if writes_lately(person) and (member is team.admin or person.index % 8 == 0)
    }
    for thread in left & told.read_up_to.keys():
        await marks.mark_thread_read(store, member, member.id, thread, told.read_up_to[thread])
    others = sorted({thread_id_of(person.id) for person in people} - left)
    for start in range(0, len(others), BATCH):
        await marks.mark_threads_read(store, member, member.id, others[start : start + BATCH])


async def fill_other_workspace(store: Store) -> Team:
    """Another brand's small workspace, of which nobody in the first one may see anything."""
    team = await create_team(store, "Kestrel Coffee", ("Jonas Weber", "jonas@kestrel.example.com"),
                             ("Lucía Prieto", "lucia@kestrel.example.com"))  # fmt: skip
    made = make_people(3, [], {}, Random(2))
    ids = (await influencers.create_influencers(store, team.admin, made)).result
    for id in ids[:2]:
        new = NewMessage(
            thread_id=thread_id_of(id),
            direction=MessageDirection.INBOUND,
            kind=MessageKind.DIRECT,
            text="Hello! When does the new roast come out?",
        )
        await messages.add_message(store, team.partner, new, None)
    return team
