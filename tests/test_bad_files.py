"""All mistakes of an experiment file at once; files that are absent, wrong or of damaged data."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from data.errors import UserError
from experiments.command_line import main
from experiments.validate import check
from tests.fakes import EXPERIMENT, fake_catalogue, write_experiment

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
