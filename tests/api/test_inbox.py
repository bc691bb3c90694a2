"""The inbox: its order, its views, its pages, and search."""

from __future__ import annotations

from typing import Any

import pytest

from tests.api.conftest import Brand
from tests.client import Api, ApiFailed, Json

INBOX = """query($first: Int, $after: String, $filter: InboxFilter, $search: String) {
  inbox(first: $first, after: $after, filter: $filter, search: $search) {
    position pageInfo { hasNextPage hasPreviousPage endCursor }
    edges { cursor participations { status campaign { name } }
            node { id unread unreadMessages lastActivityAt influencer { name } lastMessage { text } } } } }"""


async def names(api: Api, **variables: Any) -> list[str]:
    page = (await api.run(INBOX, **variables))["inbox"]
    return [edge["node"]["influencer"]["name"] for edge in page["edges"]]


async def all_pages(api: Api, first: int, **variables: Any) -> list[str]:
    found: list[str] = []
    after = None
    while True:
        page = (await api.run(INBOX, first=first, after=after, **variables))["inbox"]
        found += [edge["node"]["influencer"]["name"] for edge in page["edges"]]
        if not page["pageInfo"]["hasNextPage"]:
            return found
        after = page["pageInfo"]["endCursor"]


async def test_unread_first_then_newest_activity_and_never_written_last(brand: Brand) -> None:
    people = {name: (await brand.influencer(name))["thread"] for name in ("Ada", "Bob", "Cleo", "Dora", "Eve")}
    first = await brand.receive(people["Ada"])
    await brand.receive(people["Bob"])
    await brand.send(people["Cleo"])
    assert await names(brand.viewer) == ["Bob", "Ada", "Cleo", "Eve", "Dora"]
    await brand.viewer.mutate("markThreadsRead", "position", threadIds=[people["Bob"]])
    assert await names(brand.viewer) == ["Ada", "Cleo", "Bob", "Eve", "Dora"]
    assert await names(brand.admin) == ["Bob", "Ada", "Cleo", "Eve", "Dora"], "read state is each member's own"
    await brand.send(people["Ada"])
    assert await names(brand.admin) == ["Ada", "Bob", "Cleo", "Eve", "Dora"], "what a colleague wrote is activity too"
    await brand.viewer.mutate("markThreadsRead", "position")
    assert await names(brand.viewer) == ["Ada", "Cleo", "Bob", "Eve", "Dora"]
    await brand.viewer.mutate("markMessageUnread", "position", messageId=first["id"])
    assert (await names(brand.viewer))[0] == "Ada"
    assert await names(brand.partner) == ["Ada", "Cleo", "Bob", "Eve", "Dora"], "a partner has nothing unread"


async def test_pages_of_any_size_are_the_whole_list(brand: Brand) -> None:
    threads = [(await brand.influencer(f"Person {n}"))["thread"] for n in range(7)]
    for thread in threads[:3]:
        await brand.receive(thread)
    await brand.send(threads[4])
    whole = await names(brand.admin, first=100)
    assert len(whole) == 7
    for size in (1, 2, 3, 6, 7):
        assert await all_pages(brand.admin, size) == whole
    page = (await brand.admin.run(INBOX, first=7))["inbox"]
    assert page["pageInfo"]["hasNextPage"] is False
    cursors = [edge["cursor"] for edge in page["edges"]]
    assert cursors == sorted(cursors), "cursors compare as the list is ordered"
    assert (await brand.admin.run(INBOX, first=0))["inbox"]["edges"] == []


async def test_later_pages_have_the_position_of_the_first(brand: Brand) -> None:
    for n in range(3):
        await brand.influencer(f"Person {n}")
    first = (await brand.admin.run(INBOX, first=1))["inbox"]
    await brand.influencer("Later")
    second = (await brand.admin.run(INBOX, first=1, after=first["pageInfo"]["endCursor"]))["inbox"]
    assert second["position"] == first["position"]


async def test_filters_by_campaigns_and_tags(brand: Brand) -> None:
    admin = brand.admin
    tags = [(await admin.mutate("createTag", "tag { id }", name=name))["tag"]["id"] for name in ("red", "blue")]
    made = [await admin.mutate("createCampaign", "campaign { id }", name=name) for name in ("Spring", "Summer")]
    spring, summer = (each["campaign"]["id"] for each in made)
    people = {name: await brand.influencer(name) for name in ("Ada", "Bob", "Cleo")}

    async def join(campaign: str, *who: str) -> None:
        ids = [people[name]["id"] for name in who]
        await admin.mutate("setParticipation", "position", campaignId=campaign, influencerIds=ids, status="INVITED")

    await join(spring, "Ada", "Bob")
    await join(summer, "Cleo")
    await admin.mutate("tagInfluencers", "position", influencerIds=[people["Ada"]["id"]], addTagIds=[tags[0]])
    await admin.mutate("tagInfluencers", "position", influencerIds=[people["Cleo"]["id"]], addTagIds=tags)
    await brand.receive(people["Bob"]["thread"])

    async def found(**filter: Any) -> list[str]:
        return await names(admin, filter=filter)

    assert await found(campaignIds=[spring]) == ["Bob", "Ada"]
    assert await found(campaignIds=[spring, summer]) == ["Bob", "Cleo", "Ada"]
    assert await found(tagIds=[tags[1]]) == ["Cleo"]
    assert await found(tagIds=tags) == ["Cleo", "Ada"]
    assert await found(campaignIds=[spring], tagIds=tags) == ["Ada"]
    assert await found(unreadOnly=True) == ["Bob"]
    assert await found(campaignIds=[summer], unreadOnly=True) == []
    assert await found(campaignIds=[]) == [], "none of no campaigns"
    edges = (await admin.run(INBOX, filter={"campaignIds": [spring]}))["inbox"]["edges"]
    assert edges[0]["participations"] == [{"status": "INVITED", "campaign": {"name": "Spring"}}]
    await admin.mutate(
        "setParticipation", "position", campaignId=spring, influencerIds=[people["Bob"]["id"]], status="REMOVED"
    )
    assert await found(campaignIds=[spring]) == ["Ada"]
    await brand.receive(people["Bob"]["thread"], campaignId=spring)
    assert await found(campaignIds=[spring]) == ["Bob", "Ada"], "who writes in a campaign is in it again"
    edges = (await admin.run(INBOX, filter={"campaignIds": [spring]}))["inbox"]["edges"]
    assert edges[0]["participations"] == [{"status": "ADDED", "campaign": {"name": "Spring"}}]


async def test_a_list_takes_no_cursor_of_another(brand: Brand) -> None:
    ada = await brand.influencer("Ada")
    await brand.admin.mutate("createCampaign", "position", name="Spring")
    await brand.receive(ada["thread"])
    edges = "(first: 1, after: $after) { edges { cursor } }"
    lists = {name: f"{name}{edges}" for name in ("inbox", "campaigns", "notifications")}
    lists["messages"] = f'thread(id: "{ada["thread"]}") {{ messages{edges} }}'

    async def ask(name: str, after: str | None = None) -> Json:
        return await brand.viewer.post(f"query($after: String) {{ {lists[name]} }}", after=after)

    for name in lists:
        data = (await ask(name))["data"]
        [edge] = (data.get("thread") or data)[name]["edges"]
        for other in lists:
            answer = await ask(other, edge["cursor"])
            codes = [error["extensions"]["code"] for error in answer.get("errors", [])]
            assert codes == ([] if name == other else ["BAD_USER_INPUT"]), (name, other)


@pytest.mark.parametrize(
    ("search", "expected"),
    [
        ("zo", ["Zoë Łukasz-Ångström"]),
        ("ZOE", ["Zoë Łukasz-Ångström"]),
        ("lukasz", ["Zoë Łukasz-Ångström"]),
        ("ang", ["Zoë Łukasz-Ångström"]),
        ("angstrom zoë", ["Zoë Łukasz-Ångström"]),
        ("ström", []),
        ("Мария", ["Мария Петрова"]),
        ("пет", ["Мария Петрова"]),
        ("李", ["李小龍"]),
        ("@drago", ["李小龍"]),
        ("zoe@studio", ["Zoë Łukasz-Ångström"]),
        ("studio", ["Zoë Łukasz-Ångström"]),
        ("strasse", ["Karl Straße"]),
        ("   ", ["Karl Straße", "李小龍", "Мария Петрова", "Zoë Łukasz-Ångström"]),
        (".*", []),
        ("\U0010ffff", []),
        ("\x00", []),
    ],
)
async def test_search_by_the_start_of_any_word(people: Brand, search: str, expected: list[str]) -> None:
    assert await names(people.admin, search=search) == expected


@pytest.fixture
async def people(brand: Brand) -> Brand:
    await brand.influencer("Zoë Łukasz-Ångström", emails=["zoe@studio.example"])
    await brand.influencer("Мария Петрова")
    await brand.influencer("李小龍", handle="@Dragon")
    await brand.influencer("Karl Straße")
    return brand


async def test_search_follows_changes_of_names(brand: Brand) -> None:
    ada = await brand.influencer("Ada Old")
    await brand.admin.mutate("updateInfluencer", "position", influencerId=ada["id"], name="Ada New")
    assert await names(brand.admin, search="old") == []
    assert await names(brand.admin, search="new ada") == ["Ada New"]


async def test_archived_leave_the_list_and_the_counts_and_return_with_a_message(brand: Brand) -> None:
    ada = await brand.influencer("Ada")
    await brand.receive(ada["thread"])
    await brand.admin.mutate("archiveInfluencers", "position", influencerIds=[ada["id"]])
    count = "{ unreadCount { threads messages } }"
    assert await names(brand.admin) == [] and await names(brand.admin, search="ada") == []
    assert (await brand.admin.run(count))["unreadCount"] == {"threads": 0, "messages": 0}
    await brand.receive(ada["thread"], "me again")
    assert await names(brand.admin) == ["Ada"]
    assert (await brand.admin.run(count))["unreadCount"] == {"threads": 1, "messages": 2}


@pytest.mark.parametrize("first", [-1, 101])
async def test_a_page_has_at_most_a_hundred_rows(brand: Brand, first: int) -> None:
    with pytest.raises(ApiFailed) as failed:
        await brand.admin.run(INBOX, first=first)
    assert failed.value.codes == ["BAD_USER_INPUT"]
