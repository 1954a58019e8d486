"""Figures of swept settings: each metric along one setting, and what is traded for what."""

from __future__ import annotations

from dataclasses import dataclass, replace
from numbers import Real

import numpy as np
from matplotlib import colormaps
from matplotlib.axes import Axes
from matplotlib.colors import to_hex

from reports.estimates import Estimate
from reports.plotting import (
    DASHES,
    GREY,
    Figure,
    axis_label,
    colours,
    finish,
    legend,
    marked,
    panels,
    ranked,
    shade,
)
from reports.results import Results
from reports.rows import Row, show_value
from reports.tables import Column, Table, file_name

AGREEMENT = ("clip_text", "clip_direction")  # with the text: the first there is, across
BANDS, LINES = 4, 6  # of one panel that can still be told apart
PAID = ("warp_error", "frame_consistency", "perceptual")  # what it may cost: all there are, up


@dataclass(frozen=True)
class Line:
    """Rows along one setting with all others fixed, in order; how they are drawn."""

    name: str
    points: tuple[tuple[float, Row], ...]
    colour: str
    marker: str
    dash: str

    def known(self, table: Table, column: Column) -> list[tuple[float, Estimate]]:
        """(value of the setting, estimate) of the rows that have a finite one."""
        estimates = {row.key: value for row, value in marked(table, column)}
        return [(x, estimates[row.key]) for x, row in self.points if row.key in estimates]


def sweep_figures(results: Results, table: Table) -> list[Figure]:
    """For each swept setting: curves of all ranked metrics, and the trade-offs along it."""
    figures = []
    for name in swept_settings(results):
        lines = _lines(results, table, name)
        if lines:
            figures += _ablations(table, name, lines)
            across, up = _traded(table)
            if across and up:
                figures.append(_trade_off(table, name, lines, across, up))
    return figures


def swept_settings(results: Results) -> list[str]:
    """Numeric settings that take at least two values within one method."""
    names: dict[str, set] = {}
    for row in results.rows:
        for name, value in row.values:
            if isinstance(value, Real) and not isinstance(value, bool | np.bool_):
                names.setdefault(name, set()).add(value)
    return [name for name, values in names.items() if len(values) > 1]


def _lines(results: Results, table: Table, axis_name: str) -> list[Line]:
    """What moves along one setting; lines of one method differ in shade and dashes."""
    found: dict[str, list[tuple[float, Row]]] = {}
    for row in results.rows:
        values = dict(row.values)
        if axis_name not in values or values[axis_name] != values[axis_name]:
            continue
        others = [f"{k} = {show_value(v)}" for k, v in row.values if k != axis_name]
        name = f"{row.title} ({', '.join(others)})" if others else row.title
        found.setdefault(name, []).append((float(values[axis_name]), row))
    found = {name: points for name, points in found.items() if len(points) > 1}
    pick = colours([line.row for line in table.lines])
    of_method: dict[str, list[str]] = {}
    for name, points in found.items():
        of_method.setdefault(points[0][1].method, []).append(name)
    lines = []
    for name, points in found.items():
        first = points[0][1]
        colour, marker = pick(first)
        same = of_method[first.method]
        at = same.index(name)
        lines.append(
            Line(
                name,
                tuple(sorted(points, key=lambda point: point[0])),
                shade(colour, at / max(1, len(same) - 1)),
                marker,
                DASHES[at % len(DASHES)],
            )
        )
    return lines


def _ablations(table: Table, axis_name: str, lines: list[Line]) -> list[Figure]:
    """Each ranked metric along one setting; a figure per label where one would hold too much."""
    if len(lines) <= LINES:
        return [_ablation(table, axis_name, lines, lines)]
    labels = dict.fromkeys(line.points[0][1].title for line in lines)
    figures = []
    for label in labels:
        own = [line for line in lines if line.points[0][1].title == label]
        spread = [  # one method alone: colours may say the order of its other setting
            replace(line, colour=to_hex(colormaps["viridis"](0.85 * at / max(1, len(own) - 1))))
            for at, line in enumerate(own)
        ]
        figures.append(_ablation(table, axis_name, spread, lines, label))
    return figures


def _ablation(
    table: Table, axis_name: str, lines: list[Line], among: list[Line], label: str = ""
) -> Figure:
    """The curves of some lines, on axes that fit all those they are to be compared with."""
    columns, few = ranked(table), len(lines) <= BANDS
    with panels(len(columns), 4, 1.65) as (canvas, axes):
        for axis, column in zip(axes, columns, strict=False):
            for line in lines:
                pairs = line.known(table, column)
                x, y = [x for x, _ in pairs], [value.mean for _, value in pairs]
                style = {"marker": line.marker, "color": line.colour, "ls": line.dash}
                axis.plot(x, y, label=line.name, **style)
                if few:
                    _spread(axis, line, pairs)
            _fit(axis, table, column, among, bar=not few)
            axis.set_title(axis_label(column, columns), loc="left")
            axis.set_xlabel(axis_name)
        legend(canvas)
        shown = "95 % bands" if few else "the median length of their 95 % intervals as a grey bar"
        return finish(
            canvas, f"ablation-{axis_name}" + f"-{file_name(label)}" * bool(label),
            f"{f'{label}: each' if label else 'Each'} metric along {axis_name}: means over clips, "
            f"with {shown} where there are five clips or more{', else a tick per clip' * few}.",
            f"Curves of every ranked metric against {axis_name}{f' for {label}' * bool(label)}",
        )  # fmt: skip


def _spread(axis: Axes, line: Line, pairs: list[tuple[float, Estimate]]) -> None:
    """A line's band, or its clips where they are too few for one."""
    if pairs and all(v.low is not None for _, v in pairs):
        low, high = [v.low for _, v in pairs], [v.high for _, v in pairs]
        axis.fill_between([x for x, _ in pairs], low, high, color=line.colour, alpha=0.15, lw=0)
    else:  # the clips' spread keeps a difference within it from filling the panel
        for at, value in pairs:
            clips = {"color": line.colour, "alpha": 0.5, "ms": 4}
            axis.plot([at] * value.n, value.points, "_", **clips)


def _fit(axis: Axes, table: Table, column: Column, among: list[Line], *, bar: bool) -> None:
    """Limits that hold the means of all lines; and how long their intervals typically are."""
    values = [value for line in among for _, value in line.known(table, column)]
    lengths = [value.high - value.low for value in values if value.low is not None]
    if not bar or not values:
        return
    low, high = min(v.mean for v in values), max(v.mean for v in values)
    length = float(np.median(lengths)) if lengths else 0.0
    middle, half = (low + high) / 2, 0.55 * max(high - low, length) or 0.5
    axis.set_ylim(middle - half, middle + half)
    if length:
        edge = axis.get_yaxis_transform()  # across in shares of the panel, up in the metric
        axis.plot([1.03] * 2, [middle - length / 2, middle + length / 2], color=GREY, lw=2.5,
                  transform=edge, clip_on=False, solid_capstyle="butt")  # fmt: skip


def _traded(table: Table) -> tuple[Column | None, list[Column]]:
    """The column of agreement with the text, and those of what it may cost."""
    columns = ranked(table)

    def named(name: str) -> Column | None:
        return next((c for c in columns if c.key.partition("@")[0] == name), None)

    across = next((column for name in AGREEMENT if (column := named(name))), None)
    return across, [column for name in PAID if (column := named(name))]


def _trade_off(
    table: Table, axis_name: str, lines: list[Line], across: Column, up: list[Column]
) -> Figure:
    """Agreement with the text against what it costs, along one setting."""
    with panels(len(up), 3, 2.3) as (canvas, axes):
        for axis, column in zip(axes, up, strict=False):
            for line in lines:
                values = dict(line.known(table, column))
                pairs = [(x, a, values[x]) for x, a in line.known(table, across) if x in values]
                xs, ys = [a.mean for _, a, _ in pairs], [b.mean for _, _, b in pairs]
                axis.plot(xs, ys, color=line.colour, ls=line.dash, lw=1)
                for at, (_, a, b) in enumerate(pairs):
                    size = 2.5 + 4 * at / max(1, len(pairs) - 1)  # grows along the setting
                    axis.plot(a.mean, b.mean, line.marker, color=line.colour, ms=size)
                    if a.low is not None and b.low is not None:
                        bar = {"color": line.colour, "lw": 0.6, "alpha": 0.5}
                        axis.plot([a.low, a.high], [b.mean] * 2, **bar)
                        axis.plot([a.mean] * 2, [b.low, b.high], **bar)
                axis.plot([], [], line.marker, color=line.colour, ls=line.dash, label=line.name)
            axis.set_xlabel(axis_label(across, [across, *up]))
            axis.set_title(axis_label(column, up), loc="left")
        legend(canvas)
        smallest = min(x for line in lines for x, _ in line.points)
        largest = max(x for line in lines for x, _ in line.points)
        return finish(
            canvas, f"tradeoff-{axis_name}",
            f"What {axis_name} trades: agreement with the text (across) against other metrics "
            f"(up). Lines run from {show_value(smallest)} (small marks) to {show_value(largest)} "
            "(large marks); crosses are 95 % intervals where there are five clips or more.",
            f"Metrics against agreement with the text along {axis_name}",
        )  # fmt: skip
