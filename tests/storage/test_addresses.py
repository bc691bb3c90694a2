"""One form for all ways of writing an address; and the step to a database in which addresses are claimed by it."""

from __future__ import annotations

from collections.abc import AsyncIterator

import pytest

from schema.types.context import Role
from storage.addresses import canonical, has_domain, on_the_wire
from storage.changes import Turn
from storage.check import check
from storage.claims import claim_id
from storage.formats import claim_canonical_addresses
from storage.influencers import NewInfluencer, create_influencer, find_influencer
from storage.mailboxes import find_mailbox
from storage.store import Store, open_store
from storage.workspaces import add_member, remove_member
from tests.mailboxes import connected
from tests.storage.deeds import influencer
from tests.storage.stores import LATER
from tests.team import Team, create_team

ADA, WIRED = "Ada@München.test", "ada@xn--mnchen-3ya.test"
BOB, BOB_WIRED = "Bob@Bücher.test", "bob@xn--bcher-kva.test"
CLAIMED = [("email", ADA, WIRED), ("email", BOB, BOB_WIRED), ("mailbox", BOB, BOB_WIRED), ("member", ADA, WIRED)]


@pytest.fixture
async def store_alone(database_uri: str, own_database: str) -> AsyncIterator[Store]:
    """On a database of its own: the step looks at all workspaces."""
    async with open_store(database_uri, own_database) as store:
        yield store


@pytest.mark.parametrize(
    ("address", "form"),
    [
        ("Ada@People.test", "ada@people.test"),
        (ADA, WIRED),
        ("ada@MÜNCHEN.TEST", WIRED),
        ("ada@mu\N{COMBINING DIAERESIS}nchen.test", WIRED),
        ("ADA@XN--MNCHEN-3YA.TEST", WIRED),
        ("jörg@straße.test", "jörg@xn--strae-oqa.test"),
        ("ada@日本語。ｊｐ", "ada@xn--wgv71a119e.jp"),
        ("a_b@_x.test", "a_b@_x.test"),
    ],
)
def test_one_form_for_all_ways_of_writing_an_address(address: str, form: str) -> None:
    assert canonical(address) == canonical(form) == form and has_domain(address)
    assert on_the_wire(address).lower() == form, "in which the local part is as it is written"


@pytest.mark.parametrize(
    "domain", ["-ü.test", "ü..test", "ü_ü.test", "\N{HEAVY BLACK HEART}.test", "a℀b.test", "ü" * 64, "ü." * 5000 + "de"]
)
def test_what_is_no_domain_stays_as_it_is(domain: str) -> None:
    assert on_the_wire(f"Ada@{domain}") == f"Ada@{domain}" and not has_domain(f"Ada@{domain}")


async def as_before(store: Store, team: Team, *claimed: tuple[str, str, str]) -> None:
    """Claims as they were made of addresses in lower case: nothing that is kept of the log knows better."""
    await influencer(store, team, "Emil")  # the last entry stays, whatever its age
    await store.log.prune(team.id, before=LATER)
    for kind, address, form in claimed:
        claim = await store.database.get("claims", claim_id(team.id, kind, form))
        assert claim is not None
        await store.database.insert("claims", {**claim, "_id": claim_id(team.id, kind, address.lower())})
        await store.database.delete("claims", {"_id": claim["_id"]})


async def add(store: Store, team: Team, name: str, *emails: str) -> str:
    return (await create_influencer(store, team.admin, NewInfluencer(name, emails=list(emails)), None)).result.id


async def test_claims_of_before_are_moved_to_the_one_form(database_uri: str, own_database: str) -> None:
    """Each once, whatever was moved before. What nobody holds any more stays free."""
    async with open_store(database_uri, own_database) as store:
        team = await create_team(store)
        ada, bob = await add(store, team, "Ada", ADA, "ada@people.test"), await add(store, team, "Bob", BOB)
        mailbox = await connected(store, team.id, team.member.id, BOB)
        gone = (await add_member(store, team.operator, "Gone", ADA, Role.MEMBER)).result.id
        await remove_member(store, team.operator, gone)
        await as_before(store, team, *CLAIMED)
        free = {"_id": claim_id(team.id, "email", BOB_WIRED), "workspace": team.id, "position": 0, "owner": None}
        await store.database.insert("claims", free)
        assert len(await check(store, team.id, repair=False)) == 6, "three that are there, and three that are not"
        await store.database.set("formats", "version", {"version": 1})
    for _ in range(2):
        async with open_store(database_uri, own_database) as store:
            assert await check(store, team.id, repair=False) == []
            assert await find_influencer(store, team.id, "email", [WIRED]) == ada
            assert await find_influencer(store, team.id, "email", [BOB_WIRED]) == bob
            found = await find_mailbox(store, team.id, BOB_WIRED)
            assert found is not None and found.id == mailbox
            await store.database.set("formats", "version", {"version": 1})


async def test_what_was_moved_is_not_taken_for_lost(store_alone: Store) -> None:
    """Though the log says still how it was claimed before."""
    store, workspace = store_alone, await create_team(store_alone)
    id = await add(store, workspace, "Ada", "ada@people.test")
    old, new = claim_id(workspace.id, "email", BOB.lower()), claim_id(workspace.id, "email", BOB_WIRED)

    async def plan(turn: Turn) -> None:
        change = turn.begin("INFLUENCER_CHANGED", id)
        turn.put(change, "influencers", id, {"emails": [BOB]})
        turn.put(change, "claims", claim_id(turn.workspace, "email", "ada@people.test"), {"owner": None})
        turn.put(change, "claims", old, {"owner": id})

    await store.log.change(workspace.admin, plan)
    await influencer(store, workspace, "Emil")
    await claim_canonical_addresses(store.database)
    assert {old, new}.isdisjoint({each.id for each in await check(store, workspace.id, repair=False)})


async def test_a_claim_that_somebody_else_has_in_the_one_form_stays_theirs(store_alone: Store) -> None:
    """Who had the other form is without, which a check tells of."""
    store, workspace = store_alone, await create_team(store_alone)
    bob = await add(store, workspace, "Bob", BOB)
    await as_before(store, workspace, ("email", BOB, BOB_WIRED))
    robert = await add(store, workspace, "Robert", BOB_WIRED)
    await claim_canonical_addresses(store.database)
    assert await find_influencer(store, workspace.id, "email", [BOB_WIRED]) == robert
    [found] = await check(store, workspace.id, repair=False)
    assert found.id == bob and found.by_hand
