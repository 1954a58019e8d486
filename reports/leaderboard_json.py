"""Export a leaderboard as JSON for others' pages, as ``leaderboard.schema.json`` describes it."""

from __future__ import annotations

import math
from typing import Any

from reports.cards import Catalogue, MetricCard
from reports.layout import setting_of
from reports.leaderboards import leaderboard
from reports.results import Results
from reports.tables import Entry
from reports.version import identify

SCHEMA = "crossframe-leaderboard/1"
_BETTER = {True: "higher", False: "lower", None: None}


def leaderboard_json(results: Results, catalogue: Catalogue, dataset: str = "") -> dict[str, Any]:
    """The leaderboard of a dataset, by default the one with the most requests."""
    dataset = dataset or results.primary
    table = leaderboard(results, catalogue, dataset)
    asked = results.table[results.table["dataset"] == dataset]
    return {
        "schema": SCHEMA,
        "experiment": results.experiment,
        "title": results.title,
        "version": identify(results.root, results).name,
        "dataset": dataset,
        "clips": int(asked["clip"].nunique()),
        "recipes": {column.key: _recipe(catalogue.metric(column.key)) for column in table.columns},
        "rows": [
            {
                "key": line.row.key,
                "method": line.row.method,
                "label": line.row.title,
                "backbone": line.row.backbone,
                "setting": {
                    k: _plain(v) for k, v in setting_of(results, catalogue, line.row).items()
                },
                "reference": line.row.control,
                "asked": line.asked,
                "failed": line.failed,
                "scores": {
                    column.key: _score(entry)
                    for column, entry in zip(table.columns, line.entries, strict=True)
                    if entry.estimate is not None and math.isfinite(entry.estimate.mean)
                },
            }
            for line in table.lines
        ],
    }


def _recipe(card: MetricCard) -> dict[str, Any]:
    return {
        "better": _BETTER[card.higher_is_better],
        "unit": card.unit,
        "version": card.version,
        "extractor": card.digest,
        "citation": card.citation,
    }


def _score(entry: Entry) -> dict[str, Any]:
    """A number with its interval, where it has one, and whether it is among the best."""
    value = entry.estimate
    bounds = {} if value.low is None else {"low": value.low, "high": value.high}
    return {"mean": value.mean, **bounds, "n": value.n, "best": "best" in entry.rank.split()}


def _plain(value: Any) -> Any:
    """A setting as JSON has it."""
    return value.item() if hasattr(value, "item") else value
