"""A sweep on paper: what follows from its shards and from recorded costs."""

from __future__ import annotations

from pathlib import Path

import pytest

from experiments.command_line import main
from experiments.planner import Plan, make_plan
from experiments.rates import Rates, recorded
from experiments.runner import ShardRunner
from experiments.score import batches, fingerprints, run_batch
from experiments.simulate import outlook, shard_seconds
from experiments.store import Store
from tests.fakes import fake_catalogue, write_experiment

RATES = Rates({"": 0.5}, start=10, score=0, cell_bytes=1000, cell_files=4, inversion_bytes=0)


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> tuple[Plan, Store]:
    folder = tmp_path_factory.mktemp("simulate")
    plan, store = make_plan(write_experiment(folder), fake_catalogue()), Store(folder / "results")
    for shard in plan.shards:
        ShardRunner(plan, shard, store, fake_catalogue()).run()
    for batch in batches(plan, fingerprints(plan, fake_catalogue())):
        run_batch(batch, store, fake_catalogue())
    return plan, store


def test_rates_are_what_the_records_tell(run: tuple[Plan, Store]) -> None:
    plan, store = run
    rates = recorded(store, start=5, speed=2)
    assert rates.cell_files == 4  # a folder with frames, run.json and scores.json
    assert rates.start >= 5 and rates.score > 0 and rates.cell_bytes > 0
    assert rates.evaluation["blend"] == pytest.approx(
        recorded(store, start=5, speed=1).evaluation["blend"] / 2
    )
    assert recorded(Store(store.root / "none"), start=5, speed=1) is None
    # Nothing is counted twice or left out, inversions included.
    assert sum(n for _, n in shard_seconds(plan, rates)) == plan.shared()


def test_one_worker_takes_the_sum_and_many_never_less_than_their_share() -> None:
    shards = [(seconds, 100) for seconds in (50.0, 20.0, 70.0, 10.0, 30.0, 40.0)]
    one = outlook(shards, 600, RATES, 1)
    assert one.running == sum(seconds + 10 for seconds, _ in shards)
    assert one.busy == pytest.approx(220 / 280) and one.starting == pytest.approx(60 / 280)
    for workers in (2, 3, 6):
        told = outlook(shards, 600, RATES, workers)
        assert max(280 / workers, 80) <= told.running <= one.running
    # By hand, in order: 60 and 30; 30 + 80 = 110; 60 + 20 = 80; 80 + 40 = 120; 110 + 50 = 160.
    assert outlook(shards, 600, RATES, 2).running == 160
    assert outlook(shards, 600, RATES, 64).running == 80  # the longest
    assert outlook(shards, 600, RATES, 64).shards == 6


def test_the_bottleneck_is_named() -> None:
    assert outlook([(9000.0, 1)] * 64, 640, RATES, 8).bottleneck == "the networks"
    assert outlook([(1.0, 1)] * 6400, 640, RATES, 8).bottleneck == "starting jobs"
    assert (
        outlook([(9000.0, 1), *[(1.0, 1)] * 7], 90, RATES, 8).bottleneck
        == "waiting for the last shards"
    )
    assert outlook([(5.0, 1)] * 64, 10**6, RATES, 64).bottleneck == "scoring"
    assert outlook([(5.0, 1)] * 64, 10**6, RATES, 10**5).bottleneck == "collecting"


def test_planning_in_every_job_is_what_tickets_save() -> None:
    shards = [(60.0, 1)] * 1000
    with_tickets, without = (outlook(shards, 10**5, RATES, 8, extra) for extra in (0, 90))
    assert without.running == 125 * (60 + 10 + 90)
    assert with_tickets.running == 125 * (60 + 10)


def test_the_command_prints_a_row_for_each_number_of_workers(
    run: tuple[Plan, Store], tmp_path: Path, capsys: pytest.CaptureFixture
) -> None:
    plan, store = run
    said = ["simulate", str(plan.checked.path), "--workers", "1", "4"]
    assert main(["--results", str(store.root), *said], fake_catalogue()) == 0
    told = capsys.readouterr().out
    assert "| 1 |" in told and "| 4 |" in told and "inodes" in told
    assert f"network evaluations: {plan.shared():,}" in told
    assert main(["--results", str(tmp_path), *said], fake_catalogue()) == 2
    assert "costs are unknown" in capsys.readouterr().err
