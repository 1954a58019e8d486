"""What a cell cost: each figure apart, as if the cell had run alone, and nothing made up."""

from __future__ import annotations

import mmap
import sys
from dataclasses import replace
from pathlib import Path
from types import ModuleType

import pytest

from experiments.collect import table, write_table
from experiments.cost import Cost, Meter
from experiments.planner import make_plan
from experiments.runner import ShardRunner
from experiments.store import Store
from experiments.trie import alone
from methods.base import Context
from tests.fake_methods import Blend, BlendPlan
from tests.fake_network import FakeBackbone, NumpyState
from tests.fakes import EXPERIMENT, fake_catalogue, write_experiment

MB = 2**20


def test_no_work_adds_nothing_and_what_is_unknown_stays_unknown() -> None:
    known, unknown = Cost(1.0, 2, 30.0, 40.0, 5.0), Cost(1.0, 2, 50.0)
    assert known + Cost() == Cost() + known == known
    assert known + known == Cost(2.0, 4, 30.0, 40.0, 10.0)
    total = known + unknown
    assert (total.seconds, total.evaluations, total.peak_memory_mb) == (2.0, 4, 50.0)
    assert total.energy_j is None and total.peak_reserved_mb is None


def _touch(megabytes: int) -> None:
    with mmap.mmap(-1, megabytes * MB) as block:
        for _ in range(megabytes):
            block.write(b"x" * MB)


def test_on_a_cpu_the_peak_is_the_process_s_and_energy_is_absent() -> None:
    """Mapped by hand, since an allocator may give back memory that it still holds."""
    _touch(200)
    with Meter().measure() as cost:
        _touch(1)
    with Meter().measure() as more:
        _touch(150)
    assert 140 < more.peak_memory_mb - cost.peak_memory_mb < 190
    assert (more.peak_reserved_mb, more.energy_j) == (None, None)


def test_on_a_gpu_tensors_allocator_and_joules_are_told_apart(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    torch, calls = ModuleType("torch"), []
    torch.cuda = ModuleType("cuda")
    for name in ("synchronize", "reset_peak_memory_stats", "empty_cache"):
        setattr(torch.cuda, name, lambda name=name: calls.append(name))
    torch.cuda.max_memory_allocated = lambda: 300 * MB
    torch.cuda.max_memory_reserved = lambda: 500 * MB
    monkeypatch.setitem(sys.modules, "torch", torch)
    joules = iter([1000.0, 1012.5])
    meter = Meter("cuda", lambda: next(joules))
    meter.backbone = FakeBackbone()
    with meter.measure() as cost:
        meter.backbone.evaluations += 7
        calls.append("work")
    assert calls == ["synchronize", "reset_peak_memory_stats", "work", "synchronize"]
    assert (cost.peak_memory_mb, cost.peak_reserved_mb) == (300, 500)
    assert (cost.energy_j, cost.evaluations) == (12.5, 7)


def test_warming_up_is_nobody_s_cost(tmp_path: Path) -> None:
    """Once per process, before the first cell; its evaluations are in no figure."""
    calls = []

    def warm_up(backbone: FakeBackbone, frames: object) -> None:
        calls.append(backbone.evaluations)
        backbone.evaluations += 10_000

    catalogue = replace(fake_catalogue(), warm_up=warm_up)
    plan, store = make_plan(write_experiment(tmp_path), catalogue), Store(tmp_path / "results")
    with_network = next(s for s in plan.shards if any(c.backbone for c in s.cells))
    tally = ShardRunner(plan, with_network, store, catalogue).run()
    assert calls == [0]
    assert tally.evaluations == plan.shared([with_network]) < 10_000
    assert tally.seconds_warmup > 0
    for cell in with_network.cells:
        cost = store.run(cell.id)["cost"]
        assert cost["seconds_warmup"] == tally.seconds_warmup
        assert cost["network_evaluations"] + cost["inversion_evaluations"] == plan.alone(cell)


def test_the_table_has_a_column_per_figure_and_no_zeros_for_what_is_absent(tmp_path: Path) -> None:
    plan = make_plan(write_experiment(tmp_path), fake_catalogue())
    store = Store(tmp_path / "results")
    for shard in plan.shards:
        ShardRunner(plan, shard, store, fake_catalogue()).run()
    frame = table(plan, store)
    blend = frame[frame["method"] == "blend"]
    for name in ("load", "warmup", "invert", "edit", "decode"):
        assert (blend[f"seconds_{name}"] > 0).all(), name
    assert (blend["peak_memory_mb"] > 1).all()
    assert blend["hardware_id"].nunique() == 1
    assert frame[["peak_reserved_mb", "energy_j"]].isna().all(axis=None)  # measured on a CPU
    write_table(frame, plan, store)  # an all-missing column has a type too


class Late(Blend):
    """Fails, where it is to, only after it has used what siblings share."""

    def step(self, ctx: Context, state: NumpyState, plan: BlendPlan, k: int) -> NumpyState:
        after = super().step(ctx, state, replace(plan, trouble=""), k)
        if plan.trouble:
            raise RuntimeError("out of luck")
        return after


def test_a_sibling_that_fails_leaves_no_debts(tmp_path: Path) -> None:
    """What it used of the others' work is not charged to the next cell."""
    catalogue = fake_catalogue()
    catalogue = replace(catalogue, methods=dict(catalogue.methods) | {"blend": Late()})
    grid = "grid: {share: [0.5], guidance: [1.0, 2.0, 3.0], trouble: [late, '']}"
    text = EXPERIMENT.replace("grid: {share: [0.0, 0.5, 1.0], guidance: [1.0, 3.0]}", grid)
    plan, store = make_plan(write_experiment(tmp_path, text), catalogue), Store(tmp_path / "r")
    for shard in plan.shards:
        ShardRunner(plan, shard, store, catalogue).run()
    blends = [c for c in plan.cells.values() if c.method.name == "blend"]
    well = [c for c in blends if store.status(c.id) == "ok"]
    assert len(well) == len(blends) / 2
    for cell in well:
        assert store.run(cell.id)["cost"]["network_evaluations"] == alone(cell)


def test_a_shard_tells_what_sharing_saved_and_what_it_took(tmp_path: Path) -> None:
    from experiments.atomic import read_sealed

    plan = make_plan(write_experiment(tmp_path), fake_catalogue())
    store = Store(tmp_path / "results")
    for shard in plan.shards:
        ShardRunner(plan, shard, store, fake_catalogue()).run()
        manifest = read_sealed(store.root / "shards" / f"{shard.id}.json")
        alone = sum(plan.alone(cell) for cell in shard.cells)
        assert manifest["cost"]["evaluations_alone"] == alone
        assert manifest["cost"]["evaluations"] == plan.shared([shard])
        networks = any(cell.backbone for cell in shard.cells)
        assert manifest["backbone"] == ("toy" if networks else None)
        assert set(manifest["cost"]["peaks"]) == {cell.method.name for cell in shard.cells}
        assert all(peak > 1 for peak in manifest["cost"]["peaks"].values())
