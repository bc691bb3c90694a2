"""How large entries become: a document of the database has at most 16 MB, whatever a workspace holds."""

from __future__ import annotations

import asyncio
from collections.abc import Callable

import bson
import pytest

from schema.types.campaign import CampaignState, ParticipationStatus
from schema.types.errors import ApiError, ErrorCode
from storage import changes
from storage.campaigns import create_campaign, set_participation
from storage.changes import Turn, size_of
from storage.check import check
from storage.database import Database, TooLarge
from storage.documents import Document
from storage.influencers import set_archived
from storage.store import Store
from storage.tags import create_tag, delete_tag, tag_influencers
from tests.storage.deeds import assert_dense, entries_of, id_of, influencer, number_of, play, receive, send, texts
from tests.storage.stores import refusal, store_on
from tests.team import Team

LIMIT = 30_000  # bytes of an entry here, after which nobody joins it
PEOPLE = 10


class Small(Database):
    """A database that takes no large entries."""

    def __init__(self, database: Database, most: int) -> None:
        self.__dict__.update(vars(database))
        self.most = most
        self.refused = 0

    async def insert(self, collection: str, document: Document) -> bool:
        if len(bson.encode(document)) > self.most:
            self.refused += 1
            raise TooLarge("too large")
        return await super().insert(collection, document)


async def tags_of(store: Store, team: Team, count: int) -> list[str]:
    return [(await create_tag(store, team.admin, f"Tag {number}", None, None)).result.id for number in range(count)]


async def sizes(store: Store, team: Team, after: int) -> list[int]:
    """Of the entries behind a position, in bytes."""
    return [len(bson.encode(each)) for each in await entries_of(store, team.id) if each["first"] > after]


async def test_the_size_of_what_is_written_is_known(store: Store, workspace: Team) -> None:
    await play(store, workspace)
    for entry in await entries_of(store, workspace.id):
        size = len(bson.encode({"changes": entry["changes"]}))
        assert size <= size_of(entry["changes"]) + size_of({"changes": ""}) <= 3 * size


@pytest.mark.parametrize(
    "value",
    ["ä" * 99, "😀" * 99, [1] * 1500, {"a": {"b": [None, "c"]}}, {"n" * 50: 2**60}, []],
    ids=["letters", "signs", "a long list", "a deep document", "a long name", "nothing"],
)
async def test_no_value_is_larger_than_it_is_taken_for(value: object) -> None:
    assert len(bson.encode({"x": value})) - len(bson.encode({})) <= size_of(value)


async def test_many_who_write_to_one_with_many_tags_do_not_share_one_entry(
    store: Store, workspace: Team, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Everybody's mark has them all."""
    monkeypatch.setattr(changes, "MOST_BYTES", LIMIT)
    thread = await influencer(store, workspace, "Anna", tag_ids=await tags_of(store, workspace, 40))
    before = number_of(await receive(store, workspace, thread))
    await asyncio.gather(*[receive(store, workspace, thread, f"{number}") for number in range(20)])
    found = await sizes(store, workspace, before)
    assert len(found) < 20 and max(found) < 2 * LIMIT
    await assert_dense(store, workspace.id)


async def test_what_concerns_many_is_done_in_several_entries(
    store: Store, workspace: Team, monkeypatch: pytest.MonkeyPatch
) -> None:
    tags = await tags_of(store, workspace, 20)
    campaign = (await create_campaign(store, workspace.admin, "Summer", CampaignState.LIVE, [], None)).result.id
    threads = [await influencer(store, workspace, f"Person {n}", tag_ids=tags[1:]) for n in range(PEOPLE)]
    people = list(map(id_of, threads))
    before = max([number_of(await receive(store, workspace, thread)) for thread in threads])
    monkeypatch.setattr(changes, "MOST_BYTES", LIMIT)

    async def entries(expected: Callable[[Document], bool]) -> int:
        nonlocal before
        assert all(map(expected, (await store.database.get_many("influencers", people)).values()))
        found = await sizes(store, workspace, before)
        assert max(found) < 2 * LIMIT
        before = (await store.log.state(workspace.id))["applied"]
        return len(found)

    await tag_influencers(store, workspace.member, people, tags[:1], tags[1:2])
    assert await entries(lambda person: sorted(person["tag_ids"]) == sorted([tags[0], *tags[2:]])) > 1
    await set_archived(store, workspace.member, people, True)
    assert await entries(lambda person: person["listed"] == 0) > 1
    await set_archived(store, workspace.member, people, False)
    assert await entries(lambda person: person["listed"] == 1) > 1
    made = await set_participation(store, workspace.member, campaign, people, ParticipationStatus.INVITED)
    assert await entries(lambda person: campaign in person["facets"]) > 1
    found = await store.database.get_many("participations", made.result)
    assert [found[each]["influencer_id"] for each in made.result] == people
    await delete_tag(store, workspace.admin, tags[2])
    assert await entries(lambda person: tags[2] not in person["tag_ids"]) > 1
    assert [each["deleted"] for each in (await store.database.get_many("tags", tags[1:3])).values()] == [0, 1]
    assert await check(store, workspace.id, repair=False) == []
    await assert_dense(store, workspace.id)


async def test_what_fits_into_an_entry_of_its_own_is_done_at_once(store: Store, workspace: Team) -> None:
    """Whoever waits beside it."""
    threads = [await influencer(store, workspace, f"Person {number}") for number in range(60)]
    ids = list(map(id_of, threads))
    await asyncio.gather(
        send(store, workspace.member, threads[0]),  # the others wait for it
        *[send(store, workspace.member, threads[0]) for _ in range(60)],
        set_archived(store, workspace.member, ids[1:], True),
    )
    kinds = [[each["kind"] for each in entry["changes"]] for entry in await entries_of(store, workspace.id)]
    assert kinds[-1] == ["INFLUENCER_ARCHIVED"] * 59


async def test_the_database_says_that_an_entry_is_too_large(store: Store, workspace: Team) -> None:
    with pytest.raises(TooLarge):
        await store.database.insert("entries", {"_id": f"{workspace.id}:x", "text": "x" * 17_000_000})
    assert await store.database.get("entries", f"{workspace.id}:x") is None


async def test_those_who_are_too_large_together_are_served_one_by_one(store: Store, workspace: Team) -> None:
    thread = await influencer(store, workspace, "Anna")
    database = Small(store.database, 10_000)
    small = store_on(database)
    await asyncio.gather(*[send(small, workspace.member, thread, f"{number}" * 3000) for number in range(8)])
    assert database.refused > 0
    assert sorted(await texts(store, thread)) == [f"{number}" * 3000 for number in range(8)]
    await assert_dense(store, workspace.id)


async def test_one_who_is_too_large_alone_is_told_so_and_stops_nobody(store: Store, workspace: Team) -> None:
    thread = await influencer(store, workspace, "Anna")
    small = store_on(Small(store.database, 10_000))

    async def large(turn: Turn) -> None:
        turn.put(turn.begin("TAG_ADDED"), "tags", "tag_large", {"name": "x" * 10_000})

    outcomes = await asyncio.gather(
        send(small, workspace.member, thread, "One"),
        send(small, workspace.member, thread, "Two"),
        small.log.change(workspace.admin, large),
        send(small, workspace.member, thread, "Three"),
        return_exceptions=True,
    )
    [error] = [each for each in outcomes if isinstance(each, BaseException)]
    assert outcomes[2] is error and isinstance(error, ApiError) and refusal(ErrorCode.TOO_COMPLEX)(error)
    assert sorted(await texts(store, thread)) == ["One", "Three", "Two"]
    await assert_dense(store, workspace.id)
