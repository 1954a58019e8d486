"""Run cells that share steps: walk the trie of their plans, copying the state where they part.

Every cell's frames equal, bit for bit, those of :func:`methods.base.run_cell` run alone: the same
calls are made with the same arguments in the same order, only fewer times. A cell's cost is what
it would have been alone: shared steps count in full for each cell that took them.
"""

from __future__ import annotations

import traceback
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace

import numpy as np

from experiments.cells import Cell
from experiments.cost import Cost, Meter
from experiments.health import BadOutput, check_finite, check_frames
from experiments.trie import Node
from methods.base import Context, State


@dataclass(frozen=True)
class Outcome:
    """A cell's frames, or why there are none."""

    cell: Cell
    frames: np.ndarray | None
    edit: Cost
    decode: Cost
    status: str = "ok"
    trace: str = ""


class _Unreadable:
    """Stands for the setting while steps run: several settings may share a step."""

    def __getattr__(self, name: str) -> object:
        raise AttributeError(
            f"a step read ctx.setting.{name}; steps are shared by settings whose plans agree, so "
            "what a step needs must stand in its StepPlan"
        )


def status_of(error: Exception) -> str:
    """A cell's status for an exception: a short reason."""
    if isinstance(error, BadOutput):
        return str(error)
    if isinstance(error, MemoryError) or type(error).__name__ == "OutOfMemoryError":
        return "out of memory"
    first = next(iter(str(error).splitlines()), "")
    return f"error: {type(error).__name__}: {first}"[:200]


def walk(root: Node, context: Callable[[Cell], Context], meter: Meter) -> Iterator[Outcome]:
    """Outcomes of all cells of a trie, one as soon as it is known.

    Cells below a step that fails share its traceback; the others go on.
    """
    cells = root.cells()
    method, first = cells[0].method, context(cells[0])
    stepping = replace(first, setting=_Unreadable())
    try:
        with meter.measure() as cost:
            state = method.start(first)
    except Exception as error:
        yield from _failed(root, error, cost)
        return
    # (node, its state before the step, the cost so far); a chain of one child is never forked.
    stack: list[tuple[Node, State | None, Cost]] = [(root, state, cost)]
    while stack:
        node, state, spent = stack.pop()
        if node.plan is not None:
            try:
                with meter.measure() as cost:
                    state = method.step(stepping, state, node.plan, node.k)
            except Exception as error:
                yield from _failed(node, error, spent)
                continue
            spent = spent + cost
        users = len(node.children) + len(node.ends)
        for cell in node.ends:
            users -= 1
            yield _finished(
                cell, context(cell), state.fork() if users and state else state, spent, meter
            )
        for child in reversed(node.children.values()):
            users -= 1
            stack.append((child, state.fork() if users and state else state, spent))


def _finished(cell: Cell, ctx: Context, state: State | None, spent: Cost, meter: Meter) -> Outcome:
    cost = Cost()
    try:
        if state is not None:
            check_finite(state.latents)
        with meter.measure() as cost:
            frames = cell.method.finish(ctx, state)
        check_frames(frames, ctx.clip.frames)
    except Exception as error:
        return Outcome(cell, None, spent, cost, status_of(error), traceback.format_exc())
    return Outcome(cell, frames, spent, cost)


def _failed(node: Node, error: Exception, spent: Cost) -> Iterator[Outcome]:
    trace = "".join(traceback.format_exception(error))
    for cell in node.cells():
        yield Outcome(cell, None, spent, Cost(), status_of(error), trace)
