"""schemathesis against the demo: operations made of the schema, none of which may be answered with a fault.

It gets an environment of its own, from a lock file of its own, that is gone afterwards.
"""

from __future__ import annotations

import asyncio
import json
import os
import sys
import tempfile
import venv
from pathlib import Path

from tests.commands import PROJECT, environment

FOLDER = Path(__file__).parent
CASES = 12  # of each operation, for each token
DEMO = ["--json", "--no-traffic", "--port", "0", "--influencers", "8"]
TOKENS = ("memberToken", "partnerToken")  # an ADMIN's, and one with all scopes
DEADLINE = 150.0  # seconds, for one token
OPTIONS = ["--checks", "promised", "--phases", "fuzzing", "--max-examples", str(CASES), "--generation-deterministic",
           "--no-color"]  # fmt: skip


async def run(folder: Path) -> int:
    """How many runs have failed; one more where the demo's log tells of an error."""
    command = await installed(folder)
    log = folder / "log"
    with log.open("wb") as errors:
        demo = await asyncio.create_subprocess_exec(
            sys.executable, "-m", "connect_inbox", "demo", *DEMO,
            cwd=PROJECT, env=environment(TMPDIR=folder), stdout=asyncio.subprocess.PIPE, stderr=errors,
        )  # fmt: skip
    try:
        assert demo.stdout is not None
        ready = json.loads(await demo.stdout.readline())
        failed = [token for token in TOKENS if await check(command, ready["url"], ready[token])]
    finally:
        demo.terminate()
        await demo.wait()
    told = [line for line in log.read_text().splitlines() if " ERROR " in line or " CRITICAL " in line]
    print("\n".join(told))
    return len(failed) + bool(told)


async def installed(folder: Path) -> Path:
    """The command, newly installed."""
    venv.create(folder / "venv", with_pip=True)
    bin = folder / "venv" / "bin"
    install = ["install", "--quiet", "--disable-pip-version-check", "--require-hashes", "-r"]
    if await ended(bin / "python", "-m", "pip", *install, FOLDER / "requirements.txt", folder=folder):
        raise RuntimeError("schemathesis could not be installed")
    return bin / "schemathesis"


async def check(command: Path, url: str, token: str) -> bool:
    """Whether an answer was not as promised."""
    async with asyncio.timeout(DEADLINE):
        header = f"Authorization: Bearer {token}"
        return bool(await ended(command, "run", url, "--header", header, *OPTIONS, folder=command.parent))


async def ended(*command: object, folder: Path) -> int:
    """The exit code of a command, run in a folder, as it may leave something there."""
    env = {**os.environ, "SCHEMATHESIS_HOOKS": "promised", "PYTHONPATH": str(FOLDER)}
    process = await asyncio.create_subprocess_exec(*map(str, command), cwd=folder, env=env)
    return await process.wait()


if __name__ == "__main__":
    with tempfile.TemporaryDirectory(prefix="connect-inbox-") as folder:
        sys.exit(asyncio.run(run(Path(folder))))
