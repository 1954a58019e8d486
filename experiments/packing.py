"""From cells to shards.

A shard is what one job runs in one process: cells of one backbone, clip after clip and method
after method, so that the backbone is loaded once, inversions stay in memory and cells that share
steps stand together. Cells that may share steps are parted only where a shard would be too large.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from functools import cached_property

from experiments.atomic import digest
from experiments.cells import Cell
from experiments.schema import Experiment
from experiments.trie import Family, families

# Unless an experiment says so: most cells of a job, network evaluations that fill one, and jobs
# above which both are doubled. `python -m experiments simulate` tells why. Where a job
# imports its libraries itself, that takes as long as some 500 evaluations of the embedded model.
SHARD_SIZE = 64
SHARD_EVALUATIONS = 12_000
MOST_SHARDS = 512


@dataclass(frozen=True, eq=False)
class Shard:
    """Cells that one process runs."""

    cells: tuple[Cell, ...]

    @cached_property
    def id(self) -> str:
        """Digest of the cells it holds."""
        return digest(sorted(cell.id for cell in self.cells))

    @cached_property
    def families(self) -> list[Family]:
        """Its cells by what they share."""
        return families(self.cells)


def shards_of(cells: Iterable[Cell], experiment: Experiment) -> list[Shard]:
    """The shards of an experiment.

    Unless it says how large they are, they grow with the sweep: cells that share steps then stay
    together, and jobs are few enough to start and to watch.
    """
    bundles = bundled(cells)
    size = experiment.shard_size or SHARD_SIZE
    evaluations = experiment.shard_evaluations or SHARD_EVALUATIONS
    shards = pack(bundles, size, evaluations)
    if experiment.shard_size or experiment.shard_evaluations:
        return shards
    while len(shards) > MOST_SHARDS:
        # By doubling, so that a few cells more leave the shards of a large sweep as they are.
        size, evaluations = 2 * size, 2 * evaluations
        shards = pack(bundles, size, evaluations)
    return shards


def bundled(cells: Iterable[Cell]) -> list[list[tuple[list[Cell], int]]]:
    """For each backbone the cells that may share steps and what they cost, clip after clip."""
    by_backbone: dict[str, list[Cell]] = {}
    for cell in cells:
        by_backbone.setdefault(cell.backbone.name if cell.backbone else "", []).append(cell)
    for together in by_backbone.values():
        together.sort(key=lambda cell: (cell.clip.dataset, cell.clip.clip, cell.clip.frames))
    return [
        [(family.cells(), family.evaluations()) for family in families(together)]
        for together in by_backbone.values()
    ]


def pack(
    bundles: Iterable[Iterable[tuple[list[Cell], int]]], size: int, evaluations: int
) -> list[Shard]:
    """Shards of equal work, of at most ``size`` cells and about ``evaluations``.

    A power of two of them for each backbone: run two, four or eight at a time, all end together.
    What would fill a quarter of one is parted already, so that a second worker has something to do.
    """
    return [shard for together in bundles for shard in _parted(list(together), size, evaluations)]


def _parted(together: list[tuple[list[Cell], int]], size: int, evaluations: int) -> list[Shard]:
    loads = [max(cost / evaluations, len(bundle) / size) for bundle, cost in together]
    total = sum(loads)
    count = 2 if 4 * sum(cost for _, cost in together) > evaluations else 1
    while count < total:
        count *= 2
    shards: list[Shard] = []
    held: list[Cell] = []
    done = 0.0  # of all the work, what is in shards or held
    for (bundle, _), load in zip(together, loads, strict=True):
        full = done + load / 2 > (len(shards) + 1) * total / count
        if held and (full or len(held) + len(bundle) > size):
            shards.append(Shard(tuple(held)))
            held = []
        held += bundle
        done += load
        while len(held) > size:
            shards.append(Shard(tuple(held[:size])))
            held = held[size:]
    return [*shards, Shard(tuple(held))] if held else shards
