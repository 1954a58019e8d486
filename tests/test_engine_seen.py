"""What is to be done is told without reading every frame again, and nothing altered is used."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from data.errors import UserError
from experiments import seen
from experiments.collect import table
from experiments.planner import make_plan
from experiments.runner import ShardRunner
from experiments.score import run_batch
from experiments.store import Store
from experiments.targets import Targets, targets_of
from tests.fakes import fake_catalogue, write_experiment


@pytest.fixture
def finished(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Targets:
    """An experiment that was run, scored, and looked at once; its files count as old."""
    monkeypatch.setattr(seen, "AGE", -60)
    store = Store(tmp_path / "results")
    plan = make_plan(write_experiment(tmp_path), fake_catalogue())
    for shard in plan.shards:
        ShardRunner(plan, shard, store, fake_catalogue()).run()
    targets = targets_of(plan, store, fake_catalogue())
    for batch in targets.batches:
        run_batch(batch, store, fake_catalogue())
    targets.drop_stale()
    return targets


def a_cell(targets: Targets) -> str:
    return next(c.id for c in targets.plan.cells.values() if c.method.name == "blend")


def manifests(targets: Targets) -> list[bool]:
    paths = [*targets.shard_manifests(), *targets.score_manifests()]
    return [path.exists() for path in paths]


def test_nothing_is_read_again(finished: Targets, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("settled", "scores", "frames", "run"):
        monkeypatch.delattr(Store, name)
    finished.drop_stale()
    assert all(manifests(finished))


@pytest.mark.parametrize("name", ["frames.npz", "run.json", "scores.json"])
def test_a_byte_changed_in_place_is_noticed(name: str, finished: Targets) -> None:
    """Be it that size and time of writing are what they were."""
    path = finished.store.cell(a_cell(finished)) / name
    before = path.stat()
    with path.open("r+b") as stream:
        stream.seek(100)
        byte = stream.read(1)
        stream.seek(100)
        stream.write(bytes([byte[0] ^ 1]))
    os.utime(path, ns=(before.st_atime_ns, before.st_mtime_ns))
    finished.drop_stale()
    assert not all(manifests(finished))


@pytest.mark.parametrize("name", ["frames.npz", "run.json", "scores.json"])
def test_a_lost_file_is_noticed(name: str, finished: Targets) -> None:
    (finished.store.cell(a_cell(finished)) / name).unlink()
    finished.drop_stale()
    assert not all(manifests(finished))


def test_a_file_that_was_only_touched_is_verified_and_holds(finished: Targets) -> None:
    for path in finished.store.root.rglob("*.npz"):
        path.touch()
    finished.drop_stale()
    assert all(manifests(finished))


def test_a_young_file_is_not_remembered(finished: Targets, monkeypatch: pytest.MonkeyPatch) -> None:
    """It may change once more within one tick of the file system's clock."""
    monkeypatch.setattr(seen, "AGE", 3600)
    finished.store.root.joinpath("seen.json").unlink()
    finished.drop_stale()
    assert not finished.store.root.joinpath("seen.json").exists()


def test_a_wrong_memory_lets_nothing_altered_into_a_score_or_a_table(
    finished: Targets, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Say, a disk that forgets bytes and not times."""
    monkeypatch.setattr(seen, "_look", lambda files: ("as ever", 3600.0))
    finished.store.root.joinpath("seen.json").unlink()
    finished.drop_stale()
    cell = a_cell(finished)
    frames = finished.store.cell(cell) / "frames.npz"
    frames.write_bytes(frames.read_bytes()[:-1] + b"?")
    (finished.store.cell(cell) / "scores.json").unlink()
    finished.drop_stale()
    assert all(manifests(finished))
    with pytest.raises(UserError, match="altered or are incomplete"):
        run_batch(finished.batches[0], finished.store, fake_catalogue())
    rows = table(finished.plan, finished.store)
    assert set(rows.loc[rows["cell"] == cell, "status"]) == {"not run"}


@pytest.mark.parametrize("content", [b"", b'{"shards/x": 1}', b"\xff"])
def test_a_damaged_memory_is_none(content: bytes, finished: Targets) -> None:
    finished.store.root.joinpath("seen.json").write_bytes(content)
    finished.drop_stale()
    assert all(manifests(finished))
