"""The pages' templates: every foreign string is escaped."""

from __future__ import annotations

import json
import re
from functools import cache
from pathlib import Path

import jinja2
from markupsafe import Markup, escape

from reports.tables import Entry, Table, spell

TEMPLATES = Path(__file__).parent / "templates"


@cache
def environment() -> jinja2.Environment:
    """Jinja with autoescape and the filters that the templates use."""
    made = jinja2.Environment(
        loader=jinja2.FileSystemLoader(TEMPLATES),
        autoescape=True,
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    made.filters |= {"prose": prose, "dots": dots, "spell": spell, "told": told, "number": number}
    return made


def own(name: str) -> Markup:
    """One of our own files, which is no foreign text."""
    return Markup((TEMPLATES / name).read_text())


def embed_json(content: object) -> Markup:
    """JSON that may stand in a <script>: nothing in it can close the element."""
    text = json.dumps(content, separators=(",", ":"), ensure_ascii=True, allow_nan=False)
    for mark in "<>&":
        text = text.replace(mark, f"\\u{ord(mark):04x}")
    return Markup(text)


def to_html(table: Table) -> str:
    """A table as a page by itself."""
    return environment().get_template("table.html").render(table=table, style=own("table.css"))


def prose(text: str) -> Markup:
    """A docstring as paragraphs; only ``code``, :role:`code` and addresses become markup."""
    paragraphs = []
    for block in re.split(r"\n\s*\n", text.strip()):
        safe = str(escape(" ".join(block.split())))
        safe = re.sub(r":\w+:`~?([^`]+)`", r"<code>\1</code>", safe)
        safe = re.sub(r"``([^`]+)``", r"<code>\1</code>", safe)
        safe = re.sub(r"(https?://[^\s<>&]+[^\s<>&.,;:)])", r'<a href="\1">\1</a>', safe)
        paragraphs.append(f"<p>{safe}</p>")
    return Markup("".join(paragraphs) if text.strip() else "")


def told(entry: Entry) -> str:
    """What a pointer on a number is told: n, and the test where there was one."""
    parts = [f"n = {entry.estimate.n}"] if entry.estimate else []
    if entry.test and entry.test.n:
        parts.append(f"p = {entry.test.p:.2g}, adjusted {entry.adjusted:.2g}")
        if entry.test.effect is not None:
            parts.append(f"effect size {entry.test.effect:+.2f}".replace("-", "−"))
        parts.append(f"better on {100 * entry.test.wins:.0f} % of clips")
    return "; ".join(parts)


def number(text: str) -> str:
    """A printed number as a script sorts it; empty for what is none."""
    plain = text.replace("−", "-")
    return plain if re.fullmatch(r"-?\d+(\.\d+)?", plain) else ""


def dots(entry: Entry, table: Table, index: int) -> Markup:
    """The clips' values as dots; empty where an interval is given.

    The scale is that of the column's ranked rows: a reference far off would press them together.
    """
    value = entry.estimate
    if value is None or value.low is not None or len(value.points) < 2:
        return Markup("")
    lines = [line for line in table.lines if not line.row.control] or table.lines
    column = [line.entries[index].estimate for line in lines]
    points = [p for e in column if e is not None for p in e.points] or value.points
    low, high = min(points), max(points)
    if not high > low or high == float("inf"):
        return Markup("")
    marks = "".join(
        f'<circle cx="{3 + 58 * (p - low) / (high - low):.1f}" cy="4" r="1.9"/>'
        for p in value.points
        if low <= p <= high
    )
    return Markup(f'<svg class="dots" viewBox="0 0 64 8" aria-hidden="true">{marks}</svg>')
