"""An interrupted walk goes on where it stood, and nothing it left is trusted unseen."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from experiments.planner import Plan, make_plan
from experiments.runner import ShardRunner
from experiments.store import Store
from methods.base import State
from tests.fake_methods import Blend
from tests.fakes import fake_catalogue, write_experiment


class Killed(BaseException):
    """Not an Exception: the walk must not take it for a failing cell."""


def run(plan: Plan, store: Store) -> int:
    """Run all shards; the number of network evaluations."""
    return sum(ShardRunner(plan, s, store, fake_catalogue()).run().evaluations for s in plan.shards)


def tables(plan: Plan, store: Store) -> dict[str, bytes]:
    return {cell: store.frames(cell).tobytes() for cell in plan.cells}


@pytest.fixture
def interrupted(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    """A store in which the first family was killed in its last step, every step being kept."""
    plan = make_plan(write_experiment(tmp_path), fake_catalogue())
    whole = Store(tmp_path / "whole")
    run(plan, whole)
    monkeypatch.setattr("experiments.checkpoint.EVERY", 0.0)
    step, store = Blend.step, Store(tmp_path / "partial")

    def kill(self, ctx, state, plan, k):
        if k == 5:
            raise Killed
        return step(self, ctx, state, plan, k)

    with monkeypatch.context() as patch:
        patch.setattr(Blend, "step", kill)
        with pytest.raises(Killed):
            run(plan, store)
    return plan, whole, store


def test_it_goes_on_from_the_last_step_that_was_kept(interrupted) -> None:
    """Five of the first family's six steps are there: 5 x (source + 10 edits) x 4 frames saved."""
    plan, whole, store = interrupted
    (kept,) = (store.root / "partial").glob("*.npz")
    assert run(plan, store) < plan.shared() - 5 * 4 * 8
    assert tables(plan, store) == tables(plan, whole)
    assert not kept.exists()


def test_costs_are_those_of_a_run_that_was_not_interrupted(interrupted) -> None:
    plan, whole, store = interrupted
    run(plan, store)
    for cell in plan.cells:
        costs = [s.run(cell)["cost"]["network_evaluations"] for s in (whole, store)]
        assert costs[0] == costs[1]


@pytest.mark.parametrize("harm", ["truncate", "flip", "empty", "text"])
def test_what_was_altered_is_not_used(interrupted, harm: str) -> None:
    plan, whole, store = interrupted
    (kept,) = (store.root / "partial").glob("*.npz")
    content = kept.read_bytes()
    kept.write_bytes(
        {
            "truncate": content[: len(content) // 2],
            "flip": content[:900] + bytes([content[900] ^ 1]) + content[901:],
            "empty": b"",
            "text": b"not a checkpoint" * 9,
        }[harm]
    )
    assert run(plan, store) == plan.shared() - 2 * 5 * 4 + 5 * 4  # one inversion is there
    assert tables(plan, store) == tables(plan, whole)


def test_what_does_not_cover_every_missing_cell_is_not_used(interrupted) -> None:
    """A cell lost after its family ended must not start from a sibling's place."""
    plan, whole, store = interrupted
    run(plan, store)
    lost = next(c for c in plan.cells.values() if c.method.name == "blend")
    store.forget(lost.id)
    assert run(plan, store) == 6 * 8
    assert tables(plan, store) == tables(plan, whole)


def test_a_state_is_packed_to_the_bit() -> None:
    import torch

    random = torch.Generator().manual_seed(0)
    state = State(torch.randn(2, 4, 3, 3, generator=random), {"mean": torch.zeros(5)})
    again = State.unpack(state.pack())
    assert torch.equal(again.latents, state.latents) and set(again.extra) == {"mean"}
    assert again.latents.dtype == state.latents.dtype
    np.testing.assert_array_equal(again.extra["mean"].numpy(), np.zeros(5, np.float32))
