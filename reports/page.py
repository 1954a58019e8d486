"""Assemble report.html: one file, nothing fetched, every foreign string escaped."""

from __future__ import annotations

import base64
import re
from collections import Counter
from pathlib import Path
from typing import Any

import pandas as pd

from reports.cards import Catalogue
from reports.figures import Figure
from reports.origin import origin
from reports.results import Results
from reports.sharing import savings
from reports.tables import Table
from reports.templating import embed_json, environment, own


def render_page(
    results: Results,
    catalogue: Catalogue,
    tables: list[Table],
    declared: list[Table],
    differences: list[Table],
    costs: list[Table],
    figures: list[Figure],
    gallery: dict[str, Any],
    provenance: dict[str, Any],
    version: str,
) -> str:
    """The whole page as text."""
    maps = gallery["maps"]
    return (
        environment()
        .get_template("report.html")
        .render(
            results=results,
            version=version,
            tables=tables,
            declared=declared,
            differences=differences,
            costs=costs,
            figures=[(figure, _data_uri(figure.svg)) for figure in figures],
            gallery=gallery,
            payload=embed_json(gallery),
            counts=_counts(results),
            savings=savings(results),
            failures=_failures(results, results.root),
            undefined_scores=_undefined(results),
            method_cards=[
                catalogue.method(m) for m in dict.fromkeys(r.method for r in results.rows)
            ],
            metric_cards=[catalogue.metric(recipe) for recipe in results.recipes],
            provenance=provenance,
            origin=origin(provenance),
            spec_text=(results.root / "experiments" / f"{results.experiment}.yaml").read_text(),
            style=own("table.css") + own("style.css") + (own("maps.css") if maps else ""),
            script=own("script.js") + own("trace.js") + (own("maps.js") if maps else ""),
        )
    )


def _data_uri(svg: bytes) -> str:
    return "data:image/svg+xml;base64," + base64.b64encode(svg).decode()


def _counts(results: Results) -> dict[str, int]:
    """How many of what the experiment has; failures count requests."""
    table = results.table
    return {
        "methods": table["method"].nunique(),
        "rows": len(results.rows),
        "clips": len(table[["dataset", "clip"]].drop_duplicates()),
        "edits": len(table.loc[table["edit"] != "", ["dataset", "clip", "edit"]].drop_duplicates()),
        "seeds": table["seed"].nunique(),
        "requests": len(table),
        "cells": table["cell"].nunique(),
        "failed": int((table["status"] != "ok").sum()),
    }


def _failures(results: Results, root: Path) -> list[dict[str, str]]:
    """Each failed cell once: where, why and its traceback."""
    names = {row.key: row.name for row in results.rows}
    failed = results.table[results.table["status"] != "ok"]
    entries = []
    for cell, group in failed.groupby("cell", sort=False, dropna=False):
        first = group.iloc[0]
        where = f"{first['dataset']}/{first['clip']}"
        where += f", {first['edit']}" if first["edit"] else ""
        where += f", seed {int(first['seed'])}" if pd.notna(first["seed"]) else ""
        more = f" and {len(group) - 1} more" if len(group) > 1 else ""
        entries.append(
            {
                "row": names[first["row"]],
                "where": where + more,
                "reason": str(first["status"]),
                "cell": str(cell),
                "traceback": _relative(results.run(str(cell)).get("traceback") or "", root),
            }
        )
    return entries


def _relative(traceback: str, root: Path) -> str:
    """A traceback without the folders above the project and above its packages."""
    short = re.sub(r'(?<=")[^"\n]*/site-packages/', "", traceback)
    return short.replace(f"{root.resolve()}/", "")


def _undefined(results: Results) -> list[tuple[str, str, int]]:
    """(recipe, reason, count) of scores that succeeded cells lack."""
    seen: Counter[tuple[str, str]] = Counter()
    for line in results.ok.to_dict("records"):
        missing = [recipe for recipe in results.recipes if pd.isna(line[recipe])]
        if missing:
            scores = results.scores(str(line["cell"]), line["edit"])
            # What gave its share to a set has no number of its own, and lacks none.
            told = {recipe: scores.get(recipe, {}) for recipe in missing}
            reasons = {r: score.get("reason") for r, score in told.items() if "share" not in score}
            seen.update(
                (recipe, reason or "no score recorded") for recipe, reason in reasons.items()
            )
    return [(recipe, reason, count) for (recipe, reason), count in sorted(seen.items())]
