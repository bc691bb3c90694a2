"""A network between a client and a server that can be cut."""

from __future__ import annotations

import asyncio
from asyncio import StreamReader, StreamWriter
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager, suppress
from urllib.parse import urlsplit


class Proxy:
    """Passes on what comes to its port. `url` is the server's address as it is behind it."""

    def __init__(self, url: str, port: int) -> None:
        parts = urlsplit(url)
        self.url = parts._replace(netloc=f"127.0.0.1:{port}").geturl()
        self._host, self._port = str(parts.hostname), int(parts.port or 80)
        self._open: set[StreamWriter] = set()
        self._is_silent = False
        self._silences = 0  # that are over

    async def handle(self, reader: StreamReader, writer: StreamWriter) -> None:
        try:
            there_reader, there_writer = await asyncio.open_connection(self._host, self._port)
        except OSError:
            writer.transport.abort()
            return
        self._open |= {writer, there_writer}
        before = self._silences

        def passes() -> bool:
            return not self._is_silent and self._silences == before

        try:
            await asyncio.gather(pass_on(reader, there_writer, passes), pass_on(there_reader, writer, passes))
        finally:
            self._open -= {writer, there_writer}
            abort([writer, there_writer])

    def cut(self) -> None:
        """Both ends lose their connections, in the middle of whatever they say."""
        assert self._open, "nobody is connected"
        abort(self._open)

    def begin_silence(self) -> None:
        """Nothing passes any more, and nobody is told."""
        self._is_silent = True

    def end_silence(self) -> None:
        """New connections work. Those from before stay open, and silent for ever."""
        self._is_silent = False
        self._silences += 1


async def pass_on(reader: StreamReader, writer: StreamWriter, passes: Callable[[], bool]) -> None:
    with suppress(OSError):
        while data := await reader.read(65536):
            if passes():
                writer.write(data)
                await writer.drain()
        writer.write_eof()


def abort(writers: set[StreamWriter] | list[StreamWriter]) -> None:
    for writer in writers:
        writer.transport.abort()


@asynccontextmanager
async def proxy_to(url: str) -> AsyncIterator[Proxy]:
    """A proxy to an address, for as long as the context is open."""
    proxies: list[Proxy] = []
    server = await asyncio.start_server(lambda reader, writer: proxies[0].handle(reader, writer), "127.0.0.1", 0)
    proxies.append(Proxy(url, server.sockets[0].getsockname()[1]))
    async with server:
        yield proxies[0]
        abort(proxies[0]._open)
