"""Calling a mail server: only where that is allowed, at an address that was looked at, trusting whom we are told to."""

from __future__ import annotations

import asyncio
import socket
import ssl
from functools import lru_cache

from sync.hosts import HostRefused, resolve
from sync.mail_server import Failure, MailServer, MailServerFailed


async def call(server: MailServer, seconds: float) -> socket.socket:
    """A connection on which nothing has been said yet. Raises MailServerFailed."""
    if server.encryption == "none" and not is_allowed(server):
        raise MailServerFailed(Failure.TLS, "without encryption only hosts are called that are allowed by name")
    try:
        addresses = await resolve(server.host, server.port, server.allowed_hosts)
    except HostRefused as refused:
        raise MailServerFailed(Failure.HOST, refused.reason) from None
    return await called(addresses, server.port, seconds)


def is_allowed(server: MailServer) -> bool:
    return server.host.casefold() in {each.casefold() for each in server.allowed_hosts}


async def called(addresses: list[str], port: int, seconds: float) -> socket.socket:
    """A connection to the first address that answers."""
    reason = "it does not answer"
    for address in addresses:
        try:
            return await connection_to(address, port, seconds / len(addresses))
        except OSError as error:  # which a timeout is, too
            reason = error.strerror or reason
    raise MailServerFailed(Failure.HOST, f"the host cannot be reached: {reason}")


async def connection_to(address: str, port: int, seconds: float) -> socket.socket:
    family = socket.AF_INET6 if ":" in address else socket.AF_INET
    connection = socket.socket(family, socket.SOCK_STREAM, socket.IPPROTO_TCP)  # said, or asyncio leaves Nagle's delays
    try:
        connection.setblocking(False)
        connection.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
        async with asyncio.timeout(seconds):
            await asyncio.get_running_loop().sock_connect(connection, (address, port))
        return connection
    except BaseException:
        connection.close()
        raise


async def tls_context(server: MailServer) -> ssl.SSLContext:
    """Made once for each file: reading the system's authorities takes longer than others should wait."""
    try:
        return await asyncio.to_thread(context_of, server.ca_file)
    except OSError:
        raise MailServerFailed(
            Failure.TLS, "the certificates of the authorities to be trusted cannot be read"
        ) from None


@lru_cache(maxsize=16)
def context_of(ca_file: str | None) -> ssl.SSLContext:
    return ssl.create_default_context(cafile=ca_file)
