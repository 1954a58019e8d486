"""What an experiment says of its report: baselines, tables, published numbers."""

from __future__ import annotations

from pathlib import Path

import pytest

from experiments.planner import make_plan
from experiments.validate import check
from tests.fakes import EXPERIMENT, fake_catalogue, write_experiment
from tests.mistakes import Mistake, assert_told

MISTAKES: dict[str, Mistake] = {
    "report key": ("[0, 1]", "[0, 1]\nreport: {base: x}", 17, ["report.base", "'baseline'"]),
    "baseline": ("[0, 1]", "[0, 1]\nreport: {baseline: blnd}", 17, ["'blnd'", "'blend'"]),
    "baseline key": (
        "[0, 1]",
        "[0, 1]\nreport:\n  baseline: {settings: {}}",
        18,
        ["report.baseline.settings", "'setting'"],
    ),
    "baseline field": (
        "[0, 1]",
        "[0, 1]\nreport:\n  baseline:\n    setting: {shar: 0.5}",
        19,
        ["setting 'shar'", "'share'"],
    ),
    "many baselines": (
        "[0, 1]",
        "[0, 1]\nreport: {baseline: {setting: {share: 0.5}}}",
        17,
        ["'blend' has 2 of 6 settings that fit"],
    ),
    "no baseline": (
        "[0, 1]",
        "[0, 1]\nreport: {baseline: {label: blend, setting: {share: 0.7, guidance: 1.0}}}",
        17,
        ["'blend' has 0 of 6 settings that fit"],
    ),
    "empty baseline": ("[0, 1]", "[0, 1]\nreport: {baseline: {}}", 17, ["'label', a 'setting'"]),
    "table key": (
        "[0, 1]",
        "[0, 1]\nreport:\n  tables:\n    - {name: a, recipe: [mean@pixels]}",
        19,
        ["report.tables[0].recipe", "'recipes'"],
    ),
    "table name": (
        "[0, 1]",
        "[0, 1]\nreport:\n  tables:\n    - name: ../a",
        19,
        ["'../a' given", "letters, digits"],
    ),
    "table taken": (
        "[0, 1]",
        "[0, 1]\nreport:\n  tables:\n    - name: leaderboard",
        19,
        ["every report has"],
    ),
    "table twice": (
        "[0, 1]",
        "[0, 1]\nreport:\n  tables:\n    - name: a\n    - name: a",
        20,
        ["'a' names another table"],
    ),
    "table recipe": (
        "[0, 1]",
        "[0, 1]\nreport:\n  tables:\n    - name: a\n      recipes: [mean@pixls]",
        20,
        ["recipe 'mean@pixls'", "'mean@pixels'", "peak_memory_mb"],
    ),
    "table rows": (
        "[0, 1]",
        "[0, 1]\nreport:\n  tables:\n    - name: a\n      rows:\n        - same\n        - blnd",
        22,
        ["'blnd'", "'blend'"],
    ),
    "table row of no such value": (
        "[0, 1]",
        "[0, 1]\nreport:\n  tables:\n    - name: a\n"
        "      rows: [{label: blend, setting: {share: 9}}]",
        20,
        ["fits none of 6 rows"],
    ),
    "table axis": (
        "[0, 1]",
        "[0, 1]\nreport:\n  tables:\n    - name: a\n      columns: shre",
        20,
        ["axis 'shre'", "'share'"],
    ),
    "table group": (
        "[0, 1]",
        "[0, 1]\nreport:\n  tables:\n    - {name: a, columns: edit, group: edit}",
        19,
        ["spread over"],
    ),
    "table baseline": (
        "[0, 1]",
        "[0, 1]\nreport:\n  tables:\n    - {name: a, baseline: blend}",
        19,
        ["'blend' has 6 of 6 settings that fit"],
    ),
    "published number": (
        "[0, 1]",
        "[0, 1]\nreport:\n  tables:\n    - name: a\n      published:\n"
        "        - {title: A, source: B, values: {same: high}}",
        21,
        ["report.tables[0].published[0].values.same", "'high' given", "number"],
    ),
    "published label": (
        "[0, 1]",
        "[0, 1]\nreport:\n  tables:\n    - name: a\n      published:\n"
        "        - {title: A, source: B, values: {sme: 3}}",
        21,
        ["'sme'", "'same'"],
    ),
}


@pytest.mark.parametrize("name", MISTAKES)
def test_mistake_is_told_with_its_place(name: str, tmp_path: Path) -> None:
    assert_told(MISTAKES[name], tmp_path)


@pytest.mark.parametrize(
    "baseline",
    [
        "same",
        "{setting: {share: 0.5, guidance: 1.0}}",
        "{label: blend, setting: {share: 0.0, guidance: 3.0}}",
    ],
)
def test_a_baseline_may_be_a_row_or_a_setting(baseline: str, tmp_path: Path) -> None:
    text = f"{EXPERIMENT}report: {{baseline: {baseline}}}\n"
    assert check(write_experiment(tmp_path, text), fake_catalogue()).requests


def test_tables_change_no_cell(tmp_path: Path) -> None:
    declared = """report:
  tables:
    - name: main
      caption: "50 % of $x_1$"
      rows: [same, {label: blend, setting: {share: 0.5}}]
      recipes: [mean@pixels, seconds_per_frame]
      columns: share
      group: method
      published: [{title: A, source: "Somebody 2024, Table 1", values: {same: "3.0", blend: 4}}]
"""
    plans = [
        make_plan(write_experiment(tmp_path, EXPERIMENT + more), fake_catalogue())
        for more in ("", declared)
    ]
    assert list(plans[0].cells) == list(plans[1].cells)
    (table,) = plans[1].experiment.report.tables
    assert table.published[0].values == {"same": "3.0", "blend": "4"}
    assert plans[0].id != plans[1].id  # the report is rendered again
