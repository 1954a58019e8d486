"""Tables as Markdown and as CSV."""

from __future__ import annotations

import csv
import io

from reports.tables import ABSENT, Column, Entry, Table


def heading(column: Column) -> str:
    """``CLIP text ↑ (unit, extractor)`` on one line, with what it is spread over before it."""
    inner = ", ".join(part for part in (column.unit, column.extractor) if part)
    name = f"{column.title} {column.arrow}".strip()
    name = f"{column.over}: {name}" if column.over else name
    return f"{name} ({inner})" if inner else name


def to_markdown(table: Table) -> str:
    """A GitHub table under its title, with the caption below."""
    with_failures = any(line.failed for line in table.lines)
    heads = ["Method", "Setting", *(heading(column) for column in table.columns)]
    heads += ["Failed"] if with_failures else []
    lines = [_row(heads), _row(["---", "---", *["---:"] * (len(heads) - 2)])]
    for name, block in table.blocks():
        if name:
            lines.append(_row([name, *[""] * (len(heads) - 1)]))
        for line in block:
            title = _escape(line.row.title)
            cells = [f"*{title}*" if line.row.control else title, _escape(line.row.detail)]
            cells += [_entry(entry) for entry in line.entries]
            lines.append(_row([*cells, line.failures] if with_failures else cells, escaped=True))
    return f"### {_escape(table.title)}\n\n" + "\n".join(lines) + f"\n\n{_escape(table.caption)}\n"


def _entry(entry: Entry) -> str:
    text = f"<u>{_escape(entry.text)}</u>" if "second" in entry.rank else _escape(entry.text)
    text = f"**{text}**" if "best" in entry.rank else text
    return " ".join(part for part in (text, entry.interval) if part)


def _row(cells: list[str], escaped: bool = False) -> str:
    return "| " + " | ".join(cell if escaped else _escape(cell) for cell in cells) + " |"


def _escape(text: str) -> str:
    """Keep a label's own characters from becoming markup or breaking the table."""
    for mark in "\\`*_|<>[]":
        text = text.replace(mark, f"\\{mark}" if mark not in "<>" else f"&{'lg'[mark == '>']}t;")
    return " ".join(text.split())


def to_csv(table: Table) -> str:
    """Wide CSV, six significant digits: per column the mean (or median), low, high and n.

    Where columns hold tests, also p, p after Holm's correction, effect size and win rate, against
    the column's best or the baseline. ``… row`` names the row whose requests in ``cells.csv`` a
    number is made of; published numbers are as they were printed.
    """
    out = io.StringIO()
    writer = csv.writer(out, lineterminator="\n")
    heads = ["block", "method", "row", "setting", "backbone", "reference", "failed", "asked"]
    tested = [any(ln.entries[i].test for ln in table.lines) for i in range(len(table.columns))]
    for column, with_test in zip(table.columns, tested, strict=True):
        names = _figures(column, with_test)
        heads += [f"{column.key} {name}".strip() for name in names]
    writer.writerow(heads)
    for line in table.lines:
        row = line.row
        cells: list[object] = [
            *(line.block, row.method, row.key, row.detail, row.backbone),
            *(int(row.control), line.failed, line.asked),
        ]
        for column, entry, with_test in zip(table.columns, line.entries, tested, strict=True):
            known = _values(entry)
            cells += [known[name] for name in _figures(column, with_test)]
        writer.writerow(cells)
    return out.getvalue()


def _figures(column: Column, with_test: bool) -> list[str]:
    """The figures of a column that the CSV gives; the first is the number itself."""
    if column.extractor == "published":
        return [""]
    names = ["", "low", "high", "n", *(["row"] if column.over else [])]
    return [*names, "p", "adjusted p", "effect", "win rate"] if with_test else names


def _values(entry: Entry) -> dict[str, object]:
    """Every figure of an entry as it is written."""
    value, test = entry.estimate, entry.test
    text = "" if entry.text == ABSENT else entry.text
    return {
        "": _digits(value.mean) if value else text,
        "low": _digits(value.low if value else None),
        "high": _digits(value.high if value else None),
        "n": value.n if value else 0,
        "row": entry.part.row if entry.part else "",
        "p": _digits(test.p if test else None),
        "adjusted p": _digits(entry.adjusted),
        "effect": _digits(test.effect if test else None),
        "win rate": _digits(test.wins if test else None),
    }


def _digits(number: float | None) -> str:
    return "" if number is None else f"{number:.6g}"
