"""A wrong manifest is refused with file, line, what is wrong and the nearest valid name."""

from __future__ import annotations

from pathlib import Path

import pytest

from data.datasets import FOLDER, dataset_names, load_dataset
from data.errors import UserError

DISC = "- {colour: red, shape: circle, x: 30, y: 30, radius: 12}"
GOOD = """\
loader: world
title: Test
licence: CC0-1.0
attribution: nobody
clips:
  disc:
    scene:
      ground: grass
      objects:
      - {colour: red, shape: circle, x: 30, y: 30, radius: 12}
      n_frames: 2
    edits:
      colour: {colour: blue}
"""


def refusal(folder: Path, text: str) -> str:
    """The message with which a manifest is refused; nothing may be left behind."""
    path = folder / "bad.yaml"
    path.write_text(text, encoding="utf-8")
    with pytest.raises(UserError) as caught:
        load_dataset("bad", folder)
    assert [p.name for p in folder.iterdir()] == ["bad.yaml"]
    return str(caught.value)


def test_the_good_one_is_good(tmp_path):
    (tmp_path / "good.yaml").write_text(GOOD, encoding="utf-8")
    assert load_dataset("good", tmp_path).clip_ids == ["disc"]


@pytest.mark.parametrize(
    ("old", "new", "line", "message"),
    [
        ("colour: {colour: blue}", "colour: {colour: bleu}", 13, "Did you mean 'blue'?"),
        ("ground: grass", "ground: gras", 8, "Did you mean 'grass'?"),
        ("ground: grass", "grond: grass", 8, "unknown key 'grond'. Did you mean 'ground'?"),
        ("radius: 12", "radius: -1", 10, "greater than 0 (given: -1)"),
        ("n_frames: 2", "n_frames: 0", 11, "greater than or equal to 1 (given: 0)"),
        (
            "      n_frames: 2",
            "      n_frames: 2\n      n_frames: 3",
            12,
            "'n_frames' is given twice",
        ),
        ("loader: world", "loader: wrld", 1, "unknown loader 'wrld'. Did you mean 'world'?"),
        ("{colour: blue}", "{colour: red}", 6, "nothing would change"),
        (f"      {DISC}", "        []", 7, "one or two objects, 0 given"),
        ("{colour: blue}", "{}", 13, "at least one of colour"),
    ],
)
def test_a_wrong_value_is_named_with_its_line(tmp_path, old, new, line, message):
    text = refusal(tmp_path, GOOD.replace(old, new))
    assert f"bad.yaml:{line}: " in text
    assert message in text


def test_all_errors_come_at_once(tmp_path):
    text = refusal(tmp_path, GOOD.replace("grass", "moon").replace("12}", "0}") + "extra: 1\n")
    assert len(text.splitlines()) == 3
    assert all(f"bad.yaml:{line}" in text for line in (8, 10, 14))


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("clips: [unclosed\nmore: {", "not valid YAML"),
        ("just words", "a mapping of keys"),
        ("", "a mapping of keys"),
        ("loader: world\n", "Field required"),
    ],
)
def test_what_is_no_manifest_is_refused(tmp_path, text, message):
    assert message in refusal(tmp_path, text)


def test_a_binary_file_is_refused(tmp_path):
    (tmp_path / "bad.yaml").write_bytes(b"\xff\xfe\x00\x80")
    with pytest.raises(UserError, match="not a text file"):
        load_dataset("bad", tmp_path)


def test_an_unknown_dataset_is_named_with_the_nearest():
    assert {"world", "footage"} <= set(dataset_names())
    with pytest.raises(UserError, match=r"unknown dataset 'wrld'\. Did you mean 'world'\?"):
        load_dataset("wrld")


@pytest.mark.parametrize("name", ["world", "footage"])
def test_an_unknown_clip_is_named_with_the_nearest(name):
    dataset = load_dataset(name, FOLDER)
    with pytest.raises(UserError, match=f"Did you mean '{dataset.clip_ids[0]}'"):
        dataset.clip(dataset.clip_ids[0][:-1])
