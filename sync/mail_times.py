"""How often and how long everything about mail is done."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class MailTimes:
    """In seconds."""

    look: float = 1.0  # between two looks for what is to be done and nobody does
    poll: float = 60.0  # for which news of a mailbox are waited for, before it is looked at without any
    lease: float = 20.0  # after which the work of a process that was killed is another's
    first_pause: float = 5.0  # after a failure; each further one doubles it
    longest_pause: float = 300.0
    check: float = 24 * 3600.0  # between two checks for completeness
    again: float = 3600.0  # the same, while the server does not give a mail
    filing: float = 60.0  # after which a sent mail that its provider has not filed is filed by us
    give_up: float = 24 * 3600.0  # after which what could not be sent has failed
    finish: float = 3.0  # for what is being sent, when the process is ended


def pause_after(times: MailTimes, failures: int) -> float:
    """For how long to wait after so many failures in a row: twice as long each time, up to the longest."""
    return min(times.first_pause * 2.0 ** min(failures - 1, 20), times.longest_pause)
