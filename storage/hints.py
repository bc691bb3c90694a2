"""What is done with hints: the workspaces that are followed in this process are brought up to what they say."""

from __future__ import annotations

import asyncio
import json
import logging
import math

from storage.log import Log

logger = logging.getLogger("connect_inbox.wire")

GAP = "gap"  # a message that stands for all that may have been lost before it
AT_ONCE = 8  # workspaces that are looked at at the same time

Hints = dict[str, float]  # workspaces, and how far their logs reach


class Hearing:
    """Looks at the log of each workspace that is hinted at: one look at a time for each, and a few workspaces at once.

    What is heard meanwhile is one number per workspace. One that stands still keeps no other waiting.
    """

    def __init__(self, log: Log) -> None:
        self._log = log
        self._heard: Hints = {}
        self._looking: dict[str, asyncio.Task[None]] = {}
        self._slots = asyncio.Semaphore(AT_ONCE)

    def hear(self, message: str) -> None:
        for workspace, position in self._hints(message).items():
            if self._log.lags(workspace, position):
                self._heard[workspace] = max(position, self._heard.get(workspace, 0))
                if workspace not in self._looking:
                    self._looking[workspace] = asyncio.create_task(self._look(workspace))

    def _hints(self, message: str) -> Hints:
        if message == GAP:
            return {head.workspace: math.inf for head in self._log.followed()}
        return hints_of(message)

    async def _look(self, workspace: str) -> None:
        while workspace in self._heard:
            async with self._slots:
                try:
                    await self._log.hinted(workspace, self._heard.pop(workspace))
                except Exception:
                    logger.exception("a hint of %s could not be followed", workspace)
        del self._looking[workspace]

    async def stop(self) -> None:
        """Ends the looks that are under way."""
        looking = list(self._looking.values())
        for task in looking:
            task.cancel()
        await asyncio.gather(*looking, return_exceptions=True)


def hints_of(message: str) -> Hints:
    """What a message says; nothing where it is none of ours, as whoever else uses the channel must not disturb us."""
    try:
        hints = json.loads(message)
    except (ValueError, RecursionError):
        return {}
    if not isinstance(hints, dict):
        return {}
    return {workspace: position for workspace, position in hints.items() if isinstance(position, int)}
