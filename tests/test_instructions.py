"""Instructions of the world: what they say, what they ask for, and what training never shows."""

from __future__ import annotations

from pathlib import Path

import pytest
import yaml

from data.datasets import FOLDER, load_dataset
from data.errors import UserError
from data.instructed import InstructedEdit, instruction_of
from data.lock import lock_clip, read_lock
from data.manifest import read_manifest
from data.prepared import read_clip, write_clip
from data.world.analyser import analyse
from data.world.edits import Change
from data.world.instruct import (
    KEEP,
    LONGEST,
    PHRASINGS,
    WORDS,
    all_instructions,
    instruction,
    shows_held_out,
)
from data.world.instructions import InstructionsManifest
from data.world.make_instructions import make_instructions
from data.world.scene import Object, Scene
from experiments.catalogue import project_catalogue
from experiments.planner import make_plan

SCENE = Scene("grass", (Object("red", "circle", 20, 30, 9), Object("blue", "star", 45, 30, 9)))
EXPERIMENT = """\
title: Instructions
backbones: [world-tiny]
clips: [{dataset: instructions, first: 1}]
methods: [{name: sdedit}, {name: oracle}]
"""


@pytest.mark.parametrize(
    ("change", "texts"),
    [
        (Change(colour="green"), ("make the circle green", "turn the red circle green")),
        (
            Change(shape="ring", object=1),
            ("replace the star by a ring", "turn the blue star into a ring"),
        ),
        (Change(ground="sand"), ("turn the ground to sand", "change the grass to sand")),
    ],
)
def test_both_phrasings_say_what_is_to_change(change, texts):
    assert tuple(instruction(SCENE, change, k) for k in range(2)) == texts


def test_what_the_grammar_has_no_words_for_is_refused():
    with pytest.raises(ValueError, match="colour, shape, ground, not colour\\+ground"):
        instruction(SCENE, Change(colour="green", ground="sand"))
    with pytest.raises(ValueError, match="not style"):
        instruction(SCENE, Change(style="sketch"))


def test_every_sentence_is_made_of_the_words_and_none_is_longer():
    sentences = all_instructions()
    assert KEEP in sentences and len(set(sentences)) == len(sentences)
    assert {word for text in sentences for word in text.split()} == set(WORDS)
    assert max(len(text.split()) for text in sentences) == LONGEST


@pytest.fixture(scope="module")
def entries():
    return read_manifest(FOLDER / "instructions.yaml", InstructionsManifest).clips


def test_the_dataset_asks_for_every_kind_in_both_phrasings_of_pictures_and_clips(entries):
    assert len(entries) == 28
    assert all(list(entry.edits) == list(PHRASINGS) for entry in entries.values())
    assert {entry.scene.n_frames for entry in entries.values()} == {1, 8}
    assert sum(len(entry.scene.objects) == 2 for entry in entries.values()) == 4
    assert {change.phrasing for entry in entries.values() for change in entry.edits.values()} == {
        0,
        1,
    }


def test_its_sources_are_combinations_that_training_never_shows(entries):
    assert all(shows_held_out(entry.scene.scene()) for entry in entries.values())


def test_the_generator_writes_this_manifest():
    written = yaml.safe_load((FOLDER / "instructions.yaml").read_text(encoding="utf-8"))
    assert make_instructions() == written


def test_an_edit_carries_its_instruction_and_its_answer_shows_what_it_asks():
    clip = load_dataset("instructions").clip("purple-square-snow")
    edit = clip.edits["shape"]
    assert instruction_of(edit) == "replace the square by a triangle"
    assert edit.prompt == "a photo of a purple triangle on snow"
    assert analyse(edit.oracle[0], most=1).shows("purple", "triangle", "snow")
    assert instruction_of(load_dataset("world").clip("red-circle-grass").edits["shape"]) == ""


def test_the_committed_lock_holds_the_bytes():
    dataset = load_dataset("instructions")
    locks = read_lock(FOLDER / "instructions.lock.json")
    assert list(locks) == dataset.clip_ids
    clip_id = dataset.clip_ids[0]
    assert locks[clip_id] == lock_clip(locks[clip_id].entry, dataset.clip(clip_id))


def test_an_instruction_survives_the_prepared_file(tmp_path):
    clip = load_dataset("instructions").clip("red-circle-grass")
    write_clip(tmp_path / "c.npz", clip)
    again = read_clip(tmp_path / "c.npz").edits["ground"]
    assert isinstance(again, InstructedEdit)
    assert again.instruction == clip.edits["ground"].instruction


def test_another_phrasing_is_another_edit_and_another_cell(tmp_path):
    """The true answer stays, the sentence does not: the oracle's frames are not made again."""
    text = (FOLDER / "instructions.yaml").read_text()
    (tmp_path / "instructions.yaml").write_text(text)
    before = load_dataset("instructions", tmp_path).summary("red-circle-grass")
    old = "colour: {colour: white}"
    changed = text.replace(old, "colour: {colour: white, phrasing: 1}", 1)
    (tmp_path / "instructions.yaml").write_text(changed)
    after = load_dataset("instructions", tmp_path).summary("red-circle-grass")
    assert after.edits["colour"].instruction == "turn the red circle white"
    assert before.digest == after.digest
    assert before.edit_digests["colour"] != after.edit_digests["colour"]
    assert before.edit_digests["shape"] == after.edit_digests["shape"]


def test_a_plan_names_cells_by_the_instruction(tmp_path):
    path = tmp_path / "small.yaml"
    path.write_text(EXPERIMENT)
    edits = {row.edit.edit: row.edit for row, _ in make_plan(path, project_catalogue()).rows}
    assert len({edit.asked for edit in edits.values()}) == 3


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        ("colour: {colour: white}", "colour: {colour: bleu}", "Did you mean 'blue'"),
        ("colour: {colour: white}", "colour: {colour: red}", "nothing would change"),
        ("colour: {colour: white}", "colour: {style: sketch}", "not style"),
        ("colour: {colour: white}", "colour: {colour: white, phrasing: 2}", "less than or equal"),
    ],
)
def test_mistakes_in_a_manifest_are_told(tmp_path: Path, old: str, new: str, message: str) -> None:
    text = (FOLDER / "instructions.yaml").read_text()
    (tmp_path / "mine.yaml").write_text(text.replace(old, new, 1))
    with pytest.raises(UserError, match=message):
        load_dataset("mine", tmp_path)
