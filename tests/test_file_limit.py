"""A server holds as many connections as the machine lets it."""

from __future__ import annotations

import resource
from collections.abc import Iterator

import pytest

from connect_inbox import server
from connect_inbox.server import CannotStart, serve
from connect_inbox.settings import Settings

FEW = 512


@pytest.fixture
def most() -> Iterator[int]:
    """The most files that may be open; a few are, until the end of the test."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    assert hard > FEW
    resource.setrlimit(resource.RLIMIT_NOFILE, (FEW, hard))
    yield hard
    resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))


async def test_serving_raises_the_limit_of_open_files(most: int) -> None:
    with pytest.raises(CannotStart):
        await serve(Settings(bind=("203.0.113.1", 1)), lambda url: None)  # an address that is nobody's
    assert resource.getrlimit(resource.RLIMIT_NOFILE) == (most, most)


async def test_a_limit_that_cannot_be_raised_stays(most: int, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*arguments: object) -> None:
        raise ValueError

    with monkeypatch.context() as patched:
        patched.setattr(resource, "setrlimit", refuse)
        server.raise_file_limit()
    assert resource.getrlimit(resource.RLIMIT_NOFILE)[0] == FEW
