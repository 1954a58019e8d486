"""Assemble report.html: one file, nothing fetched, every foreign string escaped."""

from __future__ import annotations

import base64
import json
import re
from collections import Counter
from pathlib import Path
from typing import Any

import jinja2
import pandas as pd
from markupsafe import Markup, escape

from reports.cards import Catalogue
from reports.figures import Figure
from reports.results import Results
from reports.sharing import savings
from reports.tables import Entry, Table, spell

TEMPLATES = Path(__file__).parent / "templates"


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
    environment = jinja2.Environment(
        loader=jinja2.FileSystemLoader(TEMPLATES),
        autoescape=True,
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters |= {"prose": prose, "dots": dots, "spell": spell}
    return environment.get_template("report.html").render(
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
        method_cards=[catalogue.method(m) for m in dict.fromkeys(r.method for r in results.rows)],
        metric_cards=[catalogue.metric(recipe) for recipe in results.recipes],
        provenance=provenance,
        spec_text=(results.root / "experiments" / f"{results.experiment}.yaml").read_text(),
        style=Markup((TEMPLATES / "style.css").read_text()),  # our own files, not foreign text
        script=Markup((TEMPLATES / "script.js").read_text()),
    )


def embed_json(content: object) -> Markup:
    """JSON that may stand in a <script>: nothing in it can close the element."""
    text = json.dumps(content, separators=(",", ":"), ensure_ascii=True, allow_nan=False)
    for mark in "<>&":
        text = text.replace(mark, f"\\u{ord(mark):04x}")
    return Markup(text)


def prose(text: str) -> Markup:
    """A docstring as paragraphs; only ``code``, :role:`code` and addresses become markup."""
    paragraphs = []
    for block in re.split(r"\n\s*\n", text.strip()):
        safe = str(escape(" ".join(block.split())))
        safe = re.sub(r":\w+:`~?([^`]+)`", r"<code>\1</code>", safe)
        safe = re.sub(r"``([^`]+)``", r"<code>\1</code>", safe)
        safe = re.sub(r"(https?://[^\s<>&]+[^\s<>&.,;:)])", r'<a href="\1">\1</a>', safe)
        paragraphs.append(f"<p>{safe}</p>")
    return Markup("".join(paragraphs) if text.strip() else "")


def dots(entry: Entry, table: Table, index: int) -> Markup:
    """The clips' values as dots; empty where an interval is given.

    The scale is that of the column's ranked rows: a reference far off would press them together.
    """
    value = entry.estimate
    if value is None or value.low is not None or value.n < 2:
        return Markup("")
    lines = [line for line in table.lines if not line.row.control] or table.lines
    column = [line.entries[index].estimate for line in lines]
    points = [p for e in column if e is not None for p in e.points] or value.points
    low, high = min(points), max(points)
    if not high > low or high == float("inf"):
        return Markup("")
    marks = "".join(
        f'<circle cx="{3 + 58 * (p - low) / (high - low):.1f}" cy="4" r="1.9"/>'
        for p in value.points
        if low <= p <= high
    )
    return Markup(f'<svg class="dots" viewBox="0 0 64 8" aria-hidden="true">{marks}</svg>')


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
            reasons = {recipe: scores.get(recipe, {}).get("reason") for recipe in missing}
            seen.update(
                (recipe, reason or "no score recorded") for recipe, reason in reasons.items()
            )
    return [(recipe, reason, count) for (recipe, reason), count in sorted(seen.items())]
