"""The log as a viewer sees it: without other members' read state, and with the objects that differ for this viewer."""

from __future__ import annotations

import asyncio

import strawberry

from resolvers.context import Info
from resolvers.feed import may_know
from schema.types.change import Change, ChangeKind, ChangePage
from schema.types.errors import ApiError, ErrorCode
from schema.types.message import Message
from schema.types.node import Node, influencer_id_of
from schema.types.paging import page_size
from storage import changes as logged
from storage.documents import from_milliseconds
from storage.positions import format_position, parse_position
from storage.reader import StoreReader


async def change_page(info: Info, since: str, first: int | None) -> ChangePage:
    """Up to `first` positions after `since`. Raises RESYNC_REQUIRED."""
    log, reader = info.context.store.log, info.context.reader
    size = page_size(first)
    after = await log.resume(reader.caller.workspace, since)
    epoch, applied = parse_position(reader.position)
    found = (await log.changes(reader.caller.workspace, after, up_to=applied))[:size]
    reached = found[-1].position if found else after
    changes = await asyncio.gather(
        *[
            told(each, format_position(epoch, each.position), reader)
            for each in found
            if may_know(reader.caller.member, each.only)
        ]
    )
    position = format_position(epoch, reached)
    return ChangePage(changes=list(changes), position=position, has_more=reached < applied)


async def told(change: logged.Change, position: str, reader: StoreReader) -> Change:
    ids = await nodes_of(change, reader)
    found = await asyncio.gather(*[node_or_none(reader, id) for id in ids])
    pairs = list(zip(ids, found, strict=True))
    return Change(
        position=position,
        kind=ChangeKind(change.kind),
        at=from_milliseconds(change.at),
        nodes=[node for _, node in pairs if node is not None],
        removed_ids=[strawberry.ID(id) for id, node in pairs if node is None],
        actor_id=change.actor,
    )


async def node_or_none(reader: StoreReader, id: str) -> Node | None:
    try:
        return await reader.node(id)
    except ApiError as error:
        if error.code is ErrorCode.NOT_FOUND:
            return None
        raise


async def nodes_of(change: logged.Change, reader: StoreReader) -> list[str]:
    """Ids of what differs for the viewer: what was written, their notification, and what depends on their read mark."""
    ids = list(change.nodes)
    member = reader.caller.member
    if member in change.notified:
        ids.append(change.notified[member])
    if change.thread and member in change.unread:
        ids += [each.id for each in await reader.participations(influencer_id_of(change.thread))]
    ids += [message.id for message in await read_messages(change, reader)]
    return list(dict.fromkeys(ids))


async def read_messages(change: logged.Change, reader: StoreReader) -> list[Message]:
    """The messages whose `unread` differs for the viewer because they read the thread or marked it unread."""
    member = reader.caller.member
    if member is None or member not in change.marked or change.thread is None:
        return []
    first, last = change.marked[member]
    return await reader.messages_between(change.thread, first, last)
