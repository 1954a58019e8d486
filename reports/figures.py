"""Figures for page and paper: intervals, ablation curves, cost against quality."""

from __future__ import annotations

import textwrap

from reports.estimates import Estimate
from reports.heatmaps import heat_maps
from reports.plotting import (
    GREY,
    Figure,
    axis_label,
    colours,
    finish,
    legend,
    marked,
    panels,
    ranked,
)
from reports.results import Results
from reports.rows import Row
from reports.sweeps import sweep_figures
from reports.tables import Table

NAME_WIDTH = 40  # letters of a row's name beside the panels; longer ones are broken


def all_figures(results: Results, table: Table) -> list[Figure]:
    """The figures that the results of the main leaderboard allow."""
    if not ranked(table):
        return []
    figures = [_intervals(table)]
    figures += sweep_figures(results, table)
    figures += heat_maps(results, table)
    seconds = _seconds(results, table)
    if seconds:
        figures.append(_cost_quality(table, seconds))
    return figures


def _intervals(table: Table) -> Figure:
    """Every row's estimate on each ranked metric: interval, or the clips' points."""
    columns = ranked(table)
    rows = [line.row for line in table.lines]
    pick = colours(rows)
    names = [textwrap.fill(row.name, NAME_WIDTH) for row in rows]
    lines = max(name.count("\n") + 1 for name in names)
    with panels(len(columns), 3, 0.5 + (0.05 + 0.12 * lines) * len(rows)) as (canvas, axes):
        per_line = axes[0].get_gridspec().ncols
        for at, (axis, column) in enumerate(zip(axes, columns, strict=False)):
            low, high = _window(marked(table, column))
            axis.set_xlim(low, high)
            for row, value in marked(table, column):
                y = rows.index(row)
                colour, marker = pick(row)
                if not low <= value.mean <= high:  # a reference far off: an arrow at the edge
                    edge, arrow = (low, "<") if value.mean < low else (high, ">")
                    axis.plot(edge, y, arrow, color=colour, clip_on=False)
                    continue
                if value.low is not None:
                    axis.plot([value.low, value.high], [y, y], color=colour, lw=1.4)
                else:
                    axis.plot(value.points, [y] * value.n, "|", color=colour, ms=5, alpha=0.6)
                axis.plot(value.mean, y, marker, color=colour)
            axis.set_ylim(len(rows) - 0.5, -0.5)
            axis.set_yticks(range(len(rows)))
            axis.set_yticklabels(names if at % per_line == 0 else [])
            axis.tick_params(axis="y", length=0, pad=6)
            axis.grid(visible=False, axis="y")
            axis.set_title(axis_label(column, columns), loc="left")
        known = any(v.low is not None for c in columns for _, v in marked(table, c))
        what = "95 % cluster bootstrap intervals" if known else "one tick per clip"
        return finish(
            canvas, "intervals",
            f"Means over clips with {what}. Grey: references, not ranked; an arrow stands for one "
            "beyond the axis.",
            "Mean and spread of every method on every ranked metric",
        )  # fmt: skip


def _window(pairs: list[tuple[Row, Estimate]]) -> tuple[float, float]:
    """An axis range for the ranked rows, with room on both sides for references near them."""
    shown = [v for row, v in pairs if not row.control] or [v for _, v in pairs]
    low = min(v.low if v.low is not None else min(v.points) for v in shown)
    high = max(v.high if v.high is not None else max(v.points) for v in shown)
    room = 0.35 * (high - low) or 0.05 * abs(high) or 1.0
    return low - room, high + room


def _seconds(results: Results, table: Table) -> dict[str, float]:
    """Median editing time per frame of the ranked rows that take any."""
    cells = results.ok[results.ok["dataset"] == table.scope[0]].drop_duplicates(["row", "cell"])
    rows = [line.row for line in table.lines if not line.row.control]
    medians = {r.key: cells.loc[cells["row"] == r.key, "seconds_per_frame"].median() for r in rows}
    return {key: float(median) for key, median in medians.items() if median > 0}


def _cost_quality(table: Table, seconds: dict[str, float]) -> Figure:
    """Time per frame against each ranked metric, with the Pareto front."""
    columns = ranked(table)
    pick = colours([line.row for line in table.lines])
    with panels(len(columns), 4, 1.65) as (canvas, axes):
        for axis, column in zip(axes, columns, strict=False):
            points = []
            for row, value in marked(table, column):
                if row.key not in seconds:
                    continue
                cost = seconds[row.key]
                colour, marker = pick(row)
                points.append((cost, value.mean))
                if value.low is not None:
                    axis.plot([cost] * 2, [value.low, value.high], color=colour, lw=0.8)
                axis.plot(cost, value.mean, marker, color=colour, label=row.title, ls="none")
            front = pareto_front(points, higher=column.arrow == "↑")
            x, y = [cost for cost, _ in front], [quality for _, quality in front]
            axis.plot(x, y, color=GREY, lw=0.8, ls="--", zorder=1)
            axis.set_title(axis_label(column, columns), loc="left")
            axis.set_xlabel("seconds per frame")
        legend(canvas)
        return finish(
            canvas, "cost-quality",
            "Median time per frame against each metric; the dashed line joins the rows that no "
            "other row beats in both. Compare times within one machine only.",
            "Scatter of cost against every ranked metric",
        )  # fmt: skip


def pareto_front(points: list[tuple[float, float]], higher: bool) -> list[tuple[float, float]]:
    """The points that no other beats in both cost and quality, from cheap to dear."""
    front: list[tuple[float, float]] = []
    for cost, quality in sorted(points, key=lambda p: (p[0], -p[1] if higher else p[1])):
        if not front or (quality > front[-1][1] if higher else quality < front[-1][1]):
            front.append((cost, quality))
    return front
