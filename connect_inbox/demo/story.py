"""A year of what was written, given and decided in the demo's workspace, planned as steps in the order of time."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime, timedelta
from random import Random

from connect_inbox.demo import texts
from schema.types.campaign import AssetKind, CampaignState, ParticipationStatus
from schema.types.message import (
    Delivery,
    DeliveryState,
    MessageChannel,
    MessageDirection,
    MessageKind,
    Recipient,
    RecipientKind,
)
from schema.types.node import thread_id_of
from storage.messages import Mail, NewMessage

MAILBOX = "hello@alderandwren.example.com"  # the brand's

MINUTE, HOUR, DAY = timedelta(minutes=1), timedelta(hours=1), timedelta(days=1)
IN, OUT = MessageDirection.INBOUND, MessageDirection.OUTBOUND
GIVING = {
    AssetKind.FILE: "Here is the briefing. Two pages, promised.",
    AssetKind.TRACKING_LINK: "This is your own link, please use it in the description.",
    AssetKind.AGREEMENT: "The agreement as discussed. Please sign it in your portal.",
    AssetKind.PAYMENT: "Your fee is on its way.",
    AssetKind.COUPON_CODE: "A code of your own: 15 % for your followers, four weeks long.",
    AssetKind.PRODUCT: "Pick your colour and size, we ship the same day.",
}


@dataclass(frozen=True)
class Person:
    """An influencer, as far as it matters for what is written."""

    index: int
    id: str
    first: str
    email: str | None
    channels: list[MessageChannel]  # none for somebody who cannot be written to


@dataclass(frozen=True)
class Stage:
    """A campaign with what it can give, and when it began and ended."""

    id: str
    gear: str
    state: CampaignState
    begins: datetime
    ends: datetime
    assets: dict[AssetKind, str]


@dataclass(frozen=True)
class Say:
    at: datetime
    new: NewMessage
    lately: bool = False  # it stays unread


@dataclass(frozen=True)
class Decide:
    at: datetime
    campaign: str
    person: str
    status: ParticipationStatus


@dataclass(frozen=True)
class Give:
    at: datetime
    asset: str
    kind: AssetKind
    person: str
    text: str


Step = Say | Decide | Give


def is_silent(person: Person) -> bool:
    """Some were never written to, some cannot be."""
    return not person.channels or person.index % 9 == 5


def writes_lately(person: Person) -> bool:
    return person.index % 4 == 0


def plan_year(people: list[Person], stages: list[Stage], mailbox: str, now: datetime, random: Random) -> list[Step]:
    """Everything that happened up to now, in order; e-mail went by the mailbox with this id."""
    steps: list[Step] = []
    for person in people:
        writer = Writer(person, mailbox, now, random)
        if is_silent(person):
            continue
        steps += writer.conversations()
        steps += writer.mass_messages()
        for stage in stages:
            if takes_part(person, stage, random):
                steps += writer.campaign(stage)
    past = [step for step in steps if step.at < now - 3 * DAY]
    for person in people:
        if writes_lately(person) and not is_silent(person):
            past += Writer(person, mailbox, now, random).lately()
    return sorted(past, key=lambda step: step.at)


def takes_part(person: Person, stage: Stage, random: Random) -> bool:
    return is_lead(person, stage) or random.random() < (0.25 if stage.state is CampaignState.DRAFT else 0.55)


def is_lead(person: Person, stage: Stage) -> bool:
    """The one who is given everything a campaign has, so that nothing is missing however few people there are."""
    return person.index == 0 and len(stage.assets) == len(AssetKind)


class Writer:
    """Writes what one influencer and the team say to each other; the clock only goes forward."""

    def __init__(self, person: Person, mailbox: str, now: datetime, random: Random) -> None:
        self.person = person
        self.mailbox = mailbox
        self.now = now
        self.random = random
        self.clock = now

    def later(self, least: timedelta, most: timedelta) -> datetime:
        self.clock += timedelta(seconds=self.random.uniform(least.total_seconds(), most.total_seconds()))
        return self.clock

    def say(
        self,
        direction: MessageDirection,
        text: str,
        kind: MessageKind = MessageKind.DIRECT,
        stage: Stage | None = None,
        channel: MessageChannel | None = None,
        subject: str | None = None,
        automatic: bool = False,
        lately: bool = False,
    ) -> Say:
        channel = channel or self.person.channels[0]
        text = text.format(first=self.person.first, gear=stage.gear if stage else "gear")
        is_email = channel is MessageChannel.EMAIL
        new = NewMessage(
            thread_id=thread_id_of(self.person.id),
            direction=direction,
            kind=kind,
            text=text,
            channel=channel,
            subject=subject if is_email else None,
            safe_html=f"<p>{text}</p>" if is_email else None,
            automatic=automatic,
            campaign_id=stage.id if stage else None,
            sent_at=self.clock.replace(microsecond=0),
            mail=self.mail(direction) if is_email else None,
        )
        return Say(self.clock, new, lately)

    def mail(self, direction: MessageDirection) -> Mail:
        """Who wrote an e-mail to whom. What the team wrote has arrived."""
        assert self.person.email is not None, "or it is not written by e-mail"
        sender, to = (self.person.email, MAILBOX) if direction is IN else (MAILBOX, self.person.email)
        arrived = (
            None if direction is IN else Delivery(state=DeliveryState.DELIVERED, at=self.clock.replace(microsecond=0))
        )
        return Mail(self.mailbox, sender, [Recipient(address=to, kind=RecipientKind.TO, delivery=arrived)])

    def conversations(self) -> Iterator[Step]:
        for subject, lines in self.random.sample(texts.CONVERSATIONS, self.random.randint(3, 6)):
            self.clock = self.now - self.random.uniform(3, 360) * DAY
            channel = self.random.choice(self.person.channels)
            for number, line in enumerate(lines):
                direction = IN if line[0] == "<" else OUT
                told = subject if number == 0 else f"Re: {subject}"
                yield self.say(direction, line[1:], channel=channel, subject=told)
                if number == 0 and direction is IN and self.random.random() < 0.3:
                    self.later(MINUTE / 30, MINUTE / 20)
                    yield self.say(OUT, texts.GREETING, channel=channel, subject=f"Re: {subject}", automatic=True)
                self.later(10 * MINUTE, 30 * HOUR)

    def mass_messages(self) -> Iterator[Step]:
        for number, (subject, text) in enumerate(texts.MASS):
            if self.random.random() < 0.35:
                continue
            self.clock = self.now - (40 + 85 * number) * DAY + self.person.index * MINUTE / 60
            channel = self.person.channels[-1]
            yield self.say(OUT, text, MessageKind.MASS, channel=channel, subject=subject)
            chance = self.random.random()
            if chance < 0.2 and channel is MessageChannel.EMAIL:
                self.later(MINUTE / 20, MINUTE)
                told = f"Automatic reply: {subject}"
                yield self.say(IN, texts.OUT_OF_OFFICE, channel=channel, subject=told, automatic=True)
            elif chance > 0.75:
                self.later(HOUR, 2 * DAY)
                yield self.say(IN, self.random.choice(texts.MASS_REPLY), channel=channel, subject=f"Re: {subject}")

    def campaign(self, stage: Stage) -> Iterator[Step]:
        """From the invitation or application to the end, as far as it has come."""
        self.clock = stage.begins + self.random.uniform(0, 6) * DAY
        if stage.state is CampaignState.DRAFT:
            yield self.decide(stage, ParticipationStatus.ADDED)
            return
        chance = 0.5 if is_lead(self.person, stage) else self.random.random()
        if chance < 0.12:
            yield from self.apply(stage)
        else:
            yield self.decide(stage, ParticipationStatus.INVITED)
            self.later(MINUTE, HOUR)
            yield self.speak(OUT, texts.RECRUIT, stage, MessageKind.RECRUIT)
        self.later(HOUR, 3 * DAY)
        if chance > 0.85:
            return
        if chance > 0.75:
            yield self.speak(IN, texts.DECLINE, stage)
            yield self.decide(stage, ParticipationStatus.DECLINED)
            return
        if chance < 0.04:
            yield self.speak(OUT, texts.REJECT, stage)
            yield self.decide(stage, ParticipationStatus.REJECTED)
            return
        yield from self.work(stage)

    def apply(self, stage: Stage) -> Iterator[Step]:
        yield self.speak(IN, texts.APPLY, stage)
        self.later(MINUTE, HOUR)
        yield self.decide(stage, ParticipationStatus.APPLIED)

    def work(self, stage: Stage) -> Iterator[Step]:
        """What follows when somebody takes part."""
        yield self.speak(IN, texts.ACCEPT, stage)
        yield self.decide(stage, ParticipationStatus.ACCEPTED)
        self.later(HOUR, DAY)
        yield self.speak(OUT, texts.WELCOME, stage)
        yield from self.give(stage)
        for _ in range(self.random.randint(0, 2)):
            self.later(HOUR, 4 * DAY)
            yield self.speak(IN, texts.QUESTION, stage)
            self.later(MINUTE, DAY)
            yield self.speak(OUT, texts.ANSWER, stage)
        if stage.state is CampaignState.ENDED:
            self.clock = max(self.clock, stage.ends - self.random.uniform(1, 10) * DAY)
            yield self.speak(IN, texts.POSTED, stage)
            self.later(HOUR, DAY)
            yield self.speak(OUT, texts.THANKS, stage)
            yield self.decide(stage, ParticipationStatus.COMPLETED)

    def give(self, stage: Stage) -> Iterator[Step]:
        """Only who has an account is given things here: they are found in the platform's portal."""
        if MessageChannel.PLATFORM not in self.person.channels:
            return
        kinds = list(stage.assets)
        if not is_lead(self.person, stage):
            kinds = self.random.sample(kinds, self.random.randint(1, min(3, len(kinds))))
        for kind in kinds:
            self.later(MINUTE, 20 * HOUR)
            yield Give(self.clock, stage.assets[kind], kind, self.person.id, GIVING[kind])

    def lately(self) -> Iterator[Step]:
        """Their last words, to which nobody has answered yet."""
        self.clock = self.now - self.random.uniform(0.2, 60) * HOUR
        for text in self.random.sample(texts.LATELY, self.random.choice([1, 1, 2, 3])):
            yield self.say(IN, text, lately=True, subject=text[:40])
            self.later(MINUTE / 6, 3 * MINUTE)

    def decide(self, stage: Stage, status: ParticipationStatus) -> Decide:
        self.later(MINUTE / 6, MINUTE)
        return Decide(self.clock, stage.id, self.person.id, status)

    def speak(
        self, direction: MessageDirection, choices: list[str], stage: Stage, kind: MessageKind = MessageKind.CAMPAIGN
    ) -> Say:
        subject = f"{'Re: ' * (direction is IN)}The {stage.gear}"
        return self.say(direction, self.random.choice(choices), kind, stage, subject=subject)
