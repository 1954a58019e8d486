"""How every command line of this project ends."""

from __future__ import annotations

import os
import signal
import sys
from collections.abc import Callable
from typing import NoReturn

UNREAD = 128 + signal.SIGPIPE  # the status that shells give to what ``head`` has read enough of


def end(main: Callable[[], int]) -> NoReturn:
    """Run a command to its exit status, quietly where nobody reads its output any more."""
    status: object
    try:
        try:
            status = main()
        except SystemExit as left:  # argparse, after its help
            status = left.code
        sys.stdout.flush()
    except BrokenPipeError:
        # Python writes what is left once more when it ends, and would complain of it there.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        status = UNREAD
    sys.exit(status)
