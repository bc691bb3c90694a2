"""`python -m connect_inbox` is the command `connect-inbox`."""

import sys

from connect_inbox.cli import main

sys.exit(main())
