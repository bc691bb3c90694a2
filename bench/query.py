"""Measures what executing a page of the inbox costs, beside graphql-js and graphql-core, and the whole request.

    python -m bench.query              a table
    python -m bench.query --json       the same, with one line of JSON at the end

The page has 50 rows with 12 fields each. All executors are given the same rows and the same document, parsed and
validated before, and answer the same; they take turns, in one run. The request is made over HTTP on the embedded
database, with the fast executor and without it, in turns too. Times are medians, in milliseconds.
"""

from __future__ import annotations

import argparse
import asyncio
import gc
import json
import os
import statistics
import tempfile
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AsyncExitStack, asynccontextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import strawberry
from graphql import DocumentNode, execute, parse
from graphql.execution import Executor
from strawberry.schema.config import StrawberryConfig
from strawberry.schema.schema import StrawberryGraphQLCoreExecutionContext

from bench.fill import fill
from bench.place import open_place
from bench.report import print_rows
from connect_inbox.graphql.executor import FastExecutor
from schema.types.influencer import Influencer
from schema.types.message import Message, MessageChannel, MessageDirection, MessageKind
from schema.types.paging import PageInfo
from schema.types.scalars import DATE_TIME
from schema.types.thread import InboxConnection, InboxEdge, Thread
from storage.embedded import embedded_engine

ROOT = Path(__file__).parents[1]
NPM = ROOT / "tests" / "npm"
PAGE = """{ inbox(first: 50) { position pageInfo { hasNextPage endCursor } edges { cursor node {
  id unread unreadMessages lastActivityAt
  influencer { id name avatarUrl }
  lastMessage { id preview kind sentAt }
} } } }"""
ROUNDS, RUNS = 30, 40
REQUESTS = 300
MESSAGES = 8000  # in the database, 80 to a thread
TEXT = "Thank you so much for the parcel, it came today and looks great! Can we move the date of the post by a week?"

Json = dict[str, Any]
Run = Callable[[int], Awaitable[tuple[list[float], Json]]]  # times in milliseconds, and the data


def page() -> InboxConnection:
    start = datetime(2026, 1, 31, 9, 30, tzinfo=UTC)
    return InboxConnection(
        edges=[row(number, start + timedelta(seconds=97 * number, milliseconds=number)) for number in range(50)],
        page_info=PageInfo(has_next_page=True, has_previous_page=False, end_cursor="a"),
        position="a.1",
    )


def row(number: int, at: datetime) -> InboxEdge:
    influencer = Influencer(
        id=strawberry.ID(f"influencer_{number}"), name=f"Zoë Hartmann {number}", handles=[], emails=[], created_at=at,
        tag_ids=[], values={}, avatar_url=f"https://brand.example/{number}.png" if number % 2 else None,
    )  # fmt: skip
    message = Message(
        id=strawberry.ID(f"message_{number}"), channel=MessageChannel.PLATFORM, kind=MessageKind.DIRECT,
        direction=MessageDirection.INBOUND, text=f"{TEXT} {number}", sent_at=at, thread_id="", author_id="", order=1,
        counted=1,
    )  # fmt: skip
    thread = Thread(
        id=strawberry.ID(f"thread_{number}"), influencer=influencer, unread=number < 10, unread_messages=number,
        last_message=message, last_activity_at=at,
    )  # fmt: skip
    return InboxEdge(cursor=f"cursor-{number}", node=thread, participations=[])


def peer_edge(edge: InboxEdge) -> Json:
    """The same row, for the peer, which makes objects of it."""
    thread, influencer, message = edge.node, edge.node.influencer, edge.node.last_message
    assert message is not None and thread.last_activity_at is not None
    return {
        "cursor": edge.cursor,
        "node": {
            "id": thread.id, "unread": thread.unread, "unreadMessages": thread.unread_messages,
            "lastActivityAt": thread.last_activity_at.isoformat(),
            "influencer": {"id": influencer.id, "name": influencer.name, "avatarUrl": influencer.avatar_url},
            "lastMessage": {
                "id": message.id, "text": message.text, "kind": message.kind.name,
                "sentAt": message.sent_at.isoformat(),
            },
        },
    }  # fmt: skip


ROWS = page()


@strawberry.type
class Query:
    @strawberry.field
    async def inbox(self, first: int) -> InboxConnection:
        return ROWS


SCHEMA = strawberry.Schema(Query, config=StrawberryConfig(scalar_map={datetime: DATE_TIME}))._schema


def python(kind: type[Executor[Any]], document: DocumentNode) -> Run:
    async def run(runs: int) -> tuple[list[float], Json]:
        times, result = [], None
        gc.collect()  # what others have left
        for _ in range(runs):
            started = time.perf_counter()
            result = await execute(SCHEMA, document, executor_class=kind)  # type: ignore[misc]
            times.append(1000 * (time.perf_counter() - started))
        assert result is not None and not result.errors and result.data is not None
        return times, result.data

    return run


@asynccontextmanager
async def node() -> AsyncIterator[Run]:
    """graphql-js in a process of its own, as it runs in production."""
    process = await asyncio.create_subprocess_exec(
        "node", str(Path(__file__).parent / "query_peer" / "page.mjs"), str(NPM), str(ROOT / "schema/schema.graphql"),
        stdin=asyncio.subprocess.PIPE, stdout=asyncio.subprocess.PIPE, limit=2**24,
        env={**os.environ, "NODE_ENV": "production"},
    )  # fmt: skip
    stdin, stdout = process.stdin, process.stdout
    assert stdin is not None and stdout is not None

    async def run(runs: int) -> tuple[list[float], Json]:
        stdin.write(json.dumps({"runs": runs}).encode() + b"\n")
        line = await stdout.readline()
        if not line:
            raise RuntimeError("graphql-js has ended; are the packages in tests/npm installed?")
        answer = json.loads(line)
        assert not answer.get("errors"), answer
        return answer["times"], answer["data"]

    stdin.write(json.dumps({"query": PAGE, "edges": [peer_edge(each) for each in ROWS.edges]}).encode() + b"\n")
    try:
        yield run
    finally:
        stdin.close()
        await process.wait()


async def executors() -> dict[str, float]:
    """The median of each, which answer the same."""
    document = parse(PAGE)
    async with node() as graphql_js:
        runs = {
            "graphqlJs": graphql_js,
            "stock": python(StrawberryGraphQLCoreExecutionContext, document),
            "fast": python(FastExecutor, document),
        }
        answers = [(await run(10 * RUNS))[1] for run in runs.values()]
        assert answers[0] == answers[1] == answers[2]
        times: dict[str, list[float]] = {name: [] for name in runs}
        for _ in range(ROUNDS):
            for name, run in runs.items():
                times[name] += (await run(RUNS))[0]
    return {name: statistics.median(each) for name, each in times.items()}


async def requests() -> dict[str, float]:
    """The median of a whole request, with the fast executor and without."""
    times: dict[bool, list[float]] = {True: [], False: []}
    with tempfile.TemporaryDirectory(prefix="connect-inbox-bench-") as folder:
        async with embedded_engine(Path(folder)) as uri:
            filled = await fill(uri, "bench_query", MESSAGES)
            async with AsyncExitStack() as stack:
                clients = {}
                for fast in times:
                    opening = open_place("embedded", "embedded", uri, "bench_query", MESSAGES, filled, fast)
                    place = await stack.enter_async_context(opening)
                    clients[fast] = await place.client(filled.members[0])
                for number in range(2 * REQUESTS + 20):
                    fast = number % 2 == 0
                    started = time.perf_counter()
                    data = await clients[fast].run(PAGE)
                    if number >= 20:
                        times[fast].append(1000 * (time.perf_counter() - started))
                assert len(data["inbox"]["edges"]) == 50
    return {"fast": statistics.median(times[True]), "stock": statistics.median(times[False])}


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m bench.query", description="Measures a page of the inbox.")
    parser.add_argument("--json", action="store_true", help="one line of JSON at the end")
    options = parser.parse_args()
    executed, requested = asyncio.run(executors()), asyncio.run(requests())
    peer = executed["graphqlJs"]
    names = {"fast": "ours", "graphqlJs": "graphql-js", "stock": "graphql-core"}
    print("A page of 50 rows with 12 fields, medians in ms\n")
    print_rows(
        [["executing", "ms", "of graphql-js"]]
        + [[text, f"{executed[name]:.3f}", f"{executed[name] / peer:.2f}"] for name, text in names.items()]
    )
    print()
    print_rows(
        [["the whole request", "ms", "of graphql-core"]]
        + [[names[name], f"{each:.2f}", f"{each / requested['stock']:.2f}"] for name, each in requested.items()]
    )
    if options.json:
        ratio = round(executed["fast"] / peer, 3)
        print(json.dumps({"executor": executed, "ratio": ratio, "request": requested}))


if __name__ == "__main__":
    main()
