"""A database server of its own, for a test to do harm to."""

from __future__ import annotations

import contextlib
import os
import signal
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path

from storage.embedded import PID_FILE, embedded_engine


@dataclass(frozen=True)
class Engine:
    uri: str
    process: int

    def freeze(self) -> None:
        """It is there, and says nothing any more."""
        os.kill(self.process, signal.SIGSTOP)

    def thaw(self) -> None:
        os.kill(self.process, signal.SIGCONT)

    def kill(self) -> None:
        os.kill(self.process, signal.SIGKILL)


@asynccontextmanager
async def engine_in(folder: Path) -> AsyncIterator[Engine]:
    async with embedded_engine(folder) as uri:
        engine = Engine(uri, int((folder / PID_FILE).read_text()))
        try:
            yield engine
        finally:
            with contextlib.suppress(ProcessLookupError):  # it was killed
                engine.thaw()
