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
        self._workers = [Worker() for _ in range(workers)]
        self._idle: asyncio.LifoQueue[Worker] = asyncio.LifoQueue()

    async def __aenter__(self) -> MailParsers:
        for worker in self._workers:
            self._idle.put_nowait(worker)
        return self

    async def __aexit__(self, *_: object) -> None:
        for worker in self._workers:
            await worker.end()

    async def parse(self, raw: bytes) -> ParsedMail:
        """A mail, taken apart. Raises Unparsable; the next mail is parsed nevertheless."""
        worker = await self._idle.get()
        try:
            answer = await worker.ask(raw)
        except BaseException:
            # It may be in the middle of something, whoever gave up: its next answer would be to the wrong question.
            await worker.end()
            raise
        finally:
            self._idle.put_nowait(worker)
        if isinstance(answer, str):
            raise Unparsable(answer)
        return answer


class Ended(Exception):
    """A worker's process ended instead of answering."""

    def __init__(self, code: int) -> None:
        self.code = code


class Worker:
    """A process that parses, or none until it is needed again."""

    def __init__(self) -> None:
        self._process: Process | None = None

    async def ask(self, raw: bytes) -> ParsedMail | str:
        """What the process answers. Where it had been ended from outside before, another is asked."""
        is_new = self._process is None
        try:
            return await self._exchange(self._process or await self._start(), raw)
        except Ended as ended:
            reason = why(ended.code)
            if reason is None and not is_new:
                await self.end()
                return await self.ask(raw)
            raise Unparsable(reason or f"its parser ended with {ended.code}") from None

    async def _start(self) -> Process:
        # In a session of its own: Ctrl-C is for us, and we end it in our time.
        self._process = await asyncio.create_subprocess_exec(
            sys.executable, "-m", "sync.mail_worker", str(SECONDS), str(MEMORY),
            stdin=PIPE, stdout=PIPE, start_new_session=True, limit=PIECE,
        )  # fmt: skip
        return self._process

    async def _exchange(self, process: Process, raw: bytes) -> ParsedMail | str:
        assert process.stdin is not None and process.stdout is not None
        try:
            async with asyncio.timeout(DEADLINE):
                await write(process.stdin, raw)
                size = int.from_bytes(await process.stdout.readexactly(SIZE), "big")
                answer: ParsedMail | str = pickle.loads(await process.stdout.readexactly(size))
                return answer
        except TimeoutError:
            raise Unparsable(f"it was not parsed within {DEADLINE:g} seconds") from None
        except (asyncio.IncompleteReadError, ConnectionError):
            raise Ended(await process.wait()) from None

    async def end(self) -> None:
        process, self._process = self._process, None
        if process is None:
            return
        assert process.stdin is not None
        with contextlib.suppress(ProcessLookupError):
            process.kill()
        process.stdin.close()
        await process.wait()


async def write(stdin: asyncio.StreamWriter, raw: bytes) -> None:
    stdin.write(len(raw).to_bytes(SIZE, "big"))
    view = memoryview(raw)
    for start in range(0, len(raw), PIECE):
        stdin.write(view[start : start + PIECE])
        await stdin.drain()


def why(code: int) -> str | None:
    """What a mail did to the process that ended with this, or None if it was nothing that we forbid."""
    if code == -signal.SIGPROF:
        return f"it takes more than {SECONDS:g} seconds of computing time"
    if code in (OUT_OF_MEMORY, -signal.SIGABRT):  # nh3 is not asked whether it can go on
        return f"it takes more than {MEMORY // (1024 * 1024)} MB of memory"
    return None
