"""What a run will take, told before it: from the plan and from past shards on such hardware."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from experiments import estimate as estimates
from experiments.atomic import read_sealed, write_sealed
from experiments.command_line import main
from experiments.estimate import estimate
from experiments.gpus import Gpu
from experiments.planner import Plan, make_plan
from experiments.runner import ShardRunner
from experiments.store import Store
from tests.fakes import EXPERIMENT, fake_catalogue, write_experiment

ROOT = Path(__file__).resolve().parent.parent


def planned(folder: Path) -> tuple[Plan, Store]:
    return make_plan(write_experiment(folder), fake_catalogue()), Store(folder / "results")


def run(plan: Plan, store: Store) -> None:
    for shard in plan.shards:
        ShardRunner(plan, shard, store, fake_catalogue()).run()


def test_before_anything_has_run_time_and_memory_are_unknown(tmp_path: Path) -> None:
    found = estimate(*planned(tmp_path))
    assert (found.seconds_left, found.saved) == (None, None)
    assert found.peaks == {"blend on toy": None}  # controls run no network
    assert "expected peak memory, MB: blend on toy unknown" in found.lines("toy")


def test_memory_is_the_most_that_such_a_cell_has_taken_here(tmp_path: Path) -> None:
    plan, store = planned(tmp_path)
    run(plan, store)
    blends = [store.run(c.id) for c in plan.cells.values() if c.method.name == "blend"]
    found = estimate(plan, store)
    assert found.peaks == {"blend on toy": max(r["cost"]["peak_memory_mb"] for r in blends)}
    assert found.seconds_left == 0
    alone = sum(plan.alone(cell) for cell in plan.cells.values())
    assert found.saved == pytest.approx(1 - plan.shared() / alone)
    assert f"saved by sharing in the shards run so far: {found.saved:.0%}" in found.lines("toy")


@pytest.mark.parametrize("other", ["another CPU", "a GPU in this machine"])
def test_what_ran_elsewhere_says_nothing_of_here(
    other: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    plan, store = planned(tmp_path)
    run(plan, store)
    for cell in plan.cells:
        store.forget(cell)
    assert estimate(plan, store).seconds_left > 0
    if other == "a GPU in this machine":
        monkeypatch.setattr(estimates, "visible", lambda given: [Gpu("GPU-0", "H200")])
    else:
        for path in (store.root / "shards").glob("*.json"):
            record = read_sealed(path)
            write_sealed(path, record | {"hardware": record["hardware"] | {"cpu": "other"}})
    found = estimate(plan, store)
    assert (found.seconds_left, found.peaks) == (None, {"blend on toy": None})


def test_a_plan_prints_what_it_knows(tmp_path: Path, capsys: pytest.CaptureFixture) -> None:
    plan, store = planned(tmp_path)
    run(plan, store)
    command = ["--results", str(store.root), "plan", str(tmp_path / "toy.yaml")]
    assert main(command, fake_catalogue()) == 0
    told = capsys.readouterr().out
    assert "toy: 58 rows, 51 cells in" in told and "51 cells done" in told
    assert "expected peak memory, MB: blend on toy " in told and "unknown" not in told


def test_the_project_s_experiments_are_planned_without_torch(tmp_path: Path) -> None:
    """All of them, in one process in which torch cannot be imported."""
    code = (
        "import sys\n"
        "class NoTorch:\n"  # a None in sys.modules would do, but SciPy looks into it
        "    def find_spec(self, name, *_):\n"
        "        if name.partition('.')[0] == 'torch': raise ImportError(name)\n"
        "sys.meta_path.insert(0, NoTorch())\n"
        "from pathlib import Path\n"
        "from experiments.command_line import main\n"
        "names = sorted(path.stem for path in Path('experiments').glob('*.yaml'))\n"
        "status = [main(['--results', sys.argv[1], 'plan', name]) for name in names]\n"
        "sys.exit(any(status))\n"
    )
    run = subprocess.run(
        [sys.executable, "-c", code, str(tmp_path)], cwd=ROOT, capture_output=True, text=True,
        check=False,
    )  # fmt: skip
    assert run.returncode == 0, run.stdout + run.stderr
    for name in ("quickstart", "ablation-guidance", "ablation-injection", "ablation-window"):
        assert f"{name}: " in run.stdout
    assert run.stdout.count("network evaluations, shared:") >= 4


def test_ten_thousand_cells_are_planned_in_seconds(tmp_path: Path) -> None:
    """At most 10 s of this process's time and 1 GiB, the estimate included."""
    shares = [round(n / 100, 2) for n in range(100)]
    guidances = [round(1 + n / 20, 2) for n in range(25)]
    grid = f"grid: {{share: {shares}, guidance: {guidances}}}"
    text = EXPERIMENT.replace("grid: {share: [0.0, 0.5, 1.0], guidance: [1.0, 3.0]}", grid)
    path = write_experiment(tmp_path, text.replace("[disc, ring]", "[disc]"))
    code = (
        "import sys, time\n"
        "from pathlib import Path\n"
        "from experiments.command_line import main\n"
        "from tests.fakes import fake_catalogue\n"
        "main(['--results', sys.argv[2], 'plan', sys.argv[1]], fake_catalogue())\n"
        # Not getrusage's peak: a child inherits it from the process that started it.
        "status = Path('/proc/self/status').read_text().splitlines()\n"
        "peak = next(line for line in status if line.startswith('VmHWM')).split()[1]\n"
        "print(time.process_time(), int(peak) / 1024)\n"
    )
    command = [sys.executable, "-c", code, str(path), str(tmp_path / "results")]
    run = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=True)
    seconds, megabytes = map(float, run.stdout.splitlines()[-1].split())
    assert "10002 cells" in run.stdout
    assert seconds < 10 and megabytes < 1024
