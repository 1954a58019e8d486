"""The loader of PIE-Bench's mapping file (Ju et al. 2024): photos, an edit and a mask of each.

The manifest names ``mapping_file.json`` as it is published; photos lie in ``annotation_images``
beside it. Brackets in the prompts mark what changes and are no part of them. A mask is pairs of
start and length over the 512 x 512 pixels of the picture, row by row. The benchmark's own
evaluation also sets the rim of every mask; so do the ``pie-compat`` metrics, and not this loader.
"""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import numpy as np
from pydantic import Field

from data.digest import json_digest
from data.errors import Missing, UserError, nearest
from data.footage import EditEntry, FileEntry
from data.imported import ID, ImportedSource, below, cut_mask, together
from data.locate import Where
from data.manifest import Strict, read_manifest
from data.recipe import Recipe

SIDE = 512  # pixels of the pictures that masks are over
EDIT = "edit"  # the only edit of a picture
KEYS = ("image_path", "original_prompt", "editing_prompt", "editing_type_id", "mask")
KINDS = {  # editing_type_id: what the benchmark calls it, in this project's words
    "0": "random", "1": "object", "2": "add", "3": "remove", "4": "content", "5": "pose",
    "6": "colour", "7": "material", "8": "ground", "9": "style",
}  # fmt: skip


class PieManifest(Strict):
    """A YAML file that says where the mapping file is."""

    loader: str
    title: str
    mapping: str = Field(description="the JSON file, relative to the manifest")
    licence: str = ""
    types: tuple[str, ...] = Field(tuple(KINDS), description="editing_type_ids to take")
    recipe: Recipe = Recipe(crop="none", size=SIDE)


class PieSource(ImportedSource):
    """The mapping file's pictures, called by their keys."""

    def read(self) -> dict[str, FileEntry]:
        self._pie = read_manifest(self.manifest, PieManifest)
        path = self.manifest.parent / self._pie.mapping
        if not path.is_file():
            raise Missing(f"{path}: no such file; {self.manifest} says it is PIE-Bench's mapping.")
        text = path.read_text(encoding="utf-8")
        try:
            mapping = json.loads(text)
        except ValueError as error:
            raise UserError(f"{path}:{getattr(error, 'lineno', 1)}: not JSON: {error}.") from None
        if not isinstance(mapping, dict):
            raise UserError(f"{path}:1: an object is expected, a key for each picture.")
        entries: dict[str, FileEntry] = {}
        problems: list[str] = []
        self._runs: dict[str, list[int]] = {}
        for key, item in mapping.items():
            line = _line(text, key)
            found = _problems(key, item)
            problems += [f"{path}:{line}: '{key}': {problem}" for problem in found]
            if not found and str(item["editing_type_id"]) in self._pie.types:
                try:
                    entries[key] = self._entry(item, path.parent / "annotation_images")
                except ValueError as error:
                    problems.append(f"{path}:{line}: '{key}': image_path: {error}")
                self._runs[key] = item["mask"]
                self.note(key, path, line)
        together(problems, entries, path)
        return entries

    def _entry(self, item: dict[str, Any], folder: Path) -> FileEntry:
        place = folder.relative_to(self.manifest.parent)
        kind = KINDS[str(item["editing_type_id"])]
        return FileEntry(
            source=Where(path=below(place, item["image_path"])),
            licence=self._pie.licence,
            attribution="PIE-Bench, Ju et al. 2024",
            prompt=plain(item["original_prompt"]),
            recipe=self._pie.recipe,
            edits={EDIT: EditEntry(kind=kind, prompt=plain(item["editing_prompt"]))},
        )

    def masks(self, clip_id: str, frames: int) -> np.ndarray:
        return cut_mask(self._pie.recipe, decode(self._runs[clip_id]))[None, None]

    def mask_digest(self, clip_id: str) -> str:
        return json_digest(self._runs[clip_id])


def plain(prompt: str) -> str:
    """A prompt without the brackets around what changes."""
    return prompt.replace("[", "").replace("]", "").strip()


def decode(runs: list[int]) -> np.ndarray:
    """(512, 512) bool of pairs of start and length; a run ends at the picture's end."""
    mask = np.zeros(SIDE * SIDE, bool)
    for start, length in zip(runs[::2], runs[1::2], strict=True):
        mask[start : start + length] = True
    return mask.reshape(SIDE, SIDE)


def _line(text: str, key: str) -> int:
    """The line on which a key stands."""
    found = re.search(rf"^[\s{{,]*{re.escape(json.dumps(key))}\s*:", text, re.MULTILINE)
    at = found.end() if found else text.find(json.dumps(key))
    return text.count("\n", 0, max(at, 0)) + 1


def _problems(key: str, item: Any) -> list[str]:
    """What is wrong with an entry."""
    if not isinstance(item, dict):
        return ["an object is expected."]
    told = [] if re.fullmatch(ID, key) else ["it cannot name a file."]
    absent = [name for name in KEYS if name not in item]
    told += [f"'{name}' is missing.{nearest(name, item)}" for name in absent]
    for name in {"image_path", "original_prompt", "editing_prompt"} - set(absent):
        if not isinstance(item[name], str) or not plain(item[name]):
            told.append(f"{name}: text is expected, {item[name]!r} given.")
    if "editing_type_id" in item and str(item["editing_type_id"]) not in KINDS:
        told.append(f"editing_type_id: 0 to 9 is expected, {item['editing_type_id']!r} given.")
    return told + ([] if "mask" in absent else _mask_problems(item["mask"]))


def _mask_problems(runs: Any) -> list[str]:
    if not isinstance(runs, list) or any(type(value) is not int for value in runs):
        return ["mask: a list of whole numbers is expected: start, length, start, length ..."]
    if len(runs) % 2:
        return [f"mask: {len(runs)} numbers; starts and lengths come in pairs."]
    for at, (start, length) in enumerate(zip(runs[::2], runs[1::2], strict=True)):
        if not 0 <= start < SIDE * SIDE or length < 0:
            return [f"mask: pair {at} is {start}, {length}: a start is in 0 to {SIDE * SIDE - 1}."]
    return []
