"""What goes on without a request: repairing, following what other processes did, and forgetting old log entries.

Nothing depends on when it runs: a hint that was lost is only late by it, and whoever needs a workspace repairs it too.
"""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Awaitable, Callable, Iterable

from storage.files import remove_leftovers
from storage.store import Store
from storage.workspaces import workspaces

logger = logging.getLogger("connect_inbox.upkeep")

AT_ONCE = 8  # workspaces that are looked after at the same time; others are repaired one by one, behind the requests
PRUNE_INTERVAL = 600.0  # seconds
DAY = 24 * 60 * 60 * 1000  # milliseconds


async def run_upkeep(store: Store, interval: float, log_days: float) -> None:
    """Goes on until it is cancelled. Errors are logged and end nothing.

    Every `interval` seconds it looks after the workspaces that are followed here or that something was left undone in,
    every ten minutes it forgets what is older than `log_days` and removes what broken uploads have left; at the
    beginning it repairs every workspace.
    """
    async with asyncio.TaskGroup() as tasks:
        tasks.create_task(keep_following(store, interval))
        tasks.create_task(repair_all(store))
        tasks.create_task(keep_pruning(store, log_days))


async def keep_following(store: Store, interval: float) -> None:
    while True:
        await asyncio.sleep(interval)
        await for_each("refresh", [head.workspace for head in store.log.followed()], store.log.refresh, AT_ONCE)
        await for_each("repair", [head.workspace for head in store.log.unfinished()], store.log.complete, AT_ONCE)


async def repair_all(store: Store) -> None:
    """Finishes what a process that ended had committed and not applied."""
    await for_each("repair", await all_workspaces(store), store.log.refresh)


async def keep_pruning(store: Store, log_days: float) -> None:
    async def prune(workspace: str) -> None:
        before = int(time.time() * 1000 - log_days * DAY)
        while await store.log.prune(workspace, before):
            pass

    while True:
        await for_each("prune", await all_workspaces(store), prune)
        try:
            await remove_leftovers(store)
        except Exception:
            logger.exception("what uploads have left could not be removed")
        await asyncio.sleep(PRUNE_INTERVAL)


async def all_workspaces(store: Store) -> list[str]:
    """Every workspace there is; none where the database does not answer, and the next round asks again."""
    try:
        return [workspace["_id"] for workspace in await workspaces(store)]
    except Exception:
        logger.exception("the workspaces could not be listed")
        return []


async def for_each(what: str, ids: Iterable[str], work: Callable[[str], Awaitable[object]], at_once: int = 1) -> None:
    """Does something for each workspace, whatever becomes of it for the others."""
    limit = asyncio.Semaphore(at_once)

    async def do(id: str) -> None:
        async with limit:
            try:
                await work(id)
            except Exception:
                logger.exception("%s of %s failed", what, id)

    await asyncio.gather(*(do(id) for id in ids))
