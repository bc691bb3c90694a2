"""Changing an influencer: what is given is set, whatever else became of them meanwhile."""

from __future__ import annotations

import asyncio

import pytest

from schema.types.tag import VariableType
from storage.influencers import change_influencer
from storage.store import Store
from storage.tags import create_variable, delete_variable
from tests.api.conftest import Brand
from tests.client import Json
from tests.storage.deeds import id_of, influencer
from tests.team import Team

CHANGED = "influencer { variables { variable { name } value } } userErrors { code field }"


async def variables_of(brand: Brand, *names: str) -> list[str]:
    made = [await brand.admin.mutate("createVariable", "variable { id }", name=name, type="TEXT") for name in names]
    return [each["variable"]["id"] for each in made]


async def give(brand: Brand, id: str, **values: str | None) -> dict[str, str]:
    """Sets an influencer's values by the variables' ids; all values by name, as the answer has them."""
    given = [{"variableId": variable, "value": value} for variable, value in values.items()]
    payload = await brand.admin.mutate("updateInfluencer", CHANGED, influencerId=id, variables=given)
    assert payload["userErrors"] == []
    return by_name(payload["influencer"])


def by_name(influencer: Json) -> dict[str, str]:
    return {each["variable"]["name"]: each["value"] for each in influencer["variables"]}


async def test_values_can_be_set_where_there_is_one_of_a_variable_that_was_deleted(brand: Brand) -> None:
    gone, kept = await variables_of(brand, "gone", "kept")
    ada = await brand.influencer("Ada", variables=[{"variableId": gone, "value": "1"}])
    await brand.admin.mutate("deleteVariable", "position", variableId=gone)
    assert await give(brand, ada["id"], **{kept: "2"}) == {"kept": "2"}
    assert await give(brand, ada["id"], **{kept: None}) == {}


async def test_values_that_are_set_at_once_are_all_kept(brand: Brand) -> None:
    names = [f"v{number}" for number in range(6)]
    variables = await variables_of(brand, *names)
    ada = await brand.influencer("Ada", variables=[{"variableId": variables[0], "value": "old"}])
    await asyncio.gather(*[give(brand, ada["id"], **{variable: "new"}) for variable in variables[1:]])
    assert await give(brand, ada["id"], **{variables[0]: None}) == dict.fromkeys(names[1:], "new")


async def test_values_are_merged_with_those_that_are_there_at_the_turn(store: Store, workspace: Team) -> None:
    """Whoever gives one does not have to know the others; None takes one away."""
    one, two = [
        (await create_variable(store, workspace.admin, name, VariableType.TEXT, None)).result.id for name in "ab"
    ]
    id = id_of(await influencer(store, workspace, "Ada"))

    async def given(values: dict[str, str | None]) -> dict[str, str]:
        await change_influencer(store, workspace.member, id, {"values": values})
        document = await store.database.get("influencers", id)
        assert document is not None
        found: dict[str, str] = document["values"]
        return found

    assert await given({one: "1"}) == {one: "1"}
    assert await given({two: "2"}) == {one: "1", two: "2"}
    before = await store.log.position(workspace.id)
    assert await given({two: "2", one: "1"}) == {one: "1", two: "2"}
    assert await store.log.position(workspace.id) == before, "nothing differs"
    await delete_variable(store, workspace.admin, one)
    assert await given({two: None}) == {one: "1"}


async def test_an_address_is_one_however_its_domain_is_written(brand: Brand) -> None:
    """What was written is what is shown."""
    written, wired = "Ada@München.test", "ada@xn--mnchen-3ya.test"
    ada = await brand.influencer("Ada", emails=[written, wired.upper(), "ada@people.test"])
    query = "query($email: String!) { influencer(by: {email: $email}) { id emails } }"
    for email in (written, wired):
        found = (await brand.viewer.run(query, email=email))["influencer"]
        assert found == {"id": ada["id"], "emails": [wired.upper(), "ada@people.test"]}
    errors = "userErrors { code field }"
    taken = await brand.admin.mutate("createInfluencer", errors, name="Bob", emails=[written])
    assert taken["userErrors"] == [{"code": "TAKEN", "field": ["emails"]}]
    member = {"name": "Bob", "role": "MEMBER"}
    assert (await brand.admin.mutate("createMember", errors, email=written, **member))["userErrors"] == []
    taken = await brand.admin.mutate("createMember", errors, email=wired, **member)
    assert taken["userErrors"] == [{"code": "TAKEN", "field": ["email"]}]


@pytest.mark.parametrize("domain", ["ü..test", "-ü.test", "ü_.test", "\u2764.test", "ü" * 64 + ".test"])
async def test_what_is_no_domain_is_refused(brand: Brand, domain: str) -> None:
    emails = ["ada@people.test", f"ada@{domain}"]
    payload = await brand.admin.mutate("createInfluencer", "userErrors { code field }", name="Ada", emails=emails)
    assert payload["userErrors"] == [{"code": "INVALID", "field": ["emails"]}]
