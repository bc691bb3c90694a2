"""A real IMAP server, Dovecot, as a child process of ours: private configuration, own ports, users with passwords.

It runs as an ordinary user, never as root: mails are read by nobody else. Started by root it runs as `nobody`, which
must be able to enter the folder. It ends with us, also where we are killed. POSIX only.
"""

from __future__ import annotations

import asyncio
import contextlib
import grp
import itertools
import os
import pwd
import re
import shutil
import signal
import socket
import time
from asyncio.subprocess import DEVNULL, PIPE, Process
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from connect_inbox.demo.certificates import make_certificate
from connect_inbox.demo.dovecot_config import Installation, TokenCheck, configuration, token_configuration
from sync.imap_names import encode_name

MEMORY = Path("/dev/shm")  # where there is one, nobody waits for a disk
SYSTEM_FOLDERS = "/usr/sbin:/usr/local/sbin"  # not where an ordinary user's shell looks for commands
START_WAIT = 20.0  # seconds
STOP_WAIT = 5.0
POLL = 0.01
LOG_LINES = 10

# Ends with everything it started when its standard input does, or when the server ends by itself.
LAUNCHER = """
exec 3<&0
(read line <&3; kill -KILL 0) &
"$1" -F -c "$2" 3<&- </dev/null
kill -KILL 0
"""

names = itertools.count()  # of files that mails are delivered to


class DovecotFailed(Exception):
    """Dovecot is not there or does not start. The message says why, with the last lines of its log."""


def find_dovecot() -> str | None:
    """The command, as Debian's packages dovecot-core and dovecot-imapd bring it."""
    return shutil.which("dovecot", path=f"{os.environ.get('PATH', os.defpath)}:{SYSTEM_FOLDERS}")


@contextmanager
def private_folder() -> Iterator[Path]:
    """A folder for a server, gone at the end. Others may enter it, but neither list it nor what it holds."""
    parent = MEMORY if os.access(MEMORY, os.W_OK) else None
    with TemporaryDirectory(prefix="connect-inbox-dovecot-", dir=parent, ignore_cleanup_errors=True) as folder:
        os.chmod(folder, 0o711)
        yield Path(folder)


@asynccontextmanager
async def running_dovecot(
    accounts: dict[str, str], sent: str = "Sent", is_special_use: bool = True, token_check: TokenCheck | None = None
) -> AsyncIterator[Dovecot]:
    """A server with these passwords by user, in a folder of its own, that has ended when the context has."""
    with private_folder() as folder:
        server = Dovecot(folder, accounts, sent, is_special_use, token_check)
        try:
            await server.start()
            yield server
        finally:
            await server.kill()


@dataclass(frozen=True)
class Ports:
    tls: int
    plain: int  # where STARTTLS is offered, and not required


class Dovecot:
    """A server on ports that stay the same, and its users' mails. It does not run yet."""

    host = "localhost"

    def __init__(
        self, folder: Path, accounts: dict[str, str], sent: str = "Sent", is_special_use: bool = True,
        token_check: TokenCheck | None = None,
    ) -> None:  # fmt: skip
        self.folder = folder
        self.ports = Ports(*free_ports())
        self.accounts = dict(accounts)
        self._process: Process | None = None
        self._written = 0
        self._uid, self._gid = server_ids()
        certificate = make_certificate(folder)
        self.ca_file = str(certificate.ca_file)
        installation = Installation(
            folder, pwd.getpwuid(self._uid).pw_name, grp.getgrgid(self._gid).gr_name, self.ports.tls, self.ports.plain,
            certificate, sent, is_special_use, token_check is not None,
        )  # fmt: skip
        (folder / "dovecot.conf").write_text(configuration(installation))
        if token_check is not None:
            (folder / "tokens.conf").write_text(token_configuration(token_check))
        (folder / "mails").mkdir(mode=0o700, exist_ok=True)
        self._write_users()
        self._give(folder, *folder.iterdir())

    @property
    def port(self) -> int:
        return self.ports.tls

    @property
    def is_running(self) -> bool:
        return self._process is not None

    async def start(self) -> None:
        """Starts it, and waits until it answers. Raises `DovecotFailed`."""
        assert self._process is None, "it runs already"
        command = find_dovecot()
        if command is None:
            raise DovecotFailed("dovecot cannot be found; on Debian: apt install dovecot-imapd")
        self._clear_run_folder()
        ids: dict[str, Any] = {"user": self._uid, "group": self._gid, "extra_groups": []} if is_root() else {}
        log = self._open_log()
        try:
            self._process = await asyncio.create_subprocess_exec(
                *("/bin/sh", "-c", LAUNCHER, "dovecot", command, str(self.folder / "dovecot.conf")),
                stdin=PIPE, stdout=DEVNULL, stderr=log, cwd=self.folder, start_new_session=True, **ids,
            )  # fmt: skip
        finally:
            os.close(log)
        await self._wait_until_ready(self._process)

    def _clear_run_folder(self) -> None:
        """What one that was killed has left there would pass for one that runs."""
        run = self.folder / "run"
        shutil.rmtree(run, ignore_errors=True)
        run.mkdir(mode=0o755)  # else it says at each start that it changes that
        self._give(run)

    def _open_log(self) -> int:
        log = self.folder / "dovecot.log"
        descriptor = os.open(log, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)
        self._give(log)
        return descriptor

    async def _wait_until_ready(self, process: Process) -> None:
        try:
            async with asyncio.timeout(START_WAIT):
                while process.returncode is None:
                    if await answers(self.ports.plain):
                        return
                    await asyncio.sleep(POLL)
        except TimeoutError:
            pass
        await self.kill()
        lines = (self.folder / "dovecot.log").read_text(errors="replace").splitlines()
        raise DovecotFailed("\n".join(["dovecot does not start. Its log ends with:", *lines[-LOG_LINES:]]))

    async def kill(self) -> None:
        """All its processes at once, as if its machine had gone. Where it does not run this does nothing."""
        if self._process is None:
            return
        process, self._process = self._process, None
        assert process.stdin is not None
        process.stdin.close()
        try:
            os.killpg(process.pid, signal.SIGKILL)
        except ProcessLookupError:
            pass
        await process.wait()
        await self._wait_until_gone()

    async def _wait_until_gone(self) -> None:
        """Its processes end one after the other, and the last of them lets go of the ports."""
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(STOP_WAIT):
                while is_taken(self.ports.tls) or is_taken(self.ports.plain):
                    await asyncio.sleep(POLL)

    def set_password(self, user: str, password: str) -> None:
        """Who is let in with it, once Dovecot looks at its users again: within a second. The user may be a new one."""
        self.accounts[user] = password
        self._write_users()

    def _write_users(self) -> None:
        users, written = self.folder / "users", self.folder / "users.new"
        lines = (f"{user}:{{PLAIN.hex}}{password.encode().hex()}\n" for user, password in self.accounts.items())
        written.write_text("".join(lines))
        written.chmod(0o600)
        self._give(written)
        # A change within one second, to the same length, would not be seen.
        self._written = max(self._written + 1, int(time.time()))
        os.utime(written, (self._written, self._written))
        written.replace(users)

    def deliver(self, user: str, raw: bytes, folder: str = "INBOX") -> None:
        """Puts a mail into a user's folder, which is made where it is missing: all of it at once, and unseen."""
        maildir = self._maildir(user, folder)
        for made in (maildir.parent, maildir, *(maildir / part for part in ("cur", "new", "tmp"))):
            if not made.exists():
                made.mkdir(mode=0o700)
                self._give(made)
        now = time.time_ns()
        name = f"{now // 10**9}.M{now // 1000 % 10**6}P{os.getpid()}Q{next(names)}.{socket.gethostname()}"
        written = maildir / "tmp" / name
        written.write_bytes(raw)
        self._give(written)
        written.rename(maildir / "new" / name)

    def mails(self, user: str, folder: str = "INBOX") -> list[bytes]:
        """What a user's folder holds, in the order in which it came."""
        return [path.read_bytes() for path in self.files(user, folder)]

    def files(self, user: str, folder: str = "INBOX") -> list[Path]:
        """The same as files. After `:2,` in a name are letters for flags: S is one that has been seen."""
        maildir = self._maildir(user, folder)
        return sorted([*maildir.glob("new/*"), *maildir.glob("cur/*")], key=arrival)

    def reset_folder(self, user: str, folder: str = "INBOX") -> None:
        """As if the folder had been restored from a backup: its UIDVALIDITY is another, and its UIDs begin at 1."""
        maildir = self._maildir(user, folder)
        uids = maildir / "dovecot-uidlist"
        before = int(re.findall(r"\bV(\d+)", uids.read_text().splitlines()[0])[0]) if uids.exists() else 0
        for index in maildir.glob("dovecot.index*"):
            index.unlink()
        written = maildir / "dovecot-uidlist.new"
        written.write_text(f"3 V{max(before + 1, int(time.time()))} N1 G{os.urandom(16).hex()}\n")
        self._give(written)
        written.replace(uids)

    def _maildir(self, user: str, folder: str) -> Path:
        root = self.folder / "mails" / user / "Maildir"
        if not root.parent.exists():
            root.parent.mkdir(mode=0o700)
            self._give(root.parent)
        return root if folder == "INBOX" else root / ("." + encode_name(folder).replace("/", "."))

    def _give(self, *paths: Path) -> None:
        """To the one that it runs as."""
        if is_root():
            for path in paths:
                os.chown(path, self._uid, self._gid)


def is_root() -> bool:
    return os.geteuid() == 0


def server_ids() -> tuple[int, int]:
    """User and group that it runs as."""
    if not is_root():
        return os.getuid(), os.getgid()
    nobody = pwd.getpwnam("nobody")
    return nobody.pw_uid, nobody.pw_gid


def arrival(mail: Path) -> tuple[int, ...]:
    """From a Maildir file's name: second, microsecond, and a number where we gave it."""
    found = re.match(r"(\d+)\.M(\d+)P\d+(?:Q(\d+))?", mail.name)
    return tuple(int(part or 0) for part in found.groups()) if found else (0,)


def free_ports() -> tuple[int, int]:
    """Two that differ: both are held until both are known."""
    with socket.socket() as first, socket.socket() as second:
        first.bind(("127.0.0.1", 0))
        second.bind(("127.0.0.1", 0))
        return first.getsockname()[1], second.getsockname()[1]


def is_taken(port: int) -> bool:
    """Whether somebody listens there."""
    with socket.socket() as tried:
        return tried.connect_ex(("127.0.0.1", port)) == 0


async def answers(port: int) -> bool:
    """Whether a server says its first line there."""
    try:
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
    except OSError:
        return False
    try:
        return (await reader.readline()).startswith(b"* OK")
    except OSError:
        return False
    finally:
        writer.transport.abort()
