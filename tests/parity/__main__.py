"""``python -m tests.parity <folder>``: status 0 only if every case runs and is within tolerance."""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

from data.command_line import end
from tests.parity.run import run_folder


def main(arguments: list[str] | None = None) -> int:
    """Print a line per case; 1 for any miss, 2 where there is nothing to run."""
    parser = argparse.ArgumentParser(prog="python -m tests.parity", description=__doc__)
    parser.add_argument("golden", type=Path, help="folder with recordings, at any depth")
    folder = parser.parse_args(arguments).golden.resolve()
    if not folder.is_dir():
        print(f"{folder}: no such folder", file=sys.stderr)
        return 2
    lines = []
    for line in run_folder(folder):
        print(line, flush=True)
        lines.append(line)
    if not lines:
        print(f"{folder}: no recordings (a .json manifest beside a .safetensors)", file=sys.stderr)
        return 2
    missed = [line for line in lines if not line.ok]
    impossible = sum(line.worst is None for line in missed)
    ties = sum(line.tied for line in lines)
    print(
        f"{len(lines)} cases: {len(lines) - len(missed)} within tolerance"
        f"{f' ({ties} in float64 only)' if ties else ''}, "
        f"{len(missed) - impossible} not, {impossible} cannot be run"
    )
    return 1 if missed else 0


if __name__ == "__main__":
    end(main)
