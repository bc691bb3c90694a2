"""The recount: it finds what was made wrong, says nothing of what is right, and puts it right so that all are told."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from functools import partial

import pytest

from schema.types.errors import ApiError
from storage.changes import Change
from storage.check import check
from storage.claims import claim_id
from storage.documents import Document
from storage.feed import follow
from storage.influencers import NewInfluencer, create_influencers
from storage.marks import mark_id
from storage.messages import mail_id_claim
from storage.store import Store
from storage.words import name_key
from tests.storage.deeds import Scene, entries_of, id_of, influencer, play, read, receive, send
from tests.storage.stores import LATER, Restless, store_on
from tests.team import Team, create_team


@dataclass(frozen=True)
class Wrong:
    """A value that is made wrong in the database, and what the recount must say of it."""

    name: str
    where: Callable[[Team, Scene], tuple[str, str]]
    fields: Document
    found: set[str]


def of_influencer(name: str) -> Callable[[Team, Scene], tuple[str, str]]:
    return lambda team, scene: ("influencers", id_of(getattr(scene, name)))


def of_mark(name: str) -> Callable[[Team, Scene], tuple[str, str]]:
    return lambda team, scene: ("marks", mark_id(team.admin.id, getattr(scene, name)))


def of_claim(kind: str, value: str) -> Callable[[Team, Scene], tuple[str, str]]:
    return lambda team, scene: ("claims", claim_id(team.id, kind, value))


def of_mail(team: Team, scene: Scene) -> tuple[str, str]:
    return "claims", mail_id_claim(team.id, scene.mail_id)


def of_message(team: Team, scene: Scene) -> tuple[str, str]:
    return "messages", scene.last


def of_word(team: Team, scene: Scene) -> tuple[str, str]:
    return "words", f"{id_of(scene.anna)}:angstrom"


def of_wrong_word(team: Team, scene: Scene) -> tuple[str, str]:
    return "words", f"{id_of(scene.dora)}:duck"


WRONG = [
    Wrong("message counted", of_message, {"counted": 7}, {"counted"}),
    Wrong("message heard", of_message, {"heard": 1}, {"heard"}),
    Wrong("thread counted", of_influencer("anna"), {"counted": 0}, {"counted"}),
    Wrong("thread heard", of_influencer("anna"), {"heard": 0}, {"heard"}),
    Wrong("thread rank", of_influencer("bruno"), {"rank": 3}, {"rank"}),
    Wrong("thread never written to", of_influencer("dora"), {"rank": 5}, {"rank"}),
    Wrong("thread newest", of_influencer("anna"), {"last_order": 1, "last_message_id": None},
          {"last_order", "last_message_id"}),
    Wrong("thread activity", of_influencer("dora"), {"last_activity_at": 5}, {"last_activity_at"}),
    Wrong("thread listed", of_influencer("carla"), {"listed": 1}, {"listed"}),
    Wrong("thread facets", of_influencer("bruno"), {"facets": []}, {"facets"}),
    Wrong("mark count", of_mark("anna"), {"count": 9}, {"count"}),
    Wrong("mark lost", of_mark("anna"), {"count": 0, "shown": 0, "by_campaign": {}}, {"count", "shown", "by_campaign"}),
    Wrong("mark by campaign", of_mark("anna"), {"by_campaign": {}}, {"by_campaign"}),
    Wrong("mark shown", of_mark("carla"), {"shown": 1}, {"shown"}),
    Wrong("mark facets", of_mark("anna"), {"facets": []}, {"facets"}),
    Wrong("mark rank", of_mark("anna"), {"rank": 1}, {"rank"}),
    Wrong("word gone", of_word, {"word": ""}, {"word"}),
    Wrong("word too many", of_wrong_word, {"word": "duck"}, {"word"}),
    Wrong("address free", of_claim("email", "anna@mail.test"), {"owner": None}, {"owner"}),
    Wrong("handle of nobody", of_claim("handle", "INSTAGRAM:anna.a"), {"owner": "influencer_gone"}, {"owner"}),
    Wrong("external id", of_claim("external", "crm-1"), {"owner": None}, {"owner"}),
    Wrong("tag name", of_claim("tag", name_key("VIP")), {"owner": None}, {"owner"}),
    Wrong("campaign name", of_claim("campaign", name_key("Summer")), {"owner": None}, {"owner"}),
    Wrong("variable name", of_claim("variable", name_key("Shoe size")), {"owner": "variable_gone"}, {"owner"}),
    Wrong("partner name", of_claim("partner", name_key("Platform")), {"owner": None}, {"owner"}),
    Wrong("member address", of_claim("member", "ben@brand.test"), {"owner": None}, {"owner"}),
    Wrong("mailbox address", of_claim("mailbox", "team@brand.test"), {"owner": "mailbox_gone"}, {"owner"}),
    Wrong("Message-ID of no message", of_mail, {"owner": None, "campaign": None}, {"owner", "campaign"}),
    Wrong("Message-ID of another campaign", of_mail, {"campaign": "campaign_gone"}, {"campaign"}),
    Wrong("last mail", of_influencer("anna"), {"last_mail": None}, {"last_mail"}),
    Wrong("last campaign", of_influencer("carla"), {"last_campaign": "campaign_gone"}, {"last_campaign"}),
    Wrong("address of a member who left", of_claim("member", "cleo@brand.test"), {"owner": "member_gone"}, {"owner"}),
]  # fmt: skip

NOT_DERIVED = {"thread never written to"}  # the place among those is known from nothing else


async def collect(store: Store, team: Team, changes: list[Change], ready: asyncio.Event) -> None:
    async for batch in follow(store.log, team.id, None):
        changes += batch.changes
        ready.set()


@pytest.fixture(scope="module")
async def played(store: Store) -> tuple[Team, Scene]:
    """A workspace of this file's own; each test puts right what it makes wrong.

    Its log is pruned, so that what is wrong can only be seen by counting.
    """
    team = await create_team(store)
    scene = await play(store, team)
    await influencer(store, team, "Emil")  # The last entry stays, whatever its age.
    await store.log.prune(team.id, before=LATER)
    return team, scene


async def test_nothing_differs_where_all_went_through_the_log(store: Store, played: tuple[Team, Scene]) -> None:
    assert await check(store, played[0].id, repair=False) == []


@pytest.mark.parametrize("number", range(7))
async def test_what_is_wrong_is_found_and_put_right(store: Store, played: tuple[Team, Scene], number: int) -> None:
    """Seven at a time, so that the whole is quick."""
    team, scene = played
    wrongs = WRONG[number::7]
    right = {wrong.name: await store.database.get(*wrong.where(team, scene)) for wrong in wrongs}
    for wrong in wrongs:
        await store.database.set(*wrong.where(team, scene), wrong.fields)

    found = await check(store, team.id, repair=True)
    for wrong in wrongs:
        _, id = wrong.where(team, scene)
        assert {each.field for each in found if each.id == id} == wrong.found, wrong.name
    assert {each.id for each in found} == {wrong.where(team, scene)[1] for wrong in wrongs}
    assert all(str(each) for each in found)
    assert await check(store, team.id, repair=False) == []
    for wrong in wrongs:
        before, after = right[wrong.name], await store.database.get(*wrong.where(team, scene))
        assert before is not None and after is not None
        if wrong.name not in NOT_DERIVED:
            assert {name: before[name] for name in wrong.fields} == {name: after[name] for name in wrong.fields}


async def test_a_mark_that_begins_behind_everything_is_emptied(store: Store, workspace: Team) -> None:
    scene = await play(store, workspace)
    await influencer(store, workspace, "Emil")
    await store.log.prune(workspace.id, before=LATER)
    mark = mark_id(workspace.admin.id, scene.anna)
    await store.database.set("marks", mark, {"first": 10**9})
    found = await check(store, workspace.id, repair=True)
    assert {each.field for each in found if each.id == mark} == {"first", "count", "by_campaign", "shown"}
    assert {(each.field, each.recounted) for each in found if each.collection == "notifications"} == {("read", 1)}
    assert await check(store, workspace.id, repair=False) == []


async def test_a_status_that_is_not_the_last_is_put_right(store: Store, played: tuple[Team, Scene]) -> None:
    team, scene = played
    participation = (await store.database.find("participations", {"influencer_id": id_of(scene.dora)}))[0]
    await store.database.set("participations", participation["_id"], {"status": "ACCEPTED"})
    (found,) = await check(store, team.id, repair=True)
    assert (found.id, found.stored, found.recounted) == (participation["_id"], "ACCEPTED", "REMOVED")
    assert await check(store, team.id, repair=False) == []


async def test_a_notification_of_a_message_that_is_read_is_put_right_for_its_member_only(
    store: Store, played: tuple[Team, Scene]
) -> None:
    team, scene = played
    notifications = await store.database.find(
        "notifications", {"member_id": team.admin.id, "thread_id": scene.anna, "read": 1}
    )
    await store.database.set("notifications", notifications[0]["_id"], {"read": 0})
    assert [each.id for each in await check(store, team.id, repair=True)] == [notifications[0]["_id"]]
    entries = await entries_of(store, team.id)
    assert entries[-1]["changes"][-1]["only"] == team.admin.id
    assert await check(store, team.id, repair=False) == []


async def test_followers_are_told_of_a_repair(store: Store, workspace: Team) -> None:
    scene = await play(store, workspace)
    told: list[Change] = []
    ready = asyncio.Event()
    mark = mark_id(workspace.admin.id, scene.anna)
    before = await store.database.get("marks", mark)
    assert before is not None
    async with asyncio.timeout(20), asyncio.TaskGroup() as tasks:
        following = tasks.create_task(collect(store, workspace, told, ready))
        await ready.wait()
        await store.database.set("marks", mark, {"count": 0, "shown": 0, "by_campaign": {}})
        await store.database.set("influencers", id_of(scene.carla), {"listed": 1})
        await check(store, workspace.id, repair=True)
        while len(told) < 2:
            await asyncio.sleep(0)
        following.cancel()
    by_thread = {change.thread: change for change in told}
    assert {change.kind for change in told} == {"REPAIRED"}
    assert by_thread[scene.anna].unread == {workspace.admin.id: [0, before["count"]]}
    assert by_thread[scene.anna].nodes == [scene.anna]
    assert by_thread[scene.anna].marked == {workspace.admin.id: [before["first"], before["rank"]]}
    assert by_thread[scene.carla].was == {"listed": 1, "facets": []}
    assert by_thread[scene.carla].now == {"listed": 0, "facets": []}
    assert by_thread[scene.carla].nodes == [id_of(scene.carla), scene.carla]


async def test_a_hundred_and_more_repairs_take_several_entries(store: Store, workspace: Team) -> None:
    many = [NewInfluencer(name=f"Person {number}") for number in range(65)]
    ids = [id for _ in range(2) for id in (await create_influencers(store, workspace.member, many)).result]
    await influencer(store, workspace, "Emil")
    await store.log.prune(workspace.id, before=LATER)
    await asyncio.gather(*[store.database.set("influencers", id, {"counted": 5}) for id in ids])
    assert len(await check(store, workspace.id, repair=True)) == 130
    repaired = [len(each["changes"]) for each in await entries_of(store, workspace.id)][-2:]
    assert repaired == [100, 30]
    assert await check(store, workspace.id, repair=False) == []


async def test_two_who_have_the_same_address_are_left_to_a_person(store: Store, workspace: Team) -> None:
    await influencer(store, workspace, "One", emails=["same@mail.test"])
    two = await influencer(store, workspace, "Two")
    await send(store, workspace.member, two)
    await store.log.prune(workspace.id, before=LATER)
    await store.database.set("influencers", id_of(two), {"emails": ["same@mail.test"]})
    await check(store, workspace.id, repair=True)
    (left,) = await check(store, workspace.id, repair=True)
    assert (left.id, left.field, left.by_hand) == (id_of(two), "email", True)


async def lose_message(store: Store, team: Team, scene: Scene) -> str:
    await store.database.delete("messages", {"_id": scene.last})
    return scene.last


async def lose_status(store: Store, team: Team, scene: Scene) -> str:
    participation = (await store.database.find("participations", {"influencer_id": id_of(scene.dora)}))[0]
    lost = {"status": "INVITED", "history": participation["history"][:1], "position": 1}
    await store.database.set("participations", participation["_id"], lost)
    return str(participation["_id"])


async def change_note(store: Store, team: Team, scene: Scene) -> str:
    note = (await store.database.find("notes", {"influencer_id": id_of(scene.dora)}))[0]
    await store.database.set("notes", note["_id"], {"text": "Something else"})
    return str(note["_id"])


@pytest.mark.parametrize("lose", [lose_message, lose_status, change_note])
async def test_a_write_of_the_log_that_was_lost_is_done_again(
    store: Store, workspace: Team, lose: Callable[[Store, Team, Scene], Awaitable[str]]
) -> None:
    scene = await play(store, workspace)
    id = await lose(store, workspace, scene)
    assert id in {each.id for each in await check(store, workspace.id, repair=False)}
    assert id in {each.id for each in await check(store, workspace.id, repair=True)}
    assert await check(store, workspace.id, repair=False) == []


async def test_a_hole_in_the_log_is_found(store: Store, workspace: Team) -> None:
    await play(store, workspace)
    entries = await entries_of(store, workspace.id)
    await store.database.delete("entries", {"_id": entries[5]["_id"]})
    (found,) = await check(store, workspace.id, repair=True)
    assert (found.id, found.recounted, found.by_hand) == (entries[6]["_id"], entries[5]["first"], True)
    await store.database.delete("entries", {"workspace": workspace.id, "last": {"$gt": 10}})
    assert "applied" in {each.field for each in await check(store, workspace.id, repair=False)}


async def test_a_pruned_log_is_no_difference(store: Store, workspace: Team) -> None:
    await play(store, workspace)
    await store.log.prune(workspace.id, before=LATER)
    assert await check(store, workspace.id, repair=False) == []


async def test_no_workspace(store: Store) -> None:
    with pytest.raises(ApiError):
        await check(store, "workspace_none", repair=False)


async def test_what_others_are_just_writing_is_no_difference(store: Store, workspace: Team) -> None:
    thread = await influencer(store, workspace, "Anna")
    database = Restless(store.database, partial(receive, store, workspace, thread))
    assert await check(store_on(database), workspace.id, repair=False) == []
    assert database.left == 0


async def test_nothing_differs_while_others_write(store: Store, workspace: Team) -> None:
    scene = await play(store, workspace)
    done = asyncio.Event()

    async def write(number: int) -> None:
        while not done.is_set():
            message = await receive(store, workspace, scene.anna, campaign=scene.summer)
            await send(store, workspace.member, scene.bruno)
            await read(store, workspace.members[number % 2], scene.anna, message.result.id)
            await influencer(store, workspace, f"Person {number}")

    async def check_often() -> None:
        try:
            for _ in range(2):
                assert await check(store, workspace.id, repair=False) == []
        finally:
            done.set()

    async with asyncio.TaskGroup() as tasks:
        for number in range(4):
            tasks.create_task(write(number))
        tasks.create_task(check_often())
