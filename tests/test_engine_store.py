"""Nothing is lost, nothing is run twice, nothing altered is used."""

from __future__ import annotations

import os
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from experiments.atomic import read_sealed, write_sealed
from experiments.collect import COUNTS, SECONDS, table
from experiments.command_line import main
from experiments.planner import Plan, make_plan
from experiments.runner import ShardRunner
from experiments.store import Store
from experiments.targets import targets_of
from tests.fakes import EXPERIMENT, fake_catalogue, write_experiment

VARY = [*SECONDS, "seconds_per_frame", *(name for name in COUNTS if "evaluations" not in name)]


def make(folder: Path, text: str = EXPERIMENT) -> tuple[Plan, Store]:
    return make_plan(write_experiment(folder, text), fake_catalogue()), Store(folder / "results")


def run(plan: Plan, store: Store) -> int:
    """Run all shards; the number of network evaluations."""
    return sum(
        ShardRunner(plan, shard, store, fake_catalogue()).run().evaluations for shard in plan.shards
    )


def values(plan: Plan, store: Store) -> pd.DataFrame:
    return table(plan, store).drop(columns=VARY, errors="ignore")


def test_a_second_run_computes_nothing(tmp_path: Path) -> None:
    plan, store = make(tmp_path)
    assert run(plan, store) > 0
    before = {p: p.read_bytes() for p in (store.root / "cells").rglob("*") if p.is_file()}
    assert run(plan, store) == 0
    assert {p: p.read_bytes() for p in before} == before


@pytest.mark.parametrize("harm", ["flip", "truncate", "remove", "record", "other cell"])
def test_an_altered_cell_is_noticed_and_run_again(harm: str, tmp_path: Path) -> None:
    plan, store = make(tmp_path)
    run(plan, store)
    good = values(plan, store)
    cells = [c.id for c in plan.cells.values() if c.method.name == "blend"]
    frames = store.frames(cells[0])
    path = store.cell(cells[0]) / ("run.json" if harm == "record" else "frames.npz")
    content = path.read_bytes()
    if harm == "remove":
        path.unlink()
    elif harm == "other cell":
        path.write_bytes((store.cell(cells[1]) / "frames.npz").read_bytes())
    elif harm == "truncate":
        path.write_bytes(content[: len(content) // 2])
    elif harm == "record":
        path.write_bytes(content.replace(b'"status": "ok"', b'"status": "good"'))
    else:
        path.write_bytes(content[:200] + bytes([content[200] ^ 1]) + content[201:])
    assert not store.valid(cells[0])
    with pytest.raises(KeyError):
        store.frames(cells[0])
    assert run(plan, store) == 6 * 8  # that cell's steps; its inversion is still there
    np.testing.assert_array_equal(store.frames(cells[0]), frames)
    pd.testing.assert_frame_equal(values(plan, store), good)


def test_damaged_inversion_is_noticed(tmp_path: Path) -> None:
    plan, store = make(tmp_path)
    run(plan, store)
    good = values(plan, store)
    for cell in plan.cells:
        store.forget(cell)
    for path in (store.root / "inversions").glob("*.safetensors"):
        path.write_bytes(path.read_bytes()[:-8])
    assert run(plan, store) == plan.shared()
    pd.testing.assert_frame_equal(values(plan, store), good)


def test_a_kill_in_the_middle_of_a_write_leaves_the_old_file(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "record.json"
    write_sealed(path, {"a": 1})

    def killed(source: Path, target: Path) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(os, "replace", killed)
    with pytest.raises(KeyboardInterrupt):
        write_sealed(path, {"a": 2})
    assert read_sealed(path) == {"a": 1}


@pytest.mark.parametrize(
    ("trouble", "status"),
    [
        ("crash", "error: RuntimeError: the network is on fire"),
        ("memory", "out of memory"),
        ("nan", "not finite"),
        ("black", "black"),
        ("constant", "constant"),
        ("frozen", "frozen"),
    ],
)
def test_a_failure_is_a_row_and_the_rest_goes_on(trouble: str, status: str, tmp_path: Path) -> None:
    grid = f"grid: {{share: [0.5], guidance: [1.0], trouble: ['', {trouble}]}}"
    text = EXPERIMENT.replace("grid: {share: [0.0, 0.5, 1.0], guidance: [1.0, 3.0]}", grid)
    plan, store = make(tmp_path, text)
    run(plan, store)
    frame = table(plan, store)
    blend = frame[frame["method"] == "blend"]
    bad = blend[blend["trouble"] == trouble]
    assert len(bad) == 8 and bad["status"].str.startswith(status).all()
    assert (blend.loc[blend["trouble"] == "", "status"] == "ok").all()
    assert bad["network_evaluations"].isna().all()  # no zeros standing in
    record = store.run(bad["cell"].iloc[0])
    assert "Traceback" in record["traceback"]
    assert not (store.cell(bad["cell"].iloc[0]) / "frames.npz").exists()


def test_verdict_and_retry(tmp_path: Path, capsys: pytest.CaptureFixture) -> None:
    text = EXPERIMENT.replace("n_timesteps: 6", "n_timesteps: 6, trouble: crash")
    plan, store = make(tmp_path, text)
    run(plan, store)
    command = ["--results", str(store.root)]
    path = str(tmp_path / "toy.yaml")
    assert main([*command, "verdict", path], fake_catalogue()) == 1
    assert "48 of 51 cells failed" in capsys.readouterr().err
    assert run(plan, store) == 0  # a failure is not tried again unasked
    assert main([*command, "retry", path], fake_catalogue()) == 0
    assert "48 failed cells" in capsys.readouterr().out
    assert run(plan, store) > 0
    write_experiment(tmp_path, text + "allow_failures: true\n")
    assert main([*command, "verdict", path], fake_catalogue()) == 0


def test_manifests_that_no_longer_hold_are_removed(tmp_path: Path) -> None:
    plan, store = make(tmp_path)
    run(plan, store)
    path = str(tmp_path / "toy.yaml")
    assert main(["--results", str(store.root), "collect", path], fake_catalogue()) == 0
    targets = targets_of(plan, store, fake_catalogue())
    targets.drop_stale()
    assert all(manifest.exists() for manifest in targets.shard_manifests())
    cell = next(c.id for c in plan.cells.values() if c.method.name == "blend")
    (store.cell(cell) / "frames.npz").write_bytes(b"nonsense")
    targets.drop_stale()
    assert sum(not m.exists() for m in targets.shard_manifests()) == 1
    assert not targets.collected().exists()
