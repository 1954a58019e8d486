"""Build a table from its declaration: estimates, tests, ranks, and how they are written."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from functools import cache

import pandas as pd

from experiments.cost_names import COSTS
from experiments.schema import TableBlock
from reports import captions
from reports.cards import Catalogue
from reports.columns import cost_column, metric_column, published_column
from reports.differences import difference_entry, partners_of
from reports.estimates import Estimate, difference, estimate, quartiles
from reports.layout import Slot, choose_rows, lay_out
from reports.ranks import Behind, against_baseline, against_best, corrected
from reports.results import Results
from reports.rows import Part
from reports.sets import Sets
from reports.tables import ABSENT, Column, Entry, Line, Table, make_entry


def build(results: Results, catalogue: Catalogue, block: TableBlock) -> Table:
    """The table that a declaration asks of some results.

    Raises UserError where it names a row that the results do not have.
    """
    rows = choose_rows(results, catalogue, block.rows)
    partners = partners_of(results, catalogue, block.baseline) if block.baseline else {}
    if block.baseline:
        rows = [row for row in rows if row.key in partners]
    slots, values = lay_out(results, catalogue, block, rows)
    scope = _scope(results, slots)
    sets = Sets(results, catalogue)
    recipes, undefined = _recipes(results, catalogue, block, scope[scope["status"] == "ok"], sets)
    cells = [(recipe, at) for recipe in recipes for at in range(len(values))]
    behind = cache(lambda part: part.of(results.scored))
    places = [(i, j) for i in range(len(slots)) for j in range(len(cells))]
    parts = {(i, j): slots[i].parts[cells[j][1]] for i, j in places}

    def number(i: int, j: int) -> Estimate | None:
        recipe = cells[j][0]
        limits = None if recipe in COSTS else catalogue.metric(recipe).range
        return _number(behind, parts[i, j], recipe, partners, sets, limits)

    numbers = {(i, j): number(i, j) for i, j in places}
    columns = [
        _column(catalogue, recipe, values[at], [numbers[i, j] for i in range(len(slots))], sets)
        for j, (recipe, at) in enumerate(cells)
    ]
    if block.baseline:
        tests, ranks = against_baseline(behind, parts, columns, partners), {}
    else:
        tests, ranks = against_best(behind, slots, parts, numbers, columns)
    adjusted = corrected(tests)
    clips = scope["clip"].nunique()
    lines = []
    for i, slot in enumerate(slots):
        asked = _scope(results, [slot])
        entries = []
        for j, column in enumerate(columns):
            counted = 0 if column.recipe in COSTS else clips
            samples = (
                sets.score(parts[i, j], column.recipe).n if column.of_set and parts[i, j] else 0
            )
            entry = make_entry(numbers[i, j], column, ranks.get((i, j), ""), counted, samples)
            told = {
                "part": parts[i, j],
                "test": tests.get((i, j)),
                "adjusted": adjusted.get((i, j)),
            }
            entry = replace(_as_failed(entry, parts[i, j], asked), **told)
            entries.append(difference_entry(entry, column) if block.baseline else entry)
        entries += [_published(published.values, slot) for published in block.published]
        failed = int((asked["status"] != "ok").sum())
        lines.append(Line(slot.row, tuple(entries), failed, len(asked), slot.block))
    columns += [published_column(published) for published in block.published]
    dataset = block.dataset or results.primary
    return Table(
        id=block.name,
        title=block.title or block.name,
        caption=_caption(results, block, scope, slots, (recipes, undefined), len(tests), sets),
        columns=tuple(columns),
        lines=tuple(lines),
        scope=(dataset, block.edits[0] if len(block.edits) == 1 else ""),
    )


def _about(block: TableBlock, dataset: str) -> str:
    return f"{dataset}, edits of {', '.join(block.edits)}" if block.edits else dataset


def _scope(results: Results, slots: Sequence[Slot]) -> pd.DataFrame:
    """Every request behind some lines, once."""
    parts = dict.fromkeys(part for slot in slots for part in slot.parts if part)
    index = {at for part in parts for at in part.of(results.table).index}
    return results.table.loc[sorted(index)]


def _recipes(
    results: Results, catalogue: Catalogue, block: TableBlock, ok: pd.DataFrame, sets: Sets
) -> tuple[list[str], list[str]]:
    """The recipes with a column, and those without a single value.

    One that is declared keeps its column; differences are of what has a direction.
    """
    known = [r for r in results.recipes if ok[r].notna().any() or _of_sets(ok, block, r, sets)]
    undefined = [r for r in block.recipes or results.recipes if r not in (*known, *COSTS)]
    if block.recipes:
        return list(block.recipes), undefined
    if block.baseline:
        known = [r for r in known if catalogue.metric(r).higher_is_better is not None]
        known = [r for r in known if not sets.known(r)]
    return known, undefined


def _of_sets(ok: pd.DataFrame, block: TableBlock, recipe: str, sets: Sets) -> bool:
    """Whether a recipe gives any row's set a number."""
    if not sets.known(recipe):
        return False
    parts = ok[["row", "dataset"]].drop_duplicates().itertuples(index=False)
    kinds = tuple(block.edits)
    return any(sets.estimate(Part(row, data, kinds), recipe) is not None for row, data in parts)


def _number(
    behind: Behind,
    part: Part | None,
    recipe: str,
    partners: Mapping[str, str],
    sets: Sets,
    limits: tuple[float, float] | None,
) -> Estimate | None:
    """The estimate behind an entry: a mean, a difference, or a cost's median."""
    if part is None:
        return None
    lines = behind(part)
    if recipe not in lines:
        return None
    if recipe in COSTS:  # a cell that several requests share was measured once
        return quartiles(lines.drop_duplicates("cell")[recipe])
    if sets.known(recipe):
        return None if partners else sets.estimate(part, recipe)
    if partners:
        return difference(lines, behind(replace(part, row=partners[part.row])), recipe)
    return estimate(lines, recipe, limits)


def _column(
    catalogue: Catalogue,
    recipe: str,
    over: str,
    numbers: Sequence[Estimate | None],
    sets: Sets,
) -> Column:
    if recipe in COSTS:
        return cost_column(recipe, numbers, over)
    return metric_column(catalogue.metric(recipe), numbers, over, sets.known(recipe))


def _as_failed(entry: Entry, part: Part | None, asked: pd.DataFrame) -> Entry:
    """An entry whose cells were asked for and all failed says so."""
    if part is None or entry.estimate is not None:
        return entry
    status = part.of(asked)["status"]
    return replace(entry, text="failed") if len(status) and (status != "ok").all() else entry


def _published(values: Mapping[str, str], slot: Slot) -> Entry:
    """A published number as it was printed."""
    return Entry(None, values.get(slot.row.title, ABSENT).replace("-", "−"))


def _caption(
    results: Results,
    block: TableBlock,
    scope: pd.DataFrame,
    slots: Sequence[Slot],
    recipes: tuple[Sequence[str], Sequence[str]],
    tests: int,
    sets: Sets,
) -> str:
    """The declaration's caption, then how many clips there are and what the numbers mean."""
    shown, undefined = recipes
    clips = scope["clip"].nunique()
    about = f"on {_about(block, block.dataset or results.primary)}: {captions.sizes(scope)}."
    parts = [f"{block.caption} O{about[1:]}" if block.caption else f"{results.title} {about}"]
    if block.baseline:
        parts.append(captions.of_differences(clips, block.baseline, tests))
    elif set(shown) - set(COSTS):
        references = any(slot.row.control for slot in slots)
        parts.append(captions.of_means(clips, references, tests))
    if set(shown) & set(COSTS):
        parts.append(captions.of_costs(scope))
    together = [r for r in shown if sets.known(r) and r not in undefined]
    if together:
        parts.append(captions.of_sets(together))
    if block.published:
        parts.append(captions.of_published(block.published))
    behind = {part: None for slot in slots for part in slot.parts if part}
    reasons = {r: sets.score(part, r).reason for r in undefined if sets.known(r) for part in behind}
    ok = scope[scope["status"] == "ok"]
    parts.append(captions.of_undefined(results, ok, undefined, reasons))
    return " ".join(part for part in parts if part)
