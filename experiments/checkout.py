"""The state of a git checkout: its commit, and which files differ from it."""

from __future__ import annotations

import re
import subprocess
from dataclasses import dataclass
from pathlib import Path

# Paths that are made, not written: a changed one does not make the code dirty.
_PRODUCTS = re.compile(
    r"^(results(/|\.dvc|$)|reports/(?!templates/)[^/]+/|data/prepared/|models/weights/|dvc\.yaml$|\.dvc/)"
)


@dataclass(frozen=True)
class Checkout:
    """What a folder under git holds."""

    commit: str  # 40 hex digits; empty before the first commit
    changed: tuple[str, ...]  # files of code, experiments and manifests that differ from it

    @property
    def dirty(self) -> bool:
        """Whether the commit does not tell what the code is."""
        return bool(self.changed) or not self.commit


def read_checkout(root: Path) -> Checkout | None:
    """The checkout whose top is ``root``; None where that is not one, or git is not installed."""
    top = _git(root, "rev-parse", "--show-toplevel")
    if top is None or Path(top.strip()).resolve() != root.resolve():
        return None
    status = _git(root, "status", "--porcelain", "-z", "--untracked-files=all", "--no-renames")
    paths = [entry[3:] for entry in (status or "").split("\0") if entry]
    changed = tuple(sorted(path for path in paths if not _PRODUCTS.match(path)))
    return Checkout((_git(root, "rev-parse", "HEAD") or "").strip(), changed)


def _git(root: Path, *arguments: str) -> str | None:
    # Without optional locks: a run must not stand in the way of somebody's commit.
    command = ["git", "--no-optional-locks", "-C", str(root), *arguments]
    try:
        run = subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)
    except (OSError, subprocess.TimeoutExpired):
        return None
    return run.stdout if run.returncode == 0 else None
