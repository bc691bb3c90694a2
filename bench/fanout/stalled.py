"""What clients that do not read cost the others: `python -m bench.fanout.stalled`.

Idle subscribers of ours, with a few beside them that read nothing once they have subscribed, so that their buffers are
full: the latency of single events at the others without and with them, what is held for each, and when it is cut off.
"""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import select
import socket
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import orjson

from bench.fanout.__main__ import cores, database, fresh_database
from bench.fanout.measure import MOST, Bench, Cores, Point, Singles, singles, started
from bench.fanout.processes import Json, on_cores, raise_file_limit
from bench.fanout.subscribers import OPENING_WAIT, expect, text_frame, upgrade

SOCKETS = 2000
STALLED = 5
ALIASES = 25
HEAVY = " ".join(f"a{number}: text" for number in range(ALIASES))
QUERY = f"subscription {{ messageAdded {{ position message {{ id sentAt {HEAVY} }} }} }}"  # a burst is over a megabyte
ESTABLISHED = "01"  # in /proc/net/tcp
LOOK = 0.05  # seconds between two looks for who is cut off
PATIENCE = 60.0  # seconds for all to be cut off


async def run(sockets: int, stalled: int) -> Json:
    allowed = cores()
    with on_cores(allowed.others):
        async with database() as uri:
            return await measure(uri, allowed, sockets, stalled)


async def measure(uri: str, allowed: Cores, sockets: int, stalled: int) -> Json:
    async with fresh_database(uri) as environment, started("ours", allowed, environment) as (bench, where):
        await bench.connect(where, Point(sockets).queries, sockets)
        await bench.hear()
        await bench.tell(MOST)  # so that nothing is counted that the server needs for a burst
        without = await singles(bench)
        before = await memory_of(bench)
        with silent(where, stalled) as clients:
            began = time.monotonic()
            cut_off = asyncio.create_task(all_cut_off(where["port"], clients))
            while not all(map(has_come, clients)):  # nothing else says that a subscription has begun
                await bench.tell(1)
            await bench.tell(MOST)
            after = await memory_of(bench)
            queued = [size for port, size in established(where["port"]).items() if port in ports_of(clients)]
            with_them = await singles(bench)
            last = await cut_off
    if len(queued) < stalled:
        raise RuntimeError("clients were cut off before it could be seen what is held for them")
    return {
        "sockets": sockets,
        "stalled": stalled,
        "without": percentiles(without),
        "with": percentiles(with_them),
        "bytesPerStalled": round((after - before) / stalled + max(queued)),
        "secondsToCutOff": round(last - began, 2),
    }


@contextmanager
def silent(where: Json, count: int) -> Iterator[list[socket.socket]]:
    """Clients that have subscribed, and of which nothing reads what comes."""
    with contextlib.ExitStack() as stack:
        clients = []
        for number in range(count):
            client = stack.enter_context(socket.create_connection(("127.0.0.1", where["port"]), OPENING_WAIT))
            client.sendall(upgrade(where["port"], where["path"]))
            expect(client, b" 101 ", b"\r\n\r\n")
            init = where["inits"][number % len(where["inits"])]
            client.sendall(text_frame({"type": "connection_init", "payload": init}))
            expect(client, b'"connection_ack"', b"}")
            client.sendall(text_frame({"id": "1", "type": "subscribe", "payload": {"query": QUERY}}))
            clients.append(client)
        yield clients


def has_come(client: socket.socket) -> bool:
    """Whether there is something to read."""
    return bool(select.select([client], [], [], 0)[0])


def ports_of(clients: list[socket.socket]) -> set[int]:
    return {client.getsockname()[1] for client in clients}


def established(port: int) -> dict[int, int]:
    """Who is connected to a port of ours: the ports at the other end, and how many bytes the system holds for each."""
    rows = [line.split() for line in Path("/proc/net/tcp").read_text().splitlines()[1:]]
    return {
        int(there.partition(":")[2], 16): int(queues.partition(":")[0], 16)
        for _, here, there, state, queues, *_ in rows
        if state == ESTABLISHED and int(here.partition(":")[2], 16) == port
    }


async def all_cut_off(port: int, clients: list[socket.socket]) -> float:
    """Waits until the server has let go of them all; when that was, on the monotonic clock."""
    async with asyncio.timeout(PATIENCE):
        while ports_of(clients) & established(port).keys():
            await asyncio.sleep(LOOK)
    return time.monotonic()


async def memory_of(bench: Bench) -> int:
    return int((await bench.server.ask("memory"))["memory"])


def percentiles(found: Singles) -> Json:
    """In milliseconds, from the commit to the receipt."""
    count = len(found.latencies)
    return {name: round(found.latencies[count * part // 100] * 1000, 2) for name, part in (("p50", 50), ("p99", 99))}


def told(result: Json) -> str:
    """The figures, as a line."""
    without, with_them = [result[name] for name in ("without", "with")]
    return (
        f"{result['sockets']} subscribers: p50 {without['p50']} ms and p99 {without['p99']} ms; beside "
        f"{result['stalled']} stalled ones: p50 {with_them['p50']} ms and p99 {with_them['p99']} ms, "
        f"{result['bytesPerStalled'] / 1024:.0f} KB held for each, all cut off after {result['secondsToCutOff']} s"
    )


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m bench.fanout.stalled", description=__doc__)
    parser.add_argument("--sockets", type=int, default=SOCKETS)
    parser.add_argument("--stalled", type=int, default=STALLED)
    options = parser.parse_args()
    raise_file_limit()
    result = asyncio.run(run(options.sockets, options.stalled))
    print(told(result))
    print(orjson.dumps(result).decode())


if __name__ == "__main__":
    main()
