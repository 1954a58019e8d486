"""Paired differences to a baseline: who is compared with whom, and how it is written."""

from __future__ import annotations

from dataclasses import replace

from experiments.schema import RowBlock
from reports.captions import ALPHA
from reports.cards import Catalogue
from reports.layout import setting_of
from reports.results import Results
from reports.tables import Column, Entry


def partners_of(results: Results, catalogue: Catalogue, baseline: RowBlock) -> dict[str, str]:
    """Row key: the key of its baseline; on the same backbone, and never itself."""
    settings = {row.key: setting_of(results, catalogue, row) for row in results.rows}
    found = {}
    for row in results.rows:
        label = baseline.label or row.title
        if row.control or not (baseline.label or baseline.concerns(label, settings[row.key])):
            continue
        fitting = [
            other.key
            for other in results.rows
            if other.title == label
            and other.backbone == row.backbone
            and baseline.fits(label, settings[other.key])
        ]
        if len(fitting) == 1 and fitting[0] != row.key:
            found[row.key] = fitting[0]
    return found


def difference_entry(entry: Entry, column: Column) -> Entry:
    """A signed difference, its interval and its p; bold where it is a significant gain."""
    value, p = entry.estimate, entry.adjusted
    if value is None or p is None:
        return entry
    gain = value.mean > 0 if column.arrow == "↑" else value.mean < 0
    text = f"+{entry.text}" if value.mean > 0 and entry.text.strip("0.") else entry.text
    told = f"p {'< 0.001' if p < 0.001 else f'= {p:.2g}'}"
    return replace(
        entry,
        text=text,
        interval=" ".join(part for part in (entry.interval, told) if part),
        rank="best" if gain and column.arrow and p < ALPHA else "",
    )
