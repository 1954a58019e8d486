"""Name a report by its code and its data, and put it in place in one step."""

from __future__ import annotations

import hashlib
import json
import os
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import pandas as pd

from experiments.checkout import read_checkout
from reports.results import MEASURED, Results


def commit(root: Path) -> tuple[str, bool]:
    """Short git commit of a checkout and whether its files differ from it.

    A folder outside git gives ``("nogit", False)``, a checkout with no commit ``("unborn", True)``.
    """
    found = read_checkout(root)
    return (found.commit[:7] or "unborn", found.dirty) if found else ("nogit", False)


def results_digest(results: Results) -> str:
    """12 hex digits over the rows, the frames and the scores; measured costs are left out."""
    table = results.table.drop(columns=[name for name in MEASURED if name in results.table])
    table = table[sorted(table.columns)]
    digest = hashlib.sha256(",".join(table.columns).encode())
    digest.update(pd.util.hash_pandas_object(table.astype(str), index=False).values.tobytes())
    for cell in sorted(set(table["cell"].dropna())):
        frames = results.run(cell).get("frames_sha256", "")
        digest.update(f"{cell} {frames} {json.dumps(results.store.scores(cell))}".encode())
    return digest.hexdigest()[:12]


@dataclass(frozen=True)
class Version:
    """Which code rendered which results."""

    commit: str
    dirty: bool
    results: str  # digest

    @property
    def name(self) -> str:
        """``<commit>[-dirty]-<results digest>``, the report's folder."""
        return f"{self.commit}{'-dirty' if self.dirty else ''}-{self.results}"


def identify(root: Path, results: Results) -> Version:
    """The version of a report rendered now."""
    return Version(*commit(root), results_digest(results))


@contextmanager
def appearing(folder: Path) -> Iterator[Path]:
    """A scratch folder that becomes ``folder`` when the block ends well and vanishes otherwise."""
    folder.parent.mkdir(parents=True, exist_ok=True)
    scratch = Path(tempfile.mkdtemp(prefix=f".{folder.name}-", dir=folder.parent))
    try:
        scratch.chmod(0o755)  # mkdtemp makes it private; a report is for sharing
        yield scratch
        old = scratch.with_name(f"{scratch.name}-old")
        if folder.exists():
            folder.replace(old)
        scratch.replace(folder)
        shutil.rmtree(old, ignore_errors=True)
    finally:
        shutil.rmtree(scratch, ignore_errors=True)


def point_latest(folder: Path) -> None:
    """Make ``latest`` beside a folder link to it, replacing the old link in one step."""
    link = folder.parent / "latest"
    scratch = folder.parent / f".latest-{os.getpid()}"
    scratch.unlink(missing_ok=True)
    scratch.symlink_to(folder.name)
    scratch.replace(link)
