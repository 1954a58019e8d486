"""Layouts: the world's captions with boxes, and prompt files of others."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

from data.clip import Region
from data.datasets import FOLDER, load_dataset
from data.errors import Missing, UserError
from data.lock import lock_clip, read_lock
from data.prepared import read_clip, write_clip
from data.world.analyser import analyse
from experiments.catalogue import project_catalogue
from experiments.planner import make_plan

PROMPTS = """\
loader: prompts
title: Captions
licence: CC0-1.0
attribution: nobody
file: prompts.json
format: {format}
size: [48, 64]
"""
EXPERIMENT = """\
title: Layouts
backbones: [world-tiny]
clips: [{{dataset: {dataset}, first: 1}}]
methods: [{{name: text-to-image}}, {{name: layout-guidance}}]
"""


def write_prompts(folder: Path, format: str, entries: object) -> None:
    (folder / "mine.yaml").write_text(PROMPTS.format(format=format))
    (folder / "prompts.json").write_text(json.dumps(entries))


def test_every_phrase_stands_in_its_caption_and_has_a_box() -> None:
    dataset = load_dataset("layouts")
    counts = set()
    for clip_id in dataset.clip_ids:
        for edit in dataset.summary(clip_id).edits.values():
            counts.add(len(edit.layout))
            assert all(f" {region.phrase} " in f"{edit.prompt} " for region in edit.layout)
            assert all(len(region.boxes) == 1 for region in edit.layout)
    assert counts == {2, 3}


def test_an_oracle_meets_its_layout() -> None:
    """Read back by the analyser: the named objects, each within its box but for a pixel or two."""
    clip = load_dataset("layouts").clip("yellow-square-purple-ring-snow")
    assert clip.frames.shape == (1, 64, 64, 3) and np.ptp(clip.frames) == 0
    for name in ("left", "below"):
        edit = clip.edits[name]
        found = {f"{o.colour} {o.shape}": o.box for o in analyse(edit.oracle[0]).objects}
        for region in edit.layout:
            away = np.array(found[region.phrase]) - 64 * np.array(region.boxes[0])
            assert np.abs(away).max() <= 3


def test_the_committed_lock_holds_the_bytes() -> None:
    dataset = load_dataset("layouts")
    locks = read_lock(FOLDER / "layouts.lock.json")
    assert list(locks) == dataset.clip_ids
    clip_id = dataset.clip_ids[-1]
    assert locks[clip_id] == lock_clip(locks[clip_id].entry, dataset.clip(clip_id))


def test_a_layout_survives_the_prepared_file(tmp_path: Path) -> None:
    clip = load_dataset("layouts").clip("red-circle-blue-star-grass")
    write_clip(tmp_path / "c.npz", clip)
    assert read_clip(tmp_path / "c.npz").edits["right"].layout == clip.edits["right"].layout


def test_boxes_name_the_edit_and_the_guided_cell_alone(tmp_path: Path) -> None:
    """Plain sampling reads no boxes: six layouts of a caption are one image, scored six times."""
    summary = load_dataset("layouts").summary("red-circle-blue-star-grass")
    assert len(set(summary.edit_digests.values())) == 6
    assert len({edit.prompt for edit in summary.edits.values()}) == 1
    path = tmp_path / "small.yaml"
    path.write_text(EXPERIMENT.format(dataset="layouts"))
    plan = make_plan(path, project_catalogue())
    names = [cell.method.name for cell in plan.cells.values()]
    assert names.count("text-to-image") == 1 and names.count("layout-guidance") == 6
    assert len(plan.rows) == 12


def test_a_method_that_needs_a_layout_is_refused_an_edit_without(tmp_path: Path) -> None:
    path = tmp_path / "small.yaml"
    path.write_text(EXPERIMENT.format(dataset="world"))
    with pytest.raises(UserError, match="'layout-guidance' needs a layout"):
        make_plan(path, project_catalogue())


@pytest.mark.parametrize(
    "old, new, message",
    [
        ("[0.29, 0.04, 0.71, 0.46]", "[0.71, 0.04, 0.29, 0.46]", "a box is x0 < x1, y0 < y1"),
        ("[0.29, 0.04, 0.71, 0.46], ", "", "layout 'above' has 1 boxes for 2 objects"),
        ("shape: star", "shape: stra", "unknown shape 'stra'. Did you mean 'star'"),
        ("0.96]", "1.96]", "less than or equal to 1"),
    ],
)
def test_mistakes_in_a_manifest_are_told(tmp_path: Path, old: str, new: str, message: str) -> None:
    text = (FOLDER / "layouts.yaml").read_text()
    (tmp_path / "mine.yaml").write_text(text.replace(old, new, 1))
    with pytest.raises(UserError, match=message):
        load_dataset("mine", tmp_path)


def test_box_annotated_prompts(tmp_path: Path) -> None:
    """As Layout-Guidance's example writes them; phrases may also be a list, or have no place."""
    boxes = [[[0.1, 0.2, 0.5, 0.8]], [[0.75, 0.6, 0.95, 0.8]]]
    kitty = {"prompt": "A hello kitty with a ball.", "phrases": "hello kitty; ball"}
    entries = [kitty | {"bboxes": boxes}, {"prompt": "a cat", "phrases": ["cat"]}]
    write_prompts(tmp_path, "boxes", entries)
    dataset = load_dataset("mine", tmp_path)
    assert dataset.clip_ids == ["0", "1"]
    clip = dataset.clip("0")
    assert clip.frames.shape == (1, 48, 64, 3) and clip.edits["layout"].prompt == kitty["prompt"]
    assert clip.edits["layout"].layout == (
        Region("hello kitty", ((0.1, 0.2, 0.5, 0.8),)),
        Region("ball", ((0.75, 0.6, 0.95, 0.8),)),
    )
    assert dataset.clip("1").edits["layout"].layout == (Region("cat", ()),)


@pytest.mark.parametrize(
    "relation, kind, first",
    [("to the left of", "left", (0, 0, 0.5, 1)), ("below", "below", (0, 0.5, 1, 1))],
)
def test_visor_prompts_get_the_halves_of_their_relation(
    tmp_path: Path, relation: str, kind: str, first: tuple
) -> None:
    text = f"a person {relation} a teddy bear"
    objects = {"obj_1_attributes": ["person"], "obj_2_attributes": ["teddy", "bear"]}
    write_prompts(tmp_path, "visor", [{"text": text, "rel_type": relation, **objects}])
    edit = load_dataset("mine", tmp_path).clip("0").edits["layout"]
    assert (edit.kind, edit.prompt) == (kind, text)
    assert [region.phrase for region in edit.layout] == ["person", "teddy bear"]
    assert edit.layout[0].boxes == (first,)
    areas = [(x1 - x0) * (y1 - y0) for r in edit.layout for x0, y0, x1, y1 in r.boxes]
    assert areas == [0.5, 0.5] and edit.layout[1].boxes[0] != first


@pytest.mark.parametrize(
    "entries, message",
    [
        ([{"phrases": "a"}], "entry 0: 'prompt' is missing"),
        (
            [{"prompt": "a b", "phrases": "a; b", "bboxes": [[[0, 0, 1, 1]]]}],
            "2 phrases, but boxes",
        ),
        ([{"prompt": "a", "phrases": "a", "bboxes": [[[0, 0, 2, 1]]]}], "less than or equal to 1"),
        ({}, "a list of prompts"),
    ],
)
def test_mistakes_in_a_prompt_file_are_told(tmp_path: Path, entries: object, message: str) -> None:
    write_prompts(tmp_path, "boxes", entries)
    with pytest.raises(UserError, match=message):
        load_dataset("mine", tmp_path)


def test_a_prompt_file_that_is_not_there_or_another_is_said_so(tmp_path: Path) -> None:
    write_prompts(tmp_path, "boxes", [{"prompt": "a", "phrases": "a"}])
    manifest = tmp_path / "mine.yaml"
    manifest.write_text(manifest.read_text() + f"sha256: '{'0' * 64}'\n")
    with pytest.raises(UserError, match="not the file"):
        load_dataset("mine", tmp_path).clip("0")
    (tmp_path / "prompts.json").unlink()
    with pytest.raises(Missing, match=r"prompts\.json: no such file"):
        load_dataset("mine", tmp_path)
