"""Whom and what a workspace knows: influencers, tags, variables, campaigns, members, tokens, and the log of it all."""

from __future__ import annotations

from typing import Any

import pytest

from tests.api.conftest import Brand
from tests.client import ApiFailed, Json

PERSON = """influencer { id name handles { network name } emails externalId avatarUrl hasAccount archivedAt
    tags { name } notes { text author { name } } variables { variable { name type } value } }
    position userErrors { code field }"""
BY = """query($by: InfluencerRef!) { influencer(by: $by) { name } }"""


def errors(payload: Json) -> list[tuple[str, str]]:
    return [(error["code"], ".".join(error["field"] or [])) for error in payload["userErrors"]]


async def test_everything_that_is_said_of_an_influencer_is_kept(brand: Brand) -> None:
    admin = brand.admin
    tag = (await admin.mutate("createTag", "tag { id }", name="VIP", color="#FFAA00"))["tag"]["id"]
    size = (await admin.mutate("createVariable", "variable { id }", name="size", type="NUMBER"))["variable"]["id"]
    payload = await admin.mutate(
        "createInfluencer", PERSON, name="  Ada ", handle="@ada", emails=["a@x.example", "A@X.example"], externalId="7",
        handles=[{"network": "TIKTOK", "name": "ada.t"}], avatarUrl="https://x.example/a.png", hasAccount=True,
        tagIds=[tag], variables=[{"variableId": size, "value": "12.5"}],
    )  # fmt: skip
    id = payload["influencer"].pop("id")
    assert payload["userErrors"] == []
    assert payload["influencer"] == {
        "name": "Ada", "emails": ["A@X.example"], "externalId": "7", "avatarUrl": "https://x.example/a.png",
        "handles": [{"network": "PLATFORM", "name": "ada"}, {"network": "TIKTOK", "name": "ada.t"}],
        "hasAccount": True, "archivedAt": None, "tags": [{"name": "VIP"}], "notes": [],
        "variables": [{"variable": {"name": "size", "type": "NUMBER"}, "value": "12.5"}],
    }  # fmt: skip
    await brand.member.mutate("addNote", "position", influencerId=id, text="likes tea")
    payload = await admin.mutate(
        "updateInfluencer", PERSON, influencerId=id, hasAccount=False, handles=[], externalId=None, avatarUrl=None,
        variables=[{"variableId": size, "value": None}],
    )  # fmt: skip
    changed = payload["influencer"]
    assert changed["notes"] == [{"text": "likes tea", "author": {"name": "Member"}}]
    assert (changed["handles"], changed["externalId"], changed["avatarUrl"], changed["variables"]) == (
        [],
        None,
        None,
        [],
    )
    assert changed["emails"] == ["A@X.example"] and changed["name"] == "Ada", "what is left out stays"


@pytest.mark.parametrize(
    ("input", "expected"),
    [
        ({"name": "  "}, ("BLANK", "name")),
        ({"name": "x" * 201}, ("TOO_LONG", "name")),
        ({"name": "a\nb"}, ("INVALID", "name")),
        ({"emails": ["nonsense"]}, ("INVALID", "emails")),
        ({"emails": ["a@x.example\r\nBcc: b@x.example"]}, ("INVALID", "emails")),
        ({"handle": "two words"}, ("INVALID", "handle")),
        ({"avatarUrl": "javascript:alert(1)"}, ("INVALID", "avatarUrl")),
        ({"emails": [f"a{n}@x.example" for n in range(21)]}, ("TOO_LONG", "emails")),
        ({"emails": ["taken@x.example"]}, ("TAKEN", "emails")),
        ({"handle": "Taken"}, ("TAKEN", "handles")),
        ({"externalId": "taken"}, ("TAKEN", "externalId")),
    ],
)
async def test_a_refused_influencer_leaves_nothing(brand: Brand, input: Json, expected: tuple[str, str]) -> None:
    await brand.influencer("First", emails=["taken@x.example"], handle="taken", externalId="taken")
    before = (await brand.admin.run("{ viewer { position } }"))["viewer"]["position"]
    payload = await brand.admin.mutate("createInfluencer", PERSON, **{"name": "Second", **input})
    assert payload["influencer"] is None and payload["position"] is None
    assert errors(payload) == [expected]
    assert (await brand.admin.run("{ viewer { position } }"))["viewer"]["position"] == before


async def test_an_influencer_is_found_by_any_reference(brand: Brand) -> None:
    ada = await brand.influencer("Ada", emails=["ada@x.example"], handle="ada", externalId="7")
    await brand.influencer("Eve", handles=[{"network": "TIKTOK", "name": "Ada"}])

    async def found(**by: Any) -> Json | None:
        result: Json | None = (await brand.admin.run(BY, by=by))["influencer"]
        return result

    for by in ({"id": ada["id"]}, {"email": " ADA@x.example"}, {"handle": "PLATFORM:Ada"}, {"externalId": "7"}):
        assert await found(**by) == {"name": "Ada"}
    assert await found(handle="tiktok:@ada") == {"name": "Eve"}
    assert await found(email="nobody@x.example") is None and await found(handle="youtube:ada") is None
    for by in ({"handle": "ada"}, {"email": ""}, {}, {"email": "a@x.example", "handle": "a"}):
        with pytest.raises(ApiFailed) as failed:
            await found(**by)
        assert failed.value.codes == ["BAD_USER_INPUT"]
    await brand.admin.mutate("updateInfluencer", "position", influencerId=ada["id"], emails=["new@x.example"])
    assert await found(email="ada@x.example") is None and await found(email="new@x.example") == {"name": "Ada"}
    payload = await brand.admin.mutate("createInfluencer", PERSON, name="Next", emails=["ada@x.example"])
    assert payload["userErrors"] == [], "an address that was given up is free"


@pytest.mark.parametrize(
    ("type", "good", "bad"),
    [
        ("NUMBER", "-1.5", "NaN"), ("NUMBER", "3", "one"), ("DATE", "2026-02-28", "2026-02-30"),
        ("DATE", "2026-01-01", "20260101"), ("BOOLEAN", "true", "yes"), ("URL", "https://x.example", "x.example"),
        ("TEXT", "anything", " "),
    ],
)  # fmt: skip
async def test_values_have_their_variables_type(brand: Brand, type: str, good: str, bad: str) -> None:
    made = await brand.admin.mutate("createVariable", "variable { id }", name="v", type=type)
    ada = await brand.influencer("Ada")

    async def put(value: str) -> Json:
        values = [{"variableId": made["variable"]["id"], "value": value}]
        return await brand.admin.mutate("updateInfluencer", PERSON, influencerId=ada["id"], variables=values)

    assert (await put(good))["influencer"]["variables"][0]["value"] == good
    assert errors(await put(bad))[0][1] == "variables"


@pytest.mark.parametrize(("create", "update", "kind"), [
    ("createTag", "updateTag", "tag"), ("createCampaign", "updateCampaign", "campaign"),
])  # fmt: skip
async def test_names_are_unique_whatever_their_case(brand: Brand, create: str, update: str, kind: str) -> None:
    selection = f"{kind} {{ id name }} position userErrors {{ code field }}"
    first = await brand.admin.mutate(create, selection, name="Spring Sale")
    assert errors(await brand.admin.mutate(create, selection, name="spring  SALE")) == [("TAKEN", "name")]
    second = await brand.admin.mutate(create, selection, name="Autumn")
    change = {f"{kind}Id": second[kind]["id"], "name": "Spring sale"}
    assert errors(await brand.admin.mutate(update, selection, **change)) == [("TAKEN", "name")]
    renamed = await brand.admin.mutate(update, selection, **{f"{kind}Id": first[kind]["id"], "name": "SPRING SALE"})
    assert renamed[kind]["name"] == "SPRING SALE", "its own name is free for itself"
    await brand.admin.mutate(update, selection, **{f"{kind}Id": first[kind]["id"], "name": "Winter"})
    assert errors(await brand.admin.mutate(update, selection, **change)) == []


async def test_a_deleted_tag_leaves_everyone_and_its_name_is_free(brand: Brand) -> None:
    tag = (await brand.admin.mutate("createTag", "tag { id }", name="old"))["tag"]["id"]
    ada = await brand.influencer("Ada", tagIds=[tag])
    payload = await brand.admin.mutate("deleteTag", "deletedId position", tagId=tag)
    assert payload["deletedId"] == tag
    found = await brand.admin.run(
        "query($by: InfluencerRef!) { influencer(by: $by) { tags { name } } }", by={"id": ada["id"]}
    )
    assert found["influencer"]["tags"] == [] and (await brand.admin.run("{ tags { id } }"))["tags"] == []
    assert (await brand.admin.mutate("createTag", "userErrors { code }", name="old"))["userErrors"] == []
    with pytest.raises(ApiFailed) as failed:
        await brand.admin.mutate("updateTag", "position", tagId=tag, name="again")
    assert failed.value.codes == ["NOT_FOUND"]


async def test_the_last_admin_stays_one(brand: Brand) -> None:
    members = (await brand.admin.run("{ members { id role } }"))["members"]
    admin = next(each["id"] for each in members if each["role"] == "ADMIN")
    attempts: list[tuple[str, Json]] = [("removeMember", {}), ("updateMember", {"role": "VIEWER"})]
    for field, more in attempts:
        payload = await brand.admin.mutate(field, "userErrors { code field }", memberId=admin, **more)
        assert errors(payload) == [("LAST_ADMIN", "memberId")]


async def test_a_token_made_through_the_api_lets_in_until_it_is_revoked(brand: Brand) -> None:
    selection = "secret token { id label scopes owner { name } } userErrors { code field }"
    made = await brand.admin.mutate(
        "createToken", selection, label="ci", partner="Robot", scopes=["inbox:read"], expiresInDays=1
    )
    assert made["token"]["owner"] == {"name": "Robot"}
    robot = brand.server.api(made["secret"])
    viewer = (await robot.run("{ viewer { role scopes actor { name } workspace { name } } }"))["viewer"]
    assert viewer == {
        "role": None,
        "scopes": ["inbox:read"],
        "actor": {"name": "Robot"},
        "workspace": {"name": "Brand"},
    }
    listed = (await brand.admin.run("{ tokens { id label revokedAt } }"))["tokens"]
    assert made["token"]["id"] in [each["id"] for each in listed]
    payload = await brand.admin.mutate("revokeToken", "token { revokedAt }", tokenId=made["token"]["id"])
    assert payload["token"]["revokedAt"] is not None
    response = await brand.server.http.post(
        brand.server.url, headers={"authorization": f"Bearer {made['secret']}"}, json={"query": "{ viewer { id } }"}
    )
    assert response.status_code == 401
    bad: list[Json] = [
        {"partner": "R", "scopes": ["all"]},
        {"partner": "R"},
        {"partner": "R", "scopes": ["inbox:read"], "expiresInDays": 0},
    ]
    for input in bad:
        assert errors(await brand.admin.mutate("createToken", selection, label="x", **input))


async def test_the_log_tells_what_changed_in_order_and_nothing_private(brand: Brand) -> None:
    query = """query($since: String!, $first: Int) { changes(since: $since, first: $first) {
        position hasMore changes { kind position actor { name } nodes { __typename id } } } }"""
    since = (await brand.admin.run("{ viewer { position } }"))["viewer"]["position"]
    thread = (await brand.influencer("Ada"))["thread"]
    message = await brand.receive(thread)
    await brand.viewer.mutate("markThreadRead", "position", threadId=thread, upToMessageId=message["id"])
    await brand.send(thread)
    found = (await brand.admin.run(query, since=since))["changes"]
    kinds = [(each["kind"], each["actor"]["name"]) for each in found["changes"]]
    assert kinds == [("INFLUENCER_ADDED", "Admin"), ("MESSAGE_ADDED", "Partner"), ("MESSAGE_ADDED", "Member")]
    own = (await brand.viewer.run(query, since=since))["changes"]
    assert [each["kind"] for each in own["changes"]] == [
        "INFLUENCER_ADDED",
        "MESSAGE_ADDED",
        "THREAD_READ",
        "MESSAGE_ADDED",
    ]
    collected = []
    position, more = since, True
    while more:
        page = (await brand.viewer.run(query, since=position, first=1))["changes"]
        collected += page["changes"]
        position, more = page["position"], page["hasMore"]
    assert collected == own["changes"] and position == own["position"]
    assert (await brand.viewer.run(query, since=position))["changes"]["changes"] == []
