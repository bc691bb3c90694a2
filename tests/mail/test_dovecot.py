"""The Dovecot that tests and the demo run."""

from __future__ import annotations

import asyncio
import sys
from asyncio.subprocess import PIPE

import pytest

from connect_inbox.demo.dovecot import Dovecot, DovecotFailed, answers, private_folder
from tests.dovecot import dovecot_server, need_dovecot

STARTER = """
import asyncio, sys
from pathlib import Path
from connect_inbox.demo.dovecot import Dovecot

async def main():
    server = Dovecot(Path(sys.argv[1]), {})
    await server.start()
    print(server.ports.plain, flush=True)
    await asyncio.sleep(60)

asyncio.run(main())
"""


async def test_it_ends_with_who_started_it_even_where_that_is_killed() -> None:
    need_dovecot()
    with private_folder() as folder:
        starter = await asyncio.create_subprocess_exec(sys.executable, "-c", STARTER, str(folder), stdout=PIPE)
        assert starter.stdout is not None
        port = int(await starter.stdout.readline())
        assert await answers(port)
        starter.kill()
        await starter.wait()
        async with asyncio.timeout(10):
            while await answers(port):
                await asyncio.sleep(0.01)


async def test_it_is_killed_and_started_again_with_all_it_had() -> None:
    async with dovecot_server({"anna": "secret"}) as server:
        server.deliver("anna", b"Subject: one\r\n\r\n")
        server.deliver("anna", b"Subject: two\r\n\r\n", "Archiv/Ältere")
        await server.kill()
        assert not await answers(server.ports.plain)
        await server.start()
        assert server.mails("anna") == [b"Subject: one\r\n\r\n"]
        assert server.mails("anna", "Archiv/Ältere") == [b"Subject: two\r\n\r\n"]


async def test_a_start_that_fails_says_why() -> None:
    need_dovecot()
    with private_folder() as folder:
        server = Dovecot(folder, {})
        (folder / "dovecot.conf").write_text("nonsense = 1\n")
        with pytest.raises(DovecotFailed, match="nonsense"):
            await server.start()
