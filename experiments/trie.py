"""Steps that cells share. Cells that start alike and whose first plans agree run them once.

Tries of one clip, inversion and seed are a *family*: run in lockstep, step by step, they also share
what a step computes of the source alone (``StepPlan.source_evaluations``).
"""

from __future__ import annotations

from collections.abc import Hashable, Iterable, Sequence
from dataclasses import dataclass, field
from functools import lru_cache
from typing import Any

from experiments.cells import Cell
from methods.base import Method, StepPlan


@dataclass(eq=False)
class Node:
    """A step and all that follows it. The root is the start and has no plan."""

    plan: StepPlan | None = None
    k: int = -1
    children: dict[StepPlan, Node] = field(default_factory=dict)
    ends: list[Cell] = field(default_factory=list)  # cells whose last step this is

    def add(self, cell: Cell, plans: Sequence[StepPlan]) -> None:
        """Add a cell below the root."""
        node = self
        for k, plan in enumerate(plans):
            child = node.children.get(plan)
            if child is None:
                child = node.children[plan] = Node(plan, k)
            node = child
        node.ends.append(cell)

    def evaluations(self) -> int:
        """Network evaluations of all steps below, each counted once."""
        total, stack = 0, [self]
        while stack:
            node = stack.pop()
            total += node.plan.evaluations if node.plan else 0
            stack.extend(node.children.values())
        return total

    def cells(self) -> list[Cell]:
        """All cells that end here or below."""
        found: list[Cell] = []
        stack = [self]
        while stack:
            node = stack.pop()
            found += node.ends
            stack.extend(reversed(node.children.values()))
        return found


@lru_cache(maxsize=65536)
def plans_of(method: Method, setting: Any, n_frames: int) -> tuple[StepPlan, ...]:
    """A cell's plan, made once for all cells of the same setting and length."""
    return tuple(method.plan(setting, n_frames))


def alone(cell: Cell) -> int:
    """Network evaluations of a cell's denoising steps when nothing is shared."""
    return sum(plan.evaluations for plan in plans_of(cell.method, cell.setting, cell.clip.frames))


def start_of(cell: Cell) -> Hashable:
    """What two cells must have in common to share their start and, with it, any step."""
    plans = plans_of(cell.method, cell.setting, cell.clip.frames)
    return (*source_of(cell), cell.edit or "", plans[0] if plans else cell.id)


def source_of(cell: Cell) -> tuple[Hashable, ...]:
    """What two cells must have in common to share what a step computes of the source alone."""
    return cell.method.name, cell.clip, cell.backbone, cell.dtype, cell.seed, cell.inversion


def tries(cells: Iterable[Cell]) -> list[Node]:
    """One trie for each distinct start, in the order of first appearance."""
    roots: dict[Hashable, Node] = {}
    for cell in cells:
        root = roots.setdefault(start_of(cell), Node())
        root.add(cell, plans_of(cell.method, cell.setting, cell.clip.frames))
    return list(roots.values())


@dataclass(eq=False)
class Family:
    """Tries that are walked in lockstep."""

    roots: list[Node]

    def cells(self) -> list[Cell]:
        """All cells of all tries."""
        return [cell for root in self.roots for cell in root.cells()]

    def evaluations(self) -> int:
        """Network evaluations with every shared step and every shared source pass counted once."""
        total, level = 0, self.roots
        while level := [child for node in level for child in node.children.values()]:
            plans = [node.plan for node in level]
            total += sum(plan.evaluations - plan.source_evaluations for plan in plans)
            total += sum({p.source_key: p.source_evaluations for p in plans}.values())
        return total


def families(cells: Iterable[Cell]) -> list[Family]:
    """Tries by what they share, in the order of first appearance."""
    found: dict[Hashable, Family] = {}
    for root in tries(cells):
        first = root.cells()[0]
        plans = plans_of(first.method, first.setting, first.clip.frames)
        alike = any(plan.source_evaluations for plan in plans)
        key = source_of(first) if alike else first.id
        found.setdefault(key, Family([])).roots.append(root)
    return list(found.values())
