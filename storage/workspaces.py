"""Workspaces, and who may act in them: members and partners."""

from __future__ import annotations

from schema.types.context import Caller, Role
from schema.types.errors import Refused, UserErrorCode, not_found
from schema.types.member import Member, Partner
from schema.types.node import new_id
from schema.types.scalars import now
from storage import claims
from storage.addresses import canonical
from storage.changes import Change, Turn
from storage.claims import Key, Made
from storage.documents import Document, from_document, to_document, to_milliseconds
from storage.indexes import OF_WORKSPACE
from storage.log import Outcome
from storage.positions import new_epoch
from storage.reader import StoreReader
from storage.store import Store
from storage.words import name_key


def operator_of(workspace: str) -> Caller:
    """Who works at the command line. Changes made there are shown as the workspace's own."""
    return Caller(id=workspace, name="Operator", workspace=workspace, token="", role=Role.ADMIN)


async def create_workspace(store: Store, name: str) -> str:
    """A new workspace with an empty log; its id."""
    id = new_id("workspace")
    created_at = to_milliseconds(now())
    await store.database.insert(
        "workspaces",
        {"_id": id, "workspace": id, "position": 0, "name": name, "created_at": created_at,
         "epoch": new_epoch(), "applied": 0, "floor": 0},
    )  # fmt: skip
    return id


async def begin_epoch(store: Store, workspace: str) -> None:
    """After a restore from a backup: positions given out before are foreign from now on."""
    if not await store.database.set("workspaces", workspace, {"epoch": new_epoch()}):
        raise not_found(workspace)


async def workspaces(store: Store) -> list[Document]:
    return await store.database.find("workspaces", {}, sort=[("_id", 1)])


async def active_members(turn: Turn) -> list[str]:
    """Everyone who has read state."""
    filter = {"workspace": turn.workspace, "removed_at": None}
    members = await turn.find("members", filter, hint=OF_WORKSPACE, only=["_id"])
    return [member["_id"] for member in members]


async def all_members(reader: StoreReader) -> list[Member]:
    """Everyone who is a member now, in the order they joined."""
    filter = {"workspace": reader.caller.workspace, "removed_at": None}
    documents = await reader.store.database.find("members", filter, hint=OF_WORKSPACE)
    return [from_document(Member, each) for each in sorted(documents, key=lambda each: int(each["added"]))]


async def add_member(
    store: Store, caller: Caller, name: str, email: str, role: Role, key: Key | None = None
) -> Outcome[Made]:
    """A new member, who starts with everything read."""

    async def plan(turn: Turn) -> Made:
        async def make() -> tuple[Change, str]:
            await must_be_free(turn, "member", canonical(email), "another member has this e-mail address", "email")
            member = Member(id=new_id("member"), name=name, email=email, role=role, created_at=turn.at)
            change = turn.begin("MEMBER_ADDED", member.id)
            turn.put(change, "members", member.id, {**to_document(member), "added": change.position})
            claims.take(turn, change, "member", canonical(email), member.id)
            return change, member.id

        return await claims.once(turn, key, make)

    return claims.dated(await store.log.change(caller, plan))


async def change_member(store: Store, caller: Caller, id: str, name: str | None, role: Role | None) -> Outcome[None]:
    """Changes what is given. The last ADMIN stays one."""

    async def plan(turn: Turn) -> None:
        member = await access_active_member(turn, id)
        fields: Document = {}
        if name is not None and name != member["name"]:
            fields["name"] = name
        if role is not None and role.value != member["role"]:
            await must_not_be_last_admin(turn, member)
            fields["role"] = role.value
        if fields:
            turn.put(turn.begin("MEMBER_CHANGED", id), "members", id, fields)

    return await store.log.change(caller, plan)


async def remove_member(store: Store, caller: Caller, id: str) -> Outcome[None]:
    """Removes a member: their tokens cease to be accepted, what they wrote stays."""

    async def plan(turn: Turn) -> None:
        member = await access_active_member(turn, id)
        await must_not_be_last_admin(turn, member)
        change = turn.begin("MEMBER_REMOVED", id)
        turn.put(change, "members", id, {"removed_at": to_milliseconds(turn.at)})
        claims.release(turn, change, "member", canonical(member["email"]))

    return await store.log.change(caller, plan)


async def access_active_member(turn: Turn, id: str) -> Document:
    member = await active_member(turn, id)
    if member is None:
        raise not_found(id)
    return member


async def active_member(turn: Turn, id: str) -> Document | None:
    member = await turn.get("members", id)
    return member if member and member["removed_at"] is None else None


async def must_not_be_last_admin(turn: Turn, member: Document) -> None:
    if member["role"] != Role.ADMIN.value:
        return
    admins = {"workspace": turn.workspace, "removed_at": None, "role": Role.ADMIN.value}
    if len(await turn.find("members", admins, hint=OF_WORKSPACE, only=["_id"], limit=2)) < 2:
        raise Refused(UserErrorCode.LAST_ADMIN, "a workspace keeps at least one ADMIN", "memberId")


async def must_be_free(turn: Turn, kind: str, value: str, message: str, *field: str, owner: str | None = None) -> None:
    """Refuses a value that somebody other than `owner` has."""
    holder = await claims.owner_of(turn, kind, value)
    if holder is not None and holder != owner:
        raise Refused(UserErrorCode.TAKEN, message, *field)


async def add_partner(store: Store, caller: Caller, name: str) -> Outcome[Made]:
    """The partner app of this name, made where there is none."""

    async def plan(turn: Turn) -> Made:
        holder = await claims.owner_of(turn, "partner", name_key(name))
        if holder is not None:
            return Made(holder)
        partner = Partner(id=new_id("partner"), name=name, created_at=turn.at)
        change = turn.begin("PARTNER_ADDED", partner.id)
        turn.put(change, "partners", partner.id, {**to_document(partner), "added": change.position})
        claims.take(turn, change, "partner", name_key(name), partner.id)
        return Made(partner.id)

    return await store.log.change(caller, plan)
