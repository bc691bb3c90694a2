"""What a mail server would not give, so that a mail which it does not give stops none of the others.

Servers fail at single mails: a file is broken, or has another size than an index says. Mails are asked for together;
once that has failed, one by one, which shows the one that it fails at; after some failures that one is set aside, and
asked for again from time to time.
"""

from __future__ import annotations

import time
from collections.abc import Awaitable, Callable, Hashable
from dataclasses import dataclass, field, replace
from typing import TypeVar

from sync.mail_server import Failure, MailServerFailed

T = TypeVar("T")

NEVER = float("-inf")
MOST_TRIES = 3


class SetAside(Exception):
    """The server has failed at this so often that the rest does not wait for it. `reason` is the last failure's."""

    def __init__(self, reason: str) -> None:
        super().__init__(reason)
        self.reason = reason


@dataclass(frozen=True)
class Tries:
    count: int
    last: float
    reason: str


@dataclass
class Refusals:
    """Those of one mailbox's server, as far as this process has seen."""

    again: (
        float  # seconds after which what was set aside may be asked for once more: longer than any pause before a try
    )
    one_by_one: bool = False  # mails are asked for alone, as some that were asked for together were not given
    before: set[str] = field(default_factory=set)  # mails that are noted as refused, by where they are
    are_new: bool = False  # something was set aside since all mails were compared last
    _tries: dict[Hashable, Tries] = field(default_factory=dict)

    def allow_another_try(self) -> None:
        """Of all that was set aside, as somebody wants to have it."""
        self._tries = {what: replace(tries, last=NEVER) for what, tries in self._tries.items()}

    async def ask_for_several(self, answer: Awaitable[T]) -> T:
        """What the server gives. Raises MailServerFailed."""
        try:
            return await answer
        except MailServerFailed:
            self.one_by_one = True
            raise

    async def ask_for_one(self, what: Hashable, ask: Callable[[], Awaitable[T]]) -> T:
        """What the server gives. Raises MailServerFailed, and `SetAside` where it is not even asked."""
        tries = self._tries.get(what)
        if tries and tries.count >= MOST_TRIES and time.monotonic() - tries.last < self.again:
            raise SetAside(tries.reason)
        try:
            answer = await ask()
        except MailServerFailed as failed:
            if failed.failure is not Failure.BUSY:
                self._tries[what] = Tries(tries.count + 1 if tries else 1, time.monotonic(), failed.reason)
            raise
        self._tries.pop(what, None)
        return answer
