"""Who is best, who is second, and which leads are more than noise."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace

import pandas as pd

from metrics.statistics import holm
from reports.captions import ALPHA
from reports.estimates import Estimate, Test, paired_test
from reports.layout import Slot
from reports.rows import Part
from reports.tables import Column

Place = tuple[int, int]  # line and column
Behind = Callable[[Part], pd.DataFrame]  # the requests behind a number that have scores
NOTHING = Test(1.0, None, 0.5, 0)  # no clip in common: nothing can be said


def against_best(
    behind: Behind,
    slots: Sequence[Slot],
    parts: Mapping[Place, Part | None],
    numbers: Mapping[Place, Estimate | None],
    columns: Sequence[Column],
) -> tuple[dict[Place, Test], dict[Place, str]]:
    """Every ranked entry held against the best of its block and column, and the ranks.

    ``best`` are the first and all that are not significantly worse, Holm over the whole table;
    nobody, where nobody is worse: then no lead is significant. ``second`` is so by its mean.
    """
    tests: dict[Place, Test] = {}
    groups: list[tuple[Place, Place, list[Place]]] = []  # first, second, all but the first
    blocks = dict.fromkeys(slot.block for slot in slots)
    for j, column in enumerate(columns):
        for block in blocks if column.arrow and not column.of_set else ():
            order = _order(slots, block, numbers, j, -1 if column.arrow == "↑" else 1)
            if len(order) < 2:
                continue
            first, *others = ((i, j) for i in order)
            groups.append((first, others[0], others))
            best = behind(parts[first])
            for place in others:
                found = paired_test(behind(parts[place]), best, column.recipe)
                tests[place] = oriented(found, column) if found else NOTHING
    adjusted = corrected(tests)
    ranks: dict[Place, list[str]] = {}
    for first, second, others in groups:
        if any(adjusted[place] < ALPHA for place in others):
            for place in (first, *(p for p in others if adjusted[p] >= ALPHA)):
                ranks.setdefault(place, []).append("best")
        ranks.setdefault(second, []).append("second")
    return tests, {place: " ".join(words) for place, words in ranks.items()}


def _order(
    slots: Sequence[Slot],
    block: str,
    numbers: Mapping[Place, Estimate | None],
    j: int,
    sign: int,
) -> list[int]:
    """The ranked lines of a block from best to worst; none where all are equal."""
    ranked = sorted(
        (sign * number.mean, i)
        for i, slot in enumerate(slots)
        if slot.block == block and not slot.row.control and (number := numbers[i, j]) is not None
    )
    return [i for _, i in ranked] if ranked and ranked[0][0] != ranked[-1][0] else []


def against_baseline(
    behind: Behind,
    parts: Mapping[Place, Part | None],
    columns: Sequence[Column],
    partners: Mapping[str, str],
) -> dict[Place, Test]:
    """Every entry held against its baseline; ``partners`` gives each row's."""
    tests = {}
    for place, part in parts.items():
        if part is not None:
            column = columns[place[1]]
            base = behind(replace(part, row=partners[part.row]))
            test = paired_test(behind(part), base, column.recipe)
            tests |= {place: oriented(test, column)} if test else {}
    return tests


def corrected(tests: Mapping[Place, Test]) -> dict[Place, float]:
    """Holm's adjusted p of all tests of a table."""
    p_values = holm([test.p for test in tests.values()]).tolist()
    return dict(zip(tests, p_values, strict=True))


def oriented(test: Test, column: Column) -> Test:
    """A test whose wins count the clips on which the row is better, not greater."""
    return replace(test, wins=1 - test.wins) if column.arrow == "↓" else test
