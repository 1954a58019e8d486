"""Sweeps that are killed again and again: ``python -m tests.killed_sweeps FOLDER KILLS SEED``.

One process imports everything once and forks a sweep per kill, so that a kill costs milliseconds.
Half of the sweeps are killed from outside after a random time; the others kill themselves in the
middle of a write: the temporary file is half there, or renamed and nothing else done. A sweep
that ends is kept and a new one begun. Prints what happened as JSON.
"""

from __future__ import annotations

import json
import os
import random
import signal
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from experiments import checkpoint
from experiments.catalogue import Catalogue
from experiments.planner import Plan, make_plan
from experiments.runner import ShardRunner
from experiments.score import batches, fingerprints, run_batch
from experiments.store import Store
from tests.fakes import fake_catalogue


def sweep(plan: Plan, store: Store, catalogue: Catalogue) -> None:
    """Everything of an experiment up to its table."""
    for shard in plan.shards:
        ShardRunner(plan, shard, store, catalogue).run()
    for batch in batches(plan, fingerprints(plan, catalogue)):
        run_batch(batch, store, catalogue)


def killed_in_a_write(after: int, renamed: bool) -> None:
    """From now on, die in the n-th write of this process."""
    real, count = Path.replace, 0

    def replace(self: Path, target: Any) -> Path:
        nonlocal count
        count += 1
        if count < after:
            return real(self, target)
        if renamed:
            real(self, target)
        else:
            os.truncate(self, self.stat().st_size // 2)
        os.kill(os.getpid(), signal.SIGKILL)
        raise AssertionError

    Path.replace = replace  # type: ignore[method-assign]


def forked(work: Callable[[], None]) -> int:
    """The process id of a child that does some work in silence and exits."""
    child = os.fork()
    if child:
        return child
    silence = os.open(os.devnull, os.O_WRONLY)
    os.dup2(silence, 1)
    os.dup2(silence, 2)
    status = 1
    try:
        work()
        status = 0
    finally:
        os._exit(status)


def main(folder: Path, kills: int, seed: int) -> dict[str, Any]:
    """Kill sweeps until there were ``kills`` kills, then let the last one end."""
    checkpoint.EVERY = 0.0  # keep every step, so that what is kept is killed too
    catalogue, rng = fake_catalogue(), random.Random(seed)
    plan = make_plan(folder / "toy.yaml", catalogue)
    start = time.perf_counter()
    os.waitpid(forked(lambda: sweep(plan, Store(folder / "calm"), catalogue)), 0)
    whole = time.perf_counter() - start
    told = {"kills": 0, "in_writes": 0, "ended": 0, "failed": 0, "runs": ["calm", "run-0"]}
    while told["kills"] < kills:
        store = Store(folder / told["runs"][-1])
        writing, nth, renamed = rng.random() < 0.5, rng.randint(1, 25), rng.random() < 0.5

        def work(store: Store = store, writing: bool = writing, nth: int = nth,
                 renamed: bool = renamed) -> None:  # fmt: skip
            if writing:
                killed_in_a_write(nth, renamed)
            sweep(plan, store, catalogue)

        child = forked(work)
        if not writing:
            time.sleep(rng.random() * whole / 4)
            os.kill(child, signal.SIGKILL)
        _, status = os.waitpid(child, 0)
        if os.WIFSIGNALED(status):
            told["kills"] += 1
            told["in_writes"] += writing
        else:
            told["failed"] += os.WEXITSTATUS(status) != 0
            told["ended"] += 1
            told["runs"].append(f"run-{told['ended']}")
    _, status = os.waitpid(
        forked(lambda: sweep(plan, Store(folder / told["runs"][-1]), catalogue)), 0
    )
    told["failed"] += status != 0
    return told


if __name__ == "__main__":
    print(json.dumps(main(Path(sys.argv[1]), int(sys.argv[2]), int(sys.argv[3]))))
