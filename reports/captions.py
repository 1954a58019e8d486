"""What is said under a table: how many clips, what the numbers are and what their marks mean."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import pandas as pd

from experiments.schema import PublishedBlock, RowBlock
from reports.estimates import MIN_CLIPS
from reports.results import Results
from reports.rows import show_value

ALPHA = 0.05


def sizes(scope: pd.DataFrame) -> str:
    """``6 clips, 18 edits, 2 seeds``."""
    edits = len(scope.loc[scope["edit"] != "", ["clip", "edit"]].drop_duplicates())
    counts = {"clip": scope["clip"].nunique(), "edit": edits, "seed": scope["seed"].nunique()}
    return ", ".join(
        f"{count} {word}" if count == 1 else f"{count} {word}s"
        for word, count in counts.items()
        if count
    )


def of_means(clips: int, references: bool, tests: int) -> str:
    """For means over clips; ``tests`` were corrected together."""
    text = "Mean over clips (seeds and edits averaged within a clip) "
    if clips >= MIN_CLIPS:
        text += "with its 95 % cluster bootstrap interval."
    else:
        text += f"without an interval, which takes {MIN_CLIPS} clips."
    if tests:
        text += (
            " Bold: the best and every ranked row that is not significantly worse than it, where "
            f"any is worse (paired sign-flip test over clips, Holm-adjusted p < {ALPHA:g}"
            f"{_out_of_reach(clips, tests)}). Underlined: second."
        )
    if references:
        text += " References in italics do not edit or know the answer and are not ranked."
    return text


def of_differences(clips: int, baseline: RowBlock, tests: int) -> str:
    """For paired differences to a baseline."""
    interval = " with its 95 % interval" if clips >= MIN_CLIPS else ""
    return (
        f"Each row minus {_name(baseline)}, on the requests both have: mean over clips{interval} "
        "and the p of a paired sign-flip test, Holm-adjusted over the table. "
        f"Bold: better with p < {ALPHA:g}{_out_of_reach(clips, tests)}."
    )


def _out_of_reach(clips: int, tests: int) -> str:
    """A note where no test can succeed: the least p is 2 in 2^n, which Holm multiplies."""
    if tests * 2 / 2**clips < ALPHA:
        return ""
    return f", out of reach with {clips} clips and {tests} comparisons"


def _name(baseline: RowBlock) -> str:
    values = ", ".join(f"{name} = {show_value(v)}" for name, v in baseline.setting.items())
    if not baseline.label:
        return f"the row of the same label with {values}"
    return f"{baseline.label} ({values})" if values else baseline.label


def of_costs(scope: pd.DataFrame) -> str:
    """For cost figures."""
    text = (
        "Costs are of a cell run alone on a warm backbone: median and quartiles over distinct "
        "cells. Loading and warming up are paid once per job, inversion once per clip."
    )
    machines = scope["hardware_id"].nunique() if "hardware_id" in scope else 1
    if machines > 1:
        text += f" Measured on {machines} kinds of machine: do not compare these times."
    return text


def of_published(blocks: Sequence[PublishedBlock]) -> str:
    """For published numbers."""
    sources = "; ".join(f"{block.title}: {block.source}" for block in blocks)
    return f"Published, not measured here and not ranked: {sources}."


def of_sets(names: Sequence[str]) -> str:
    """For numbers of sets of cells."""
    return (
        f"{', '.join(names)}: of all samples of a row together, n of them; without an interval and "
        "not ranked."
    )


def of_undefined(
    results: Results, ok: pd.DataFrame, recipes: Sequence[str], of_sets: Mapping[str, str]
) -> str:
    """For recipes without a single value: why, as far as the cells, or ``of_sets``, tell."""
    reasons: dict[str, list[str]] = {}
    for recipe in recipes:
        told = (
            [of_sets[recipe]]
            if recipe in of_sets
            else [
                reason
                for cell, edit in ok[["cell", "edit"]].head(1).itertuples(index=False)
                if (reason := results.scores(str(cell), edit).get(recipe, {}).get("reason"))
            ]
        )
        reasons.setdefault(told[0] if told else "no score recorded", []).append(recipe)
    parts = [f"{', '.join(names)} ({reason.rstrip('.')})" for reason, names in reasons.items()]
    return f"Without a value: {'; '.join(parts)}." if parts else ""
