"""A page of 50 of the inbox, for a member with few unread threads and for one with many."""

from __future__ import annotations

from bench.measure import Operation
from bench.place import Place
from storage.cursors import Section, format_cursor
from storage.inbox import View, inbox_page

PAGE = """query($first: Int!, $after: String, $filter: InboxFilter, $search: String) {
  inbox(first: $first, after: $after, filter: $filter, search: $search) {
    position
    pageInfo { hasNextPage endCursor }
    edges {
      cursor
      node {
        id unread unreadMessages lastActivityAt
        influencer { id name avatarUrl }
        lastMessage { id kind direction preview sentAt unread }
      }
      participations { id status unreadMessages }
    }
  }
}"""


BEHIND_ALL = 10**16 - 1  # a cursor's number behind every row of a section


async def operations(place: Place) -> list[Operation]:
    few, many = place.filled.members[:2]
    return [
        *await page(place, few, "inbox, first 50"),
        *await page(place, few, "inbox, 50 behind the unread", behind_unread=True),
        *await page(place, many, "inbox, first 50, half unread", budgeted=False),
        *await page(place, many, "inbox, 50 behind the unread, half", behind_unread=True, budgeted=False),
    ]


async def page(
    place: Place, member: str, name: str, behind_unread: bool = False, budgeted: bool = True
) -> list[Operation]:
    client, reader = await place.client(member), await place.reader(member)
    after = format_cursor(Section.UNREAD, BEHIND_ALL, reader.position) if behind_unread else None
    return [
        Operation(name, "request", lambda: client.run(PAGE, first=50, after=after), budgeted=budgeted),
        Operation(name, "storage", lambda: inbox_page(reader, View(), None, 50, after), budgeted=budgeted),
    ]
