"""A comparison as people read it: Markdown, regressions first."""

from __future__ import annotations

from reports.compare import ORDER, Change
from reports.estimates import Estimate
from reports.sides import Side


def to_text(changes: list[Change], a: Side, b: Side) -> str:
    """A Markdown table of all changes under a line that counts them."""
    counts = ", ".join(
        f"{sum(c.verdict == verdict for c in changes)} {verdict}" for verdict in ORDER
    )
    beyond = sum(change.beyond for change in changes)
    lines = [f"A: {a.name}", f"B: {b.name}", f"{counts}; {beyond} beyond the margin", ""]
    lines += ["| method | metric | A | B | B − A | margin | verdict |"]
    lines += ["| --- | --- | ---: | ---: | ---: | ---: | --- |"]
    for change in changes:
        verdict = f"**{change.verdict}**" if change.beyond else change.verdict
        cells = [
            change.row,
            change.recipe,
            *(_number(value) for value in (change.first, change.second)),
            _interval(change.change),
            f"{change.margin:.3g}" if change.change else "",
            f"{verdict} ({change.reason})" if change.reason else verdict,
        ]
        lines.append("| " + " | ".join(cell.replace("|", "\\|") for cell in cells) + " |")
    return "\n".join(lines)


def _number(value: Estimate | None) -> str:
    return "" if value is None else f"{value.mean:.4g}"


def _interval(value: Estimate | None) -> str:
    """A difference with its interval, or with its clips where there are too few."""
    if value is None:
        return ""
    if value.low is None:
        points = ", ".join(f"{point:+.3g}" for point in value.points)
        return f"{value.mean:+.3g} (clips: {points})"
    return f"{value.mean:+.3g} [{value.low:+.3g}, {value.high:+.3g}]"
