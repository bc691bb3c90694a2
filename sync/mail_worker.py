"""The process that takes mails apart, one after the other, until its standard input ends.

Started by `sync.mail_workers` with seconds of computing time for one mail, and bytes of memory for all of them.
The kernel enforces both, so that no code of ours has to notice.
"""

import os
import pickle
import resource
import signal
import sys
from typing import BinaryIO

from sync.mail import ParsedMail, Unparsable
from sync.mail_parsing import parse

SIZE = 8  # bytes of the number before each mail and each answer
OUT_OF_MEMORY = 3  # what it exits with
NICENESS = 10  # whoever waits for the rest of us goes first


def main() -> None:
    seconds, memory = float(sys.argv[1]), int(sys.argv[2])
    resource.setrlimit(resource.RLIMIT_AS, (memory, memory))
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))  # it would hold a mail
    os.nice(NICENESS)
    while (raw := read(sys.stdin.buffer)) is not None:
        signal.setitimer(signal.ITIMER_PROF, seconds)  # SIGPROF ends a process that has no handler for it
        answer = pickle.dumps(answer_to(raw), protocol=5)
        signal.setitimer(signal.ITIMER_PROF, 0)
        try:
            sys.stdout.buffer.write(len(answer).to_bytes(SIZE, "big"))
            sys.stdout.buffer.write(answer)
            sys.stdout.buffer.flush()
        except BrokenPipeError:
            os._exit(0)  # who asked is gone, and nobody needs to be told


def read(stream: BinaryIO) -> bytes | None:
    size = stream.read(SIZE)
    return stream.read(int.from_bytes(size, "big")) if len(size) == SIZE else None


def answer_to(raw: bytes) -> ParsedMail | str:
    """The mail, or why there is none, in words that hold nothing of it."""
    try:
        return parse(raw)
    except Unparsable as error:
        return str(error)
    except MemoryError:
        sys.exit(OUT_OF_MEMORY)  # what is left of this process is not to be relied on
    except Exception as error:
        return f"the parser failed: {type(error).__name__}"


if __name__ == "__main__":
    main()
