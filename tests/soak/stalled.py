"""Clients that do not read, beside many that do: they are cut off in time, and nobody has to pay much for them."""

from __future__ import annotations

from bench.fanout.__main__ import cores
from bench.fanout.processes import raise_file_limit
from bench.fanout.stalled import measure, told

CUT_OFF = 15.0  # seconds after which no client that does not read is connected
HELD = 2 * 1024 * 1024  # bytes that are held for one meanwhile, at most


async def run(uri: str, sockets: int, stalled: int) -> str:
    """Raises AssertionError where one costs too much, or for too long."""
    raise_file_limit()
    result = await measure(uri, cores(), sockets, stalled)
    assert result["secondsToCutOff"] <= CUT_OFF, result
    assert result["bytesPerStalled"] <= HELD, result
    return told(result)
