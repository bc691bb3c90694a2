"""Measures mail; `bench/mail/__init__.py` says what."""

from __future__ import annotations

import argparse
import asyncio
import shutil
import sys
import tempfile
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import asdict, dataclass
from pathlib import Path

import orjson
from aiosmtplib import SMTP
from websockets.asyncio.client import ClientConnection, connect
from websockets.typing import Subprotocol

from bench.mail.brand import ADDRESS, PASSWORD, PEOPLE, BenchBrand, a_mail, address_of, deliver, open_brand
from bench.measure import Figures
from bench.report import print_rows
from connect_inbox.demo.dovecot import find_dovecot
from schema.types.message import MessageDirection, MessageKind
from storage import mail_states
from storage.messages import NewMessage
from storage.outbox import WAITING, NewMail, send_mail
from sync.mail_service import mail_service

LIVE_RUNS = 100
SUBSCRIPTION = "subscription($since: String) { messageAdded(since: $since) { message { id } } }"
TEXT = "Would you like to take part again? The brief is on its way to you. " * 10
MBSYNC = """IMAPStore remote
Host localhost
Port {port}
User {user}
Pass {password}
SSLType IMAPS
SystemCertificates no
CertificateFile {ca_file}

MaildirStore local
Path {folder}/
Inbox {folder}/INBOX

Channel all
Far :remote:
Near :local:
Patterns INBOX
Sync Pull
Create Near
SyncState {folder}/state-
"""


@dataclass(frozen=True)
class Found:
    """Mails per second, and milliseconds."""

    mails: int
    known: float
    strangers: float
    mbsync: float
    live_p50: float
    live_p99: float
    sends: int
    sent: float
    bare_sent: float


def say(text: str) -> None:
    print(text, file=sys.stderr, flush=True)


async def run(options: argparse.Namespace) -> None:
    say(f"{options.mails:,} mails of people who are known ...")
    async with open_brand() as brand:
        known = await reading(brand, options.mails, known=True)
        copied = await mbsync(brand, options.mails)
        say("live ...")
        live = await following(brand)
        say(f"{options.sends:,} sends ...")
        sent = await sending(brand, options.sends)
        bare = await bare_sending(brand, options.sends)
    say(f"{options.mails:,} mails of strangers ...")
    async with open_brand() as brand:
        strangers = await reading(brand, options.mails, known=False)
    found = Found(
        options.mails, options.mails / known, options.mails / strangers, options.mails / copied,
        1000 * live.median, 1000 * live.percentile(99), options.sends, options.sends / sent, options.sends / bare,
    )  # fmt: skip
    report(found)
    if options.json:
        print(orjson.dumps(asdict(found)).decode())


async def reading(brand: BenchBrand, count: int, known: bool) -> float:
    """Seconds from when the mailbox begins to be read until all that was there is done."""
    await deliver(brand, count, known)
    started = time.perf_counter()
    async with mail_service(brand.store, brand.access):
        await until_read(brand, count)
    return time.perf_counter() - started


async def until_read(brand: BenchBrand, uid: int) -> None:
    while (await mail_states.folder_states(brand.store, brand.mailbox))[mail_states.INBOX].last_uid < uid:
        await asyncio.sleep(0.05)


async def mbsync(brand: BenchBrand, count: int) -> float:
    """Seconds that mbsync takes to copy the mailbox."""
    with tempfile.TemporaryDirectory(prefix="connect-inbox-bench-") as folder:
        configuration = Path(folder) / "mbsyncrc"
        configuration.write_text(MBSYNC.format(
            port=brand.dovecot.port, user=ADDRESS, password=PASSWORD, ca_file=brand.dovecot.ca_file, folder=folder,
        ))  # fmt: skip
        started = time.perf_counter()
        process = await asyncio.create_subprocess_exec("mbsync", "-q", "-c", str(configuration), "all")
        assert await process.wait() == 0, "mbsync failed"
        took = time.perf_counter() - started
        assert copied(Path(folder)) == count, "mbsync has copied all"
        return took


def copied(folder: Path) -> int:
    return len(list(folder.glob("INBOX/*/*")))


async def following(brand: BenchBrand) -> Figures:
    """From delivery to a subscriber, one mail at a time."""
    found = Figures([], [])
    async with mail_service(brand.store, brand.access), subscribed(brand) as socket:
        for number in range(LIVE_RUNS + 10):
            receiving = asyncio.create_task(received(socket))
            started = time.perf_counter()
            brand.dovecot.deliver(ADDRESS, a_mail(1_000_000 + number, address_of(number % PEOPLE)))
            at = await receiving
            if number >= 10:
                found.times.append(at - started)
    return found


async def received(socket: ClientConnection) -> float:
    assert orjson.loads(await socket.recv())["type"] == "next"
    return time.perf_counter()


@asynccontextmanager
async def subscribed(brand: BenchBrand) -> AsyncIterator[ClientConnection]:
    """A socket that is told of each message from now on."""
    variables = {"since": await brand.store.log.position(brand.workspace)}
    async with connect(brand.url, subprotocols=[Subprotocol("graphql-transport-ws")]) as socket:
        init = {"type": "connection_init", "payload": {"Authorization": f"Bearer {await brand.token()}"}}
        await socket.send(orjson.dumps(init).decode())
        assert orjson.loads(await socket.recv())["type"] == "connection_ack"
        asked = {"id": "1", "type": "subscribe", "payload": {"query": SUBSCRIPTION, "variables": variables}}
        await socket.send(orjson.dumps(asked).decode())
        yield socket


async def sending(brand: BenchBrand, count: int) -> float:
    """Seconds from when the outbox is looked into until each mail in it is known to be sent."""
    for number in range(count):
        message = NewMessage(
            brand.threads[number % PEOPLE], MessageDirection.OUTBOUND, MessageKind.DIRECT,
            f"Number {number}. {TEXT}", subject="Spring campaign",
        )  # fmt: skip
        await send_mail(brand.store, brand.caller, NewMail(message, None, []), None)
    started = time.perf_counter()
    async with mail_service(brand.store, brand.access):
        while await brand.store.database.find("outbox", {"stage": WAITING}, limit=1):
            await asyncio.sleep(0.05)
    took = time.perf_counter() - started
    assert len(brand.smtp.mails) == count, "each was sent once"
    return took


async def bare_sending(brand: BenchBrand, count: int) -> float:
    """The same mails, one after the other over one connection."""
    mails = list(brand.smtp.mails)
    client = SMTP(hostname="127.0.0.1", port=brand.smtp.port, use_tls=False, start_tls=False)
    started = time.perf_counter()
    async with client:
        await client.login(ADDRESS, PASSWORD)
        for mail in mails[:count]:
            await client.sendmail(ADDRESS, mail.recipients, mail.raw)
    return time.perf_counter() - started


def report(found: Found) -> None:
    print_rows([
        ["mail", "", "of the peer"],
        [f"in: mails a second, of {found.mails:,}", f"{found.known:.0f}", f"{found.known / found.mbsync:.3f}"],
        ["in: mails a second of strangers", f"{found.strangers:.0f}", f"{found.strangers / found.mbsync:.3f}"],
        ["in: mbsync, into a Maildir", f"{found.mbsync:.0f}", "1"],
        ["live: ms from delivery to a subscriber, p50, p99", f"{found.live_p50:.1f} {found.live_p99:.1f}", ""],
        [f"out: mails a second, of {found.sends:,}", f"{found.sent:.0f}", f"{found.sent / found.bare_sent:.3f}"],
        ["out: aiosmtplib in a bare loop", f"{found.bare_sent:.0f}", "1"],
    ])  # fmt: skip


def arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m bench.mail", description="Measures mail.")
    parser.add_argument("--mails", type=int, default=10_000, metavar="N", help="in the mailbox (10000)")
    parser.add_argument("--sends", type=int, default=500, metavar="N", help="in the outbox (500)")
    parser.add_argument("--json", action="store_true", help="one line of JSON at the end")
    return parser.parse_args()


def main() -> None:
    if find_dovecot() is None or shutil.which("mbsync") is None:
        raise SystemExit("Dovecot and mbsync are needed; on Debian: apt install dovecot-imapd isync")
    asyncio.run(run(arguments()))


if __name__ == "__main__":
    main()
