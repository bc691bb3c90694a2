"""Mail as it is found in mailboxes: each once, with its person and campaign; and what it says of mail that was sent."""

from __future__ import annotations

import asyncio
from collections import Counter
from dataclasses import replace

import pytest

from schema.types.campaign import CampaignState
from schema.types.errors import Refused
from schema.types.mailbox import Mailbox, QuarantineState
from schema.types.message import DeliveryState, MessageDirection, MessageKind
from schema.types.node import thread_id_of
from storage import mail_in, outbox, quarantine
from storage.campaigns import create_campaign
from storage.check import check
from storage.deliveries import States
from storage.documents import Document, from_document
from storage.influencers import NewInfluencer, create_influencers, set_archived
from storage.mail_in import FoundMail, ReportedState, Taken, take_in
from storage.mailboxes import disconnect_mailbox
from storage.marks import mark_id
from storage.messages import NewMessage
from storage.outbox import NewMail, send_mail
from storage.store import Store
from tests.mailboxes import connected, found_mail
from tests.storage.deeds import id_of, influencer, number_of, read, send
from tests.storage.stores import second_store
from tests.team import Team, create_team

BRAND, ADA, BOB, EVE = "team@brand.example", "ada@x.example", "bob@x.example", "eve@x.example"
Words = list[tuple[str, str, str | None]]


async def taken(store: Store, team: Team, mail: FoundMail) -> Taken:
    return (await take_in(store, team.operator, mail)).result


async def message(store: Store, id: str) -> Document:
    found = await store.database.get("messages", id)
    assert found is not None
    return found


async def influencers(store: Store, team: Team, addresses: list[str]) -> list[str]:
    """Many new influencers' threads."""
    many = [NewInfluencer(name=each, emails=[each]) for each in addresses]
    made = [await create_influencers(store, team.member, many[at : at + 100]) for at in range(0, len(many), 100)]
    return [thread_id_of(id) for each in made for id in each.result]


async def messages_in(store: Store, thread: str) -> list[Document]:
    return await store.database.find("messages", {"thread_id": thread}, sort=[("order", 1)])


async def head(store: Store, team: Team) -> int:
    return int((await store.log.state(team.id))["applied"])


async def sent_mail(
    store: Store, team: Team, thread: str, campaign: str | None = None, cc: list[str] | None = None
) -> Document:
    """A mail of ours that a server has taken over."""
    kind = MessageKind.CAMPAIGN if campaign else MessageKind.DIRECT
    new = NewMessage(thread, MessageDirection.OUTBOUND, kind, "Hi", subject="Hi", campaign_id=campaign)
    id = (await send_mail(store, team.member, NewMail(new, None, cc or []), None)).result.id
    to = (await message(store, id))["recipients"]
    states: States = {each["address"].lower(): (DeliveryState.SENT, None) for each in to}
    await outbox.settle(store, team.operator, id, states, outbox.DONE, due=0, attempts=1)
    return await message(store, id)


def deliveries(message: Document) -> Words:
    return [(each["address"], each["delivery"]["state"], each["delivery"]["detail"]) for each in message["recipients"]]


def report(mailbox: str, mail_id: str, *said: tuple[str | None, DeliveryState, str]) -> FoundMail:
    told = [ReportedState([mail_id], *each) for each in said]
    return found_mail(mailbox, "daemon@mail.example", [BRAND], f"{said}", reports=told, is_automatic=True)


async def test_once_for_any_number_of_copies(store: Store, workspace: Team) -> None:
    """In two mailboxes, at once, by two processes, and again later; somebody else's workspace has its own."""
    ada, other = await influencer(store, workspace, "Ada", emails=[ADA]), await create_team(store)
    adas = await influencer(store, other, "Ada", emails=["Ada@X.example"])
    here = [await connected(store, workspace.id, workspace.member.id, each) for each in (BRAND, "ben@brand.example")]
    there = await connected(store, other.id, other.member.id)
    stores = [store, second_store(store)]
    mails = [found_mail(mailbox, "ADA@x.example", [BRAND], "Hello") for mailbox in here]
    everywhere = [taken(each, workspace, mail) for each in stores for mail in mails for _ in range(3)]
    outcomes = await asyncio.gather(*everywhere)
    elsewhere = await taken(store, other, found_mail(there, ADA, [BRAND], "Hello"))
    assert {tuple(each.message_ids) for each in outcomes} == {(each["_id"],) for each in await messages_in(store, ada)}
    assert [each["_id"] for each in await messages_in(store, adas)] == elsewhere.message_ids
    before = await head(store, workspace)
    assert await taken(store, workspace, mails[1]) == outcomes[0]
    assert await head(store, workspace) == before
    await assert_right(store, workspace, other)


async def assert_right(store: Store, *teams: Team) -> None:
    for each in teams:
        assert await check(store, each.id, repair=False) == []


async def test_mails_that_are_taken_in_together_are_read_for_together(store: Store, workspace: Team) -> None:
    addresses = [f"person{number}@x.example" for number in range(30)]
    threads = dict(zip(addresses, await influencers(store, workspace, addresses), strict=True))
    mailbox = await connected(store, workspace.id, workspace.member.id)

    async def calls(among: list[str]) -> int:
        mails = [found_mail(mailbox, each, [BRAND], "Hi", people=[id_of(threads[each])]) for each in among]
        before = store.database.calls
        await asyncio.gather(*[taken(store, workspace, each) for each in mails])
        return store.database.calls - before

    assert await calls(addresses[1:]) <= 2 * await calls(addresses[:1]), "one turn for the first, one for all others"
    assert [len(await messages_in(store, each)) for each in threads.values()] == [1] * 30


async def test_one_message_id_with_other_content_is_another_mail(store: Store, workspace: Team) -> None:
    ada = await influencer(store, workspace, "Ada", emails=[ADA])
    mailbox = await connected(store, workspace.id, workspace.member.id)
    first = found_mail(mailbox, ADA, [BRAND], "Hello")
    second = replace(first, text="Goodbye", content_hash="another")
    unnamed = [replace(first, mail_id=None), replace(second, mail_id=None)]
    for mail in (first, second, *unnamed, first, second, *unnamed):
        await taken(store, workspace, mail)
    found = await messages_in(store, ada)
    assert [each["text"] for each in found] == ["Hello", "Goodbye", "Hello", "Goodbye"]
    assert found[0]["mail_id"] == found[1]["mail_id"]
    await assert_right(store, workspace)


async def test_the_campaign_is_that_of_what_is_answered_or_the_latest(store: Store, workspace: Team) -> None:
    spring, summer = [
        (await create_campaign(store, workspace.admin, name, CampaignState.LIVE, [], None)).result.id
        for name in ("Spring", "Summer")
    ]
    ada = await influencer(store, workspace, "Ada", emails=[ADA])
    mailbox = await connected(store, workspace.id, workspace.member.id)

    async def campaign_of(text: str, *references: str) -> tuple[str | None, str | None, str]:
        mail = found_mail(mailbox, ADA, [BRAND], text, references=list(references))
        [id] = (await taken(store, workspace, mail)).message_ids
        made = await message(store, id)
        return made["campaign_id"], made["campaign_match"], made["kind"]

    assert await campaign_of("before any", "<x@y>") == (None, None, "DIRECT")
    in_spring = (await sent_mail(store, workspace, ada, spring))["mail_id"]
    in_summer = (await sent_mail(store, workspace, ada, summer))["mail_id"]
    in_none = (await sent_mail(store, workspace, ada))["mail_id"]
    assert await campaign_of("to spring", in_spring, in_summer) == (spring, "REFERENCES", "CAMPAIGN")
    assert await campaign_of("to spring, far", "<x@y>", in_spring) == (spring, "REFERENCES", "CAMPAIGN")
    assert await campaign_of("to none", in_none, in_spring) == (None, None, "DIRECT")
    assert await campaign_of("to nothing known", "<x@y>") == (summer, "LATEST", "CAMPAIGN")
    await send(store, workspace.member, ada, "on the platform", campaign=spring)
    assert await campaign_of("without any") == (spring, "LATEST", "CAMPAIGN")
    [answer] = await messages_in_campaign(store, ada, "to spring, far")
    assert await campaign_of("to their own", answer["mail_id"]) == (spring, "REFERENCES", "CAMPAIGN")
    stored = await store.database.get("influencers", id_of(ada))
    assert stored is not None and set(stored["facets"]) == {spring, summer}
    await assert_right(store, workspace)


async def messages_in_campaign(store: Store, thread: str, text: str) -> list[Document]:
    return [each for each in await messages_in(store, thread) if each["text"] == text]


async def test_a_reference_never_leads_to_another_person(store: Store, workspace: Team) -> None:
    ada, bob = [
        await influencer(store, workspace, name, emails=[address]) for name, address in (("Ada", ADA), ("Bob", BOB))
    ]
    mailbox = await connected(store, workspace.id, workspace.member.id)
    to_ada = await sent_mail(store, workspace, ada)
    [id] = (
        await taken(store, workspace, found_mail(mailbox, BOB, [BRAND], "Me too", references=[to_ada["mail_id"]]))
    ).message_ids
    assert (await message(store, id))["thread_id"] == bob
    assert deliveries(await message(store, to_ada["_id"])) == [(ADA, "SENT", None)], "Bob has not got what Ada was sent"


async def test_a_machine_raises_nothing(store: Store, workspace: Team) -> None:
    ada = await influencer(store, workspace, "Ada", emails=[ADA])
    mailbox = await connected(store, workspace.id, workspace.member.id)
    sent = await sent_mail(store, workspace, ada)
    away = found_mail(mailbox, ADA, [BRAND], "I am away", references=[sent["mail_id"]], is_automatic=True)
    [id] = (await taken(store, workspace, away)).message_ids
    assert (await message(store, id))["automatic"] == 1
    assert await store.database.get("marks", mark_id(workspace.member.id, ada)) is None
    assert await store.database.find("notifications", {"thread_id": ada}) == []
    stored = await store.database.get("influencers", id_of(ada))
    assert stored is not None and stored["last_mail"] == sent["_id"], "what is answered next is what a person wrote"
    await taken(store, workspace, found_mail(mailbox, ADA, [BRAND], "I am back"))
    mark = await store.database.get("marks", mark_id(workspace.member.id, ada))
    assert mark is not None and mark["count"] == 1
    await assert_right(store, workspace)


@pytest.mark.parametrize(
    ("said", "expected"),
    [
        ([(ADA, DeliveryState.BOUNCED, "no such user")], [(ADA, "BOUNCED", "no such user"), (EVE, "SENT", None)]),
        ([("EVE@x.example", DeliveryState.BOUNCED, "full")], [(ADA, "SENT", None), (EVE, "BOUNCED", "full")]),
        ([(None, DeliveryState.COMPLAINED, "abuse")], [(ADA, "COMPLAINED", "abuse"), (EVE, "SENT", None)]),
        ([("who@x.example", DeliveryState.BOUNCED, "x")], [(ADA, "BOUNCED", "x"), (EVE, "SENT", None)]),
        (
            [(ADA, DeliveryState.DELIVERED, "there"), (EVE, DeliveryState.BOUNCED, "gone")],
            [(ADA, "DELIVERED", "there"), (EVE, "BOUNCED", "gone")],
        ),
        (
            [(ADA, DeliveryState.COMPLAINED, "no"), (ADA, DeliveryState.BOUNCED, "x"), (ADA, DeliveryState.SENT, "y")],
            [(ADA, "COMPLAINED", "no"), (EVE, "SENT", None)],
        ),
        ([(ADA, DeliveryState.SENT, "again")], [(ADA, "SENT", None), (EVE, "SENT", None)]),
    ],
)  # fmt: skip
async def test_a_report_changes_whom_it_is_about_and_nothing_else(
    store: Store, workspace: Team, said: list[tuple[str | None, DeliveryState, str]], expected: Words
) -> None:
    ada = await influencer(store, workspace, "Ada", emails=[ADA])
    mailbox = await connected(store, workspace.id, workspace.member.id)
    about, beside = [await sent_mail(store, workspace, ada, cc=[EVE]) for _ in range(2)]
    mail = report(mailbox, about["mail_id"], *said)
    first = await taken(store, workspace, mail)
    after = await message(store, about["_id"])
    assert deliveries(after) == expected
    assert after["delivery"] == after["recipients"][0]["delivery"], "it is as far as it has come to whom it is for"
    assert await message(store, beside["_id"]) == beside
    assert first.message_ids == [] and bool(first.reported) == (after != about)
    before = await head(store, workspace)
    assert not (await taken(store, workspace, mail)).reported
    assert await head(store, workspace) == before, "told twice is told once"
    assert len(await messages_in(store, ada)) == 2
    await assert_right(store, workspace)


async def test_a_report_on_what_is_not_ours_is_nothing(store: Store, workspace: Team) -> None:
    ada = await influencer(store, workspace, "Ada", emails=[ADA])
    mailbox = await connected(store, workspace.id, workspace.member.id)
    theirs = found_mail(mailbox, ADA, [BRAND], "Hello")
    await taken(store, workspace, theirs)
    other = await create_team(store)
    await influencer(store, other, "Ada", emails=[ADA])
    await connected(store, other.id, other.member.id)
    elsewhere = await sent_mail(store, other, (await threads_of(store, other))[0])
    before = await head(store, workspace)
    for mail_id in (theirs.mail_id, elsewhere["mail_id"], "<nothing@x>"):
        assert mail_id is not None
        told = report(mailbox, mail_id, (BRAND, DeliveryState.BOUNCED, "x"), (ADA, DeliveryState.BOUNCED, "x"))
        assert await taken(store, workspace, told) == Taken([])
    assert await head(store, workspace) == before and len(await messages_in(store, ada)) == 1
    assert await message(store, elsewhere["_id"]) == elsewhere


async def threads_of(store: Store, team: Team) -> list[str]:
    people = await store.database.find("influencers", {"workspace": team.id})
    return [f"thread_{each['_id'].partition('_')[2]}" for each in people]


async def test_what_is_answered_has_arrived(store: Store, workspace: Team) -> None:
    ada = await influencer(store, workspace, "Ada", emails=[ADA])
    mailbox = await connected(store, workspace.id, workspace.member.id)
    sent = await sent_mail(store, workspace, ada, cc=[EVE])
    answer = found_mail(mailbox, "Ada@X.example", [BRAND], "Thanks", references=["<x@y>", sent["mail_id"]])
    await taken(store, workspace, answer)
    assert deliveries(await message(store, sent["_id"])) == [(ADA, "DELIVERED", "answered"), (EVE, "SENT", None)]
    bounced = await sent_mail(store, workspace, ada)
    await taken(store, workspace, report(mailbox, bounced["mail_id"], (ADA, DeliveryState.BOUNCED, "full")))
    again = found_mail(mailbox, ADA, [BRAND], "What was that?", references=[bounced["mail_id"]])
    await taken(store, workspace, again)
    assert deliveries(await message(store, bounced["_id"])) == [(ADA, "BOUNCED", "full")], (
        "a bounce was said, so it stays"
    )


async def test_our_own_mail_in_the_sent_folder_settles_what_was_not_known(store: Store, workspace: Team) -> None:
    ada = await influencer(store, workspace, "Ada", emails=[ADA])
    mailbox = await connected(store, workspace.id, workspace.member.id)
    sent = await sent_mail(store, workspace, ada)
    await outbox.resolve(store, workspace.member, await unknown(store, workspace, ada), was_sent=True)
    id = await unknown(store, workspace, ada)
    copy = found_mail(mailbox, BRAND, [ADA], "Hi", is_sent=True, mail_id=(await message(store, id))["mail_id"])
    assert await taken(store, workspace, copy) == Taken([id])
    assert deliveries(await message(store, id)) == [(ADA, "SENT", "found in the mailbox")]
    known = found_mail(mailbox, BRAND, [ADA], "Hi", is_sent=True, mail_id=sent["mail_id"])
    assert await taken(store, workspace, known) == Taken([sent["_id"]])
    assert await message(store, sent["_id"]) == sent and len(await messages_in(store, ada)) == 3


async def test_our_own_mail_under_another_message_id_is_known_by_both(store: Store, workspace: Team) -> None:
    """As its provider says it. What comes in may say so of anything, and gives nothing another Message-ID."""
    ada = await influencer(store, workspace, "Ada", emails=[ADA])
    mailbox = await connected(store, workspace.id, workspace.member.id)
    sent = await sent_mail(store, workspace, ada)
    forged = found_mail(mailbox, ADA, [BRAND], "Mine", mail_id="<forged@x>", original_id=sent["mail_id"])
    await taken(store, workspace, forged)
    assert await taken(store, workspace, report(mailbox, "<forged@x>", (ADA, DeliveryState.BOUNCED, "x"))) == Taken([])
    copy = found_mail(
        mailbox, BRAND, [ADA], "Hi", is_sent=True, mail_id="<theirs@x>", original_id=sent["mail_id"], content_hash="1"
    )
    assert await taken(store, workspace, copy) == Taken([sent["_id"]])
    before = await head(store, workspace)
    assert await taken(store, workspace, copy) == Taken([sent["_id"]])
    assert await head(store, workspace) == before, "found twice is found once"
    told = report(mailbox, "<theirs@x>", (ADA, DeliveryState.BOUNCED, "full"))
    assert (await taken(store, workspace, told)).reported == 1
    assert deliveries(await message(store, sent["_id"])) == [(ADA, "BOUNCED", "full")]
    await assert_right(store, workspace)


async def test_a_copy_from_the_first_try_says_nothing_of_the_second(store: Store, workspace: Team) -> None:
    ada = await influencer(store, workspace, "Ada", emails=[ADA])
    mailbox = await connected(store, workspace.id, workspace.member.id)
    new = NewMessage(ada, MessageDirection.OUTBOUND, MessageKind.DIRECT, "Hi", subject="Hi")
    id = (await send_mail(store, workspace.member, NewMail(new, None, ["cc@x.example"]), None)).result.id
    states: States = {ADA: (DeliveryState.SENT, None), "cc@x.example": (DeliveryState.UNKNOWN, "broken")}
    await outbox.settle(store, workspace.operator, id, states, outbox.TO_FILE, due=0, attempts=2)
    copy = found_mail(mailbox, BRAND, [ADA], "Hi", is_sent=True, mail_id=(await message(store, id))["mail_id"])
    assert await taken(store, workspace, copy) == Taken([id])
    assert deliveries(await message(store, id)) == [(ADA, "SENT", None), ("cc@x.example", "UNKNOWN", "broken")]


async def test_a_copy_does_not_say_of_which_try_it_is(store: Store, workspace: Team) -> None:
    ada = await influencer(store, workspace, "Ada", emails=[ADA])
    mailbox = await connected(store, workspace.id, workspace.member.id)
    new = NewMessage(ada, MessageDirection.OUTBOUND, MessageKind.DIRECT, "Hi", subject="Hi")
    id = (await send_mail(store, workspace.member, NewMail(new, None, [BOB, EVE]), None)).result.id
    first: States = {ADA: (DeliveryState.UNKNOWN, "the first"), BOB: (DeliveryState.UNKNOWN, "the first")}
    await outbox.settle(store, workspace.operator, id, first, outbox.WAITING, due=0, attempts=1)
    second: States = {EVE: (DeliveryState.UNKNOWN, "the second")}
    await outbox.settle(store, workspace.operator, id, second, outbox.DONE, due=0, attempts=2)
    sent = await message(store, id)
    copy = found_mail(mailbox, BRAND, [ADA], "Hi", is_sent=True, mail_id=sent["mail_id"])
    assert await taken(store, workspace, copy) == Taken([id])
    assert await message(store, id) == sent
    answer = found_mail(mailbox, BOB, [BRAND], "Yes", references=[sent["mail_id"]])
    await influencer(store, workspace, "Bob", emails=[BOB])
    await taken(store, workspace, answer)
    assert deliveries(await message(store, id)) == [
        (ADA, "SENT", "another has answered it"), (BOB, "DELIVERED", "answered"), (EVE, "UNKNOWN", "the second"),
    ]  # fmt: skip


async def unknown(store: Store, team: Team, thread: str) -> str:
    """A mail of which nobody knows whether it was sent."""
    new = NewMessage(thread, MessageDirection.OUTBOUND, MessageKind.DIRECT, "Hi", subject="Hi")
    id = (await send_mail(store, team.member, NewMail(new, None, []), None)).result.id
    states: States = {ADA: (DeliveryState.UNKNOWN, "the connection broke")}
    await outbox.settle(store, team.operator, id, states, outbox.DONE, due=0, attempts=1)
    return id


async def test_who_wrote_a_mail_follows_from_where_it_is_found(store: Store, workspace: Team) -> None:
    """Anybody can write the brand's address, or the Message-ID of a mail of ours, into a mail."""
    ada = await influencer(store, workspace, "Ada", emails=[ADA])
    mailbox = await connected(store, workspace.id, workspace.member.id)
    sent = await sent_mail(store, workspace, ada)
    forged = found_mail(mailbox, BRAND, [ADA], "Pay here")
    assert await taken(store, workspace, forged) == Taken([])
    copied = found_mail(mailbox, ADA, [BRAND], "Look", mail_id=sent["mail_id"])
    [id] = (await taken(store, workspace, copied)).message_ids
    made = await message(store, id)
    assert (made["direction"], made["author_id"]) == ("INBOUND", id_of(ada))
    told = report(mailbox, sent["mail_id"], (ADA, DeliveryState.BOUNCED, "full"))
    assert (await taken(store, workspace, told)).reported == 1, "the Message-ID is still that of our mail"
    assert deliveries(await message(store, sent["_id"])) == [(ADA, "BOUNCED", "full")]


async def test_what_a_member_wrote_elsewhere_is_in_the_threads_of_all_to_whom_it_goes(
    store: Store, workspace: Team
) -> None:
    ada, bob = [
        await influencer(store, workspace, name, emails=[address]) for name, address in (("Ada", ADA), ("Bob", BOB))
    ]
    mailbox = await connected(store, workspace.id, workspace.member.id)
    mail = found_mail(mailbox, BRAND, ["who@x.example"], "To all", cc=[ADA, BOB, "ada@X.example"], is_sent=True)
    made = (await taken(store, workspace, mail)).message_ids
    copies = [(await messages_in(store, thread))[0] for thread in (ada, bob)]
    assert made == [each["_id"] for each in copies]
    assert {(each["direction"], each["author_id"], each["mail_id"]) for each in copies} == {
        ("OUTBOUND", workspace.member.id, mail.mail_id)
    }
    assert mail.mail_id is not None
    await taken(store, workspace, report(mailbox, mail.mail_id, (BOB, DeliveryState.BOUNCED, "full")))
    states = [(await message(store, id))["delivery"]["state"] for id in made]
    assert states == ["SENT", "BOUNCED"], "in the thread of whom it is about"
    await taken(store, workspace, found_mail(mailbox, ADA, [BRAND], "Thanks", references=[mail.mail_id]))
    assert [(await message(store, id))["delivery"]["state"] for id in made] == ["DELIVERED", "BOUNCED"]
    await assert_right(store, workspace)


async def test_a_mail_to_only_copies_can_be_reported_on(store: Store, workspace: Team) -> None:
    ada = await influencer(store, workspace, "Ada", emails=[ADA])
    mailbox = await connected(store, workspace.id, workspace.member.id)
    mail = found_mail(mailbox, BRAND, [], "In copy", cc=[EVE, ADA], is_sent=True)
    await taken(store, workspace, mail)
    assert mail.mail_id is not None
    for said in ((None, DeliveryState.DELIVERED, "there"), (ADA, DeliveryState.BOUNCED, "full")):
        assert (await taken(store, workspace, report(mailbox, mail.mail_id, said))).reported == 1
    [made] = await messages_in(store, ada)
    assert deliveries(made) == [(EVE, "SENT", None), (ADA, "BOUNCED", "full")]
    assert made["delivery"]["state"] == "BOUNCED"


async def test_a_mail_to_more_people_than_an_entry_holds(store: Store, workspace: Team) -> None:
    """Each of whom has it once, whatever was there before."""
    people = [f"p{number}@x.example" for number in range(110)]
    threads = await influencers(store, workspace, people)
    mailbox = await connected(store, workspace.id, workspace.member.id)
    spring = (await create_campaign(store, workspace.admin, "Spring", CampaignState.LIVE, [], None)).result.id
    before = await sent_mail(store, workspace, threads[0], spring)  # who takes part already
    mail = found_mail(
        mailbox, BRAND, people[:60], "To all", cc=people[60:], is_sent=True, references=[before["mail_id"]]
    )
    long = replace(mail, mail_id="<long@x>", content_hash="long", safe_html="x" * 900_000, to=people[:6], cc=[])
    for each, count in ((mail, 110), (long, 6)):
        made = await taken(store, workspace, each)
        assert len(set(made.message_ids)) == count and not made.more
        assert await taken(store, workspace, each) == made
    everything = await store.database.find("messages", {"workspace": workspace.id})
    had = Counter(each["thread_id"] for each in everything)
    assert [had[thread] for thread in threads] == [3] + [2] * 5 + [1] * 104 and had.keys() == set(threads)
    assert {each["campaign_id"] for each in everything} == {spring}


async def test_a_mail_to_very_many_has_few_copies_in_an_entry(store: Store, workspace: Team) -> None:
    """Each copy names them all."""
    people = [f"p{number}@x.example" for number in range(6)]
    threads = await influencers(store, workspace, people)
    mailbox = await connected(store, workspace.id, workspace.member.id)
    others = [f"somebody.{number}@else.example" for number in range(2000)]
    mail = found_mail(mailbox, BRAND, others, "To all", cc=[*others[len(people) :], *people], is_sent=True)
    entries = await store.database.find("entries", {"workspace": workspace.id})
    made = await taken(store, workspace, mail)
    assert len(set(made.message_ids)) == len(threads) and not made.more
    new = len(await store.database.find("entries", {"workspace": workspace.id})) - len(entries)
    assert new >= 2  # of at most 20,000 recipients each


async def test_what_a_reader_of_before_still_finds_is_not_taken_in(store: Store, workspace: Team) -> None:
    """Who reads a mailbox may learn only later that it was disconnected, and even connected anew since."""
    await influencer(store, workspace, "Ada", emails=[ADA])
    mailbox = await connected(store, workspace.id, workspace.member.id)
    before = (await read_mailbox(store, mailbox)).connected_at
    late = found_mail(mailbox, ADA, [BRAND], connected_at=before)
    assert len((await taken(store, workspace, late)).message_ids) == 1
    await disconnect_mailbox(store, workspace.operator, mailbox)
    later = found_mail(mailbox, ADA, [BRAND], "meanwhile", connected_at=before)
    assert (await taken(store, workspace, later)).message_ids == []
    assert await connected(store, workspace.id, workspace.member.id) == mailbox
    assert (await taken(store, workspace, later)).message_ids == []
    now = found_mail(mailbox, ADA, [BRAND], "news", connected_at=(await read_mailbox(store, mailbox)).connected_at)
    assert len((await taken(store, workspace, now)).message_ids) == 1


async def read_mailbox(store: Store, id: str) -> Mailbox:
    document = await store.database.get("mailboxes", id)
    assert document is not None
    return from_document(Mailbox, document)


async def test_who_is_archived_comes_back_by_writing(store: Store, workspace: Team) -> None:
    ada = await influencer(store, workspace, "Ada", emails=[ADA])
    mailbox = await connected(store, workspace.id, workspace.member.id)
    await set_archived(store, workspace.member, [id_of(ada)], True)
    [id] = (await taken(store, workspace, found_mail(mailbox, ADA, [BRAND]))).message_ids
    stored = await store.database.get("influencers", id_of(ada))
    assert stored is not None and (stored["listed"], stored["archived_at"]) == (1, None)
    await read(store, workspace.member, ada, id)
    await assert_right(store, workspace)


async def test_what_cannot_be_taken_apart_is_kept_once(store: Store, workspace: Team) -> None:
    mailbox = await connected(store, workspace.id, workspace.member.id)
    other = await connected(store, workspace.id, workspace.member.id, "other@brand.example")

    async def quarantined(where: str, raw: str) -> str:
        made = await quarantine.hold(store, workspace.operator, where, False, ADA, 9, raw, "it has no end")
        return made.result

    ids = [
        await quarantined(*each) for each in ((mailbox, "raw"), (mailbox, "raw"), (other, "raw"), (mailbox, "other"))
    ]
    assert ids[0] == ids[1] and len(set(ids)) == 3
    await quarantine.ask_for_retry(store, workspace.member, ids[0])
    assert [each["_id"] for each in await quarantine.to_retry(store, 100) if each["workspace"] == workspace.id] == ids[
        :1
    ]
    await quarantine.note_retried(store, ids[0])
    assert [each["_id"] for each in await quarantine.to_retry(store, 100) if each["workspace"] == workspace.id] == []
    again = [
        await quarantine.set_state(store, workspace.operator, ids[0], QuarantineState.RECOVERED, message_ids=["m"])
        for _ in range(2)
    ]
    assert number_of(again[0]) == number_of(again[1]), "the second changes nothing"
    with pytest.raises(Refused):
        await quarantine.set_state(store, workspace.member, ids[0], QuarantineState.DISCARDED)
    for state in (QuarantineState.DISCARDED, QuarantineState.HELD):  # a retry that was asked for before has failed
        await quarantine.set_state(store, workspace.member, ids[2], state)
    assert (await store.database.get("quarantined_mails", ids[2]) or {})["state"] == "DISCARDED"
    with pytest.raises(Refused):
        await quarantine.ask_for_retry(store, workspace.member, ids[0])
    stored = await store.database.get("quarantined_mails", ids[0])
    assert stored is not None and (stored["state"], stored["raw_id"], stored["message_ids"]) == (
        "RECOVERED",
        "raw",
        ["m"],
    )


async def test_who_is_known_and_what_is_settled(store: Store, workspace: Team) -> None:
    ada, other = await influencer(store, workspace, "Ada", emails=["Ada@x.example"]), await create_team(store)
    await connected(store, workspace.id, workspace.member.id)
    sent = await sent_mail(store, workspace, ada)
    asked = {"ADA@x.example", BOB}
    assert await mail_in.known_people(store, workspace.id, asked) == {ADA: id_of(ada)}
    assert await mail_in.known_people(store, other.id, asked) == {}
    assert await mail_in.settled(store, workspace.id, {sent["mail_id"], "<x@y>"}) == {sent["mail_id"]: None}
    assert await mail_in.settled(store, other.id, {sent["mail_id"]}) == {}
    unsure = (await message(store, await unknown(store, workspace, ada)))["mail_id"]
    assert await mail_in.settled(store, workspace.id, {unsure}) == {}
