"""A sweep on a real SLURM cluster of two nodes, whose jobs are killed and whose nodes go away."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pandas as pd
import pytest

from experiments.cost_names import COSTS
from tests import slurm
from tests.slurm import Cluster, wait_until
from tests.test_workflow import snakemake

ROOT = Path(__file__).resolve().parent.parent
pytestmark = pytest.mark.slow
UNTIL = ("--until", "collect")  # reports are rendered where the call is made, cluster or not

# Two shards with a network (one a seed) and one of controls.
EXPERIMENT = """\
title: Sweep on a cluster
backbones: [{backbone}]
clips:
  - dataset: world
    first: 1
    edits: [colour]
    frames: 3
methods:
  - name: source
  - name: sdedit
    setting: {{n_timesteps: 4, strength: 1.0}}
seeds: [0, 1]
metrics: [psnr@source]
shard_size: 1
allow_failures: true
"""


@pytest.fixture(scope="module")
def cluster(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Cluster]:
    if reason := slurm.why_not():
        pytest.skip(reason)
    with slurm.running(tmp_path_factory.mktemp("slurm")) as found:
        yield found


def laid_out(folder: Path, backbone: str) -> Path:
    (folder / "experiments").mkdir(parents=True)
    (folder / "experiments" / "sweep.yaml").write_text(EXPERIMENT.format(backbone=backbone))
    prepared = folder / "data" / "prepared" / "world" / "index.json"
    prepared.parent.mkdir(parents=True)
    prepared.write_text("{}")
    return folder


def submitted(folder: Path, cluster: Cluster) -> subprocess.Popen[str]:
    """A call with the profile, which says nothing of this cluster's peculiarities."""
    here = ["--config", "devices=cpu", "longest=60", "--slurm-init-seconds-before-status-checks=1"]
    here += ["--slurm-status-command=squeue", "--slurm-no-account", "--latency-wait=5"]
    command = [
        *(sys.executable, "-m", "snakemake", "--snakefile", str(ROOT / "Snakefile")),
        *("--workflow-profile", str(ROOT / "profiles" / "default"), "--nocolor"),
        *("--profile", str(ROOT / "profiles" / "slurm"), *here, *UNTIL, "--", "sweep"),
    ]
    environment = cluster.environment | {"PYTHONPATH": str(ROOT), "OMP_NUM_THREADS": "1"}
    with (folder / "log").open("w") as log:
        return subprocess.Popen(command, cwd=folder, env=environment, stdout=log, stderr=log)


def results(folder: Path) -> pd.DataFrame:
    """The table without what differs from run to run: times and memory."""
    table = pd.read_parquet(folder / "results" / "sweep.parquet")
    return table.drop(columns=[name for name in COSTS if name in table])


def frames(folder: Path) -> dict[str, bytes]:
    cells = (folder / "results" / "cells").iterdir()
    return {cell.name: (cell / "frames.npz").read_bytes() for cell in cells}


def test_killed_jobs_and_a_drained_node_change_nothing(
    cluster: Cluster, miniature_backbone: str, tmp_path: Path
) -> None:
    """A node is drained, its job cancelled, another killed: frames and table are a local run's."""
    local, remote = (laid_out(tmp_path / name, miniature_backbone) for name in ("local", "remote"))
    run = submitted(remote, cluster)
    try:
        wait_until(lambda: len(cluster.jobs("running")) == 2, 240)
        (first, _, node), (second, _, _) = cluster.jobs("running")
        assert {job[2] for job in cluster.jobs("running")} == set(slurm.NODES)
        cluster.call("scontrol", "update", f"nodename={node}", "state=drain", "reason=test")
        cluster.call("scancel", first)
        cluster.call("scancel", "--signal=KILL", "--full", second)
        said = snakemake(local, *UNTIL, "--config", "devices=cpu", "--", "sweep")
        assert said.returncode == 0, said.stdout + said.stderr
        status = run.wait(timeout=1500)
        assert status == 0, (remote / "log").read_text()
    finally:
        run.kill()
    states = {job: state for job, state, _ in cluster.jobs()}
    assert {states[first], states[second]} <= {"CANCELLED", "FAILED"}
    later = {where for job, state, where in cluster.jobs() if int(job) > int(second)}
    assert "COMPLETED" in states.values() and node not in later
    assert "mem_mb=4000" in (remote / "log").read_text()  # the second attempt asked for more
    assert frames(remote) == frames(local)
    pd.testing.assert_frame_equal(results(remote), results(local))
    (collected,) = (remote / "results" / "collected").iterdir()
    again = snakemake(remote, "--dry-run", "--", f"results/collected/{collected.name}")
    assert "Nothing to be done" in again.stdout + again.stderr
