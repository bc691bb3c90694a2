"""Marking a thread as read, another one each time, and the unread count, of few threads and of many."""

from __future__ import annotations

import itertools

from bench.measure import Operation
from bench.place import Place
from storage.counts import unread_count
from storage.marks import mark_message_unread, mark_thread_read

MARK = """mutation($input: MarkThreadReadInput!) {
  markThreadRead(input: $input) {
    thread { id unread unreadMessages } unreadCount { threads messages position } position userErrors { code message }
  }
}"""
COUNT = "{ unreadCount { threads messages position } }"


async def operations(place: Place) -> list[Operation]:
    few, many = place.filled.members[:2]
    return [*await marking(place, few), *await counting(place, few, True), *await counting(place, many, False)]


async def marking(place: Place, member: str) -> list[Operation]:
    client, caller, store = await place.client(member), place.caller(member), place.store
    threads = itertools.cycle(place.recent)
    thread, newest = "", ""

    async def prepare() -> None:
        nonlocal thread, newest
        thread, newest = next(threads)
        await mark_message_unread(store, caller, member, newest)

    return [
        Operation(
            "mark read",
            "request",
            lambda: client.run(MARK, input={"threadId": thread, "upToMessageId": newest}),
            prepare,
        ),
        Operation("mark read", "storage", lambda: mark_thread_read(store, caller, member, thread, newest), prepare),
    ]


async def counting(place: Place, member: str, is_few: bool) -> list[Operation]:
    client = await place.client(member)
    name = "unread count" if is_few else "unread count, half unread"
    return [
        Operation(name, "request", lambda: client.run(COUNT), budgeted=is_few),
        Operation(name, "storage", lambda: unread_count(place.store.database, member, ""), budgeted=is_few),
    ]
