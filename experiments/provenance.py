"""Which code and which libraries made a result."""

from __future__ import annotations

import platform
import subprocess
from functools import cache
from importlib import metadata
from typing import Any

from experiments.code_digest import PROJECT

LIBRARIES = ("torch", "diffusers", "transformers", "open-clip-torch", "numpy")


@cache
def provenance() -> dict[str, Any]:
    """Commit (with ``+`` if files differ from it), Python, platform and library versions."""
    return {
        "commit": _git("rev-parse", "HEAD")
        + ("+" if _git("status", "--porcelain", "-uno") else ""),
        "python": platform.python_version(),
        "platform": platform.platform(),
        "libraries": {name: _version(name) for name in LIBRARIES},
    }


def _version(name: str) -> str | None:
    try:
        return metadata.version(name)
    except metadata.PackageNotFoundError:
        return None


def _git(*arguments: str) -> str:
    # Without optional locks: a run must not stand in the way of somebody's commit.
    command = ["git", "--no-optional-locks", "-C", str(PROJECT), *arguments]
    try:
        run = subprocess.run(command, capture_output=True, text=True, timeout=20, check=False)
    except (OSError, subprocess.TimeoutExpired):
        return ""
    return run.stdout.strip() if run.returncode == 0 else ""
