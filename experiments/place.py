"""Where the workflow runs: in its own folder, or as a module of another project's workflow."""

from __future__ import annotations

import os
from pathlib import Path

from experiments.code_digest import PROJECT


def at_home() -> bool:
    """Whether the working folder is the project's own."""
    return Path.cwd().resolve() == PROJECT


def standing_alone(main_snakefile: str) -> bool:
    """Whether the workflow that was called is the project's, and not one that uses it."""
    return Path(main_snakefile).resolve() == PROJECT / "Snakefile"


def reach_packages() -> None:
    """Let jobs in another folder import the project's packages, after that folder's own."""
    known = os.environ.get("PYTHONPATH", "").split(os.pathsep)
    if str(PROJECT) not in known:
        os.environ["PYTHONPATH"] = os.pathsep.join([*filter(None, known), str(PROJECT)])
