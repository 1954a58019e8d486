"""A cell that takes too long is a row; the shard goes on."""

from __future__ import annotations

import contextlib
import signal
import subprocess
import sys
import time
from dataclasses import replace
from pathlib import Path

import pytest

from experiments.collect import table
from experiments.planner import make_plan
from experiments.runner import ShardRunner
from experiments.store import Store
from experiments.time_limit import TimeLimit, time_limit
from experiments.walk import status_of
from methods.base import Context
from tests.fake_methods import Blend, BlendPlan
from tests.fake_network import NumpyState
from tests.fakes import EXPERIMENT, fake_catalogue, write_experiment

ROOT = Path(__file__).resolve().parent.parent


def busy() -> None:
    while True:
        pass


@pytest.mark.parametrize("hang", [busy, lambda: time.sleep(60)])
def test_a_block_ends_when_its_time_is_up(hang) -> None:
    start = time.monotonic()
    with pytest.raises(TimeLimit, match=r"time limit: more than 5 s"), time_limit(5, spent=4.9):
        hang()
    assert time.monotonic() - start < 5


def test_no_time_left_and_no_limit() -> None:
    with pytest.raises(TimeLimit), time_limit(5, spent=5):
        raise AssertionError("the block is not entered")
    with time_limit(None):
        assert signal.getitimer(signal.ITIMER_REAL) == (0, 0)


def test_an_alarm_that_is_swallowed_comes_again(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("experiments.time_limit.AGAIN", 0.05)
    with pytest.raises(TimeLimit), time_limit(0.05):
        with contextlib.suppress(Exception):
            busy()
        busy()


def test_outside_the_block_nothing_is_armed() -> None:
    """Whoever had an alarm set has it again."""
    heard = []
    before = signal.signal(signal.SIGALRM, lambda *_: heard.append(1))
    try:
        with time_limit(0.05):
            pass
        time.sleep(0.1)
        assert heard == [] and signal.getitimer(signal.ITIMER_REAL) == (0, 0)
        signal.raise_signal(signal.SIGALRM)
        assert heard == [1]
    finally:
        signal.signal(signal.SIGALRM, before)


def test_a_native_call_that_hangs_ends_the_process_with_a_traceback() -> None:
    """Blocking the signal stands for a call that never returns to the interpreter."""
    code = (
        "import signal, time\n"
        "from experiments import time_limit\n"
        "time_limit.GRACE = 0.3\n"
        "signal.pthread_sigmask(signal.SIG_BLOCK, [signal.SIGALRM])\n"
        "def stuck(): time.sleep(60)\n"
        "with time_limit.time_limit(0.1): stuck()\n"
    )
    run = subprocess.run(
        [sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, timeout=50,
        check=False,
    )  # fmt: skip
    assert run.returncode == 1
    assert "Timeout" in run.stderr and "in stuck" in run.stderr


class Slow(Blend):
    """One setting hangs in the middle of a step, another takes a little in every step."""

    def step(self, ctx: Context, state: NumpyState, plan: BlendPlan, k: int) -> NumpyState:
        if plan.guidance == 3.0 and k == 3:
            time.sleep(60)
        if plan.guidance == 5.0:
            time.sleep(0.2)
        return super().step(ctx, state, replace(plan, trouble=""), k)


def test_a_cell_over_its_time_is_a_row_and_the_shard_goes_on(tmp_path: Path) -> None:
    """Steps count together, as if each cell ran alone; the traceback says where it was."""
    grid = "grid: {share: [0.5], guidance: [1.0, 3.0, 5.0]}\n"
    text = EXPERIMENT.replace("grid: {share: [0.0, 0.5, 1.0], guidance: [1.0, 3.0]}\n", grid)
    text = text.replace("[disc, ring]", "[disc]\n    edits: [colour]").replace("[0, 1]", "[0]")
    catalogue = fake_catalogue()
    catalogue = replace(catalogue, methods=dict(catalogue.methods) | {"blend": Slow()})
    path = write_experiment(tmp_path, f"{text}cell_time_limit: 0.7\n")
    plan, store = make_plan(path, catalogue), Store(tmp_path / "results")
    for shard in plan.shards:
        ShardRunner(plan, shard, store, catalogue).run()
    frame = table(plan, store).set_index("guidance")
    assert frame.loc[1.0, "status"] == "ok"
    for guidance in (3.0, 5.0):
        assert frame.loc[guidance, "status"] == "time limit: more than 0.7 s"
        assert frame.loc[guidance, "seconds_edit"] != frame.loc[guidance, "seconds_edit"]  # absent
        assert "in step" in store.run(frame.loc[guidance, "cell"])["traceback"]
    spent = store.run(frame.loc[5.0, "cell"])["cost"]["seconds_edit"]
    assert 0.3 < spent < 0.7  # the steps that were finished


def test_memory_of_the_device_counts_as_memory() -> None:
    """As torch says it; importing torch takes longer than this test should."""
    OutOfMemoryError = type("OutOfMemoryError", (RuntimeError,), {})
    assert status_of(OutOfMemoryError("CUDA out of memory. Tried to allocate")) == "out of memory"
