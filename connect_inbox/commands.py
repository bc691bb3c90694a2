"""What is done at the command line to a workspace. Each command takes the store and its arguments, and prints."""

from __future__ import annotations

import json
import sys
from argparse import Namespace
from datetime import datetime, timedelta

from resolvers import validate
from schema.types.context import Role
from schema.types.member import Token
from schema.types.scalars import format_time, now
from storage import credentials, workspaces
from storage import tokens as stored_tokens
from storage.addresses import canonical
from storage.check import check as check_workspace
from storage.documents import Document, from_milliseconds
from storage.keys import WrongSeal
from storage.reader import StoreReader
from storage.store import Store

Row = dict[str, str]


class CommandFailed(Exception):
    """A command cannot be done as it was given. The message is one line."""


def show(row: Row, as_json: bool) -> None:
    """One thing: its values, a line each."""
    if as_json:
        print(json.dumps(row))
        return
    width = max(map(len, row))
    for name, value in row.items():
        print(f"{name:{width}}  {value}")


def show_list(rows: list[Row], as_json: bool) -> None:
    """Several things: a line each, below the names of their values."""
    if as_json:
        print(json.dumps(rows))
        return
    if not rows:
        print("none", file=sys.stderr)
        return
    lines = [{name: name for name in rows[0]}, *rows]
    widths = {name: max(len(line[name]) for line in lines) for name in rows[0]}
    for line in lines:
        print("  ".join(f"{line[name]:{width}}" for name, width in widths.items()).rstrip())


def expiry(days: int) -> datetime:
    return now() + timedelta(days=days)


def reader_of(store: Store, workspace: str) -> StoreReader:
    """Reads as who works at the command line. No position is needed: nothing is paged or followed."""
    return StoreReader(store, workspaces.operator_of(workspace), "")


async def create_workspace(store: Store, arguments: Namespace) -> None:
    name = validate.line(arguments.name, "NAME")
    admin_name = validate.line(arguments.admin_name, "--admin-name")
    admin_email = validate.email(arguments.admin_email, "--admin-email")
    id = await workspaces.create_workspace(store, name)
    operator = workspaces.operator_of(id)
    admin = (await workspaces.add_member(store, operator, admin_name, admin_email, Role.ADMIN)).result.id
    expires_at = expiry(arguments.days)
    secret, token = await stored_tokens.create_token(store, id, admin, "command line", [], expires_at)
    made = {"workspaceId": id, "memberId": admin, "token": secret}
    show({**made, "tokenId": str(token.id), "expiresAt": format_time(expires_at)}, arguments.json)


async def list_workspaces(store: Store, arguments: Namespace) -> None:
    show_list([row_of_workspace(each) for each in await workspaces.workspaces(store)], arguments.json)


def row_of_workspace(document: Document) -> Row:
    created_at = format_time(from_milliseconds(document["created_at"]))
    return {"workspaceId": document["_id"], "createdAt": created_at, "name": document["name"]}


async def begin_epoch(store: Store, arguments: Namespace) -> None:
    await workspaces.begin_epoch(store, arguments.workspace)
    print("Positions that clients have are foreign from now on: they read everything anew.")


async def add_member(store: Store, arguments: Namespace) -> None:
    name = validate.line(arguments.name, "NAME")
    email = validate.email(arguments.email, "EMAIL")
    await store.log.state(arguments.workspace)
    operator = workspaces.operator_of(arguments.workspace)
    outcome = await workspaces.add_member(store, operator, name, email, Role[arguments.role])
    show({"memberId": outcome.result.id}, arguments.json)


async def create_token(store: Store, arguments: Namespace) -> None:
    if arguments.member is not None and arguments.scope:
        raise CommandFailed("--scope is for a partner's token; what a member may do, the role decides")
    if arguments.partner is not None and not arguments.scope:
        raise CommandFailed("a partner's token needs at least one --scope")
    label = validate.line(arguments.label, "--label")
    partner = None if arguments.partner is None else validate.line(arguments.partner, "--partner")
    await store.log.state(arguments.workspace)
    if partner is None:
        owner = await find_member(store, arguments.workspace, arguments.member)
    else:
        operator = workspaces.operator_of(arguments.workspace)
        owner = (await workspaces.add_partner(store, operator, partner)).result.id
    scopes = list(dict.fromkeys(arguments.scope))
    expires_at = expiry(arguments.days)
    secret, token = await stored_tokens.create_token(store, arguments.workspace, owner, label, scopes, expires_at)
    show({"token": secret, "tokenId": str(token.id), "expiresAt": format_time(expires_at)}, arguments.json)


async def find_member(store: Store, workspace: str, given: str) -> str:
    """A member's id, by it or by the e-mail address."""
    for member in await workspaces.all_members(reader_of(store, workspace)):
        if member.id == given or canonical(member.email) == canonical(given.strip()):
            return str(member.id)
    raise CommandFailed(f"there is no member {given[:80]!r} in this workspace")


async def list_tokens(store: Store, arguments: Namespace) -> None:
    await store.log.state(arguments.workspace)
    reader = reader_of(store, arguments.workspace)
    found = await stored_tokens.tokens(store, arguments.workspace)
    rows = [row_of_token(token, (await reader.actor(token.owner_id)).name) for token in found]
    show_list(rows, arguments.json)


def row_of_token(token: Token, owner: str) -> Row:
    return {
        "tokenId": str(token.id),
        "state": "revoked" if token.revoked_at else "expired" if token.expires_at <= now() else "valid",
        "expiresAt": format_time(token.expires_at),
        "owner": owner,
        "scopes": ",".join(token.scopes) or "-",
        "label": token.label,
    }


async def revoke_token(store: Store, arguments: Namespace) -> None:
    token = await stored_tokens.revoke_token(store, arguments.workspace, arguments.token)
    show({"tokenId": str(token.id), "state": "revoked"}, arguments.json)


async def reseal(store: Store) -> None:
    """Has the first key encrypt all credentials, so that the others can be taken away."""
    try:
        count = await credentials.reseal(store)
    except WrongSeal as error:
        raise CommandFailed(f"credentials cannot be decrypted: {error}") from error
    print(f"{count or 'no'} mailbox{'es' * (count != 1)} encrypted anew with the key {store.keys.current}")


async def check(store: Store, arguments: Namespace) -> None:
    """Recounts what is derived, in one workspace or all, and says what differs."""
    if arguments.workspace is not None:
        await store.log.state(arguments.workspace)
    ids = [arguments.workspace] if arguments.workspace else [each["_id"] for each in await workspaces.workspaces(store)]
    found, left = 0, 0
    for id in ids:
        for difference in await check_workspace(store, id, arguments.repair):
            print(difference)
            found += 1
            left += difference.by_hand or not arguments.repair
    what = f"{len(ids)} workspace{'s' * (len(ids) != 1)} checked, {found or 'no'} difference{'s' * (found != 1)}"
    print(f"{what}, {found - left} repaired" if arguments.repair and found else what)
    if left:
        raise CommandFailed("what is stored differs from what was recounted")
