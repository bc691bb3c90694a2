"""What a process has done about mail since it began."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field


@dataclass
class MailCounters:
    reading: int = 0  # mailboxes that are read at the moment
    found: Counter[str] = field(default_factory=Counter)  # mails, by what became of them
    sent: Counter[str] = field(default_factory=Counter)  # tries to send, for each recipient, by what came of them
    failures: Counter[str] = field(default_factory=Counter)  # of connections to mailboxes' servers, by kind
