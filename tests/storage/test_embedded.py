"""The embedded database, with real processes: what it keeps, whom it refuses, and that it ends with us."""

import asyncio
import os
import signal
import socket
import sys
import time
from asyncio.subprocess import PIPE, Process
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path

import pytest
from pymongo import AsyncMongoClient

from storage import embedded
from storage.embedded import DataFolderInUse, EmbeddedEngineError, embedded_engine

PROJECT = Path(__file__).parents[2]
DEADLINE = 20.0


async def write(uri: str, id: str) -> None:
    async with AsyncMongoClient[dict[str, object]](uri) as client:
        await client.shop.things.insert_one({"_id": id})


async def read(uri: str) -> list[object]:
    async with AsyncMongoClient[dict[str, object]](uri) as client:
        return [document["_id"] async for document in client.shop.things.find().sort("_id", 1)]


def accepts(port: int, host: str = "127.0.0.1") -> bool:
    try:
        socket.create_connection((host, port), timeout=1).close()
    except OSError:
        return False
    return True


def port_of(uri: str) -> int:
    return int(uri.rpartition(":")[2])


async def wait_until(condition: Callable[[], bool]) -> None:
    async with asyncio.timeout(DEADLINE):
        while True:
            if condition():
                return
            await asyncio.sleep(0.02)


async def hold(folder: Path) -> None:
    """What the child process does: open the folder, say where, and write once more when it is told to end."""
    async with embedded_engine(folder) as uri:
        print(uri, flush=True)
        try:
            await asyncio.Event().wait()
        finally:
            await write(uri, "last words")


@asynccontextmanager
async def holder(folder: Path) -> AsyncIterator[tuple[Process, str]]:
    """A process of its own, in a group of its own, that has the folder open; and the URI there."""
    command = [sys.executable, "-m", "tests.storage.test_embedded", str(folder)]
    process = await asyncio.create_subprocess_exec(*command, cwd=PROJECT, stdout=PIPE, start_new_session=True)
    assert process.stdout is not None
    try:
        async with asyncio.timeout(DEADLINE):
            uri = (await process.stdout.readline()).decode().strip()
        assert uri, "the child process ended before it had the folder open"
        yield process, uri
    finally:
        if process.returncode is None:
            process.kill()
        await process.communicate()


async def test_the_data_is_there_after_a_stop_and_a_start(tmp_path: Path) -> None:
    async with embedded_engine(tmp_path / "new" / "data") as uri:
        await write(uri, "one")
    assert not accepts(port_of(uri))
    async with embedded_engine(tmp_path / "new" / "data") as uri:
        assert await read(uri) == ["one"]


async def test_it_listens_on_one_loopback_address_only(tmp_path: Path) -> None:
    async with embedded_engine(tmp_path) as uri:
        assert uri.startswith("mongodb://127.0.0.1:")
        assert accepts(port_of(uri))
        assert not accepts(port_of(uri), "127.0.0.2")


async def test_only_the_owner_can_read_the_data(tmp_path: Path) -> None:
    async with embedded_engine(tmp_path / "data") as uri:
        await write(uri, "one")
    found = [tmp_path / "data", *(tmp_path / "data").iterdir()]
    assert len(found) > 1
    assert not [path.name for path in found if path.stat().st_mode & 0o077]


async def test_a_second_start_on_the_folder_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(embedded, "LOCK_WAIT", 0.2)
    async with holder(tmp_path) as (_, uri):
        with pytest.raises(DataFolderInUse, match=f"The data folder {tmp_path} is in use by another process"):
            async with embedded_engine(tmp_path):
                pass
        await write(uri, "one")  # The first one is as before.


async def test_it_waits_for_the_folder_when_the_other_is_just_ending(tmp_path: Path) -> None:
    async with holder(tmp_path) as (process, _):
        process.terminate()
        async with embedded_engine(tmp_path):
            pass


async def test_it_ends_when_we_are_killed_and_the_folder_opens_again(tmp_path: Path) -> None:
    async with holder(tmp_path) as (process, uri):
        await write(uri, "one")
        process.kill()
        await wait_until(lambda: not accepts(port_of(uri)))
        async with embedded_engine(tmp_path) as again:
            assert await read(again) == ["one"]


async def test_the_folder_opens_at_once_when_its_last_owner_was_just_killed(tmp_path: Path) -> None:
    async with holder(tmp_path) as (process, uri):
        await write(uri, "one")
        process.kill()
        async with embedded_engine(tmp_path) as again:
            assert await read(again) == ["one"]


async def test_ctrl_c_leaves_the_database_to_our_own_shutdown(tmp_path: Path) -> None:
    async with holder(tmp_path) as (process, uri):
        os.killpg(process.pid, signal.SIGINT)
        async with asyncio.timeout(DEADLINE):
            await process.wait()
        assert not accepts(port_of(uri))
    async with embedded_engine(tmp_path) as uri:
        assert await read(uri) == ["last words"]


async def test_a_pid_file_left_behind_does_not_matter(tmp_path: Path) -> None:
    (tmp_path / embedded.PID_FILE).write_text(str(os.getpid()))
    async with embedded_engine(tmp_path) as uri:
        await write(uri, "one")


async def test_a_folder_that_cannot_be_written_is_refused(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(EmbeddedEngineError, match=f"The data folder {tmp_path}/file/data cannot be written"):
        async with embedded_engine(tmp_path / "file" / "data"):
            pass


async def test_a_server_that_dies_at_start_is_reported_with_its_last_words(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    launcher = tmp_path / "launcher.py"
    launcher.write_text("raise SystemExit('no room on this machine')")
    with monkeypatch.context() as patch:
        patch.setattr(embedded, "LAUNCHER", launcher)
        with pytest.raises(EmbeddedEngineError, match="(?s)ended with 1.*no room on this machine"):
            async with embedded_engine(tmp_path / "data"):
                pass
    async with embedded_engine(tmp_path / "data"):  # It did not keep the folder.
        pass


async def test_a_server_that_says_nothing_is_given_up(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    launcher = tmp_path / "launcher.py"
    launcher.write_text("import sys; sys.stdin.read()")
    monkeypatch.setattr(embedded, "LAUNCHER", launcher)
    monkeypatch.setattr(embedded, "START_WAIT", 0.3)
    started = time.monotonic()
    with pytest.raises(EmbeddedEngineError, match="did not answer within"):
        async with embedded_engine(tmp_path / "data"):
            pass
    assert time.monotonic() - started < DEADLINE


if __name__ == "__main__":
    asyncio.run(hold(Path(sys.argv[1])))
