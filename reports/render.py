"""Write a whole report, or nothing."""

from __future__ import annotations

import json
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path
from typing import Any

from reports.cards import Catalogue
from reports.figures import all_figures
from reports.gallery import build_gallery
from reports.leaderboards import (
    cost_tables,
    declared_tables,
    difference_tables,
    leaderboards,
)
from reports.page import render_page
from reports.provenance import gather, sealed
from reports.results import Results, load_results
from reports.tables import Table
from reports.version import appearing, identify, point_latest
from reports.write_tables import cells_csv, write_tables


def read(experiment: str, root: Path, catalogue: Catalogue) -> Results:
    """An experiment's results, with what the methods say of themselves.

    Raises UserError where the results are missing or unreadable.
    """
    return load_results(
        experiment,
        root,
        is_control=lambda name: catalogue.method(name).control,
        setting_names=lambda name: [field.name for field in catalogue.method(name).fields],
    )


def render(experiment: str, root: Path, catalogue: Catalogue | None = None) -> Path:
    """Render ``reports/<experiment>/<version>/`` under a root and point ``latest`` at it.

    Returns the folder. Raises :class:`~data.errors.UserError` where results are missing; then, and
    on any other error, no folder appears and ``latest`` stays what it was.
    """
    catalogue = catalogue or Catalogue()
    results = read(experiment, root, catalogue)
    version = identify(root, results)
    folder = root / "reports" / experiment / version.name
    tables = leaderboards(results, catalogue)
    with ProcessPoolExecutor(1) as beside:  # drawing is as much work as all the rest
        drawn = beside.submit(all_figures, results, tables[0])
        costs = cost_tables(results, catalogue)
        declared = declared_tables(results, catalogue)
        differences = difference_tables(results, catalogue)
        gallery, media = build_gallery(results, catalogue, tables[0])
        provenance = gather(results, catalogue, version)
        figures = drawn.result()
    with appearing(folder) as scratch:
        write_tables(scratch / "tables", [*tables, *declared, *differences, *costs])
        (scratch / "cells.csv").write_text(cells_csv(results), encoding="utf-8")
        (scratch / "figures").mkdir()
        for figure in figures:
            (scratch / "figures" / f"{figure.id}.svg").write_bytes(figure.svg)
            (scratch / "figures" / f"{figure.id}.pdf").write_bytes(figure.pdf)
        if not media.embedded:
            (scratch / "media").mkdir()
            for name, content in media.files.items():
                (scratch / "media" / name).write_bytes(content)
        _write_json(scratch / "metrics.json", summary(results, tables))
        _write_json(scratch / "provenance.json", sealed(provenance, scratch))
        page = render_page(
            results,
            catalogue,
            tables,
            declared,
            differences,
            costs,
            figures,
            gallery,
            provenance,
            version.name,
        )
        (scratch / "report.html").write_text(page, encoding="utf-8")
    point_latest(folder)
    return folder


def summary(results: Results, tables: list[Table]) -> dict[str, Any]:
    """method → recipe → mean, low, high, n over the clips, as ``dvc metrics`` reads it.

    Methods on any dataset but the first one are named ``<dataset>/<method>``. Where no interval is
    given (fewer than five clips) ``low`` and ``high`` are absent.
    """
    nested: dict[str, Any] = {}
    for table in tables:
        dataset, kind = table.scope
        if kind:
            continue
        for line in table.lines:
            name = line.row.key if dataset == results.primary else f"{dataset}/{line.row.key}"
            nested[name] = {
                column.key: {
                    name: value
                    for name in ("mean", "low", "high", "n")
                    if (value := getattr(entry.estimate, name)) is not None
                }
                for column, entry in zip(table.columns, line.entries, strict=True)
                if entry.estimate is not None
            }
            nested[name]["failed"] = line.failed
    return nested


def _write_json(path: Path, content: dict[str, Any]) -> None:
    path.write_text(json.dumps(content, indent=1, ensure_ascii=False, allow_nan=False) + "\n")
