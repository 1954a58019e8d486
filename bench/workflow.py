"""What the workflow adds to a quickstart, and how long a run takes that has nothing to do."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

from bench.figures import Figure

ROOT = Path(__file__).resolve().parent.parent
NOT_COPIED = ("results", "build", "prepared", ".venv", ".snakemake", "__pycache__")
CORES = 2


def quickstart(_device: str) -> Iterator[Figure]:
    """A full ``quickstart`` on two cores in a copy of this checkout, twice; about eight minutes.

    The methods' own compute is what shards record of walks and inversions: it holds neither the
    loading of libraries and weights nor writing, scoring, data and the report. Only a machine with
    nothing else to do tells the truth.
    """
    with tempfile.TemporaryDirectory() as folder:
        copy = Path(folder) / "checkout"
        shutil.copytree(ROOT, copy, ignore=shutil.ignore_patterns(*NOT_COPIED), symlinks=True)
        wall, again = _run(copy), _run(copy)
        manifests = (copy / "results" / "shards").glob("*.json")
        own = sum(json.loads(path.read_text())["cost"]["seconds"] for path in manifests) / CORES
    yield Figure("quickstart on two cores", wall, "s", note=f"methods' own compute {own:.0f} s")
    yield Figure("quickstart: share outside the methods", 1 - own / wall, "", at_most=0.15)
    yield Figure("quickstart again, nothing to do", again, "s", at_most=10)


def _run(checkout: Path) -> float:
    """Seconds on the clock; CalledProcessError where a run fails."""
    command = [sys.executable, "-m", "snakemake", "-j", str(CORES), "--quiet", "all"]
    start = time.perf_counter()
    subprocess.run([*command, "--", "quickstart"], cwd=checkout, check=True, capture_output=True)
    return time.perf_counter() - start
