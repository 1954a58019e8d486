"""Tables as LaTeX, to be read with ``\\input``: booktabs, everything escaped."""

from __future__ import annotations

import re

from reports.tables import Column, Entry, Line, Table

_SPECIAL = {
    "\\": r"\textbackslash{}", "&": r"\&", "%": r"\%", "$": r"\$", "#": r"\#", "_": r"\_",
    "{": r"\{", "}": r"\}", "~": r"\textasciitilde{}", "^": r"\textasciicircum{}",
    "<": r"\textless{}", ">": r"\textgreater{}", "|": r"\textbar{}", '"': r"\textquotedbl{}",
    "↑": r"$\uparrow$", "↓": r"$\downarrow$", "−": r"$-$", "–": "--", "×": r"$\times$",
    "∞": r"$\infty$", "≥": r"$\geq$", "≤": r"$\leq$", "·": r"$\cdot$", "²": r"$^2$", "³": r"$^3$",
    "⁻": r"$^-$", "°": r"$^\circ$", "Δ": r"$\Delta$", "±": r"$\pm$", "…": r"\dots{}",
}  # fmt: skip
WIDE = 80  # letters from which a table is scaled to the line's width
SMALL = 0.7  # width of a letter in \scriptsize


def escape(text: str) -> str:
    """Text as LaTeX prints it literally; white space, line ends included, becomes one space."""
    return " ".join("".join(_SPECIAL.get(character, character) for character in text).split())


def to_latex(table: Table) -> str:
    """A ``table`` environment with caption and label."""
    with_failures = any(line.failed for line in table.lines)
    with_detail = any(line.row.detail for line in table.lines)
    left = 2 if with_detail else 1
    count = len(table.columns) + with_failures
    wide = _letters(table) > WIDE
    tabular = [rf"\begin{{tabular}}{{{'l' * left}{'r' * count}}}", r"\toprule"]
    tabular += _heads(table, left, with_failures)
    for heading, lines in table.blocks():
        tabular.append(r"\midrule")
        if heading:
            tabular.append(rf"\multicolumn{{{left + count}}}{{l}}{{{escape(heading)}}} \\")
        tabular += [_line(line, with_detail, with_failures) for line in lines]
    tabular += [r"\bottomrule", r"\end{tabular}"]
    if wide:
        tabular = [r"\resizebox{\linewidth}{!}{%", *tabular[:-1], r"\end{tabular}}"]
    needs = "booktabs, graphicx" if wide else "booktabs"
    label = re.sub(r"[^a-zA-Z0-9-]", "-", table.id)
    return "\n".join(
        [
            f"% Packages: {needs}. The requests behind each number: {table.id}.csv, cells.csv.",
            r"\begin{table}[t]",
            r"\centering",
            rf"\caption{{{escape(table.caption)}}}",
            rf"\label{{tab:{label}}}",
            *tabular,
            r"\end{table}",
            "",
        ]
    )


def _letters(table: Table) -> float:
    """About how many letters wide a table is as it would be set."""
    names = max((len(line.row.title) + len(line.row.detail) for line in table.lines), default=0)
    total = float(names)
    for at, column in enumerate(table.columns):
        entries = [line.entries[at] for line in table.lines]
        widths = [len(entry.text) + 1 + SMALL * len(entry.interval) for entry in entries]
        total += max([*widths, 0 if column.over else len(column.title)]) + 2
    return total


def _heads(table: Table, left: int, with_failures: bool) -> list[str]:
    """Headings over headings: recipes, what they are spread over, extractors and units."""
    names, rules, at = ["Method", "Setting"][:left], [], left
    for column, width in table.spans():
        name = escape(f"{column.title} {column.arrow}".strip())
        names.append(name if width == 1 else rf"\multicolumn{{{width}}}{{c}}{{{name}}}")
        if width > 1:
            rules.append(rf"\cmidrule(lr){{{at + 1}-{at + width}}}")
        at += width
    last = [""] * with_failures
    heads = [_join([*names, *(["Failed"] * with_failures)])]
    heads += [" ".join(rules)] if rules else []
    if any(column.over for column in table.columns):
        heads.append(_join([""] * left + [escape(c.over) for c in table.columns] + last))
    kinds = [_small(column) for column in table.columns]
    heads += [_join([""] * left + kinds + last)] if any(kinds) else []
    return heads


def _line(line: Line, with_detail: bool, with_failures: bool) -> str:
    title = escape(line.row.title)
    cells = [rf"\textit{{{title}}}" if line.row.control else title]
    cells += [escape(line.row.detail)] if with_detail else []
    cells += [_entry(entry) for entry in line.entries]
    return _join([*cells, line.failures] if with_failures else cells)


def _join(cells: list[str]) -> str:
    return " & ".join(cells) + r" \\"


def _small(column: Column) -> str:
    """The extractor and unit under a heading."""
    text = ", ".join(part for part in (column.extractor, column.unit) if part)
    return rf"{{\scriptsize {escape(text)}}}" if text else ""


def _entry(entry: Entry) -> str:
    text = escape(entry.text)
    text = rf"\underline{{{text}}}" if "second" in entry.rank else text
    text = rf"\textbf{{{text}}}" if "best" in entry.rank else text
    return text + (rf" {{\scriptsize {escape(entry.interval)}}}" if entry.interval else "")
