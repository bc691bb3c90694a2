"""Which hosts may be called."""

from __future__ import annotations

import pytest

from sync.calling import called
from sync.hosts import HostRefused, is_public, resolve
from tests.mail.hostile_imap import hostile_imap

NOBODY: frozenset[str] = frozenset()

LOOPBACK_FORMS = [
    "localhost",
    "LOCALHOST",
    "localhost.",
    "127.0.0.1",
    "127.1",
    "2130706433",
    "0177.0.0.1",
    "017700000001",
    "0x7f.0.0.1",
    "0x7f000001",
    "0",
    "0.0.0.0",
    "::1",
    "::",
    "::ffff:127.0.0.1",
    "::ffff:7f00:1",
    "0:0:0:0:0:ffff:127.0.0.1",
    "::127.0.0.1",
    "64:ff9b::127.0.0.1",
    "１２７.0.0.1",  # full-width digits, which are normalised to plain ones
]

PRIVATE = [
    "10.0.0.1",
    "172.16.0.1",
    "172.31.255.255",
    "192.168.1.1",
    "169.254.1.1",
    "100.64.0.1",
    "198.18.0.1",
    "224.0.0.1",
    "255.255.255.255",
    "fe80::1",
    "fe80::1%1",
    "fc00::1",
    "fec0::1",
    "ff02::1",
    "2002:7f00:1::",  # 6to4
    "2001:0:7f00:1::",  # Teredo
    "2001:db8::1",
    "::ffff:0:127.0.0.1",
    "::ffff:10.0.0.1",
    "64:ff9b::10.0.0.1",
    "64:ff9b:1::1",
]

METADATA = [
    "169.254.169.254",
    "2852039166",
    "0xa9fea9fe",
    "::ffff:169.254.169.254",
    "169.254.170.2",
    "fd00:ec2::254",
    "100.100.100.200",
    "168.63.129.16",
    "192.0.0.192",
]

PUBLIC = [
    "8.8.8.8",
    "172.32.0.1",
    "100.128.0.1",
    "192.0.1.1",
    "2001:4860:4860::8888",
    "64:ff9b::8.8.8.8",
    "::ffff:8.8.8.8",
]


@pytest.mark.parametrize("host", LOOPBACK_FORMS + PRIVATE + METADATA)
async def test_what_is_not_public_is_refused_in_every_form(host: str) -> None:
    with pytest.raises(HostRefused):
        await resolve(host, 993, NOBODY)


@pytest.mark.parametrize("address", PUBLIC)
async def test_what_is_public_may_be_called(address: str) -> None:
    assert is_public((await resolve(address, 993, NOBODY))[0])


@pytest.mark.parametrize("host", ["", " ", "a b", "a\nb", "a\0b", "x" * 64 + ".example", "x." * 200, "nowhere.invalid"])
async def test_what_is_no_host_is_refused(host: str) -> None:
    with pytest.raises(HostRefused):
        await resolve(host, 993, NOBODY)


@pytest.mark.parametrize("port", [25, 22, 80, 443, 6379, 0])
async def test_only_ports_of_mail_are_called(port: int) -> None:
    with pytest.raises(HostRefused, match="port"):
        await resolve("8.8.8.8", port, NOBODY)


async def test_a_host_that_is_allowed_by_name_may_have_any_address_and_port() -> None:
    assert (await resolve("localhost", 1143, frozenset({"LocalHost"})))[0] in {"127.0.0.1", "::1"}
    with pytest.raises(HostRefused):
        await resolve("127.0.0.1", 993, frozenset({"localhost"}))


async def test_a_name_is_looked_up_once() -> None:
    """A name server that says something public first, and something private then, is asked no second time."""
    answers = [["8.8.8.8"], ["127.0.0.1"]]

    async def rebinding(host: str, port: int) -> list[str]:
        return answers.pop(0)

    assert await resolve("rebinding.example", 993, NOBODY, rebinding) == ["8.8.8.8"]
    assert len(answers) == 1
    with pytest.raises(HostRefused):
        await resolve("rebinding.example", 993, NOBODY, rebinding)


async def test_one_private_address_among_public_ones_is_enough_to_refuse() -> None:
    async def mixed(host: str, port: int) -> list[str]:
        return ["8.8.8.8", "10.0.0.1"]

    with pytest.raises(HostRefused):
        await resolve("mixed.example", 993, NOBODY, mixed)


async def test_the_next_address_is_tried_where_the_first_does_not_answer() -> None:
    async with hostile_imap() as server:
        connection = await called(["::1", "127.0.0.2", "127.0.0.1"], server.port, 5.0)
        assert connection.getpeername() == ("127.0.0.1", server.port)
        connection.close()
