"""Run a family of cells in lockstep: each shared step once, copying the state where plans part.

Every cell's frames equal, bit for bit, those of :func:`methods.base.run_cell` run alone: the same
calls are made with the same arguments, only fewer times. A cell's cost is what it would have been
alone: what was shared counts in full for each cell that used it.
"""

from __future__ import annotations

import traceback
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field, replace

import numpy as np

from experiments.cells import Cell
from experiments.checkpoint import Checkpoint
from experiments.cost import Cost, Meter
from experiments.health import BadOutput, check_finite, check_frames
from experiments.siblings import Siblings
from experiments.time_limit import TimeLimit
from experiments.trie import Family, Node
from methods.base import Context, Shared, State, compute


@dataclass(frozen=True)
class Outcome:
    """A cell's frames, or why there are none."""

    cell: Cell
    frames: np.ndarray | None
    edit: Cost
    decode: Cost
    status: str = "ok"
    trace: str = ""
    kept: Mapping[str, np.ndarray] = field(default_factory=dict)  # the method's traces


@dataclass(frozen=True)
class Place:
    """A node that was reached, the state after its step and the cost so far."""

    node: Node
    state: State | None
    spent: Cost


class _Unreadable:
    """Stands for the setting while steps run: several settings may share a step."""

    def __getattr__(self, name: str) -> object:
        raise AttributeError(
            f"a step read ctx.setting.{name}; steps are shared by settings whose plans agree, so "
            "what a step needs must stand in its StepPlan"
        )


def status_of(error: Exception) -> str:
    """A cell's status for an exception: a short reason."""
    if isinstance(error, BadOutput | TimeLimit):
        return str(error)
    if isinstance(error, MemoryError) or type(error).__name__ == "OutOfMemoryError":
        return "out of memory"
    first = next(iter(str(error).splitlines()), "")
    return f"error: {type(error).__name__}: {first}"[:200]


def walk(
    family: Family,
    context: Callable[[Cell], Context],
    meter: Meter,
    checkpoint: Checkpoint | None = None,
) -> Iterator[Outcome]:
    """Outcomes of all cells of a family, one as soon as it is known.

    Cells below a step that fails share its traceback; the others go on. With a checkpoint, a walk
    that was interrupted goes on from the last step that was kept.
    """
    siblings = Siblings(meter)
    level = checkpoint.load(family) if checkpoint else None
    if level is None:
        level = yield from _start(family, context, meter)
    while level:
        siblings.forget()
        # A lone cell keeps nothing for siblings that it does not have.
        alone = sum(len(place.node.children) for place in level) == 1
        shared = compute if alone else siblings.shared
        following: list[Place] = []
        for place in level:
            following += yield from _leave(place, context, shared, siblings, meter)
        level = following
        if checkpoint:
            checkpoint.save(level)
    if checkpoint:
        checkpoint.remove()


def _start(
    family: Family, context: Callable[[Cell], Context], meter: Meter
) -> Iterator[Outcome | list[Place]]:
    """Outcomes of cells that cannot start; returns where the others stand."""
    level = []
    for root in family.roots:
        first = root.cells()[0]
        cost = Cost()
        try:
            with meter.measure() as cost:
                state = first.method.start(context(first))
        except Exception as error:
            yield from _failed(root, error, cost)
        else:
            level.append(Place(root, state, cost))
    return level


def _leave(
    place: Place,
    context: Callable[[Cell], Context],
    shared: Shared,
    siblings: Siblings,
    meter: Meter,
) -> Iterator[Outcome | list[Place]]:
    """Outcomes of the cells that end here or fail in the next step; returns the next places."""
    node, state = place.node, place.state
    users = len(node.children) + len(node.ends)
    following = []
    for cell in node.ends:
        users -= 1
        copied = state.fork() if users and state else state
        yield _finished(cell, context(cell), copied, place.spent, meter)
    for child in node.children.values():
        users -= 1
        copied = state.fork() if users and state else state
        first = child.cells()[0]
        stepping = replace(context(first), setting=_Unreadable(), shared=shared)
        try:
            with meter.measure(place.spent.seconds) as cost:
                after = first.method.step(stepping, copied, child.plan, child.k)
        except Exception as error:
            siblings.abandon()
            yield from _failed(child, error, place.spent)
        else:
            following.append(Place(child, after, place.spent + siblings.settle(cost)))
    return following


def _finished(cell: Cell, ctx: Context, state: State | None, spent: Cost, meter: Meter) -> Outcome:
    cost = Cost()
    try:
        if state is not None:
            check_finite(state.latents)
        with meter.measure(spent.seconds) as cost:
            frames = cell.method.finish(ctx, state)
        check_frames(frames, ctx.clip.frames)
        kept = cell.method.traces(state)
    except Exception as error:
        return Outcome(cell, None, spent, cost, status_of(error), traceback.format_exc())
    return Outcome(cell, frames, spent, cost, kept=kept)


def _failed(node: Node, error: Exception, spent: Cost) -> Iterator[Outcome]:
    trace = "".join(traceback.format_exception(error))
    for cell in node.cells():
        yield Outcome(cell, None, spent, Cost(), status_of(error), trace)
