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
# A table wider than the line is scaled down to it; none is scaled up.
FIT = r"\resizebox{\ifdim\width>\linewidth\linewidth\else\width\fi}{!}{%"


def escape(text: str) -> str:
    """Text as LaTeX prints it literally; white space, line ends included, becomes one space."""
    return " ".join("".join(_SPECIAL.get(character, character) for character in text).split())


def to_latex(table: Table) -> str:
    """A ``table`` environment with caption and label."""
    with_failures = any(line.failed for line in table.lines)
    with_detail = any(line.row.detail for line in table.lines)
    left = 2 if with_detail else 1
    count = len(table.columns) + with_failures
    tabular = [FIT, rf"\begin{{tabular}}{{{'l' * left}{'r' * count}}}", r"\toprule"]
    tabular += _heads(table, left, with_failures)
    for heading, lines in table.blocks():
        tabular.append(r"\midrule")
        if heading:
            tabular.append(rf"\multicolumn{{{left + count}}}{{l}}{{{escape(heading)}}} \\")
        tabular += [_line(line, with_detail, with_failures) for line in lines]
    tabular += [r"\bottomrule", r"\end{tabular}}"]
    label = re.sub(r"[^a-zA-Z0-9-]", "-", table.id)
    return "\n".join(
        [
            "% Packages: booktabs, graphicx. The requests behind each number: "
            f"{table.id}.csv, cells.csv.",
            r"\begin{table}[t]",
            r"\centering",
            rf"\caption{{{escape(table.caption)}}}",
            rf"\label{{tab:{label}}}",
            *tabular,
            r"\end{table}",
            "",
        ]
    )


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
