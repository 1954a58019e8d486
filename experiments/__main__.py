"""``python -m experiments``: in this process, or in one that a run has loaded for its jobs."""

from __future__ import annotations

import sys

from experiments.warm import handed_over

if __name__ == "__main__":
    # Before anything else is imported: a job that is handed over has no use for it.
    status = handed_over(sys.argv[1:])
    if status is not None:
        sys.exit(status)

    from data.command_line import end
    from experiments.command_line import main

    end(main)
