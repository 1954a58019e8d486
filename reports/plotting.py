"""How figures look and how they are saved: one style, colours that everybody can tell apart.

Colours are Okabe and Ito's (2008), told apart by people with any form of colour blindness; marks
differ too. Files carry no date and no random identifiers, so equal results give equal bytes.
"""

from __future__ import annotations

import io
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass

import matplotlib
import numpy as np
from matplotlib.colors import to_hex, to_rgb
from matplotlib.figure import Figure as Canvas

from reports.estimates import Estimate
from reports.rows import Row
from reports.tables import Column, Table

PALETTE = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#E69F00", "#56B4E9", "#000000")
MARKERS = "osD^vPX"
GREY = "#8a8a8a"
DASHES = ("-", "--", ":", "-.")
WIDTH = 7.0  # inches: across both columns of a paper
_STYLE = {
    "font.family": "DejaVu Sans",
    "font.size": 8,
    "axes.titlesize": 8,
    "axes.labelsize": 8,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.linewidth": 0.6,
    "axes.edgecolor": "#444",
    "xtick.major.width": 0.6,
    "ytick.major.width": 0.6,
    "xtick.labelsize": 7,
    "ytick.labelsize": 7,
    "axes.grid": True,
    "grid.color": "#e6e6e6",
    "grid.linewidth": 0.6,
    "axes.axisbelow": True,
    "legend.frameon": False,
    "legend.fontsize": 7,
    "lines.linewidth": 1.3,
    "lines.markersize": 4.5,
    "pdf.fonttype": 42,
    "svg.fonttype": "path",
    "svg.hashsalt": "crossframe",
    "text.parse_math": False,  # a label may hold a dollar sign
}


@dataclass(frozen=True)
class Figure:
    """A drawn figure; ``svg`` and ``pdf`` are whole files."""

    id: str
    caption: str
    alt: str
    svg: bytes
    pdf: bytes


def ranked(table: Table) -> list[Column]:
    """Columns with a direction and clips to draw; the others only describe, or are sets'."""
    columns = [column for column in table.columns if column.arrow and not column.of_set]
    return [column for column in columns if marked(table, column)]


def marked(table: Table, column: Column) -> list[tuple[Row, Estimate]]:
    """The rows that have a finite estimate in a column."""
    at = table.columns.index(column)
    pairs = [(line.row, line.entries[at].estimate) for line in table.lines]
    return [(row, value) for row, value in pairs if value is not None and np.isfinite(value.mean)]


def axis_label(column: Column, among: Sequence[Column]) -> str:
    """``Warp error ↓ (exact, ×1000)``: the extractor where another column has the same title."""
    alike = sum(other.title == column.title for other in among) > 1
    about = [part for part in (column.extractor if alike else "", column.unit) if part]
    return f"{column.title} {column.arrow}" + (f" ({', '.join(about)})" if about else "")


@contextmanager
def panels(count: int, columns: int, height: float) -> Iterator[tuple]:
    """A canvas of a page's text width with ``count`` panels of ``height`` inches in a grid."""
    lines = -(-count // columns)
    columns = -(-count // lines)  # as even as it gets: five in 3 + 2, not 4 + 1
    with matplotlib.rc_context(_STYLE):
        canvas = Canvas(figsize=(WIDTH, lines * height), layout="constrained")
        axes = canvas.subplots(lines, columns, squeeze=False).ravel()
        for spare in axes[count:]:
            spare.set_visible(False)
        yield canvas, axes


def legend(canvas: Canvas) -> None:
    """One legend for all panels below them, each name once."""
    entries: dict[str, object] = {}
    for axis in canvas.axes:
        for handle, name in zip(*axis.get_legend_handles_labels(), strict=True):
            entries.setdefault(name, handle)
    if entries:
        longest = 0.5 + 0.058 * max(map(len, entries))  # inches: handle, gap and letters
        columns = max(1, min(5, len(entries), int(WIDTH / longest)))
        canvas.legend(entries.values(), entries, loc="outside lower left", ncols=columns)


def finish(canvas: Canvas, name: str, caption: str, alt: str) -> Figure:
    """Save a canvas as SVG and PDF."""
    files = {}
    for kind, dates in (("svg", {"Date": None}), ("pdf", {"CreationDate": None})):
        out = io.BytesIO()
        canvas.savefig(out, format=kind, metadata={**dates, "Creator": "Crossframe"})
        files[kind] = out.getvalue()
        canvas.set_layout_engine("none")  # laid out once, for both files
    return Figure(name, caption, alt, files["svg"], files["pdf"])


def shade(colour: str, share: float) -> str:
    """A colour mixed with white: itself at 0, still dark enough to read at 1."""
    mixed = (1 - 0.65 * share) * np.array(to_rgb(colour)) + 0.65 * share
    return to_hex(mixed)


def colours(rows: Sequence[Row]) -> Callable[[Row], tuple[str, str]]:
    """Colour and marker by method; references are grey."""
    methods = list(dict.fromkeys(row.method for row in rows if not row.control))

    def pick(row: Row) -> tuple[str, str]:
        if row.control:
            return GREY, "o"
        at = methods.index(row.method)
        return PALETTE[at % len(PALETTE)], MARKERS[at % len(MARKERS)]

    return pick
