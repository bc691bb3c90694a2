"""Reading: objects by id, the inbox, and the log."""

from __future__ import annotations

import asyncio

import strawberry

from resolvers import access, validate
from resolvers.changes import change_page
from resolvers.context import Info
from schema.types.arguments import After, Filter, First, MostChanges, ObjectId, ObjectIds, Search, SincePosition
from schema.types.change import ChangePage
from schema.types.errors import ApiError, bad_input
from schema.types.member import Viewer
from schema.types.node import Node, kind_of
from schema.types.rate_limit import RateLimit
from schema.types.thread import InboxConnection, Thread
from storage.inbox import inbox_page, view_of

LONGEST_SEARCH = 200


async def viewer(info: Info) -> Viewer:
    caller = info.context.caller
    return Viewer(
        id=strawberry.ID(caller.id),
        role=caller.role,
        scopes=sorted(caller.scopes),
        workspace=await info.context.reader.workspace(caller.workspace),
        position=info.context.reader.position,
    )


async def node(info: Info, id: ObjectId) -> Node | None:
    access.to_read(info)
    return await info.context.reader.node(id)


async def nodes(info: Info, ids: ObjectIds) -> list[Node | None]:
    """The objects in the order of their ids; each that is not there is null, with an error of its own."""
    access.to_read(info)
    if len(ids) > validate.MOST:
        raise bad_input(f"ids has at most {validate.MOST} ids, not {len(ids)}")
    found = await asyncio.gather(*[info.context.reader.node(id) for id in ids], return_exceptions=True)
    for each in found:
        if isinstance(each, BaseException) and not isinstance(each, ApiError):
            raise each
    return found  # type: ignore[return-value]  # an error in a list is raised at its place by the executor


async def thread(info: Info, id: ObjectId) -> Thread | None:
    access.to_read(info)
    kind_of(id)
    return await info.context.reader.thread(id)


async def inbox(
    info: Info,
    first: First = 25,
    after: After = None,
    filter: Filter = None,
    search: Search = None,
) -> InboxConnection:
    access.to_read(info)
    if search is not None and len(search) > LONGEST_SEARCH:
        raise bad_input(f"search has at most {LONGEST_SEARCH} characters")
    return await inbox_page(info.context.reader, view_of(filter), search, first, after)


async def changes(info: Info, since: SincePosition, first: MostChanges = 100) -> ChangePage:
    access.to_read(info)
    return await change_page(info, since, first)


def rate_limit(info: Info) -> RateLimit:
    return info.context.rate_limit
