"""The same cells in another process, or from stored inversions, give the same frames."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from experiments.store import Store

SWEEP = """\
title: Two processes
backbones: [{backbone}]
clips: [{{dataset: world, first: 1, edits: [colour], frames: 3}}]
methods:
  - {{name: sdedit, setting: {{n_timesteps: 3}}}}
  - {{name: tokenflow, setting: {{n_timesteps: 2, n_inversion_steps: 2, batch_size: 2}}}}
seeds: [0]
"""
RUN = """\
import sys
from pathlib import Path
from experiments.catalogue import project_catalogue
from experiments.shard_command import prepare_torch
from experiments.planner import make_plan
from experiments.runner import ShardRunner
from experiments.store import Store
prepare_torch("cpu", 1)
catalogue = project_catalogue()
plan = make_plan(Path(sys.argv[1]), catalogue)
for shard in plan.shards:
    ShardRunner(plan, shard, Store(Path(sys.argv[2])), catalogue).run()
"""


def digests(results: Path) -> dict[str, str]:
    """Every cell and the digest of its frames, read from a store."""
    store = Store(results)
    ids = sorted(path.name for path in (results / "cells").iterdir())
    return {cell: store.run(cell)["frames_sha256"] for cell in ids}


def run(path: Path, results: Path, **variables: str) -> dict[str, str]:
    """The digests that a process of its own comes to."""
    ran = subprocess.run(
        [sys.executable, "-c", RUN, str(path), str(results)],
        cwd=Path(__file__).parents[1],
        env=os.environ | variables,
        capture_output=True,
        text=True,
    )
    assert ran.returncode == 0, ran.stderr
    return digests(results)


@pytest.mark.slow
def test_two_processes_give_the_same_bits(miniature_backbone: str, tmp_path: Path) -> None:
    """Also where the second finds the first's inversions in the store."""
    path, results = tmp_path / "sweep.yaml", tmp_path / "results"
    path.write_text(SWEEP.format(backbone=miniature_backbone))
    first = run(path, results, PYTHONHASHSEED="1")
    assert len(first) == 2
    moved = {"MALLOC_TOP_PAD_": "1000003", "MALLOC_MMAP_THRESHOLD_": "4097"}
    assert run(path, tmp_path / "elsewhere", PYTHONHASHSEED="2", **moved) == first
    assert list((results / "inversions").glob("*.safetensors"))
    shutil.rmtree(results / "cells")
    assert run(path, results, PYTHONHASHSEED="2") == first
