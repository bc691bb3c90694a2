"""Which hosts may be called: those of the public Internet, on the ports of mail, and those that are allowed by name.

A name is resolved once, and the address that was looked at is the one to connect to, with `server_hostname` for the
certificate: a second answer from the name server could be another.
"""

from __future__ import annotations

import asyncio
import socket
from collections.abc import Awaitable, Callable
from ipaddress import IPv4Address, IPv6Address, ip_address, ip_network

MAIL_PORTS = frozenset({993, 143, 465, 587})
LOOKUP_TIMEOUT = 10.0  # seconds
MAX_NAME = 253  # characters (RFC 1035)

# What is not the public Internet, after the registries of special addresses (RFC 6890). Written out, as what Python
# calls global differs between its versions, and holds some from which a cloud tells its machines their secrets.
NOT_PUBLIC = [
    ip_network(network)
    for network in (
        "0.0.0.0/8", "10.0.0.0/8", "100.64.0.0/10", "127.0.0.0/8", "169.254.0.0/16", "172.16.0.0/12", "192.0.0.0/24",
        "192.0.2.0/24", "192.88.99.0/24", "192.168.0.0/16", "198.18.0.0/15", "198.51.100.0/24", "203.0.113.0/24",
        "224.0.0.0/4", "240.0.0.0/4",
        "168.63.129.16/32",  # Azure's, to its machines
        "2001::/23", "2001:db8::/32", "2002::/16", "3fff::/20",
    )
]  # fmt: skip
PUBLIC_IPV6 = ip_network("2000::/3")
TRANSLATED = ip_network("64:ff9b::/96")  # IPv4 addresses, as a network without IPv4 has them (RFC 6052)

Lookup = Callable[[str, int], Awaitable[list[str]]]


class HostRefused(Exception):
    """A host cannot be found or may not be called. `reason` is one line for people."""

    def __init__(self, reason: str) -> None:
        super().__init__(reason)
        self.reason = reason


async def addresses_of(host: str, port: int) -> list[str]:
    """What the system's resolver says, the best first."""
    found = await asyncio.get_running_loop().getaddrinfo(host, port, type=socket.SOCK_STREAM)
    return [str(address[0]) for *_, address in found]


async def resolve(host: str, port: int, allowed: frozenset[str], lookup: Lookup = addresses_of) -> list[str]:
    """Where the host can be reached, to be tried in this order.

    Raises `HostRefused`, also where only one of several addresses is not public.
    """
    is_allowed = host.casefold() in {name.casefold() for name in allowed}
    if not is_allowed and port not in MAIL_PORTS:
        raise HostRefused(f"port {port} is none of mail; use one of {', '.join(map(str, sorted(MAIL_PORTS)))}")
    addresses = await looked_up(host, port, lookup)
    if not is_allowed and not all(is_public(address) for address in addresses):
        raise HostRefused("the host's address is not one of the public Internet")
    return addresses


async def looked_up(host: str, port: int, lookup: Lookup) -> list[str]:
    if not host or len(host) > MAX_NAME or not host.isprintable() or any(letter.isspace() for letter in host):
        raise HostRefused("this is no host's name")
    try:
        async with asyncio.timeout(LOOKUP_TIMEOUT):
            addresses = await lookup(host, port)
    except TimeoutError:
        raise HostRefused("the host's name could not be looked up in time") from None
    except (OSError, UnicodeError):
        addresses = []
    if not addresses:
        raise HostRefused("there is no host of this name")
    return addresses


def is_public(address: str) -> bool:
    """Whether an address is one of the public Internet, also where it is written as one of IPv6."""
    ip = unwrapped(ip_address(address))
    if isinstance(ip, IPv6Address) and ip not in PUBLIC_IPV6:
        return False
    return not any(ip in network for network in NOT_PUBLIC)


def unwrapped(ip: IPv4Address | IPv6Address) -> IPv4Address | IPv6Address:
    if isinstance(ip, IPv4Address):
        return ip
    if ip in TRANSLATED:
        return IPv4Address(int(ip) & 0xFFFFFFFF)
    return ip.ipv4_mapped or ip
