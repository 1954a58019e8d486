"""Figures: equal results give equal bytes, and a Pareto front is one."""

from __future__ import annotations

import re
from pathlib import Path

import numpy as np

from reports.estimates import Estimate
from reports.figures import all_figures, pareto_front
from reports.plotting import axis_label
from reports.results import Results, load_results
from reports.rows import Row
from reports.tables import Column, Entry, Line, Table
from reports.templating import dots
from tests.report_fixture import FixtureCatalogue, fabricate

CATALOGUE = FixtureCatalogue()


def small(tmp_path: Path) -> tuple[Results, Table]:
    """Results and a table of one metric, some of it unknown, infinite or far off."""
    fabricate(tmp_path, clips=1, seeds=1, frames=1, pictures=False)
    results = load_results(
        "made", tmp_path, lambda name: CATALOGUE.method(name).control,
        lambda name: [field.name for field in CATALOGUE.method(name).fields],
    )  # fmt: skip
    column = Column("psnr@rgb", "PSNR of a $x_1$ & more", "rgb", "↑", "dB", 1, "")
    values = [1e6, float("inf"), None, 20.0, 22.0, 21.0, 23.0, 25.0]
    lines = []
    for row, mean in zip(results.rows, values, strict=True):
        value = None if mean is None else Estimate(mean, mean - 1, mean + 1, 5, (mean,) * 5)
        lines.append(Line(row, (Entry(value, ""),), 0, 1))
    return results, Table("t", "T", "C", (column,), tuple(lines), ("world", ""))


def test_figures_are_the_same_bytes_each_time(tmp_path: Path) -> None:
    results, table = small(tmp_path)
    first, second = all_figures(results, table), all_figures(results, table)
    assert [f.id for f in first] == ["intervals", "ablation-pnp_f_t", "cost-quality"]
    assert first == second
    for figure in first:
        assert figure.svg.startswith(b"<?xml") and b"<dc:date>" not in figure.svg
        assert figure.pdf.startswith(b"%PDF") and b"CreationDate" not in figure.pdf


def test_nothing_to_rank_gives_no_figures(tmp_path: Path) -> None:
    results, table = small(tmp_path)
    row = Row("source", "source", "source", "", "", (), control=True)
    line = Line(row, (Entry(None, "–"),), 0, 1)
    assert all_figures(results, Table("t", "T", "C", table.columns, (line,), table.scope)) == []


def test_pareto_front_is_what_no_point_beats_in_both() -> None:
    points = [tuple(p) for p in np.random.default_rng(0).integers(0, 12, (40, 2)).tolist()]
    for higher in (True, False):
        sign = 1 if higher else -1
        unbeaten = {
            (cost, quality)
            for cost, quality in points
            if not any(
                (c <= cost and sign * q >= sign * quality) and (c, q) != (cost, quality)
                for c, q in points
            )
        }
        assert set(pareto_front(points, higher)) == unbeaten


def test_columns_of_one_title_are_told_apart_by_their_extractor() -> None:
    exact, flow = (Column(f"w@{e}", "Warp error", e, "↓", "×1000", 1, "") for e in ("exact", "dis"))
    lone = Column("c@x", "CLIP text", "x", "↑", "", 1, "")
    columns = [exact, flow, lone]
    assert [axis_label(column, columns) for column in columns] == [
        "Warp error ↓ (exact, ×1000)",
        "Warp error ↓ (dis, ×1000)",
        "CLIP text ↑",
    ]


def test_dots_are_on_the_scale_of_the_ranked_rows() -> None:
    """A reference at 100 dB would press the others together; its own dots are left out."""

    def line(name: str, points: tuple[float, ...], control: bool = False) -> Line:
        row = Row(name, name, name, "", "", (), control)
        return Line(row, (Entry(Estimate(0.0, None, None, len(points), points), ""),), 0, 1)

    column = Column("psnr@rgb", "PSNR", "rgb", "↑", "dB", 1, "")
    lines = (line("oracle", (99.0, 100.0), True), line("a", (10.0, 20.0)), line("b", (15.0, 30.0)))
    table = Table("t", "", "", (column,), lines)

    def places(at: int) -> list[float]:
        return [float(x) for x in re.findall(r'cx="([^"]+)"', dots(lines[at].entries[0], table, 0))]

    assert places(0) == []
    assert places(1) == [3.0, 32.0]
    assert places(2) == [17.5, 61.0]
