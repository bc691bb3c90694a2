"""Two API processes on one database; at full size, and with kills, in tests/soak."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.soak import two_processes
from tests.soak.two_processes import Load


@pytest.mark.timeout(120)  # two servers start, which alone takes long on a machine that is busy
async def test_each_subscriber_has_each_message_once_in_the_order_of_the_log(
    database_uri: str, own_database: str, tmp_path: Path
) -> None:
    load = Load(messages=80, writers=6, subscribers=6)
    await two_processes.run(database_uri, own_database, tmp_path, load, seed=1)
