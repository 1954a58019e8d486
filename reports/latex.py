"""Tables as LaTeX, to be read with ``\\input``: booktabs, everything escaped."""

from __future__ import annotations

import re

from reports.tables import Column, Entry, Table

_SPECIAL = {
    "\\": r"\textbackslash{}", "&": r"\&", "%": r"\%", "$": r"\$", "#": r"\#", "_": r"\_",
    "{": r"\{", "}": r"\}", "~": r"\textasciitilde{}", "^": r"\textasciicircum{}",
    "<": r"\textless{}", ">": r"\textgreater{}", "|": r"\textbar{}", '"': r"\textquotedbl{}",
    "↑": r"$\uparrow$", "↓": r"$\downarrow$", "−": r"$-$", "–": "--", "×": r"$\times$",
    "∞": r"$\infty$", "≥": r"$\geq$", "≤": r"$\leq$", "·": r"$\cdot$", "²": r"$^2$", "³": r"$^3$",
    "⁻": r"$^-$", "°": r"$^\circ$", "Δ": r"$\Delta$", "±": r"$\pm$", "…": r"\dots{}",
}  # fmt: skip
WIDE = 6  # columns from which a table is scaled to the line's width


def escape(text: str) -> str:
    """Text as LaTeX prints it literally; white space, line ends included, becomes one space."""
    return " ".join("".join(_SPECIAL.get(character, character) for character in text).split())


def to_latex(table: Table) -> str:
    """A ``table`` environment with caption and label."""
    with_failures = any(line.failed for line in table.lines)
    with_detail = any(line.row.detail for line in table.lines)
    left = 2 if with_detail else 1
    count = len(table.columns) + with_failures
    names = ["Method", "Setting"][:left]
    names += [escape(f"{column.title} {column.arrow}".strip()) for column in table.columns]
    kinds = [""] * left + [_small(column) for column in table.columns]
    if with_failures:
        names, kinds = [*names, "Failed"], [*kinds, ""]
    body = [_join(names)]
    body += [_join(kinds)] if any(kinds) else []
    body.append(r"\midrule")
    control = None
    for line in table.lines:
        if control and not line.row.control:
            body.append(r"\midrule")
        control = line.row.control
        title = escape(line.row.title)
        cells = [rf"\textit{{{title}}}" if line.row.control else title]
        cells += [escape(line.row.detail)] if with_detail else []
        cells += [_entry(entry) for entry in line.entries]
        body.append(_join([*cells, line.failures] if with_failures else cells))
    tabular = [rf"\begin{{tabular}}{{{'l' * left}{'r' * count}}}", r"\toprule", *body,
               r"\bottomrule", r"\end{tabular}"]  # fmt: skip
    wide = count > WIDE
    if wide:
        tabular = [r"\resizebox{\linewidth}{!}{%", *tabular[:-1], r"\end{tabular}}"]
    needs = "booktabs, graphicx" if wide else "booktabs"
    label = re.sub(r"[^a-zA-Z0-9-]", "-", table.id)
    return "\n".join(
        [
            f"% Packages: {needs}.",
            r"\begin{table}[t]",
            r"\centering",
            rf"\caption{{{escape(table.caption)}}}",
            rf"\label{{tab:{label}}}",
            *tabular,
            r"\end{table}",
            "",
        ]
    )


def _join(cells: list[str]) -> str:
    return " & ".join(cells) + r" \\"


def _small(column: Column) -> str:
    """The extractor and unit under a heading."""
    text = ", ".join(part for part in (column.extractor, column.unit) if part)
    return rf"{{\scriptsize {escape(text)}}}" if text else ""


def _entry(entry: Entry) -> str:
    mark = {"best": r"\textbf{%s}", "second": r"\underline{%s}"}.get(entry.rank, "%s")
    text = mark % escape(entry.text)
    return text + (rf" {{\scriptsize {escape(entry.interval)}}}" if entry.interval else "")
