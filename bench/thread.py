"""A page of 50 of a thread's messages: the newest, of another thread each time.

Budgeted are threads that are in the database's memory. A thread that nobody has looked at lately is read from the disk,
where its messages lie apart from each other; that is measured as it is.
"""

from __future__ import annotations

import itertools

from bench.measure import Operation
from bench.place import NEWEST, Place

PAGE = """query($id: ID!) {
  thread(id: $id) {
    id unread unreadMessages
    influencer { id name }
    participations { id status unreadMessages campaign { id name } }
    messages(last: 50) {
      position
      pageInfo { hasPreviousPage startCursor }
      edges { cursor node {
        id text kind channel direction automatic sentAt unread author { id name } campaign { id name }
      } }
    }
  }
}"""


async def operations(place: Place) -> list[Operation]:
    return [
        *await page(place, "thread, newest 50", place.recent, True),
        *await page(place, "thread, newest 50, long not read", place.old, False),
    ]


async def page(place: Place, name: str, threads: list[list[str]], budgeted: bool) -> list[Operation]:
    member = place.filled.members[0]
    client, reader = await place.client(member), await place.reader(member)
    ids = itertools.cycle([thread for thread, _ in threads])
    return [
        Operation(name, "request", lambda: client.run(PAGE, id=next(ids)), budgeted=budgeted),
        Operation(name, "storage", lambda: reader.messages(next(ids), NEWEST), budgeted=budgeted),
    ]
