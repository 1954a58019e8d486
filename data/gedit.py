"""The loader of GEdit-Bench (Liu et al. 2025): photos and users' instructions in two languages.

It reads a local folder in the layout of the Hugging Face dataset ``stepfun-ai/GEdit-Bench``: Arrow
streams ``*.arrow`` (or ``*.parquet``) with the columns ``key``, ``task_type`` (one of eleven
categories), ``instruction``, ``instruction_language`` (en or cn), ``input_image_raw`` and
``Intersection_exist`` (whether every compared system answered). The released benchmark has 606
samples in each language. A clip is a photo; its edits are called by their language, and their kind
is the category. Nobody knows the true answers: a judge scores them.
"""

from __future__ import annotations

import io
import re
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any, Literal

import numpy as np
from PIL import Image
from pydantic import Field

from data.clip import Clip
from data.digest import json_digest
from data.errors import Missing, UserError
from data.instructed import InstructedEdit
from data.manifest import Strict, read_manifest
from data.source import EditSummary, Outline, Source

CATEGORIES = {  # samples of each in each language, as released
    "background_change": 40,
    "color_alter": 40,
    "material_alter": 40,
    "motion_change": 40,
    "ps_human": 70,
    "style_change": 60,
    "subject-add": 60,
    "subject-remove": 57,
    "subject-replace": 60,
    "text_change": 99,
    "tone_transfer": 40,
}
LANGUAGES = ("en", "cn")
_IMAGE = "input_image_raw"
_TEXT = ("key", "task_type", "instruction", "instruction_language", "Intersection_exist")
_KEY = re.compile(r"[A-Za-z0-9_-]+")


class GEditManifest(Strict):
    """A YAML file that says where the benchmark lies and which part of it is meant."""

    loader: str
    title: str
    licence: str
    attribution: str
    folder: str = Field(description="relative to the manifest")
    languages: tuple[Literal["en", "cn"], ...] = Field(default=LANGUAGES, min_length=1)
    intersection: bool = Field(default=False, description="only samples that all systems answered")


@dataclass(frozen=True)
class Sample:
    """A row without its picture."""

    file: Path
    row: int
    key: str
    category: str
    language: str
    instruction: str
    intersection: bool


def read_table(path: Path) -> Any:
    """A ``pyarrow.Table`` of a file, mapped into memory where its format allows it.

    Raises UserError for a file that is neither.
    """
    import pyarrow as pa
    import pyarrow.parquet

    try:
        if path.suffix == ".parquet":
            return pyarrow.parquet.read_table(path, memory_map=True)
        return pa.ipc.open_stream(pa.memory_map(str(path))).read_all()
    except (pa.ArrowInvalid, OSError) as error:
        raise UserError(f"{path}: cannot be read as Arrow data: {error}") from None


def samples(folder: Path) -> Iterator[Sample]:
    """Every row of a folder's files, in their order.

    Raises Missing where there are no files, UserError for columns or values that are wrong.
    """
    files = sorted([*folder.rglob("*.arrow"), *folder.rglob("*.parquet")])
    if not files:
        raise Missing(
            f"{folder}: GEdit-Bench is not here; put the files of the Hugging Face dataset "
            "stepfun-ai/GEdit-Bench (MIT) there."
        )
    for path in files:
        table = read_table(path)
        absent = [name for name in (*_TEXT, _IMAGE) if name not in table.column_names]
        if absent:
            raise UserError(
                f"{path}: the column {', '.join(absent)} is missing; it has "
                f"{', '.join(table.column_names)}."
            )
        for row, values in enumerate(table.select(list(_TEXT)).to_pylist()):
            yield _sample(path, row, values)


def _sample(path: Path, row: int, values: dict[str, Any]) -> Sample:
    known = {"task_type": CATEGORIES, "instruction_language": LANGUAGES}
    for column, allowed in known.items():
        if values[column] not in allowed:
            raise UserError(
                f"{path}: row {row}: {column} '{values[column]}' is none of {', '.join(allowed)}."
            )
    if not _KEY.fullmatch(values["key"]):
        raise UserError(f"{path}: row {row}: the key {values['key']!r} is no name of a clip.")
    return Sample(
        path,
        row,
        values["key"],
        values["task_type"],
        values["instruction_language"],
        values["instruction"],
        bool(values["Intersection_exist"]),
    )


class GEditSource(Source):
    """Photos of one frame, each with an edit per language."""

    def __init__(self, name: str, manifest: Path) -> None:
        super().__init__(name, manifest)
        self._manifest = read_manifest(manifest, GEditManifest)
        self._folder = manifest.parent / self._manifest.folder

    @cached_property
    def _samples(self) -> dict[str, dict[str, Sample]]:
        """Clip id: its samples by language."""
        found: dict[str, dict[str, Sample]] = {}
        for sample in samples(self._folder):
            meant = sample.language in self._manifest.languages
            if meant and (sample.intersection or not self._manifest.intersection):
                found.setdefault(sample.key, {})[sample.language] = sample
        return found

    @property
    def clip_ids(self) -> tuple[str, ...]:
        return tuple(self._samples)

    def outline(self, clip_id: str) -> Outline:
        edits = {
            language: EditSummary(
                sample.category, sample.instruction, (), False, instruction=sample.instruction
            )
            for language, sample in self._samples[clip_id].items()
        }
        asked = [[language, e.kind, e.prompt] for language, e in edits.items()]
        return Outline("", json_digest([clip_id, asked]), edits)

    def verify(self, clip_id: str) -> None:
        """A photo lies in the same files as its instruction."""

    def build(self, clip_id: str) -> Clip:
        asked = self._samples[clip_id]
        edits = {
            language: InstructedEdit(
                language, sample.category, sample.instruction, instruction=sample.instruction
            )
            for language, sample in asked.items()
        }
        attribution = f"{self._manifest.attribution}, {self._manifest.licence}"
        photo = _photo(next(iter(asked.values())))
        return Clip(clip_id, self.name, photo, "", edits=edits, attribution=attribution)


def _photo(sample: Sample) -> np.ndarray:
    """(1, H, W, 3) uint8. Raises UserError for bytes that are no picture."""
    value = read_table(sample.file).column(_IMAGE)[sample.row].as_py()
    try:
        picture = Image.open(io.BytesIO(value["bytes"])).convert("RGB")
    except (OSError, TypeError, KeyError, Image.DecompressionBombError) as error:
        raise UserError(f"{sample.file}: row {sample.row}: no picture in it ({error}).") from None
    return np.asarray(picture)[None]
