"""Shared steps give each cell the frames and the cost that it has alone."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from experiments.cells import Cell
from experiments.clips import first_frames
from experiments.planner import Plan, make_plan
from experiments.runner import ShardRunner
from experiments.store import Store
from experiments.trie import alone, plans_of, tries
from methods.base import Context, run_cell
from tests.fake_clips import make_clip
from tests.fake_network import FakeBackbone, invert
from tests.fakes import EXPERIMENT, fake_catalogue, write_experiment


def run_all(plan: Plan, store: Store, catalogue=None) -> list:
    catalogue = catalogue or fake_catalogue()
    return [ShardRunner(plan, shard, store, catalogue).run() for shard in plan.shards]


def frames_alone(cell: Cell) -> np.ndarray:
    """The cell by the five-line loop, with everything of its own."""
    clip, backbone = make_clip(cell.clip.clip), FakeBackbone()
    inversion = invert(backbone, clip.frames, cell.inversion) if cell.inversion else None
    edit = clip.edits[cell.edit] if cell.edit else None
    return run_cell(cell.method, Context(clip, edit, cell.setting, cell.seed, backbone, inversion))


@pytest.fixture(scope="module")
def sweep(tmp_path_factory: pytest.TempPathFactory):
    folder = tmp_path_factory.mktemp("sweep")
    plan = make_plan(write_experiment(folder), fake_catalogue())
    store = Store(folder / "results")
    return plan, store, run_all(plan, store)


def test_every_cell_equals_the_cell_run_alone_bit_for_bit(sweep) -> None:
    plan, store, _ = sweep
    for cell in plan.cells.values():
        np.testing.assert_array_equal(store.frames(cell.id), frames_alone(cell), str(cell))


def test_cells_of_one_clip_differ(sweep) -> None:
    """Otherwise equality would prove nothing."""
    plan, store, _ = sweep
    blends = [c for c in plan.cells.values() if c.method.name == "blend"]
    assert len({store.frames(c.id).tobytes() for c in blends}) == len(blends)


def test_the_network_ran_as_often_as_planned(sweep) -> None:
    plan, _, tallies = sweep
    assert sum(tally.evaluations for tally in tallies) == plan.shared()
    assert sum(tally.evaluations_alone for tally in tallies) == sum(
        plan.alone(cell) for cell in plan.cells.values()
    )


def test_a_cell_s_cost_is_what_it_costs_alone(sweep) -> None:
    plan, store, _ = sweep
    for cell in plan.cells.values():
        cost = store.run(cell.id)["cost"]
        assert cost["network_evaluations"] == alone(cell)
        assert cost["inversion_evaluations"] == (5 * 4 if cell.inversion else 0)
        assert cost["peak_memory_mb"] > 0


def test_inversions_are_shared_by_all_cells_of_a_clip(sweep) -> None:
    _, store, _ = sweep
    assert len(list((store.root / "inversions").glob("*.safetensors"))) == 2


def test_cells_part_where_their_plans_do(sweep) -> None:
    plan, _, _ = sweep
    for shard in plan.shards:
        for root in tries(shard.cells):
            for node in root.children.values():
                plans = [plans_of(c.method, c.setting, c.clip.frames) for c in node.cells()]
                assert {p[0] for p in plans} == {node.plan}


def test_a_step_that_reads_the_setting_is_refused(tmp_path: Path) -> None:
    text = EXPERIMENT.replace("n_timesteps: 6", "n_timesteps: 6, trouble: setting")
    plan = make_plan(write_experiment(tmp_path, text), fake_catalogue())
    store = Store(tmp_path / "results")
    run_all(plan, store)
    statuses = {store.status(c.id) for c in plan.cells.values() if c.method.name == "blend"}
    assert len(statuses) == 1
    assert "ctx.setting.guidance" in statuses.pop()


def test_first_frames_cuts_all_that_is_known() -> None:
    clip = first_frames(make_clip("disc"), 3)
    assert len(clip.frames) == len(clip.edits["colour"].oracle) == 3
    with pytest.raises(ValueError, match="4 frames, 9 asked"):
        first_frames(make_clip("disc"), 9)
