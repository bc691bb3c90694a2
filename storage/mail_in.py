"""Mail that came in, or that the brand wrote in another program: each once, in its person's thread."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from datetime import datetime

from schema.types.context import Caller
from schema.types.mailbox import MailboxState
from schema.types.message import (
    Attachment,
    CampaignMatch,
    Delivery,
    DeliveryState,
    MessageChannel,
    MessageDirection,
    MessageKind,
    Recipient,
    RecipientKind,
)
from schema.types.node import influencer_id_of, thread_id_of
from storage import claims
from storage.addresses import canonical
from storage.changes import Ids, Turn
from storage.claims import claim_id
from storage.deliveries import GOT, States, addresses_in, put_states
from storage.documents import Document, to_milliseconds
from storage.log import Outcome
from storage.mailboxes import access_mailbox
from storage.messages import Mail, NewMessage, expected_of_threads, mail_id_claim, message_of_mail, put_message
from storage.outbox import put_learned, quiet_change
from storage.store import Store

COPY = "mail copy"  # the kind of claim that says which message a mail is in a thread
MOST_COPIES = 40  # in a turn; each can make somebody a participant, which is a change too
MOST_RECIPIENTS = 20_000  # in a turn; each copy names them all, and an entry has room for 16 MB
MOST_REPORTS = 50  # that one mail can hold
UNSURE = {DeliveryState.SENDING, DeliveryState.UNKNOWN}
THERE = {DeliveryState.QUEUED, DeliveryState.SENDING, DeliveryState.UNKNOWN, DeliveryState.SENT}


@dataclass(frozen=True)
class ReportedState:
    """What a report says of a mail of ours."""

    mail_ids: list[str]  # by which it may be known, as it may have been given another one on its way
    recipient: str | None  # None where it names nobody
    state: DeliveryState
    words: str


@dataclass(frozen=True)
class FoundMail:
    """A mail that was found in a mailbox, taken apart, with its files stored.

    Who wrote it follows from where it was found, not from what it says: anybody can write the brand's address into it.
    """

    mailbox_id: str
    is_sent: bool  # found among what was sent, so the brand wrote it
    sender: str
    to: list[str]
    cc: list[str]
    mail_id: str | None
    content_hash: str
    references: list[str]  # the mails that it answers, the nearest first
    subject: str
    text: str
    sent_at: datetime | None
    quoted_text: str | None = None
    signature: str | None = None
    safe_html: str | None = None
    has_remote_images: bool = False
    is_automatic: bool = False
    attachments: list[Attachment] = field(default_factory=list)
    raw_id: str | None = None
    original_id: str | None = None  # the Message-ID that its sender gave it, where its header has another one now
    bcc: list[str] = field(default_factory=list)  # who else got it; only what was sent says so
    people: list[str] = field(default_factory=list)  # whom it seemed to concern: they are looked up ahead
    connected_at: datetime | None = None  # when the mailbox was that it was read from; None where that says nothing
    reports: list[ReportedState] = field(default_factory=list)


@dataclass(frozen=True)
class Taken:
    """What became of a mail: the messages that it is, now or since before, by thread. None where it concerns nobody."""

    message_ids: list[str]
    reported: int = 0  # how much it told of mail of ours
    more: bool = False  # it concerns more people than a turn has room for


async def known_people(store: Store, workspace: str, addresses: set[str]) -> dict[str, str]:
    """By address in canonical form: the influencer who has it."""
    by_claim = {claim_id(workspace, "email", each): each for each in map(canonical, addresses)}
    found = await store.database.get_many("claims", by_claim)
    return {by_claim[id]: claim["owner"] for id, claim in found.items() if claim["owner"]}


async def settled(store: Store, workspace: str, mail_ids: set[str]) -> dict[str, str | None]:
    """Which of these Message-IDs are of messages that are here, and that were sent or came in for certain.

    With each, the blob of the mail as it came; None for one that was sent from here. Others may have the same ID.
    """
    by_claim = {mail_id_claim(workspace, each): each for each in mail_ids}
    owners = {by_claim[id]: claim["owner"] for id, claim in (await store.database.get_many("claims", by_claim)).items()}
    messages = await store.database.get_many("messages", owners.values())
    here = {mail_id: messages[id] for mail_id, id in owners.items() if id in messages}
    return {mail_id: each.get("raw_id") for mail_id, each in here.items() if not addresses_in(each, UNSURE)}


async def is_of_ours(store: Store, workspace: str, mail_ids: set[str]) -> bool:
    """Whether one of these Message-IDs is that of a message that went out from here."""
    claimed = await store.database.get_many("claims", [mail_id_claim(workspace, each) for each in mail_ids])
    messages = await store.database.get_many("messages", {claim["owner"] for claim in claimed.values()})
    return any(each["direction"] == MessageDirection.OUTBOUND.value for each in messages.values())


async def take_in(store: Store, caller: Caller, mail: FoundMail) -> Outcome[Taken]:
    """Takes in a mail, wherever and however often it is found: each thread that it concerns has it once."""
    reported = 0
    while True:
        outcome = await store.log.change(
            caller, lambda turn: put_found(turn, mail), lambda turn: expected_of(turn, mail)
        )
        reported += outcome.result.reported
        if not outcome.result.more:
            return Outcome(replace(outcome.result, reported=reported), outcome.position)


async def expected_of(turn: Turn, mail: FoundMail) -> Ids:
    others = mail.to + mail.cc + mail.bcc if mail.is_sent else [mail.sender]
    claimed = [
        *(mail_id_claim(turn.workspace, each) for each in mail_ids_of(mail)),
        *(claim_id(turn.workspace, "email", canonical(each)) for each in others),
        *(claim_id(turn.workspace, COPY, copy_identity(mail, person)) for person in mail.people),
    ]
    ahead = await expected_of_threads(turn, map(thread_id_of, mail.people[:MOST_COPIES]))
    return {**ahead, "mailboxes": [mail.mailbox_id], "claims": claimed}


async def put_found(turn: Turn, mail: FoundMail) -> Taken:
    mailbox = await access_mailbox(turn, mail.mailbox_id)
    if mail.connected_at is not None and not is_connected(mailbox, mail.connected_at):
        return Taken([])
    known = await claims_of(turn, mail)
    if mail.is_sent:
        own = await own_message(turn, mail, known)
        if own is not None:
            await put_found_sent(turn, mail, own, known)
            return Taken([own["_id"]])
        return await put_copies(turn, mail, mailbox, await people_of(turn, mail.to + mail.cc + mail.bcc), known)
    reported = [await put_reported(turn, each) for each in mail.reports[:MOST_REPORTS]]
    people = await people_of(turn, [mail.sender])
    if people:
        await put_answered(turn, mail, known, people[0])
    taken = await put_copies(turn, mail, mailbox, people, known)
    return replace(taken, reported=sum(reported))


def is_connected(mailbox: Document, at: datetime) -> bool:
    """Whether a mailbox has not been disconnected since: who reads it may not know of that yet."""
    is_same: bool = mailbox["connected_at"] == to_milliseconds(at)
    return is_same and mailbox["state"] != MailboxState.DISCONNECTED.value


async def claims_of(turn: Turn, mail: FoundMail) -> dict[str, Document]:
    """In one call: what is known of its own Message-ID and of those that it answers or reports on."""
    return await turn.get_many("claims", [mail_id_claim(turn.workspace, each) for each in mail_ids_of(mail)])


def mail_ids_of(mail: FoundMail) -> set[str]:
    reported = {mail_id for each in mail.reports for mail_id in each.mail_ids}
    return {*mail.references, *reported, *own_ids(mail)}


def own_ids(mail: FoundMail) -> list[str]:
    """Its Message-ID, and, of what was sent, the one that it was given before: elsewhere anybody could say so."""
    return [each for each in (mail.mail_id, mail.original_id if mail.is_sent else None) if each]


async def people_of(turn: Turn, addresses: list[str]) -> list[str]:
    ids = [claim_id(turn.workspace, "email", canonical(each)) for each in addresses]
    found = await turn.get_many("claims", ids)
    return list(dict.fromkeys(found[id]["owner"] for id in ids if id in found and found[id]["owner"]))


async def own_message(turn: Turn, mail: FoundMail, known: dict[str, Document]) -> Document | None:
    """The message of ours that a mail among what was sent is; None for one that another program has sent."""
    for mail_id in own_ids(mail):
        claim = known.get(mail_id_claim(turn.workspace, mail_id))
        if claim is not None and await turn.get("outbox", claim["owner"]) is not None:
            return await turn.get("messages", claim["owner"])
    return None


async def put_found_sent(turn: Turn, mail: FoundMail, message: Document, known: dict[str, Document]) -> None:
    """A mail that we have sent is found in a mailbox: so it was sent.

    Once somebody has got it, it says nothing of the others, who were tried later: it is there since then. Nor does it
    say of which of several tries it is. Where the provider has given it another Message-ID, which is what answers and
    reports name, it is known by that too.
    """
    unsure = [] if addresses_in(message, GOT) else addresses_in(message, UNSURE)
    found = unsure if given_with(message, unsure[:1]) == unsure[1:] else []
    change = await put_states(turn, message, dict.fromkeys(found, (DeliveryState.SENT, "found in the mailbox")))
    claim = mail_id_claim(turn.workspace, mail.mail_id) if mail.mail_id else None
    if claim is not None and claim not in known:
        by_that = {"owner": message["_id"], "campaign": message["campaign_id"]}
        turn.put(change or quiet_change(turn, message["_id"]), "claims", claim, by_that)


async def put_answered(turn: Turn, mail: FoundMail, known: dict[str, Document], person: str) -> None:
    """Who answers a mail has it: that settles whether it arrived, and was sent to those who were given it at once."""
    for reference in mail.references:
        is_known = mail_id_claim(turn.workspace, reference) in known
        message = await message_of_mail(turn, reference, person) if is_known else None
        if message is None or message["direction"] != MessageDirection.OUTBOUND.value:
            continue
        theirs = await addresses_of(turn, message, canonical(mail.sender), person)
        answered = [each for each in addresses_in(message, THERE) if each in theirs]
        states: States = dict.fromkeys(given_with(message, answered), (DeliveryState.SENT, "another has answered it"))
        states |= dict.fromkeys(answered, (DeliveryState.DELIVERED, "answered"))
        await put_learned(turn, message, states)
        return


async def addresses_of(turn: Turn, message: Document, sender: str, person: str) -> set[str]:
    """By which of its addresses a mail came to who answers it. It may have come to another one than they write from."""
    addresses = {canonical(each["address"]) for each in message["recipients"]}
    influencer = await turn.get("influencers", person)
    emails = {canonical(each) for each in influencer["emails"]} if influencer else set()
    return {sender} & addresses or emails & addresses


def given_with(message: Document, addresses: list[str]) -> list[str]:
    """Who was given a mail in the same try as these and of whom nobody knows: all of a try was noted in one change."""
    deliveries = {canonical(each["address"]): each["delivery"] for each in message["recipients"]}
    noted = [deliveries[each] for each in addresses]
    return [each for each in addresses_in(message, UNSURE) if each not in addresses and deliveries[each] in noted]


async def put_reported(turn: Turn, report: ReportedState) -> bool:
    """What a report says of a mail of ours; False where it is about none, or says nothing new.

    There is one only of what was given away: so those who were given it at once have it.
    """
    people = await people_of(turn, [report.recipient]) if report.recipient else []
    message = await reported_message(turn, report, people[0] if people else None)
    recipient = await reported_recipient(turn, report, message) if message else None
    if message is None or recipient is None:
        return False
    others = given_with(message, [recipient])
    states: States = dict.fromkeys(others, (DeliveryState.SENT, "there is a report of another's"))
    states[recipient] = (report.state, report.words)
    return await put_learned(turn, message, states) is not None


async def reported_message(turn: Turn, report: ReportedState, person: str | None) -> Document | None:
    for mail_id in report.mail_ids:
        message = await message_of_mail(turn, mail_id, person)
        if message and message["direction"] == MessageDirection.OUTBOUND.value and message["recipients"]:
            return message
    return None


async def reported_recipient(turn: Turn, report: ReportedState, message: Document) -> str | None:
    """Whom a report is about, in canonical form.

    Where a mail was forwarded it may name an address that we have not written to, and some complaints name none: then
    it is about the only recipient, or the one whose thread it is in.
    """
    addresses = [canonical(each["address"]) for each in message["recipients"]]
    if report.recipient is not None and canonical(report.recipient) in addresses:
        return canonical(report.recipient)
    if len(addresses) == 1:
        return str(addresses[0])
    influencer = await turn.get("influencers", influencer_id_of(message["thread_id"]))
    theirs = {canonical(each) for each in influencer["emails"]} if influencer else set()
    return next((each for each in addresses if each in theirs), None)


async def put_copies(
    turn: Turn, mail: FoundMail, mailbox: Document, people: list[str], known: dict[str, Document]
) -> Taken:
    """The messages that a mail is in people's threads, made where they are not there already."""
    claim_ids = {person: claim_id(turn.workspace, COPY, copy_identity(mail, person)) for person in people}
    there = await turn.get_many("claims", claim_ids.values())
    made = {person: there[id]["owner"] for person, id in claim_ids.items() if id in there}
    missing = [person for person in people if person not in made]
    most = max(1, min(MOST_COPIES, MOST_RECIPIENTS // (len(mail.to) + len(mail.cc) + 1)))
    for done, person in enumerate(missing):
        if done == most or turn.is_full:
            return Taken(list(made.values()), more=True)
        made[person] = await put_copy(turn, mail, mailbox, person, known)
    return Taken([made[person] for person in people])


def copy_identity(mail: FoundMail, person: str) -> str:
    return f"{thread_id_of(person)}:{mail.mail_id}:{mail.content_hash}"


async def put_copy(turn: Turn, mail: FoundMail, mailbox: Document, person: str, known: dict[str, Document]) -> str:
    campaign, match = await campaign_of(turn, mail, person, known)
    new = NewMessage(
        thread_id=thread_id_of(person),
        direction=MessageDirection.OUTBOUND if mail.is_sent else MessageDirection.INBOUND,
        kind=MessageKind.CAMPAIGN if campaign else MessageKind.DIRECT,
        text=mail.text,
        channel=MessageChannel.EMAIL,
        subject=mail.subject,
        safe_html=mail.safe_html,
        automatic=mail.is_automatic,
        campaign_id=campaign,
        sent_at=mail.sent_at,
        author_id=mailbox["owner_id"] if mail.is_sent else None,
        attachments=mail.attachments,
        mail=Mail(
            mailbox_id=mail.mailbox_id,
            sender_address=mail.sender,
            recipients=await recipients_of(turn, mail, person),
            references=list(reversed(mail.references)),
            mail_id=mail.mail_id,
            quoted_text=mail.quoted_text,
            signature=mail.signature,
            has_remote_images=mail.has_remote_images,
            campaign_match=match,
            raw_id=mail.raw_id,
        ),
    )
    change, id = await put_message(turn, new, None)
    claims.take(turn, change, COPY, copy_identity(mail, person), id)
    return id


async def recipients_of(turn: Turn, mail: FoundMail, person: str) -> list[Recipient]:
    """Whom a person's copy says that it went to. Who else got one by Bcc is told nobody but them."""
    sent = Delivery(state=DeliveryState.SENT, at=turn.at) if mail.is_sent else None
    found = [Recipient(address=each, kind=RecipientKind.TO, delivery=sent) for each in mail.to]
    found += [Recipient(address=each, kind=RecipientKind.CC, delivery=sent) for each in mail.cc]
    influencer = await turn.get("influencers", person) if mail.is_sent and mail.bcc else None
    theirs = {canonical(each) for each in influencer["emails"]} if influencer else set()
    hidden = [each for each in mail.bcc if canonical(each) in theirs - {canonical(one.address) for one in found}]
    return found + [Recipient(address=each, kind=RecipientKind.BCC, delivery=sent) for each in hidden]


async def campaign_of(
    turn: Turn, mail: FoundMail, person: str, known: dict[str, Document]
) -> tuple[str | None, CampaignMatch | None]:
    """The campaign of the nearest mail that it answers, or the one that they were last written about."""
    for reference in mail.references:
        claim = known.get(mail_id_claim(turn.workspace, reference))
        if claim is not None:
            return claim["campaign"], CampaignMatch.REFERENCES if claim["campaign"] else None
    influencer = await turn.get("influencers", person)
    latest = influencer.get("last_campaign") if influencer and not mail.is_sent else None
    return (latest, CampaignMatch.LATEST) if latest else (None, None)
