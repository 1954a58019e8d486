"""Tables as Markdown and as CSV."""

from __future__ import annotations

import csv
import io

from reports.tables import Column, Entry, Table


def heading(column: Column) -> str:
    """``CLIP text ↑ (unit, extractor)`` on one line."""
    inner = ", ".join(part for part in (column.unit, column.extractor) if part)
    name = f"{column.title} {column.arrow}".strip()
    return f"{name} ({inner})" if inner else name


def to_markdown(table: Table) -> str:
    """A GitHub table under its title, with the caption below."""
    with_failures = any(line.failed for line in table.lines)
    heads = ["Method", "Setting", *(heading(column) for column in table.columns)]
    heads += ["Failed"] if with_failures else []
    lines = [_row(heads), _row(["---", "---", *["---:"] * (len(heads) - 2)])]
    for line in table.lines:
        title = f"*{_escape(line.row.title)}*" if line.row.control else _escape(line.row.title)
        cells = [title, _escape(line.row.detail), *(_entry(entry) for entry in line.entries)]
        lines.append(_row([*cells, line.failures] if with_failures else cells, escaped=True))
    return f"### {_escape(table.title)}\n\n" + "\n".join(lines) + f"\n\n{_escape(table.caption)}\n"


def _entry(entry: Entry) -> str:
    mark = {"best": "**{}**", "second": "<u>{}</u>"}.get(entry.rank, "{}")
    return " ".join(part for part in (mark.format(entry.text), entry.interval) if part)


def _row(cells: list[str], escaped: bool = False) -> str:
    return "| " + " | ".join(cell if escaped else _escape(cell) for cell in cells) + " |"


def _escape(text: str) -> str:
    """Keep a label's own characters from becoming markup or breaking the table."""
    for mark in "\\`*_|<>[]":
        text = text.replace(mark, f"\\{mark}" if mark not in "<>" else f"&{'lg'[mark == '>']}t;")
    return " ".join(text.split())


def to_csv(table: Table) -> str:
    """Wide CSV: per column the mean (or median), low, high and n, at six significant digits."""
    out = io.StringIO()
    writer = csv.writer(out, lineterminator="\n")
    heads = ["method", "row", "setting", "backbone", "reference", "failed", "asked"]
    for column in table.columns:
        heads += [column.key, f"{column.key} low", f"{column.key} high", f"{column.key} n"]
    writer.writerow(heads)
    for line in table.lines:
        row = line.row
        cells: list[object] = [
            *(row.method, row.key, row.detail, row.backbone),
            *(int(row.control), line.failed, line.asked),
        ]
        for entry in line.entries:
            value = entry.estimate
            numbers = (value.mean, value.low, value.high) if value else (None,) * 3
            cells += ["" if x is None else f"{x:.6g}" for x in numbers]
            cells.append(value.n if value else 0)
        writer.writerow(cells)
    return out.getvalue()
