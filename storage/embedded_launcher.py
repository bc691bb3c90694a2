"""Runs NX-27017 for as long as somebody holds the other end of standard input.

Started by `storage.embedded` as a script: `embedded_launcher.py <pid of the starter> <arguments of nx-27017>`.
A process that is killed cannot end its children, but the kernel closes its end of our standard input.
"""

import logging
import os
import select
import signal
import sys
import threading
import time
from importlib.metadata import entry_points

SHUTDOWN_GRACE = 2.0  # seconds; less than `storage.embedded.LOCK_WAIT`, so that the next start finds the folder free
PARENT_CHECK = 1.0  # seconds


def main() -> None:
    """Serve until standard input ends or the starter is gone; then end within `SHUTDOWN_GRACE` seconds."""
    starter = int(sys.argv[1])
    threading.Thread(target=end_with, args=(starter,), daemon=True).start()
    logging.getLogger("neosqlite").setLevel(logging.ERROR)  # It warns of each query that it plans in a second way.
    sys.argv = ["nx-27017", *sys.argv[2:]]
    (command,) = entry_points(group="console_scripts", name="nx-27017")
    sys.exit(command.load()())


def end_with(starter: int) -> None:
    """Wait for the starter to let go, then end this process, gently at first."""
    while not let_go(starter):
        pass
    # To the main thread: only there does a signal interrupt the wait for connections.
    signal.pthread_kill(threading.main_thread().ident or 0, signal.SIGTERM)
    time.sleep(SHUTDOWN_GRACE)
    os._exit(1)


def let_go(starter: int) -> bool:
    """Wait a little. Whether standard input has ended, or the starter has."""
    readable, _, _ = select.select([0], [], [], PARENT_CHECK)
    if readable and not os.read(0, 1024):
        return True
    # A process forked from the starter keeps our input open when the starter is killed.
    return os.getppid() != starter


if __name__ == "__main__":
    main()
