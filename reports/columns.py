"""Columns of tables: what stands over the numbers and how they are written."""

from __future__ import annotations

import math
from collections.abc import Sequence

from experiments.schema import PublishedBlock
from reports.cards import MetricCard
from reports.estimates import Estimate
from reports.tables import Column, decimals_of, spell

_COSTS = {
    "seconds_load": ("Load", "s"),
    "seconds_warmup": ("Warm up", "s"),
    "seconds_tune": ("Tune", "s"),
    "seconds_invert": ("Invert", "s"),
    "seconds_edit": ("Edit", "s"),
    "seconds_decode": ("Decode", "s"),
    "seconds_per_frame": ("Edit per frame", "s"),
    "tuning_evaluations": ("Tuning evaluations", ""),
    "inversion_evaluations": ("Inversion evaluations", ""),
    "network_evaluations": ("Network evaluations", ""),
    "peak_memory_mb": ("Peak memory", "MB"),
    "peak_reserved_mb": ("Peak reserved", "MB"),
    "energy_j": ("Energy", "J"),
}


def metric_column(
    card: MetricCard, estimates: Sequence[Estimate | None], over: str = "", of_set: bool = False
) -> Column:
    """A recipe's column, its numbers written as the estimates' spread allows.

    Numbers of sets have no spread: they have three significant digits.
    """
    better = {True: "higher is better", False: "lower is better", None: "not ranked"}
    limits = f"range {card.range[0]:g} to {card.range[1]:g}" if card.range else ""
    measured = f"extractor {card.digest[:12]}" if card.digest else ""
    parts = [card.recipe, measured, f"version {card.version}" if card.version else "", limits,
             better[card.higher_is_better], card.citation]  # fmt: skip
    return Column(
        key=_key(card.recipe, over),
        title=spell(card.name),
        extractor=card.extractor,
        arrow=card.arrow,
        unit=card.unit,
        decimals=_three_digits(estimates) if of_set else decimals_of(estimates),
        tooltip=" · ".join(part for part in parts if part),
        of_set=of_set,
        over=over,
    )


def _three_digits(estimates: Sequence[Estimate | None]) -> int:
    sizes = [abs(e.mean) for e in estimates if e is not None and e.mean]
    return min(6, max(0, 2 - math.floor(math.log10(max(sizes))))) if sizes else 2


def cost_column(name: str, estimates: Sequence[Estimate | None], over: str = "") -> Column:
    """A cost figure's column; never ranked."""
    title, unit = _COSTS[name]
    largest = max((e.mean for e in estimates if e is not None), default=0)
    seconds = 2 if largest >= 1 else 3
    decimals = seconds if unit == "s" else 0
    return Column(_key(name, over), title, "", "", unit, decimals, name, over=over)


def published_column(block: PublishedBlock) -> Column:
    """A column of somebody else's numbers."""
    return Column(
        key=f"published: {block.title}",
        title=block.title,
        extractor="published",
        arrow="",
        unit=block.unit,
        decimals=0,
        tooltip=block.source,
    )


def _key(recipe: str, over: str) -> str:
    return f"{recipe} [{over}]" if over else recipe
