"""Paired differences to the baseline that the experiment names, on the requests both rows have."""

from __future__ import annotations

from typing import Any

import pandas as pd

from experiments.schema import ReportBlock, RowBlock
from metrics.statistics import holm
from reports.cards import Catalogue
from reports.estimates import MIN_CLIPS, Estimate, difference, paired_p
from reports.leaderboards import ALPHA, metric_column, sizes
from reports.results import Results, Row, show_value
from reports.tables import Column, Entry, Line, Table, file_name, make_entry


def difference_tables(results: Results, catalogue: Catalogue) -> list[Table]:
    """One table per dataset where any row has a baseline; none where the experiment names none."""
    baseline = ReportBlock.model_validate(results.spec.get("report") or {}).baseline
    if baseline is None:
        return []
    partners = _partners(results, baseline, catalogue)
    names = {
        dataset: "differences" if dataset == results.primary else f"differences-{dataset}"
        for dataset in results.datasets()
    }
    tables = [
        _table(results, catalogue, dataset, file_name(name), baseline, partners)
        for dataset, name in names.items()
    ]
    return [table for table in tables if table.lines]


def _partners(results: Results, baseline: RowBlock, catalogue: Catalogue) -> dict[str, Row]:
    """Row key: the row it is compared with; on the same backbone, and never itself."""
    settings = {row.key: _setting(results, row, catalogue) for row in results.rows}
    found = {}
    for row in results.rows:
        label = baseline.label or row.title
        if row.control or not (baseline.label or baseline.concerns(label, settings[row.key])):
            continue
        fitting = [
            other
            for other in results.rows
            if other.title == label
            and other.backbone == row.backbone
            and baseline.fits(label, settings[other.key])
        ]
        if len(fitting) == 1 and fitting[0].key != row.key:
            found[row.key] = fitting[0]
    return found


def _setting(results: Results, row: Row, catalogue: Catalogue) -> dict[str, Any]:
    """All of a row's settings, those that it shares with the method's other rows included."""
    line = results.table[results.table["row"] == row.key].iloc[0]
    names = [field.name for field in catalogue.method(row.method).fields if field.name in line]
    return {name: line[name] for name in names if pd.notna(line[name])}


def _table(
    results: Results,
    catalogue: Catalogue,
    dataset: str,
    name: str,
    baseline: RowBlock,
    partners: dict[str, Row],
) -> Table:
    scope = results.table[results.table["dataset"] == dataset]
    ok = scope[scope["status"] == "ok"]
    cards = [catalogue.metric(r) for r in results.recipes if ok[r].notna().any()]
    cards = [card for card in cards if card.higher_is_better is not None]
    present = set(scope["row"])
    rows = [
        r for r in results.rows if r.key in partners and {r.key, partners[r.key].key} <= present
    ]
    by_row = {key: ok[ok["row"] == key] for key in present}
    pairs = [
        (row, card, by_row[row.key], by_row[partners[row.key].key])
        for row in rows
        for card in cards
    ]
    known = {(r.key, c.recipe): difference(a, b, c.recipe) for r, c, a, b in pairs}
    adjusted = holm([paired_p(a, b, c.recipe) for _, c, a, b in pairs]).tolist()
    p_values = {(r.key, c.recipe): p for (r, c, _, _), p in zip(pairs, adjusted, strict=True)}
    columns = tuple(
        metric_column(card, [known[row.key, card.recipe] for row in rows]) for card in cards
    )
    clips = scope["clip"].nunique()
    lines = []
    for row in rows:
        asked = scope[scope["row"] == row.key]
        entries = tuple(
            _entry(known[row.key, c.key], c, p_values[row.key, c.key], clips) for c in columns
        )
        lines.append(Line(row, entries, int((asked["status"] != "ok").sum()), len(asked)))
    caption = (
        f"{results.title} on {dataset}: {sizes(scope)}. Each row minus {_name(baseline)}, on the "
        f"requests both have: mean over clips{' with its 95 % interval' * (clips >= MIN_CLIPS)} "
        "and the p of a paired sign-flip test, Holm-adjusted over the table. "
        f"Bold: better with p < {ALPHA:g}"
    )
    # The smallest p of a sign-flip test is 2 in 2^n, and Holm multiplies it by the tests.
    out_of_reach = len(pairs) * 2 / 2**clips >= ALPHA
    caption += f" (out of reach with {clips} clips and {len(pairs)} comparisons)." * out_of_reach
    caption += "." * (not out_of_reach)
    title = f"{results.title}: differences on {dataset}"
    return Table(name, title, caption, columns, tuple(lines), (dataset, ""))


def _name(baseline: RowBlock) -> str:
    values = ", ".join(f"{name} = {show_value(v)}" for name, v in baseline.setting.items())
    if not baseline.label:
        return f"the row of the same label with {values}"
    return f"{baseline.label} ({values})" if values else baseline.label


def _entry(value: Estimate | None, column: Column, p: float, clips: int) -> Entry:
    """A signed difference, its interval and its p; bold where it is a significant gain."""
    entry = make_entry(value, column, "", clips)
    if value is None:
        return entry
    gain = value.mean > 0 if column.arrow == "↑" else value.mean < 0
    text = f"+{entry.text}" if value.mean > 0 and entry.text.strip("0.") else entry.text
    told = f"p {'< 0.001' if p < 0.001 else f'= {p:.2g}'}"
    return Entry(
        value,
        text,
        " ".join(part for part in (entry.interval, told) if part),
        "best" if gain and p < ALPHA else "",
    )
