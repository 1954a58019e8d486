"""Two reports side by side: improved, regressed, equal, not comparable, and the exit status."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from reports.__main__ import main
from reports.cards import MetricCard
from reports.compare import Change, compare, exit_status
from reports.provenance import gather
from reports.render import read
from reports.sides import read_side
from reports.version import identify
from reports.write_tables import cells_csv
from tests.report_fixture import FixtureCatalogue, fabricate

TEXT, WARP = "clip_text@world-tiny", "warp_error@exact"
PNP = "pnp[pnp_f_t=0.8]"


class Catalogue(FixtureCatalogue):
    """The fixture's, with a margin for one metric."""

    def metric(self, recipe: str) -> MetricCard:
        card = super().metric(recipe)
        margin = 0.5 if recipe == TEXT else None
        return MetricCard(
            recipe, version="1", higher_is_better=card.higher_is_better, margin=margin, digest="ab"
        )


CATALOGUE = Catalogue()


@pytest.fixture(scope="module")
def base(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A project with a report of its own, as far as a comparison reads one."""
    root = tmp_path_factory.mktemp("compare")
    fabricate(root, clips=6, seeds=2, frames=2, pictures=False)
    results = read("made", root, CATALOGUE)
    folder = root / "reports" / "made" / "first"
    folder.mkdir(parents=True)
    (folder / "cells.csv").write_text(cells_csv(results))
    told = gather(results, CATALOGUE, identify(root, results))
    (folder / "provenance.json").write_text(json.dumps(told))
    (folder.parent / "latest").symlink_to("first")
    return root


def changed(base: Path, where: Path, change: object = None, **provenance: object) -> list[Change]:
    """The changes after ``change`` was done to the table and the provenance of a copy."""
    folder = where / "reports" / "made" / "second"
    shutil.copytree(base / "reports" / "made" / "first", folder)
    table = read_side("made", base).cells
    if change:
        change(table)
    table.to_csv(folder / "cells.csv", index=False)
    told = json.loads((folder / "provenance.json").read_text()) | provenance
    (folder / "provenance.json").write_text(json.dumps(told))
    return compare(read_side("made", base), read_side(str(folder), where), CATALOGUE)


def verdict(changes: list[Change], row: str, recipe: str) -> Change:
    (found,) = [c for c in changes if (c.row, c.recipe) == (row, recipe)]
    return found


def adding(amount: float, recipe: str, noise: float = 0.01):
    def change(table: pd.DataFrame) -> None:
        here = table["row"] == PNP
        rng = np.random.default_rng(0)
        table.loc[here, recipe] += amount + rng.normal(0, noise, here.sum())

    return change


def test_a_report_is_equal_to_itself(base: Path, capsys: pytest.CaptureFixture) -> None:
    assert main(["compare", "made", "made/first", "--root", str(base)], CATALOGUE) == 0
    told = capsys.readouterr().out
    assert "0 regressed, 0 improved, 0 not comparable" in told and "identical" in told


def test_a_regression_counts_beyond_the_margin_only(base: Path, tmp_path: Path) -> None:
    for amount, beyond in ((-0.3, False), (-0.8, True)):  # the margin is 0.5
        changes = changed(base, tmp_path / str(amount), adding(amount, TEXT))
        found = verdict(changes, PNP, TEXT)
        assert (found.verdict, found.beyond) == ("regressed", beyond)
        assert found.change.high < 0 and found.change.n == 6
        assert exit_status(changes) == beyond
        others = [c for c in changes if (c.row, c.recipe) != (PNP, TEXT)]
        assert {c.verdict for c in others} == {"equal"}


def test_lower_is_better_where_the_metric_says_so(base: Path, tmp_path: Path) -> None:
    assert verdict(changed(base, tmp_path, adding(-1, WARP)), PNP, WARP).verdict == "improved"


def test_noise_is_no_change(base: Path, tmp_path: Path) -> None:
    found = verdict(changed(base, tmp_path, adding(0, TEXT, noise=2.0)), PNP, TEXT)
    assert (found.verdict, found.reason) == ("equal", "within noise")
    assert found.change.low < 0 < found.change.high


def test_other_recipes_and_machines_are_not_comparable(base: Path, tmp_path: Path) -> None:
    metrics = read_side("made", base).provenance["metrics"]
    metrics = metrics | {TEXT: {"version": "2", "extractor": "ab"}}
    metrics[WARP] = {"version": "1", "extractor": "cd"}

    def moved(table: pd.DataFrame) -> None:
        table["hardware_id"] = "gpu-1"
        table["seconds_per_frame"] *= 9

    changes = changed(base, tmp_path, moved, metrics=metrics)
    assert verdict(changes, PNP, TEXT).reason == "version 1 and 2"
    assert verdict(changes, PNP, WARP).reason == "extractor ab and cd"
    assert verdict(changes, PNP, "seconds_per_frame").reason == "hardware cpu-1234 and gpu-1"
    assert verdict(changes, PNP, "network_evaluations").verdict == "equal"  # counted, not timed
    assert exit_status(changes) == 0


def test_slower_on_the_same_machine_is_a_regression(base: Path, tmp_path: Path) -> None:
    def slower(table: pd.DataFrame) -> None:
        table["seconds_per_frame"] *= 1.5

    changes = changed(base, tmp_path, slower)
    assert verdict(changes, PNP, "seconds_per_frame").beyond and exit_status(changes) == 1


def test_a_cell_that_fails_now_is_a_regression(base: Path, tmp_path: Path) -> None:
    def broken(table: pd.DataFrame) -> None:
        table.loc[table.index[table["row"] == PNP][0], "status"] = "nan frames"

    found = verdict(changed(base, tmp_path, broken), PNP, "failed cells")
    assert found.beyond and found.reason == "0 then 1 of 36"


def test_few_clips_have_no_interval_and_must_agree(base: Path, tmp_path: Path) -> None:
    for name, last, expected in (("all", -1.0, "regressed"), ("some", 1.0, "equal")):

        def change(table: pd.DataFrame, last: float = last) -> None:
            table.loc[table["clip"] == "clip-00", TEXT] -= 1.0
            table.loc[table["clip"] == "clip-01", TEXT] += last
            table.drop(table.index[~table["clip"].isin(["clip-00", "clip-01"])], inplace=True)

        found = verdict(changed(base, tmp_path / name, change), PNP, TEXT)
        assert found.verdict == expected and found.change.low is None
        assert found.change.points == pytest.approx((-1.0, last))


def test_other_clips_and_rows_are_told(base: Path, tmp_path: Path) -> None:
    clips = read_side("made", base).clips | {"world/clip-00": "another"}
    found = verdict(changed(base, tmp_path / "a", clips=clips), PNP, TEXT)
    assert found.change.n == 5

    def gone(table: pd.DataFrame) -> None:
        table.drop(table.index[table["row"] == PNP], inplace=True)

    changes = changed(base, tmp_path / "b", gone)
    assert verdict(changes, PNP, "").reason == "only in made/first"


def test_what_is_no_report_is_told_with_the_nearest(
    base: Path, tmp_path: Path, capsys: pytest.CaptureFixture
) -> None:
    assert main(["compare", "mad", "made", "--root", str(base)], CATALOGUE) == 2
    assert "Did you mean 'made'?" in capsys.readouterr().err
    (tmp_path / "provenance.json").write_text("{}")
    assert main(["compare", str(tmp_path), "made", "--root", str(base)], CATALOGUE) == 2
    assert "older version" in capsys.readouterr().err
