"""The inbox's first 50 of a search: for a beginning that one in fifteen has, for one person, and for two words."""

from __future__ import annotations

from bench.inbox import PAGE
from bench.measure import Operation
from bench.place import Place
from storage.inbox import View, inbox_page


async def operations(place: Place) -> list[Operation]:
    return [
        *await page(place, "search: common beginning", "mar"),
        *await page(place, "search: one person", place.filled.handle),
        *await page(place, "search: two words", "maria gar"),
    ]


async def page(place: Place, name: str, search: str) -> list[Operation]:
    member = place.filled.members[0]
    client, reader = await place.client(member), await place.reader(member)
    return [
        Operation(name, "request", lambda: client.run(PAGE, first=50, search=search), budgeted=False),
        Operation(name, "storage", lambda: inbox_page(reader, View(), search, 50, None), budgeted=False),
    ]
