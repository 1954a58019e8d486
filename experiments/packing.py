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

# Unless an experiment says so: most cells of a job, network evaluations above which it takes no
# further cells, and jobs above which both are doubled. `python -m experiments simulate` tells why.
SHARD_SIZE = 64
SHARD_EVALUATIONS = 6000
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
    """Shards of at most ``size`` cells that end once they hold ``evaluations`` of work."""
    shards = []
    for together in bundles:
        held: list[Cell] = []
        work = 0
        for bundle, cost in together:
            if held and (len(held) + len(bundle) > size or work + cost > evaluations):
                shards.append(Shard(tuple(held)))
                held, work = [], 0
            held += bundle
            work += cost
            while len(held) > size:
                shards.append(Shard(tuple(held[:size])))
                held = held[size:]
        if held:
            shards.append(Shard(tuple(held)))
    return shards
