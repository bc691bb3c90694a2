"""What a mail server would not give, so that a mail which it does not give stops none of the others.

Servers fail at single mails: a file is broken, or has another size than an index says. Mails are asked for together;
once that has failed, one by one, which shows the one that it fails at; after some failures that one is set aside, and
asked for again at each check.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from typing import TypeVar

from sync.mail_server import MailServerFailed

T = TypeVar("T")

MOST_TRIES = 3


class SetAside(Exception):
    """The server has failed at this so often that the rest does not wait for it. `failed` is how it did so last."""

    def __init__(self, failed: MailServerFailed) -> None:
        super().__init__(failed.reason)
        self.failed = failed


@dataclass
class Refusals:
    """Those of one mailbox's server, as far as this process has seen."""

    one_by_one: bool = False  # mails are asked for alone, as some that were asked for together were not given
    before: set[str] = field(default_factory=set)  # mails that are noted as refused, by where they are
    are_new: bool = False  # something was set aside since all mails were compared last
    _tries: dict[str, list[MailServerFailed]] = field(default_factory=dict)  # those that failed, in a row

    def allow_another_try(self) -> None:
        """Of each that was set aside."""
        for tries in self._tries.values():
            del tries[MOST_TRIES - 1 :]

    async def ask_for_several(self, answer: Awaitable[T]) -> T:
        """What the server gives. Raises MailServerFailed."""
        try:
            return await answer
        except MailServerFailed:
            self.one_by_one = True
            raise

    async def ask_for_one(self, what: str, ask: Callable[[], Awaitable[T]]) -> T:
        """What the server gives. Raises MailServerFailed, and `SetAside` where it is not even asked."""
        tries = self._tries.get(what, [])
        if len(tries) == MOST_TRIES:
            raise SetAside(tries[-1])
        try:
            answer = await ask()
        except MailServerFailed as failed:
            self._tries[what] = [*tries, MailServerFailed(failed.failure, failed.reason)]  # without its traceback
            raise
        self._tries.pop(what, None)
        return answer
