"""The inbox's first 50 with a filter. Each campaign is of a tenth of all threads, and each tag."""

from __future__ import annotations

from typing import Any

from bench.inbox import PAGE
from bench.measure import Operation
from bench.place import Place
from storage.inbox import View, inbox_page


async def operations(place: Place) -> list[Operation]:
    (first, second, *_), (tag, *_) = place.filled.campaigns, place.filled.tags
    return [
        *await page(place, "filter: one campaign", View([first]), campaignIds=[first]),
        *await page(
            place,
            "filter: two campaigns and a tag",
            View([first, second], [tag]),
            campaignIds=[first, second],
            tagIds=[tag],
        ),
        *await page(place, "filter: unread only", View(unread_only=True), unreadOnly=True),
    ]


async def page(place: Place, name: str, view: View, **filter: Any) -> list[Operation]:
    member = place.filled.members[0]
    client, reader = await place.client(member), await place.reader(member)
    return [
        Operation(name, "request", lambda: client.run(PAGE, first=50, filter=filter), budgeted=False),
        Operation(name, "storage", lambda: inbox_page(reader, view, None, 50, None), budgeted=False),
    ]
