"""Tables as data: lines, columns and entries, formatted once for every output."""

from __future__ import annotations

import itertools
import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from reports.estimates import Estimate, Test
from reports.rows import Part, Row

ABSENT = "–"


@dataclass(frozen=True)
class Column:
    """A column's heading and how its numbers are written."""

    key: str  # the recipe or cost figure, and in brackets the value of ``over``
    title: str
    extractor: str
    arrow: str
    unit: str
    decimals: int
    tooltip: str
    of_set: bool = False  # its numbers are sets' of cells: with an n, without clips or interval
    over: str = ""  # the value of what recipes are spread over: a kind of edit, "pnp_f_t = 0.4"

    @property
    def recipe(self) -> str:
        """The recipe or cost figure alone."""
        return self.key.removesuffix(f" [{self.over}]")


@dataclass(frozen=True)
class Entry:
    """One number of a table; ``rank`` holds the words ``best`` and ``second``, or neither."""

    estimate: Estimate | None
    text: str  # "27.4", "failed" where no cell succeeded, or a dash
    interval: str = ""  # "[26.1, 28.6]", and n where it is not the table's
    rank: str = ""
    part: Part | None = None  # the requests that it is made of
    test: Test | None = None  # against the column's best, or against the baseline
    adjusted: float | None = None  # the test's p after Holm's correction over the table


@dataclass(frozen=True)
class Line:
    """One row of a table."""

    row: Row
    entries: tuple[Entry, ...]
    failed: int
    asked: int
    block: str = ""  # heading of the block of lines it stands in

    @property
    def failures(self) -> str:
        """``2 of 24``, or nothing where all cells succeeded."""
        return f"{self.failed} of {self.asked}" if self.failed else ""


@dataclass(frozen=True)
class Table:
    """A finished table; ``scope`` holds the dataset and edit kind it is about."""

    id: str
    title: str
    caption: str
    columns: tuple[Column, ...]
    lines: tuple[Line, ...]
    scope: tuple[str, str] = ("", "")

    def blocks(self) -> list[tuple[str, list[Line]]]:
        """Headings and their lines: references apart from the rows that are ranked.

        The second part under one heading has none of its own.
        """
        parts = itertools.groupby(self.lines, key=lambda line: (line.block, line.row.control))
        found: list[tuple[str, list[Line]]] = []
        above = ""
        for (heading, _), lines in parts:
            found.append(("" if heading == above else heading, list(lines)))
            above = heading
        return found

    def spans(self) -> list[tuple[Column, int]]:
        """The first column of every recipe and how many it is spread over."""
        groups = itertools.groupby(self.columns, key=lambda column: column.recipe)
        return [((found := list(group))[0], len(found)) for _, group in groups]


def spell(name: str) -> str:
    """A recipe's or figure's name in words: ``clip_text`` is ``CLIP text``."""
    capitals = {"clip": "CLIP", "lpips": "LPIPS", "psnr": "PSNR", "ssim": "SSIM", "mse": "MSE",
                "dino": "DINO", "mb": "MB", "visor": "VISOR", "viescore": "VIEScore", "sc": "SC",
                "pq": "PQ", "stlpips": "ST-LPIPS", "pickscore": "PickScore", "iou": "IoU",
                "ap50": "AP50", "cond": "conditional"}  # fmt: skip
    words = [capitals.get(word, word) for word in name.split("_")]
    return " ".join([words[0][:1].upper() + words[0][1:], *words[1:]])


def decimals_of(estimates: Sequence[Estimate | None]) -> int:
    """Decimals that show two significant digits of the typical interval's half-width.

    Without intervals the standard deviation over the clips stands in for the half-width.
    """
    known = [e for e in estimates if e is not None]
    widths = [(e.high - e.low) / 2 if e.low is not None else np.std(e.points) for e in known]
    widths = [width for width in widths if width > 0 and math.isfinite(width)]
    if not widths:
        return 2
    return int(np.clip(1 - math.floor(math.log10(np.median(widths))), 0, 6))


def make_entry(
    value: Estimate | None, column: Column, rank: str = "", clips: int = 0, samples: int = 0
) -> Entry:
    """An entry as it is written; ``clips`` is the table's n, named where the entry's differs.

    ``samples``: of a set that is too small for a number, and says so.
    """
    if value is None:
        return Entry(None, ABSENT, f"n = {samples}" if samples else "")
    text = write(value.mean, column.decimals)
    parts = []
    if value.low is not None and value.low != value.high:
        low, high = write(value.low, column.decimals), write(value.high, column.decimals)
        parts.append(f"[{low}, {high}]")
    if column.of_set or (clips and value.n != clips):
        parts.append(f"n = {value.n}")
    return Entry(value, text, " ".join(parts), rank)


def write(value: float, decimals: int) -> str:
    """A number with a true minus sign and no negative zero."""
    if not math.isfinite(value):
        return "∞" if value > 0 else "−∞"
    text = f"{value:.{decimals}f}"
    return text.lstrip("-") if float(text) == 0 else text.replace("-", "−")


def file_name(name: str) -> str:
    """A name that is a file name everywhere."""
    return "".join(c if c.isalnum() or c in "-_." else "-" for c in name)
