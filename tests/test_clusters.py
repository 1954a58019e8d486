"""What jobs ask of a cluster, what they are told, and how large sweeps become jobs."""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace

import pytest

from data.errors import UserError
from experiments import devices, gpus
from experiments.atomic import read_sealed, write_sealed
from experiments.command_line import main
from experiments.gpus import Gpu
from experiments.needs import MARGIN, START, UNKNOWN_MINUTES, Past
from experiments.packing import MOST_SHARDS, SHARD_SIZE
from experiments.planner import Plan, make_plan
from experiments.runner import ShardRunner
from experiments.score import batches, fingerprints, run_batch
from experiments.snake import Wanted
from experiments.store import OK, Store
from tests.fakes import EXPERIMENT, fake_catalogue, write_experiment


def wanted(folder: Path, **how) -> Wanted:
    return Wanted(folder, Store(folder / "results"), catalogue=fake_catalogue, **how)


def digest(shard_or_batch) -> SimpleNamespace:
    """Wildcards of a shard's or batch's job."""
    return SimpleNamespace(digest=shard_or_batch.id)


def with_networks(plan: Plan) -> list:
    return [shard for shard in plan.shards if any(cell.backbone for cell in shard.cells)]


@pytest.fixture
def plan(tmp_path: Path) -> Plan:
    return make_plan(write_experiment(tmp_path), fake_catalogue())


def test_before_anything_has_run_jobs_ask_for_what_should_do(tmp_path: Path, plan: Plan) -> None:
    on_cpus, on_gpus = wanted(tmp_path, devices="cpu"), wanted(tmp_path, devices="allotted")
    for shard in with_networks(plan):
        assert on_cpus.runtime(digest(shard), 1) == UNKNOWN_MINUTES
        assert (on_cpus.gpu(digest(shard)), on_gpus.gpu(digest(shard))) == (0, 1)
        assert on_gpus.mem_mb(digest(shard), 1) > on_cpus.mem_mb(digest(shard), 1)
    for shard in set(plan.shards) - set(with_networks(plan)):  # controls: no network, no GPU
        assert on_gpus.gpu(digest(shard)) == 0
        assert on_gpus.mem_mb(digest(shard), 1) == on_cpus.mem_mb(digest(shard), 1)


def test_jobs_ask_for_what_such_work_has_taken_on_the_slowest_hardware(
    tmp_path: Path, plan: Plan
) -> None:
    store = Store(tmp_path / "results")
    for shard in plan.shards:
        ShardRunner(plan, shard, store, fake_catalogue()).run()
    for path in (store.root / "shards").glob("*.json"):  # as if 60 s an evaluation, 3,000 MB
        record = read_sealed(path)
        for work in record["cost"]["work"].values():
            work[1] = 60.0 * work[0]
        write_sealed(path, record | {"cost": record["cost"] | {"peak_main_mb": 3000.0}})
        slow = record | {"hardware": record["hardware"] | {"id": "slow"}}
        for work in slow["cost"]["work"].values():
            work[1] *= 2
        write_sealed(path.with_stem(f"slow-{path.stem}"), slow)
    asked = wanted(tmp_path, devices="cpu")
    for shard in with_networks(plan):
        evaluations = plan.shared([shard])
        assert asked.runtime(digest(shard), 1) == START + MARGIN * 2 * evaluations
        assert asked.mem_mb(digest(shard), 1) == 3000 * 1.25 + 500
    # A CPU's records say nothing of a GPU.
    assert Past(store, "cuda").seconds(plan, with_networks(plan)[0]) is None


def test_every_retry_asks_for_twice_as_much_up_to_the_partition_s_limit(
    tmp_path: Path, plan: Plan
) -> None:
    asked, shard = wanted(tmp_path, devices="cpu", longest=600), digest(with_networks(plan)[0])
    memory = [asked.mem_mb(shard, attempt) for attempt in (1, 2, 3)]
    assert memory == [memory[0], 2 * memory[0], 4 * memory[0]]
    assert [asked.runtime(shard, attempt) for attempt in (1, 2, 3)] == [240, 480, 600]


def test_a_job_goes_by_its_ticket_and_lays_out_nothing(
    tmp_path: Path, plan: Plan, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What it is told is what the whole plan tells; the store is left to whoever began the run."""
    first = wanted(tmp_path, devices="allotted", leave_tickets=lambda: True)
    jobs = [*plan.shards, *first.targets("toy").batches]

    def said_to(asker: Wanted, job) -> tuple:
        named = digest(job)
        return (
            asker.inputs(named),
            asker.gpu(named),
            asker.runtime(named, 1),
            asker.mem_mb(named, 1),
        )

    said = [said_to(first, job) for job in jobs]
    assert any(len(inputs) > 1 for inputs, *_ in said)  # a batch scores several shards' cells
    monkeypatch.setattr(Wanted, "_laid_out", None)
    job = wanted(tmp_path, devices="allotted", main=False)
    assert [said_to(job, other) for other in jobs] == said
    for other in jobs:
        assert Path(job.experiment_of(digest(other))) == tmp_path / "toy.yaml"


def test_a_dry_run_leaves_no_tickets(tmp_path: Path, plan: Plan) -> None:
    wanted(tmp_path).inputs(digest(plan.shards[0]))
    assert not (tmp_path / "results").exists()


def test_without_a_ticket_a_job_finds_its_shard_and_removes_nothing(
    tmp_path: Path, plan: Plan
) -> None:
    stale = tmp_path / "results" / "shards" / f"{plan.shards[0].id}.json"
    write_sealed(stale, {"hardware": {"device": "cpu", "id": ""}, "cost": {"work": {}}})
    job = wanted(tmp_path, main=False)
    assert job.runtime(digest(plan.shards[0]), 1) > 0
    assert stale.exists()
    wanted(tmp_path).targets("toy")  # whoever begins a run does
    assert not stale.exists()


def command(folder: Path, *arguments: str) -> int:
    return main(["--results", str(folder / "results"), *arguments], fake_catalogue())


def test_jobs_with_tickets_make_the_same_store(tmp_path: Path, capsys) -> None:
    """Frames, scores and manifests, by the commands that the rules call."""
    text = EXPERIMENT.replace("[disc, ring]", "[disc]").replace("seeds: [0, 1]", "seeds: [0]")
    plan = make_plan(write_experiment(tmp_path, text), fake_catalogue())
    assert len(plan.shards) > 1
    first = wanted(tmp_path, leave_tickets=lambda: True)
    found = first.targets("toy")
    for job in [*plan.shards, *found.batches]:
        first.inputs(digest(job))
        kind = "shard" if job in plan.shards else "score"
        assert command(tmp_path, kind, str(tmp_path / "toy.yaml"), "--id", job.id) == 0
    assert (
        f"toy: {len(plan.cells)}/{len(plan.cells)} cells" in capsys.readouterr().out
    )  # of the experiment, not of the shard
    alone = Store(tmp_path / "alone")
    for shard in plan.shards:
        ShardRunner(plan, shard, alone, fake_catalogue()).run()
    for batch in batches(plan, fingerprints(plan, fake_catalogue())):
        run_batch(batch, alone, fake_catalogue())
    for cell in plan.cells:
        assert (found.store.frames(cell) == alone.frames(cell)).all()
        assert found.store.scores(cell) == alone.scores(cell)
    assert all(p.exists() for p in found.shard_manifests() + found.score_manifests())


def test_a_ticket_for_cells_that_are_no_more_is_refused(tmp_path: Path, plan: Plan, capsys) -> None:
    shard = with_networks(plan)[0]
    wanted(tmp_path, leave_tickets=lambda: True).inputs(digest(shard))
    path = write_experiment(tmp_path, EXPERIMENT.replace("n_timesteps: 6", "n_timesteps: 7"))
    assert command(tmp_path, "shard", str(path), "--id", shard.id) == 2
    assert "has changed since the run began" in capsys.readouterr().err


def test_a_job_that_was_given_no_gpu_says_so(monkeypatch: pytest.MonkeyPatch) -> None:
    """Rather than to run for days on a CPU; one that was given some uses those."""
    with pytest.raises(UserError, match=r"was given no GPU .* devices=cpu"):
        devices.resolve("allotted")
    monkeypatch.setattr(gpus, "visible", lambda given: [Gpu("GPU-7", "H200")])
    assert devices.resolve("allotted") == ("GPU-7",)


def sweep(folder: Path, shares: int, more: str = "") -> Plan:
    grid = f"grid: {{share: {[round(n / shares, 4) for n in range(shares)]}, guidance: [1.0, 3.0]}}"
    text = EXPERIMENT.replace("grid: {share: [0.0, 0.5, 1.0], guidance: [1.0, 3.0]}", grid)
    return make_plan(write_experiment(folder, text + more), fake_catalogue())


def test_shards_of_a_large_sweep_grow_until_there_are_few(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert MOST_SHARDS == 512
    monkeypatch.setattr("experiments.packing.MOST_SHARDS", 12)
    small, large = sweep(tmp_path, 3), sweep(tmp_path, 100)
    assert max(len(s.cells) for s in small.shards) <= SHARD_SIZE
    assert 6 < len(large.shards) <= 12
    assert sorted(c for s in large.shards for c in (x.id for x in s.cells)) == sorted(large.cells)
    # What shares steps stays together, so the sweep needs fewer of them.
    apart = sweep(tmp_path, 100, f"shard_size: {SHARD_SIZE}\n")
    assert len(apart.shards) > 12 and large.shared() < apart.shared()


def test_a_few_cells_more_leave_large_shards_as_they_are(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """But for those that the new cells are in: sizes are doubled, not fitted."""
    monkeypatch.setattr("experiments.packing.MOST_SHARDS", 12)
    before = {shard.id for shard in sweep(tmp_path, 100).shards}
    text = (tmp_path / "toy.yaml").read_text()
    text = text.replace("ids: [still]\n", "ids: [still, disc]\n", 1)
    after = {s.id for s in make_plan(write_experiment(tmp_path, text), fake_catalogue()).shards}
    assert len(before & after) >= len(before) - 2


def test_a_job_is_told_of_failures_in_the_store(tmp_path: Path, plan: Plan) -> None:
    """A cell's failure is a row, not the job's: no retry is spent on it."""
    text = EXPERIMENT.replace("n_timesteps: 6", "n_timesteps: 6, trouble: setting")
    path = write_experiment(tmp_path, text)
    troubled = make_plan(path, fake_catalogue())
    for shard in troubled.shards:
        assert command(tmp_path, "shard", str(path), "--id", shard.id) == 0
    store = Store(tmp_path / "results")
    assert {store.status(c) for c in troubled.cells} > {OK}
