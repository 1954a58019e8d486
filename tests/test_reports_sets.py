"""Numbers of sets stand in the tables with their n; too small a set says so and is no number."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from experiments.schema import TableBlock
from experiments.shares import packed
from experiments.store import Store
from metrics.frechet import frechet_distance
from metrics.sets import Share
from reports.build import build
from reports.cards import Catalogue, MetricCard
from reports.page import _undefined
from reports.plotting import ranked
from reports.results import Results, load_results
from reports.tables import Table
from reports.templating import to_html
from reports.text_tables import to_markdown
from tests.report_fixture import FixtureCatalogue, fabricate

RECIPE, WIDTH = "oracle_frechet@world-tiny", 8


class Cards(FixtureCatalogue):
    """The made-up experiment's, and the real card of the set's recipe."""

    def metric(self, recipe: str) -> MetricCard:
        return Catalogue().metric(recipe) if recipe == RECIPE else super().metric(recipe)


def shared(cell: str, edit: str, each: int) -> Share:
    """What a cell gives: samples of its own, and the reference of its edit."""
    own, of_edit = (np.random.default_rng(int.from_bytes(x.encode()) % 2**32) for x in (cell, edit))
    draw = [rng.normal(size=(each, WIDTH)).astype(np.float32) for rng in (own, of_edit)]
    return Share(*draw)


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Results:
    """Five clips, three edits: 300 samples of every row, 15 of SDEdit's."""
    root: Path = tmp_path_factory.mktemp("sets")
    fabricate(root, clips=5, seeds=1, frames=2, failures=False)
    store = Store(root / "results")
    path = root / "results" / "made.parquet"
    table = pd.read_parquet(path).assign(**{RECIPE: np.nan})
    table.to_parquet(path)
    for line in table.to_dict("records"):
        score = {"value": None, "per_frame": [], "reason": "no edit is asked", "version": "1"}
        if line["edit"]:
            given = shared(line["cell"], line["edit"], 1 if line["method"] == "sdedit" else 20)
            score |= {"reason": "", "share": packed(given)}
        store.write_scores(line["cell"], {line["edit"]: {RECIPE: score}})
    catalogue = Cards()
    return load_results(
        "made", root, lambda name: catalogue.method(name).control,
        lambda name: [field.name for field in catalogue.method(name).fields],
    )  # fmt: skip


@pytest.fixture(scope="module")
def table(made: Results) -> Table:
    recipes = ["clip_text@world-tiny", RECIPE]
    return build(made, Cards(), TableBlock(name="sets", dataset="world", recipes=recipes))


def test_a_row_s_number_is_of_all_its_samples_together(made: Results, table: Table) -> None:
    for line in table.lines:
        if line.row.title == "sdedit":
            continue
        entry = line.entries[1]
        cells = made.ok[(made.ok["row"] == line.row.key) & (made.ok["dataset"] == "world")]
        given = {(c, x, e): shared(c, e, 20) for c, x, e in cells[["cell", "clip", "edit"]].values}
        samples = np.concatenate([share.samples for share in given.values()])
        reference = np.concatenate([share.reference for share in given.values()])
        assert entry.estimate.mean == pytest.approx(frechet_distance(samples, reference))
        assert entry.interval == "n = 300" and entry.estimate.n == 300


def test_too_few_samples_give_no_number_and_say_how_many(table: Table) -> None:
    (line,) = [line for line in table.lines if line.row.title == "sdedit"]
    assert (line.entries[1].text, line.entries[1].interval) == ("–", "n = 15")
    assert "n = 15" in to_html(table) and "– n = 15" in to_markdown(table)


def test_it_is_neither_ranked_nor_drawn_nor_followed_to_the_mean_of_cells(table: Table) -> None:
    assert not any(line.entries[1].rank or line.entries[1].test for line in table.lines)
    assert [column.recipe for column in ranked(table)] == ["clip_text@world-tiny"]
    assert "without an interval and not ranked" in table.caption
    assert f'data-recipe="{RECIPE}"' not in to_html(table)


def test_where_no_row_has_enough_the_caption_says_what_is_needed(made: Results) -> None:
    block = TableBlock(name="few", dataset="world", edits=["colour"])
    found = build(made, Cards(), block)
    assert RECIPE not in [column.key for column in found.columns]
    assert f"; {RECIPE} (100 samples; at least 256 are needed)." in found.caption


def test_a_cell_that_gave_its_share_lacks_nothing(made: Results) -> None:
    told = {(recipe, reason): count for recipe, reason, count in _undefined(made)}
    assert told[RECIPE, "no edit is asked"] == 2  # the natural clip's source and reconstruction
    assert [recipe for recipe, _ in told].count(RECIPE) == 1
