"""Every mistake in an experiment file is told with file, line, what is allowed and what is near."""

from __future__ import annotations

from pathlib import Path

import pytest

from data.errors import UserError
from experiments.__main__ import main
from experiments.planner import make_plan
from experiments.validate import check
from tests.fakes import EXPERIMENT, fake_catalogue, write_experiment

# (what is replaced, by what, the line the error names, what the error says)
MISTAKES = {
    "method": ("name: blend", "name: blnd", 13, ["'blnd'", "'blend'", "Allowed:", "same"]),
    "metric": ("mean@pixels", "mean@pixel", 17, ["'mean@pixel'", "'mean@pixels'"]),
    "dataset": (
        "dataset: toys\n    ids: [disc",
        "dataset: toy\n    ids: [disc",
        4,
        ["dataset 'toy'", "'toys'"],
    ),
    "clip": ("[disc, ring]", "[disk, ring]", 5, ["clip 'disk'", "'disc'", "still"]),
    "edit": (
        "ids: [disc, ring]",
        "ids: [disc, ring]\n    edits: [color]",
        6,
        ["'color'", "'colour'", "shape"],
    ),
    "setting": ("n_timesteps: 6", "n_timestep: 6", 14, ["'n_timestep'", "'n_timesteps'"]),
    "axis": ("guidance: [1.0", "guidence: [1.0", 15, ["'guidence'", "'guidance'"]),
    "backbone": ("[toy]", "[toi]", 2, ["backbone 'toi'", "'toy'"]),
    "label": ("[blend, same]", "[blent, same]", 6, ["'blent'", "'blend'"]),
    "key": ("seeds:", "seed:", 16, ["unknown key", "'seeds'"]),
    "range": ("0.5, 1.0]", "0.5, 1.5]", 15, ["share[2]", "1.5 given", "less than or equal to 1"]),
    "type": ("n_timesteps: 6", "n_timesteps: six", 14, ["'six' given", "integer"]),
    "fraction": ("n_timesteps: 6", "n_timesteps: 6.5", 14, ["6.5 given", "integer"]),
    "seed": ("[0, 1]", "[0, -1]", 16, ["seeds[1]", "-1 given", "0 or more"]),
    "seed twice": ("[0, 1]", "[1, 1]", 16, ["given twice"]),
    "value twice": ("[1.0, 3.0]", "[3.0, 3.0]", 15, ["3.0 is given twice"]),
    "frames": ("ids: [disc, ring]", "ids: [disc, ring]\n    frames: 9", 6, ["9 given", "4 frames"]),
    "no frames": ("ids: [disc, ring]", "ids: [disc, ring]\n    frames: 0", 6, ["0 given"]),
    "first": ("ids: [disc, ring]", "first: 12", 5, ["12 given", "3 clips"]),
    "ids and first": ("ids: [disc, ring]", "ids: [disc, ring]\n    first: 1", 4, ["not both"]),
    "labels": ("- name: same\n", "- name: same\n  - name: same\n", 13, ["'same'", "label"]),
    "set twice": ("{n_timesteps: 6}", "{share: 0.1}", 15, ["'share'", "'setting'"]),
    "key twice": ("seeds: [0, 1]", "seeds: [0]\nseeds: [1]", 17, ["seeds", "given twice"]),
    "no edit": ("methods: [same]", "methods: [same, blend]", 8, ["no edits", "'blend' needs one"]),
    "no oracle": (
        "  - name: same\n",
        "  - name: answer\n    label: same\n",
        5,
        ["'shape'", "no known answer"],
    ),
    "prediction": (
        "  - name: same\n",
        "  - name: velocity\n    label: same\n",
        2,
        ["predicts epsilon", "needs velocity"],
    ),
    "missing": ("backbones: [toy]\n", "", 1, ["backbones: required"]),
    "time limit": ("[0, 1]", "[0, 1]\ncell_time_limit: 0", 17, ["cell_time_limit", "0 given"]),
    "no time": ("[0, 1]", "[0, 1]\ncell_time_limit: long", 17, ["'long' given", "number"]),
    "timing": ("[0, 1]", "[0, 1]\ntiming: maybe", 17, ["timing: 'maybe' given"]),
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
    "not a list": ("[0, 1]", "3", 16, ["seeds", "list"]),
    "nothing": (
        "    methods: [blend, same]\n",
        "    methods: [blend, same]\n    edits: none\n",
        5,
        ["no edits"],
    ),
}


@pytest.mark.parametrize("name", MISTAKES)
def test_mistake_is_told_with_its_place(name: str, tmp_path: Path) -> None:
    before, after, line, said = MISTAKES[name]
    assert before in EXPERIMENT
    path = write_experiment(tmp_path, EXPERIMENT.replace(before, after, 1))
    with pytest.raises(UserError) as error:
        check(path, fake_catalogue())
    lines = str(error.value).splitlines()
    told = [text for text in lines if text.startswith(f"{path}:{line}: ")]
    assert any(all(part in text for part in said) for text in told), str(error.value)


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


ALL_AT_ONCE = """\
titel: Toy sweep
title: 3
backbones: [toi]
clips:
  - dataset: toys
    ids: [disk, 7, ring]
    frames: many
    methods: [blend, same]
methods:
  - name: same
  - name: blend
    setting: {share: 2, guidence: 1.0}
  - name: blnd
seeds: [0, -1]
metrics: [mean@pixel]
"""


def test_mistakes_of_every_kind_are_told_at_once(tmp_path: Path) -> None:
    path = write_experiment(tmp_path, ALL_AT_ONCE)
    with pytest.raises(UserError) as error:
        check(path, fake_catalogue())
    expected = [
        (1, "titel: unknown key. Did you mean 'title'?"),
        (2, "title: 3 given; should be text"),
        (3, "backbones[0]: unknown backbone 'toi'"),
        (6, "clips[0].ids[0]: unknown clip 'disk'"),
        (6, "clips[0].ids[1]: 7 given; should be text"),
        (7, "clips[0].frames: 'many' given; should be an integer"),
        (12, "methods[1].setting.guidence: unknown setting"),
        (12, "methods[1].setting.share: 2 given"),
        (13, "methods[2].name: unknown method 'blnd'"),
        (14, "seeds[1]: -1 given"),
        (15, "metrics[0]: unknown metric 'mean@pixel'"),
    ]
    told = str(error.value).splitlines()
    assert len(told) == len(expected), told
    for line, (number, said) in zip(told, expected, strict=True):
        assert line.startswith(f"{path}:{number}: {said}")


def test_nothing_is_said_of_what_only_follows_from_another_mistake(tmp_path: Path) -> None:
    """A label, an edit or a setting cannot be judged where the block it stands in is broken."""
    text = EXPERIMENT.replace("name: blend", "nam: blend").replace("edits: none", "edits: {}")
    path = write_experiment(tmp_path, text)
    with pytest.raises(UserError) as error:
        check(path, fake_catalogue())
    places = [line.split(": ")[0] for line in str(error.value).splitlines()]
    assert places == [f"{path}:9", f"{path}:13", f"{path}:13"]  # edits; unknown key, no name


def test_absent_file_and_unknown_experiment(tmp_path: Path, capsys: pytest.CaptureFixture) -> None:
    write_experiment(tmp_path)
    folder = ["--folder", str(tmp_path), "--results", str(tmp_path / "results")]
    assert main([*folder, "plan", "toi"], fake_catalogue()) == 2
    assert "Did you mean 'toy'?" in capsys.readouterr().err
    assert main([*folder, "plan", "there/is/none.yaml"], fake_catalogue()) == 2
    assert "there/is/none.yaml: no such file" in capsys.readouterr().err


def test_wrong_file_gives_no_traceback_and_leaves_nothing(
    tmp_path: Path, capsys: pytest.CaptureFixture
) -> None:
    path = write_experiment(tmp_path, EXPERIMENT.replace("name: blend", "name: blnd"))
    results = tmp_path / "results"
    for command in ("validate", "plan", "collect", "report", "verdict", "retry"):
        assert main(["--results", str(results), command, str(path)], fake_catalogue()) == 2
        said = capsys.readouterr().err
        assert "blnd" in said and "Traceback" not in said
    assert list(tmp_path.iterdir()) == [path]


def test_damaged_data_is_told_before_anything_runs(tmp_path: Path) -> None:
    from dataclasses import replace

    class Truncated:
        name = "toys"
        clip_ids = ["disc", "ring", "still"]

        def summary(self, clip_id: str) -> None:
            raise UserError(f"videos/{clip_id}.mp4: ends after 3 of 8 frames")

    path = write_experiment(tmp_path)
    catalogue = replace(fake_catalogue(), dataset=lambda name: Truncated())
    with pytest.raises(UserError) as error:
        check(path, catalogue)
    assert f"{path}:5: clips[0].ids[0]: videos/disc.mp4: ends after 3" in str(error.value)
    assert f"{path}:8: clips[1].ids[0]: videos/still.mp4" in str(error.value)
