"""Write tables in every format, and the requests behind their numbers."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

from experiments.cost_names import COSTS
from reports.latex import to_latex
from reports.results import Results
from reports.tables import Table
from reports.templating import to_html
from reports.text_tables import to_csv, to_markdown

WRITERS = {"md": to_markdown, "tex": to_latex, "csv": to_csv, "html": to_html}
_REQUEST = ("row", "backbone", "dataset", "clip", "edit", "edit_kind", "seed", "status", "cell")


def write_tables(folder: Path, tables: Iterable[Table]) -> None:
    """``<id>.md``, ``.tex``, ``.csv`` and ``.html`` of each table."""
    folder.mkdir(parents=True, exist_ok=True)
    for table in tables:
        for suffix, write in WRITERS.items():
            (folder / f"{table.id}.{suffix}").write_text(write(table), encoding="utf-8")


def cells_csv(results: Results) -> str:
    """One line per request: its row's key, its cell, and each score and cost figure in full.

    A table's number is the mean (over seeds, then edits, then clips) of the lines whose ``row``,
    ``dataset`` and ``edit_kind`` are those of the table; the cell's frames, log and scores lie in
    ``results/cells/<cell>/``.
    """
    names = [*_REQUEST, *results.recipes, *COSTS, "hardware_id"]
    table = results.table[[name for name in names if name in results.table]]
    return table.to_csv(index=False, lineterminator="\n", float_format="%.17g")
