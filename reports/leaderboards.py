"""Leaderboards: every row's means on every metric, who leads, and whether it is more than noise."""

from __future__ import annotations

from collections.abc import Sequence

import pandas as pd

from metrics.statistics import holm
from reports.cards import Catalogue, MetricCard
from reports.estimates import MIN_CLIPS, Estimate, estimate, paired_p
from reports.results import Results, Row
from reports.tables import Column, Line, Table, decimals_of, file_name, make_entry, spell

ALPHA = 0.05


def all_tables(results: Results, catalogue: Catalogue) -> list[Table]:
    """Every leaderboard: each dataset in all (the primary one first) and by edit kind.

    Datasets are never averaged together: a mean over drawn and natural clips means nothing.
    """
    tables = []
    for dataset in results.datasets():
        suffix = "" if dataset == results.primary else f"-{dataset}"
        tables.append(
            leaderboard(results, catalogue, dataset, name=file_name(f"leaderboard{suffix}"))
        )
        kinds = results.kinds(dataset)
        for kind in kinds if len(kinds) > 1 else []:
            slug = kind.replace("+", "-and-")
            name = file_name(f"edits{suffix}-{slug}")
            tables.append(leaderboard(results, catalogue, dataset, kind, name=name))
    return tables


def leaderboard(
    results: Results, catalogue: Catalogue, dataset: str, kind: str = "", *, name: str
) -> Table:
    """Every row's means over the clips of one dataset, and of one edit kind where given."""
    scope = results.table[results.table["dataset"] == dataset]
    if kind:
        # A row that ignores the edit may be asked once per clip only; it belongs to every kind.
        scope = scope[scope["edit_kind"].isin([kind, ""])]
    ok = scope[scope["status"] == "ok"]
    clips = scope["clip"].nunique()
    rows = [row for row in results.rows if (scope["row"] == row.key).any()]
    cards = [catalogue.metric(r) for r in results.recipes if ok[r].notna().any()]
    estimates = {
        (row.key, card.recipe): estimate(ok[ok["row"] == row.key], card.recipe)
        for row in rows
        for card in cards
    }
    ranks, tests = _ranks(ok, [row for row in rows if not row.control], cards, estimates)
    columns = tuple(
        metric_column(card, [estimates[row.key, card.recipe] for row in rows]) for card in cards
    )
    lines = []
    for row in rows:
        asked = scope[scope["row"] == row.key]
        entries = tuple(
            make_entry(estimates[row.key, c.key], c, ranks.get((row.key, c.key), ""), clips)
            for c in columns
        )
        lines.append(Line(row, entries, int((asked["status"] != "ok").sum()), len(asked)))
    about = f"{dataset}, edits of {kind}" if kind else dataset
    caption = [
        f"{results.title} on {about}: {sizes(scope)}.",
        _means(clips, any(row.control for row in rows), tests),
    ]
    return Table(
        id=name,
        title=f"{results.title}: {about}",
        caption=" ".join(caption),
        columns=columns,
        lines=tuple(lines),
        scope=(dataset, kind),
    )


def sizes(scope: pd.DataFrame) -> str:
    """``6 clips, 18 edits, 2 seeds``."""
    edits = len(scope.loc[scope["edit"] != "", ["clip", "edit"]].drop_duplicates())
    counts = {"clip": scope["clip"].nunique(), "edit": edits, "seed": scope["seed"].nunique()}
    return ", ".join(_plural(word, count) for word, count in counts.items() if count)


def _means(clips: int, references: bool, tests: int) -> str:
    """What the numbers are and what their marks mean."""
    text = "Mean over clips (seeds and edits averaged within a clip) "
    if clips >= MIN_CLIPS:
        text += "with its 95 % cluster bootstrap interval."
    else:
        text += f"without an interval, which takes {MIN_CLIPS} clips."
    if tests:
        text += (
            " Bold: better than every other ranked row by a paired sign-flip test over clips, "
            f"Holm-adjusted p < {ALPHA:g}"
        )
        # The smallest p of a sign-flip test is 2 in 2^n, and Holm multiplies it by the tests.
        out_of_reach = tests * 2 / 2**clips >= ALPHA
        text += f" (out of reach with {clips} clips). " if out_of_reach else ". "
        text += "Underlined: second."
    if references:
        text += " References in italics do not edit or know the answer and are not ranked."
    return text


def _plural(word: str, count: int) -> str:
    return f"{count} {word}" if count == 1 else f"{count} {word}s"


def _ranks(
    ok: pd.DataFrame, rows: Sequence[Row], cards: Sequence[MetricCard], estimates: dict
) -> tuple[dict[tuple[str, str], str], int]:
    """Who is second in each column and who leads it significantly, Holm over the whole table.

    Keys are (row, recipe); the number of tests comes second.
    """
    tests: list[tuple[str, str, float]] = []  # recipe, leader, p against one other row
    ranks: dict[tuple[str, str], str] = {}
    for card in cards:
        if card.higher_is_better is None:
            continue
        sign = -1 if card.higher_is_better else 1
        ranked = sorted(
            (sign * estimates[row.key, card.recipe].mean, index, row.key)
            for index, row in enumerate(rows)
            if estimates[row.key, card.recipe] is not None
        )
        if len(ranked) < 2 or ranked[0][0] == ranked[-1][0]:
            continue
        leader = ranked[0][2]
        ranks[ranked[1][2], card.recipe] = "second"
        first = ok[ok["row"] == leader]
        for _, _, other in ranked[1:]:
            p = paired_p(first, ok[ok["row"] == other], card.recipe)
            tests.append((card.recipe, leader, p))
    worst: dict[tuple[str, str], float] = {}
    for (recipe, leader, _), p in zip(tests, holm([p for _, _, p in tests]), strict=True):
        worst[leader, recipe] = max(p, worst.get((leader, recipe), 0.0))
    return ranks | {key: "best" for key, p in worst.items() if p < ALPHA}, len(tests)


def metric_column(card: MetricCard, estimates: Sequence[Estimate | None]) -> Column:
    """A recipe's column, its numbers written as the estimates' spread allows."""
    better = {True: "higher is better", False: "lower is better", None: "not ranked"}
    limits = f"range {card.range[0]:g} to {card.range[1]:g}" if card.range else ""
    measured = f"extractor {card.digest[:12]}" if card.digest else ""
    parts = [card.recipe, measured, f"version {card.version}" if card.version else "", limits,
             better[card.higher_is_better], card.citation]  # fmt: skip
    return Column(
        key=card.recipe,
        title=spell(card.name),
        extractor=card.extractor,
        arrow=card.arrow,
        unit=card.unit,
        decimals=decimals_of(estimates),
        tooltip=" · ".join(part for part in parts if part),
    )
