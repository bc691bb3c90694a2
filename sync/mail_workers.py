"""Parsing in processes that can be killed: no mail can stop or slow down anything but itself.

A worker has so much computing time for a mail and so much memory, and ends where it exceeds them; the next mail gets a
new one. What comes back is trusted: no mail's bytes are code to a worker, and nobody else can write to its output.
"""

from __future__ import annotations

import asyncio
import contextlib
import pickle
import signal
import sys
from asyncio.subprocess import PIPE, Process

from sync.mail import ParsedMail, Unparsable
from sync.mail_worker import OUT_OF_MEMORY, SIZE

SECONDS = 2.0  # of computing time, for one mail
MEMORY = 768 * 1024 * 1024  # bytes for a worker, of which the largest mail takes half
DEADLINE = 60.0  # seconds by the clock; only a machine that is very busy, or a worker that is stopped, takes that long
PIECE = 256 * 1024  # bytes that are written or read at once, so that others have their turn in between


class MailParsers:
    """Some workers, each started when it is first needed."""

    def __init__(self, workers: int = 2) -> None:
        self._idle: asyncio.LifoQueue[Process | None] = asyncio.LifoQueue()
        for _ in range(workers):
            self._idle.put_nowait(None)
        self._running: set[Process] = set()

    async def __aenter__(self) -> MailParsers:
        return self

    async def __aexit__(self, *_: object) -> None:
        for process in list(self._running):
            await self._end(process)

    async def parse(self, raw: bytes) -> ParsedMail:
        """A mail, taken apart. Raises Unparsable; the next mail is parsed nevertheless."""
        process = await self._idle.get()
        try:
            if process is None or process.returncode is not None:
                process = await self._replace(process)
            answer = await self._ask(process, raw)
        except BaseException:
            # It may be in the middle of something, whoever gave up: its next answer would be to the wrong question.
            if process is not None:
                await self._end(process)
            self._idle.put_nowait(None)
            raise
        self._idle.put_nowait(process)
        if isinstance(answer, str):
            raise Unparsable(answer)
        return answer

    async def _replace(self, ended: Process | None) -> Process:
        if ended is not None:
            await self._end(ended)
        # In a session of its own: Ctrl-C is for us, and we end it in our time.
        process = await asyncio.create_subprocess_exec(
            sys.executable, "-m", "sync.mail_worker", str(SECONDS), str(MEMORY),
            stdin=PIPE, stdout=PIPE, start_new_session=True, limit=PIECE,
        )  # fmt: skip
        self._running.add(process)
        return process

    async def _ask(self, process: Process, raw: bytes) -> ParsedMail | str:
        assert process.stdin is not None and process.stdout is not None
        try:
            async with asyncio.timeout(DEADLINE):
                await self._write(process.stdin, raw)
                size = int.from_bytes(await process.stdout.readexactly(SIZE), "big")
                answer: ParsedMail | str = pickle.loads(await process.stdout.readexactly(size))
                return answer
        except TimeoutError:
            raise Unparsable(f"it was not parsed within {DEADLINE:g} seconds") from None
        except (asyncio.IncompleteReadError, ConnectionError):
            raise Unparsable(why_it_ended(await process.wait())) from None

    async def _write(self, stdin: asyncio.StreamWriter, raw: bytes) -> None:
        stdin.write(len(raw).to_bytes(SIZE, "big"))
        view = memoryview(raw)
        for start in range(0, len(raw), PIECE):
            stdin.write(view[start : start + PIECE])
            await stdin.drain()

    async def _end(self, process: Process) -> None:
        self._running.discard(process)
        with contextlib.suppress(ProcessLookupError):
            process.kill()
        assert process.stdin is not None
        process.stdin.close()
        await process.wait()


def why_it_ended(code: int) -> str:
    if code == -signal.SIGPROF:
        return f"it takes more than {SECONDS:g} seconds of computing time"
    if code in (OUT_OF_MEMORY, -signal.SIGABRT):  # nh3 is not asked whether it can go on
        return f"it takes more than {MEMORY // (1024 * 1024)} MB of memory"
    return f"its parser ended with {code}"
