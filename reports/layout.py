"""From a declaration to the lines and columns of a table, and the requests behind each number."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import pandas as pd

from data.errors import UserError
from experiments.schema import RowBlock, TableBlock
from reports.cards import Catalogue
from reports.results import Results
from reports.rows import Part, Row, show_value


@dataclass(frozen=True)
class Slot:
    """A line as it is shown, and the part behind each value that recipes are spread over."""

    row: Row
    block: str  # heading
    parts: tuple[Part | None, ...]


@dataclass(frozen=True)
class Split:
    """One value of an axis: its heading, the rows that have it, the kinds of edit it means."""

    heading: str
    rows: tuple[Row, ...]
    kinds: tuple[str, ...]


def lay_out(
    results: Results, catalogue: Catalogue, block: TableBlock, rows: Sequence[Row]
) -> tuple[list[Slot], list[str]]:
    """The lines of a table over some rows, and the values that its recipes are spread over."""
    dataset = block.dataset or results.primary
    present = set(results.table.loc[results.table["dataset"] == dataset, "row"])
    here = Split("", tuple(row for row in rows if row.key in present), tuple(block.edits))
    kinds = block.edits or results.kinds(dataset)
    blocks, rest = _split(results, catalogue, block.group, here, kinds)
    if rest:
        blocks = [Split("", rest, here.kinds), *blocks]
    across, everywhere = _split(results, catalogue, block.columns, here, kinds)
    slots = []
    for part in blocks:
        shown = {row.without(block.columns).key: row.without(block.columns) for row in part.rows}
        for key, row in shown.items():
            alike = [r for r in part.rows if r.without(block.columns).key == key]
            parts = []
            for split in across:
                found = [r for r in alike if r in (*split.rows, *everywhere)]
                asked = split.kinds if block.columns == "edit" else part.kinds
                parts.append(Part(found[0].key, dataset, asked) if found else None)
            slots.append(Slot(row, part.heading, tuple(parts)))
    return slots, [split.heading for split in across]


def _split(
    results: Results, catalogue: Catalogue, axis: str, here: Split, kinds: Sequence[str]
) -> tuple[list[Split], tuple[Row, ...]]:
    """The values of an axis, and the rows that have none; everything at once without an axis."""
    if not axis:
        return [here], ()
    if axis == "edit":
        return [Split(kind, here.rows, (kind,)) for kind in kinds], ()
    values = {row.key: _value(results, catalogue, axis, row) for row in here.rows}
    known = list(dict.fromkeys(value for value in values.values() if value is not None))
    if all(isinstance(value, int | float) for value in known):
        known.sort()
    named = axis in ("method", "backbone")
    splits = [
        Split(
            str(value) if named else f"{axis} = {show_value(value)}",
            tuple(row for row in here.rows if values[row.key] == value),
            here.kinds,
        )
        for value in known
    ]
    return splits, tuple(row for row in here.rows if values[row.key] is None)


def _value(results: Results, catalogue: Catalogue, axis: str, row: Row) -> Any:
    """A row's method, backbone or value of a setting; None where it has no such setting."""
    if axis == "method":
        return row.title
    if axis == "backbone":
        return row.backbone or None
    return setting_of(results, catalogue, row).get(axis)


def setting_of(results: Results, catalogue: Catalogue, row: Row) -> dict[str, Any]:
    """All of a row's settings, those that it shares with the method's other rows included."""
    line = results.table[results.table["row"] == row.key].iloc[0]
    names = [field.name for field in catalogue.method(row.method).fields if field.name in line]
    return {name: line[name] for name in names if pd.notna(line[name])}


def choose_rows(results: Results, catalogue: Catalogue, blocks: Sequence[RowBlock]) -> list[Row]:
    """The rows that are meant, in the order they are named; all where none is named.

    Raises UserError where a block fits no row of the results.
    """
    if not blocks:
        return list(results.rows)
    chosen: dict[str, Row] = {}
    for block in blocks:
        fitting = [
            row
            for row in results.rows
            if block.fits(row.title, setting_of(results, catalogue, row))
        ]
        if not fitting:
            titles = dict.fromkeys(row.title for row in results.rows)
            raise UserError(
                f"{results.experiment}: no row of the results is {block.label or 'one'} "
                f"with {block.setting}. Labels: {', '.join(titles)}. Run "
                f"`snakemake -j N {results.experiment}` if the experiment has changed."
            )
        chosen |= {row.key: row for row in fitting}
    return list(chosen.values())
