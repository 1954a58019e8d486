"""Clips that a manifest names and this machine lacks: planned by its word, refused when read."""

from __future__ import annotations

from pathlib import Path

import pytest

from data import __main__ as command
from data.datasets import Dataset, load_dataset
from data.errors import Missing, UserError

MANIFEST = """\
loader: files
title: Not here
clips:
  walk:
    source: {path: clips/walk}
    prompt: a photo of a dog
    recipe: {start: 2, stop: 22, step: 2, size: [48, 64]}
    edits:
      colour: {kind: colour, prompt: a photo of a red dog}
  open:
    source: {path: clips/open}
    prompt: a photo of a cat
"""


@pytest.fixture
def absent(tmp_path: Path) -> Dataset:
    (tmp_path / "absent.yaml").write_text(MANIFEST)
    return load_dataset("absent", tmp_path)


def test_reading_it_says_which_file_is_missing(absent: Dataset) -> None:
    for attempt in (absent.summary, absent.clip):
        with pytest.raises(Missing, match=r"absent\.yaml:5: clip 'walk': .*clips/walk: no such"):
            attempt("walk")


def test_the_manifest_promises_shape_prompt_and_edits(absent: Dataset) -> None:
    promised = absent.promise("walk")
    assert (promised.n_frames, promised.height, promised.width) == (10, 48, 64)
    assert promised.prompt == "a photo of a dog"
    assert promised.edits["colour"].prompt == "a photo of a red dog"


def test_stand_in_digests_are_of_no_clip_that_is_there(absent: Dataset) -> None:
    clips = load_dataset("footage")
    here = {clips.summary(name).digest for name in clips.clip_ids}
    assert absent.promise("walk").digest not in here


def test_a_clip_of_open_length_promises_nothing(absent: Dataset) -> None:
    with pytest.raises(UserError, match="clip 'open': its length is known only with the source"):
        absent.promise("open")


def test_listing_goes_on_and_preparing_all_leaves_it_out(
    absent: Dataset, monkeypatch: pytest.MonkeyPatch, capsys
) -> None:
    monkeypatch.setattr(command, "load_dataset", lambda name: absent)
    monkeypatch.setattr(command, "dataset_names", lambda: ["absent"])
    assert command.main(["list"]) == 0
    assert "walk  missing:" in capsys.readouterr().out
    assert command.main(["prepare"]) == 0
    assert "absent: left out." in capsys.readouterr().err
    assert command.main(["prepare", "absent"]) == 1
    assert "no such file" in capsys.readouterr().err
