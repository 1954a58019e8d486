"""From a file to rows, cells and shards."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace

import pytest

from experiments.planner import Plan, make_plan
from tests.fakes import EXPERIMENT, fake_catalogue, write_experiment


def plan_of(folder: Path, *changes: tuple[str, str], catalogue=None) -> Plan:
    text = EXPERIMENT
    for before, after in changes:
        assert before in text
        text = text.replace(before, after)
    return make_plan(write_experiment(folder, text), catalogue or fake_catalogue())


def ids(plan: Plan, method: str) -> set[str]:
    return {cell.id for cell in plan.cells.values() if cell.method.name == method}


def test_rows_are_the_full_product(tmp_path: Path) -> None:
    """blend: 6 settings x 2 clips x 2 edits x 2 seeds; same: 2 clips x 2 edits x 2 seeds + 2."""
    plan = plan_of(tmp_path)
    assert len(plan.rows) == 6 * 2 * 2 * 2 + 2 * 2 * 2 + 2


def test_a_method_that_ignores_edit_and_seed_is_one_cell_per_clip(tmp_path: Path) -> None:
    plan = plan_of(tmp_path)
    assert len(ids(plan, "same")) == 3
    assert len(ids(plan, "blend")) == 48


@pytest.mark.parametrize(
    "change",
    [
        ("n_timesteps: 6", "n_timesteps: 7"),
        ("ids: [disc, ring]\n", "ids: [disc, ring]\n    frames: 3\n"),
        ("seeds: [0, 1]", "seeds: [2, 3]"),
        ("metrics:", "dtype: float16\nmetrics:"),
    ],
)
def test_what_can_change_frames_changes_ids(change: tuple[str, str], tmp_path: Path) -> None:
    assert not ids(plan_of(tmp_path), "blend") & ids(plan_of(tmp_path, change), "blend")


@pytest.mark.parametrize(
    "change",
    [
        ("title: Toy sweep", "title: Another title"),
        ("metrics: [mean@pixels]", "metrics: []\nallow_failures: true\nshard_size: 5"),
        ("  - name: blend", "  - name: blend\n    label: same"[:15] + "\n    label: mixed"),
        ("setting: {n_timesteps: 6}", "setting: {n_timesteps: 6, trouble: ''}"),  # a default
    ],
)
def test_what_cannot_change_frames_changes_no_id(change: tuple[str, str], tmp_path: Path) -> None:
    changes = [change]
    if "mixed" in change[1]:
        changes.append(("methods: [blend, same]", "methods: [mixed, same]"))
    assert set(plan_of(tmp_path).cells) == set(plan_of(tmp_path, *changes).cells)


def test_other_weights_change_the_cells_that_use_them(tmp_path: Path) -> None:
    info = SimpleNamespace(name="toy", digest="retrained", prediction_type="epsilon")
    other = plan_of(tmp_path, catalogue=replace(fake_catalogue(), backbone=lambda name: info))
    plan = plan_of(tmp_path)
    assert not ids(plan, "blend") & ids(other, "blend")
    assert ids(plan, "same") == ids(other, "same")


def test_cases_are_coupled_values(tmp_path: Path) -> None:
    grid = "grid: {share: [0.0, 0.5, 1.0], guidance: [1.0, 3.0]}"
    cases = "cases: [{share: 0.2, guidance: 1.0}, {share: 0.8, guidance: 2.0}]"
    plan = plan_of(tmp_path, (grid, cases))
    settings = {
        (r.setting_json["share"], r.setting_json["guidance"])
        for r, c in plan.rows
        if r.label == "blend"
    }
    assert settings == {(0.2, 1.0), (0.8, 2.0)}


def test_every_cell_is_in_one_shard(tmp_path: Path) -> None:
    plan = plan_of(tmp_path, ("metrics:", "shard_size: 7\nmetrics:"))
    held = [cell.id for shard in plan.shards for cell in shard.cells]
    assert sorted(held) == sorted(plan.cells)
    assert max(len(shard.cells) for shard in plan.shards) <= 7


def test_shards_hold_one_backbone_and_controls_apart(tmp_path: Path) -> None:
    for shard in plan_of(tmp_path).shards:
        assert len({cell.backbone for cell in shard.cells}) == 1


def test_shards_end_when_they_have_enough_work(tmp_path: Path) -> None:
    plan = plan_of(tmp_path, ("metrics:", "shard_evaluations: 264\nmetrics:"))
    work = [sum(family.evaluations() for family in shard.families) for shard in plan.shards]
    assert sorted(work) == [0, 264, 264, 264, 264]  # the controls, then clip by clip and seed
    assert sum(work) == plan.shared() - 2 * 5 * 4  # all but the two inversions


@pytest.mark.parametrize("evaluations", [300, 600, 1200])
def test_shards_are_even_so_that_workers_end_together(tmp_path: Path, evaluations: int) -> None:
    """A power of two of them, none further from the mean than what may not be parted."""
    plan = plan_of(tmp_path, ("metrics:", f"shard_evaluations: {evaluations}\nmetrics:"))
    families = [[f.evaluations() for f in shard.families] for shard in plan.shards]
    work = [sum(each) for each in families if sum(each)]
    assert len(work) in (2, 4) and sum(work) / len(work) <= evaluations
    assert max(work) - min(work) <= max(max(each) for each in families)


def test_evaluations_with_and_without_sharing(tmp_path: Path) -> None:
    """By hand: 6 steps of 4 frames, source and edit; 2 guidances x shares 0, 3 and 6 of 6 steps.

    Per guidance: share 0 stands alone (6 steps), 3 and 6 have 3 in common (3 + 3 + 3 steps). The
    source takes its 6 steps once for both edits and all settings of a clip and seed. An inversion
    takes 5 steps, one per clip when shared.
    """
    plan = plan_of(tmp_path)
    sources, edits, inversions = 2 * 2, 2, 2
    expected = sources * (6 + edits * 2 * (6 + 9)) + inversions * 5
    assert plan.shared() == expected * 4
    assert sum(plan.alone(c) for c in plan.cells.values()) == 48 * (2 * 6 + 5) * 4


def test_cells_of_other_clips_and_seeds_are_no_siblings(tmp_path: Path) -> None:
    plan = plan_of(tmp_path)
    blends = [f for s in plan.shards for f in s.families if f.cells()[0].method.name == "blend"]
    assert len(blends) == 2 * 2
    for family in blends:
        assert len({(cell.clip, cell.seed) for cell in family.cells()}) == 1
        assert {cell.edit for cell in family.cells()} == {"colour", "shape"}


def test_planning_is_the_same_twice(tmp_path: Path) -> None:
    first, second = plan_of(tmp_path), plan_of(tmp_path)
    assert first.id == second.id
    assert [s.id for s in first.shards] == [s.id for s in second.shards]


def test_a_sweep_of_ten_thousand_cells_is_planned_whole(tmp_path: Path) -> None:
    shares = [round(n / 100, 2) for n in range(100)]
    guidances = [round(1 + n / 20, 2) for n in range(25)]
    grid = f"grid: {{share: {shares}, guidance: {guidances}}}"
    plan = plan_of(
        tmp_path,
        ("grid: {share: [0.0, 0.5, 1.0], guidance: [1.0, 3.0]}", grid),
        ("ids: [disc, ring]", "ids: [disc]"),
    )
    assert len(ids(plan, "blend")) == 10_000
