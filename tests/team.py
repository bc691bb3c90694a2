"""A workspace to test in: each test has one of its own, so that the suite runs in parallel on one database."""

from __future__ import annotations

from dataclasses import dataclass

from schema.types.context import SCOPES, Caller, Role
from storage.store import Store
from storage.workspaces import add_member, add_partner, create_workspace, operator_of


@dataclass(frozen=True)
class Team:
    """A workspace with three members, one of each role, and a partner who may do everything."""

    id: str
    operator: Caller
    admin: Caller
    member: Caller
    viewer: Caller
    partner: Caller

    @property
    def members(self) -> list[Caller]:
        return [self.admin, self.member, self.viewer]


async def create_team(store: Store, name: str = "Team") -> Team:
    id = await create_workspace(store, name)
    operator = operator_of(id)

    async def member(name: str, role: Role) -> Caller:
        made = await add_member(store, operator, name, f"{name.lower()}@brand.test", role)
        return Caller(id=made.result.id, name=name, workspace=id, token="", role=role)

    admin = await member("Ada", Role.ADMIN)
    writer = await member("Ben", Role.MEMBER)
    viewer = await member("Cleo", Role.VIEWER)
    made = await add_partner(store, operator, "Platform")
    partner = Caller(made.result.id, "Platform", id, token="", role=None, scopes=frozenset(SCOPES))
    return Team(id, operator, admin, writer, viewer, partner)
