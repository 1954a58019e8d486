"""Heat maps: each metric over two swept settings at once, all others fixed."""

from __future__ import annotations

import itertools
import math
from dataclasses import dataclass

import numpy as np
from matplotlib import colormaps
from matplotlib.axes import Axes
from matplotlib.patches import Rectangle

from reports.plotting import Figure, axis_label, finish, marked, panels, ranked
from reports.results import Results
from reports.rows import Row, show_value
from reports.sweeps import swept_settings
from reports.tables import Column, Table, write

COLOURS = "cividis"  # reads the same with any form of colour blindness, and in grey


@dataclass(frozen=True)
class Grid:
    """Rows of one method over two settings."""

    name: str
    across: str
    up: str
    rows: dict[tuple[float, float], Row]

    def values(self, at: int) -> list[float]:
        """The values of a setting, in order: 0 across, 1 up."""
        return sorted({place[at] for place in self.rows})


def heat_maps(results: Results, table: Table) -> list[Figure]:
    """A figure per method and pair of settings that span a grid of at least 2 x 2 rows."""
    columns = ranked(table)
    grids = _grids(results, swept_settings(results)) if columns else []
    return [_figure(table, columns, grid, at) for at, grid in enumerate(grids)]


def _grids(results: Results, names: list[str]) -> list[Grid]:
    found: dict[tuple[str, str, str], dict[tuple[float, float], Row]] = {}
    for row, (up, across) in itertools.product(results.rows, itertools.combinations(names, 2)):
        values = dict(row.values)
        pair = [values.get(across, math.nan), values.get(up, math.nan)]
        if any(value is None or value != value for value in pair):
            continue
        others = [f"{k} = {show_value(v)}" for k, v in row.values if k not in (across, up)]
        name = f"{row.title} ({', '.join(others)})" if others else row.title
        rows = found.setdefault((name, across, up), {})
        rows[float(pair[0]), float(pair[1])] = row
    grids = [Grid(name, across, up, rows) for (name, across, up), rows in found.items()]
    return [grid for grid in grids if min(len(grid.values(0)), len(grid.values(1))) > 1]


def _figure(table: Table, columns: list[Column], grid: Grid, number: int) -> Figure:
    """One panel per metric: colour and number are the mean, a frame marks the best."""
    x, y = grid.values(0), grid.values(1)
    with panels(len(columns), 3, 0.75 + 0.27 * len(y)) as (canvas, axes):
        for axis, column in zip(axes, columns, strict=False):
            means = {row.key: value.mean for row, value in marked(table, column)}
            field = np.full((len(y), len(x)), np.nan)
            for (right, above), row in grid.rows.items():
                field[y.index(above), x.index(right)] = means.get(row.key, np.nan)
            axis.imshow(field, cmap=COLOURS, origin="lower", aspect="auto")
            axis.grid(visible=False)
            axis.set_xticks(range(len(x)), [show_value(value) for value in x])
            axis.set_yticks(range(len(y)), [show_value(value) for value in y])
            axis.tick_params(length=0)
            axis.set_xlabel(grid.across)
            axis.set_ylabel(grid.up)
            axis.set_title(axis_label(column, columns), loc="left")
            _numbers(axis, field, column)
        return finish(
            canvas, f"heatmap-{number + 1}",
            f"{grid.name}: mean over clips of each metric for every {grid.across} (across) and "
            f"{grid.up} (up); the frame marks the best mean, be its lead significant or not.",
            f"Heat maps of every ranked metric over {grid.across} and {grid.up}",
        )  # fmt: skip


def _numbers(axis: Axes, field: np.ndarray, column: Column) -> None:
    """Write the means into their fields, dark on bright and bright on dark."""
    known = field[np.isfinite(field)]
    if not len(known):
        return
    low, span = known.min(), np.ptp(known) or 1.0
    best = known.max() if column.arrow == "↑" else known.min()
    for (up, right), value in np.ndenumerate(field):
        if not np.isfinite(value):
            continue
        red, green, blue, _ = colormaps[COLOURS]((value - low) / span)
        bright = 0.299 * red + 0.587 * green + 0.114 * blue > 0.5
        text = write(value, column.decimals)
        axis.text(right, up, text, ha="center", va="center", size=6, color="k" if bright else "w")
        if value == best:
            frame = {"fill": False, "ec": "#D55E00", "lw": 1.6}
            axis.add_patch(Rectangle((right - 0.46, up - 0.46), 0.92, 0.92, **frame))
