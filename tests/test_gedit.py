"""GEdit-Bench from a folder in the layout of its Hugging Face dataset."""

from __future__ import annotations

import io
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet
import pytest
from PIL import Image

from data.datasets import FOLDER, load_dataset
from data.errors import Missing, UserError
from data.gedit import CATEGORIES
from data.instructed import instruction_of
from experiments.catalogue import project_catalogue
from experiments.planner import make_plan

MANIFEST = """\
loader: gedit
title: GEdit
licence: MIT
attribution: nobody
folder: files
"""
EXPERIMENT = """\
title: GEdit
backbones: [world-tiny]
clips: [{dataset: gedit, edits: [en]}]
methods: [{name: sdedit}]
"""


def photo(level: int, width: int = 20) -> dict[str, bytes | None]:
    """A picture as the datasets library stores it."""
    stream = io.BytesIO()
    Image.fromarray(np.full((12, width, 3), level, np.uint8)).save(stream, "PNG")
    return {"bytes": stream.getvalue(), "path": None}


def row(key: str, **values: object) -> dict[str, object]:
    return {
        "task_type": "color_alter",
        "key": key,
        "instruction": "Make it red.",
        "instruction_language": "en",
        "input_image": photo(0),
        "input_image_raw": photo(100),
        "Intersection_exist": True,
    } | values


ROWS = [
    row("aa11"),
    row("aa11", instruction_language="cn", instruction="改成红色"),
    row("bb22", task_type="subject-add", input_image_raw=photo(7, 30), Intersection_exist=False),
]


def write(folder: Path, rows: list[dict], manifest: str = MANIFEST, suffix: str = "arrow") -> None:
    (folder / "files" / "train").mkdir(parents=True)
    (folder / "gedit.yaml").write_text(manifest)
    table = pa.Table.from_pylist(rows)
    path = folder / "files" / "train" / f"data-00000-of-00001.{suffix}"
    if suffix == "parquet":
        pyarrow.parquet.write_table(table, path)
    else:
        with pa.ipc.new_stream(str(path), table.schema) as stream:
            stream.write_table(table)


@pytest.mark.parametrize("suffix", ["arrow", "parquet"])
def test_a_clip_is_a_photo_and_its_edits_are_languages(tmp_path: Path, suffix: str) -> None:
    write(tmp_path, ROWS, suffix=suffix)
    dataset = load_dataset("gedit", tmp_path)
    assert dataset.clip_ids == ["aa11", "bb22"]
    clip = dataset.clip("aa11")
    assert clip.frames.shape == (1, 12, 20, 3) and (clip.frames == 100).all()
    assert {name: (e.kind, instruction_of(e)) for name, e in clip.edits.items()} == {
        "en": ("color_alter", "Make it red."),
        "cn": ("color_alter", "改成红色"),
    }
    summary = dataset.summary("bb22")
    assert (summary.height, summary.width) == (12, 30)
    assert summary.edits["en"].instruction == "Make it red." and not summary.edits["en"].has_oracle


@pytest.mark.parametrize(
    ("part", "left"),
    [
        ("languages: [cn]\n", {"aa11": ["cn"]}),
        ("intersection: true\n", {"aa11": ["en", "cn"]}),
        ("languages: [en]\n", {"aa11": ["en"], "bb22": ["en"]}),
    ],
)
def test_a_manifest_may_take_a_language_or_the_intersection(
    tmp_path: Path, part: str, left: dict
) -> None:
    write(tmp_path, ROWS, MANIFEST + part)
    dataset = load_dataset("gedit", tmp_path)
    assert {c: list(dataset.summary(c).edits) for c in dataset.clip_ids} == left


def test_an_experiment_may_ask_for_it(tmp_path: Path) -> None:
    write(tmp_path, ROWS, MANIFEST + "languages: [en]\n")
    (tmp_path / "small.yaml").write_text(EXPERIMENT)
    catalogue = project_catalogue()
    here = {**vars(catalogue), "dataset": lambda name: load_dataset(name, tmp_path)}
    plan = make_plan(tmp_path / "small.yaml", type(catalogue)(**here))
    assert {request.edit.kind for request, _ in plan.rows} == {"color_alter", "subject-add"}


def test_the_released_benchmark_has_606_samples_in_eleven_categories() -> None:
    assert (len(CATEGORIES), sum(CATEGORIES.values())) == (11, 606)


def test_without_its_files_it_is_missing_and_says_what_to_fetch(tmp_path: Path) -> None:
    (tmp_path / "gedit.yaml").write_text((FOLDER / "gedit.yaml").read_text())
    with pytest.raises(Missing, match="stepfun-ai/GEdit-Bench"):
        load_dataset("gedit", tmp_path).clip_ids  # noqa: B018


@pytest.mark.parametrize(
    ("rows", "message"),
    [
        ([row("../x")], "row 0: the key '../x' is no name"),
        ([row("a"), row("b", task_type="cook")], "row 1: task_type 'cook' is none of background"),
        ([row("a", instruction_language="fr")], "instruction_language 'fr' is none of en, cn"),
        ([{"key": "a"}], "the column task_type, .* is missing; it has key"),
    ],
)
def test_wrong_rows_are_told(tmp_path: Path, rows: list[dict], message: str) -> None:
    write(tmp_path, rows)
    with pytest.raises(UserError, match=message):
        load_dataset("gedit", tmp_path).clip_ids  # noqa: B018


def test_bytes_that_are_no_picture_and_files_that_are_no_arrow_are_told(tmp_path: Path) -> None:
    write(tmp_path, [row("a", input_image_raw={"bytes": b"not a png", "path": None})])
    with pytest.raises(UserError, match="row 0: no picture in it"):
        load_dataset("gedit", tmp_path).clip("a")
    (tmp_path / "files" / "z.arrow").write_bytes(b"nothing")
    with pytest.raises(UserError, match="cannot be read as Arrow data"):
        load_dataset("gedit", tmp_path).clip_ids  # noqa: B018
