"""API processes: `connect-inbox serve`, for tests with several of them, and of what is left when one is killed."""

from __future__ import annotations

import asyncio
import signal
import sys
from asyncio.subprocess import PIPE, Process
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

from tests.commands import environment

START_WAIT = 30.0  # seconds
STOP_WAIT = 15.0
COMMAND = [sys.executable, "-m", "connect_inbox", "serve"]


class ApiProcess:
    """One API process at a time, on a port that stays the same from its first start on."""

    def __init__(self, environment: dict[str, str], log: Path) -> None:
        self.url = ""
        self._environment = environment
        self._log = log
        self._process: Process | None = None

    async def start(self) -> None:
        """Starts it, and waits until it answers."""
        assert self._process is None or self._process.returncode is not None, "it runs already"
        if self.url:
            self._environment["CONNECT_INBOX_BIND"] = self.url.removeprefix("http://").partition("/")[0]
        with self._log.open("ab") as log:
            self._process = await asyncio.create_subprocess_exec(
                *COMMAND, env=self._environment, stdin=asyncio.subprocess.DEVNULL, stdout=PIPE, stderr=log
            )
        assert self._process.stdout is not None
        async with asyncio.timeout(START_WAIT):
            line = (await self._process.stdout.readline()).decode()
        if not line:
            await self._process.wait()
            raise RuntimeError(f"the API process ended with {self._process.returncode}:\n{self.logged()}")
        self.url = line.split()[-1]

    async def kill(self) -> None:
        """As if the machine had taken it away: SIGKILL."""
        await self._end(signal.SIGKILL)

    async def stop(self) -> None:
        """As at a deployment: SIGTERM."""
        await self._end(signal.SIGTERM)

    async def _end(self, number: signal.Signals) -> None:
        if self._process is None:
            return
        if self._process.returncode is None:
            self._process.send_signal(number)
        try:
            async with asyncio.timeout(STOP_WAIT):
                await self._process.communicate()
        except TimeoutError:
            self._process.kill()
            await self._process.communicate()
            raise
        self._process = None

    def logged(self) -> str:
        """Everything it has written to standard error so far."""
        return self._log.read_text(errors="replace")

    def faults(self) -> list[str]:
        """The lines of its log that tell of an error."""
        return [line for line in self.logged().splitlines() if " ERROR " in line or " CRITICAL " in line]


@asynccontextmanager
async def api_process(
    uri: str, database: str, log: Path, port: int = 0, upkeep: float = 0.2, wire: str = "memory://"
) -> AsyncIterator[ApiProcess]:
    """An API process on a database, ended with the context. `upkeep` is how often it looks for others' changes."""
    settings = environment(
        CONNECT_INBOX_BIND=f"127.0.0.1:{port}",
        CONNECT_INBOX_UPKEEP_INTERVAL=upkeep,
        BROADCAST_URL=wire,
        MONGODB_URI=uri,
        MONGODB_DATABASE=database,
        MAKELEVEL=1,  # it ends with us, however we end
    )
    process = ApiProcess(settings, log)
    try:
        await process.start()
        yield process
    finally:
        await process.stop()
