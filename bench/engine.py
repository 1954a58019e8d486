"""What the engine saves on a grid of injection shares: network evaluations, and the time they take.

The grid is five by five over ``pnp_f_t`` and ``pnp_attn_t`` on one clip and edit of the world.
"""

from __future__ import annotations

import tempfile
from collections.abc import Iterator
from pathlib import Path

from bench.figures import Figure, seconds
from experiments.catalogue import project_catalogue
from experiments.cells import Cell
from experiments.clips import clip_loader
from experiments.cost import Meter
from experiments.planner import make_plan
from experiments.trie import alone, families, tries
from experiments.walk import walk
from methods.base import Context, run_cell

GRID = """\
title: Injection grid
backbones: [world-tiny]
clips: [{{dataset: world, first: 1, edits: [colour], frames: {frames}}}]
methods:
  - name: {method}
    setting: {{n_timesteps: {steps}, n_inversion_steps: {steps}}}
    grid: {{pnp_f_t: [0, 0.25, 0.5, 0.75, 1], pnp_attn_t: [0, 0.25, 0.5, 0.75, 1]}}
"""
RELEASED = 2 * 500  # network evaluations per frame before any edit: inversion, and its preview


def _grid(method: str, frames: int, steps: int) -> list[Cell]:
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "grid.yaml"
        path.write_text(GRID.format(method=method, frames=frames, steps=steps))
        return list(make_plan(path, project_catalogue()).cells.values())


def evaluations(method: str, _device: str) -> Iterator[Figure]:
    """Shares of what the 25 cells need one by one, at 16 frames and 50 steps."""
    frames, steps = 16, 50
    cells = _grid(method, frames, steps)
    each = sum(map(alone, cells))
    prefixes = sum(root.evaluations() for root in tries(cells))
    siblings = sum(family.evaluations() for family in families(cells))
    name = f"5 x 5 grid of {method}: evaluations"
    yield Figure(f"{name}, shared prefixes", prefixes / each, "", at_most=0.6)
    yield Figure(f"{name}, and source branch", siblings / each, "", at_most=0.45)
    share = (steps * frames + siblings) / (RELEASED * frames + each)
    yield Figure(f"{name}, all in, of the originals'", share, "", at_most=0.45)


def elapsed(method: str, device: str) -> Iterator[Figure]:
    """Time of the grid's edits in lockstep over one by one; smaller than the grid above."""
    cells = _grid(method, frames=4, steps=12)
    catalogue = project_catalogue()
    backbone = catalogue.load_backbone("world-tiny", device, "float32")
    clip = clip_loader(catalogue.dataset)(cells[0].clip)
    inversion = catalogue.invert(backbone, clip.frames, cells[0].inversion)

    def context(cell: Cell) -> Context:
        edit = clip.edits[cell.edit]
        return Context(clip, edit, cell.setting, cell.seed, backbone, inversion)

    def one_by_one() -> None:
        for cell in cells:
            run_cell(cell.method, context(cell))

    def together() -> None:
        meter = Meter(device)
        meter.backbone = backbone
        for family in families(cells):
            assert all(outcome.status == "ok" for outcome in walk(family, context, meter))

    separate, shared = seconds(one_by_one, together, repeats=1)
    expected = sum(family.evaluations() for family in families(cells)) / sum(map(alone, cells))
    yield Figure(
        f"5 x 5 grid of {method}: time",
        shared / separate,
        "",
        at_most=expected + 0.1,
        note=f"{expected:.2f} of the evaluations",
    )
