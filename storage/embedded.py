"""The embedded database: NX-27017 as a child process of ours, with a data folder. POSIX only."""

import asyncio
import fcntl
import os
import re
import sys
from asyncio.subprocess import DEVNULL, PIPE, Process
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

from pymongo import AsyncMongoClient
from pymongo.errors import PyMongoError

LAUNCHER = Path(__file__).with_name("embedded_launcher.py")
LOCK_FILE = "engine.lock"
PID_FILE = "engine.pid"
LOG_FILE = "engine.log"
OLD_LOG_FILE = "engine.log.old"

LOCK_WAIT = 3.0  # seconds for the server of a process that was just killed to let go of the folder
START_WAIT = 30.0
STOP_WAIT = 10.0
POLL = 0.02
LOG_LINES = 20


class EmbeddedEngineError(Exception):
    """The embedded database cannot start. The message says why, with the last lines of its log if it has any."""


class DataFolderInUse(EmbeddedEngineError):
    """Another process has this data folder open."""


@asynccontextmanager
async def embedded_engine(folder: Path) -> AsyncIterator[str]:
    """Run the embedded database on `folder`, which is made if it is missing, and yield its URI.

    The server answers when the URI is yielded, listens on 127.0.0.1 only, and has ended when the context has.
    It ends by itself when this process is killed. One server at a time has a folder.

    Raises `DataFolderInUse` if another one has it, `EmbeddedEngineError` if the folder cannot be written or the
    server does not start.
    """
    lock = await lock_folder(folder)
    try:
        server = await start_server(folder, lock)
    finally:
        os.close(lock)  # The server has a copy, and holds the lock for exactly as long as it lives.
    try:
        uri = await wait_until_ready(server, folder)
        yield uri
    finally:
        await stop_server(server)


async def lock_folder(folder: Path) -> int:
    """A descriptor of the folder's lock file, locked. Waits a moment for a server that is just ending."""
    lock = open_lock_file(folder)
    deadline = asyncio.get_running_loop().time() + LOCK_WAIT
    try:
        while not try_lock(lock):
            if asyncio.get_running_loop().time() > deadline:
                raise DataFolderInUse(
                    f"The data folder {folder} is in use by another process. "
                    "Stop that one, or choose another folder, or let both use one MongoDB."
                )
            await asyncio.sleep(POLL)
    except BaseException:
        os.close(lock)
        raise
    return lock


def open_lock_file(folder: Path) -> int:
    try:
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        if not os.access(folder, os.W_OK | os.X_OK):
            raise PermissionError(None, "Permission denied")
        return os.open(folder / LOCK_FILE, os.O_RDWR | os.O_CREAT, 0o600)
    except OSError as error:
        raise EmbeddedEngineError(f"The data folder {folder} cannot be written: {error.strerror}") from error


def try_lock(lock: int) -> bool:
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True


async def start_server(folder: Path, lock: int) -> Process:
    """Start the server in a session of its own, so that Ctrl-C does not reach it before our own shutdown is done."""
    # A pid file left by a killed server would stop this one if its number is in use again. The lock says more.
    (folder / PID_FILE).unlink(missing_ok=True)
    log = open_log(folder)
    # fmt: off
    arguments = [
        "--data-dir", str(folder), "--host", "127.0.0.1",
        "--port", "0",  # The server picks a free one and logs it: a port that we picked could be taken meanwhile.
        "--pid-file", str(folder / PID_FILE),
        "--log-file", os.devnull,  # It logs to standard error as well, where its last words are, too.
    ]
    # fmt: on
    try:
        # -P: the launcher's own folder must not come first where the server looks for modules.
        return await asyncio.create_subprocess_exec(
            *(sys.executable, "-P", str(LAUNCHER), str(os.getpid()), *arguments),
            stdin=PIPE,
            stdout=DEVNULL,
            stderr=log,
            pass_fds=[lock],
            start_new_session=True,
            umask=0o077,
        )
    finally:
        os.close(log)


def open_log(folder: Path) -> int:
    """An empty log file. The one before is kept, and no older ones."""
    log = folder / LOG_FILE
    if log.exists():
        log.replace(folder / OLD_LOG_FILE)
    return os.open(log, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)


async def wait_until_ready(server: Process, folder: Path) -> str:
    """The URI of the server, once it answers. Raises `EmbeddedEngineError` if it ends or is silent instead."""
    try:
        async with asyncio.timeout(START_WAIT):
            while server.returncode is None:
                port = logged_port(folder)
                if port is not None:
                    await ping(uri := f"mongodb://127.0.0.1:{port}")
                    return uri
                await asyncio.sleep(POLL)
            reason = f"ended with {server.returncode}"
    except TimeoutError:
        reason = f"did not answer within {START_WAIT:.0f} seconds"
    except PyMongoError as error:
        reason = f"did not answer: {error}"
    raise EmbeddedEngineError(f"The embedded database on {folder} {reason}. Its log ends with:\n{log_tail(folder)}")


def logged_port(folder: Path) -> int | None:
    found = re.search(r"Listening on 127\.0\.0\.1:(\d+)\s", read_log(folder))
    return int(found[1]) if found else None


def log_tail(folder: Path) -> str:
    return "\n".join(read_log(folder).splitlines()[-LOG_LINES:])


def read_log(folder: Path) -> str:
    return (folder / LOG_FILE).read_text(errors="replace")


async def ping(uri: str) -> None:
    async with AsyncMongoClient[dict[str, object]](uri, serverSelectionTimeoutMS=int(START_WAIT * 1000)) as client:
        await client.admin.command("ping")


async def stop_server(server: Process) -> None:
    """End the server and wait for that. Were this cancelled, it ends all the same: its input is closed."""
    assert server.stdin is not None  # It is a pipe.
    server.stdin.close()
    try:
        async with asyncio.timeout(STOP_WAIT):
            await server.wait()
    except TimeoutError:
        server.kill()
        await server.wait()
