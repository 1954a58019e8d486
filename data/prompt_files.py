"""The loader of prompt files: captions with boxes, and VISOR's captions with spatial relations.

The manifest names a JSON file and how it is written. ``boxes``: a list of objects with "prompt",
"phrases" ("a; b" or a list) and, in the same order, "bboxes", each a list of [x0, y0, x1, y1] in
shares, as Layout-Guidance takes them; without "bboxes" its phrases have no place (enough for
Attend-and-Excite). ``visor``: a list of objects with "text", "obj_1_attributes",
"obj_2_attributes" and "rel_type" (Gokhale et al. 2022); the two objects get the halves of the
image that the relation asks for.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Literal

from pydantic import Field, TypeAdapter, ValidationError

from data.canvas import BoxEntry, blank
from data.clip import Clip, Edit, Region
from data.digest import json_digest, sha256_file
from data.errors import Missing, UserError
from data.manifest import Strict, read_manifest
from data.source import EditSummary, Outline, Source

LAYOUT = "layout"  # the only edit of a clip
_BOXES = TypeAdapter(tuple[BoxEntry, ...])
_HALVES = {  # of the first object and the second, by what the relation speaks of
    "left": ((0.0, 0.0, 0.5, 1.0), (0.5, 0.0, 1.0, 1.0)),
    "right": ((0.5, 0.0, 1.0, 1.0), (0.0, 0.0, 0.5, 1.0)),
    "above": ((0.0, 0.0, 1.0, 0.5), (0.0, 0.5, 1.0, 1.0)),
    "below": ((0.0, 0.5, 1.0, 1.0), (0.0, 0.0, 1.0, 0.5)),
}


class PromptsManifest(Strict):
    """A YAML file that says where prompts are and how they are written."""

    loader: str
    title: str
    licence: str
    attribution: str
    file: str = Field(description="JSON, relative to the manifest")
    format: Literal["boxes", "visor"]
    sha256: str | None = Field(default=None, description="of the file, if it is to be a fixed one")
    size: tuple[int, int] = Field(default=(512, 512), description="height and width of images")


class PromptSource(Source):
    """A canvas for each entry of a prompt file, called by its number."""

    def __init__(self, name: str, manifest: Path) -> None:
        super().__init__(name, manifest)
        self._manifest = read_manifest(manifest, PromptsManifest)
        self._path = manifest.parent / self._manifest.file
        self._edits = self._read()

    @property
    def clip_ids(self) -> tuple[str, ...]:
        return tuple(self._edits)

    def outline(self, clip_id: str) -> Outline:
        edit = self._edits[clip_id]
        summary = EditSummary(edit.kind, edit.prompt, (), False, edit.layout)
        regions = [[region.phrase, region.boxes] for region in edit.layout]
        entry = json_digest([edit.prompt, edit.kind, regions, self._manifest.size])
        return Outline("", entry, {LAYOUT: summary})

    def verify(self, clip_id: str) -> None:
        expected = self._manifest.sha256
        if expected and sha256_file(self._path) != expected:
            raise UserError(f"{self._path}: not the file that {self.manifest} describes (sha256).")

    def build(self, clip_id: str) -> Clip:
        self.verify(clip_id)
        edits = {LAYOUT: self._edits[clip_id]}
        attribution = f"{self._manifest.attribution}, {self._manifest.licence}"
        canvas = blank(*self._manifest.size)
        return Clip(clip_id, self.name, canvas, "", edits=edits, attribution=attribution)

    def _read(self) -> dict[str, Edit]:
        if not self._path.is_file():
            raise Missing(f"{self._path}: no such file; {self.manifest} says what it should be.")
        try:
            entries = json.loads(self._path.read_text(encoding="utf-8"))
        except ValueError as error:
            raise UserError(f"{self._path}: not valid JSON: {error}") from None
        if not isinstance(entries, list) or not entries:
            raise UserError(f"{self._path}: a list of prompts is expected.")
        edits, problems = {}, []
        width = len(str(len(entries) - 1))
        for number, entry in enumerate(entries):
            try:
                edits[f"{number:0{width}}"] = self._edit(entry)
            except (KeyError, TypeError, ValueError) as error:
                problems.append(f"{self._path}: entry {number}: {_reason(error)}")
        if problems:
            raise UserError("\n".join(problems))
        return edits

    def _edit(self, entry: Mapping[str, Any]) -> Edit:
        if self._manifest.format == "visor":
            relation = next((word for word in _HALVES if word in entry["rel_type"]), None)
            if relation is None:
                raise ValueError(
                    f"rel_type '{entry['rel_type']}' speaks of none of {', '.join(_HALVES)}"
                )
            names = [" ".join(entry[f"obj_{k}_attributes"]) for k in (1, 2)]
            boxes = [(half,) for half in _HALVES[relation]]
            return _edit(relation, entry["text"], names, boxes)
        phrases = entry["phrases"]
        names = phrases.split(";") if isinstance(phrases, str) else list(phrases)
        given = entry.get("bboxes", [()] * len(names))
        boxes = [_BOXES.validate_python(each) for each in given]
        return _edit(LAYOUT, entry["prompt"], [name.strip() for name in names], boxes)


def _edit(kind: str, prompt: str, names: list[str], boxes: list[Any]) -> Edit:
    if len(names) != len(boxes):
        raise ValueError(f"{len(names)} phrases, but boxes for {len(boxes)}")
    layout = tuple(Region(name, tuple(each)) for name, each in zip(names, boxes, strict=True))
    return Edit(LAYOUT, kind, prompt, layout=layout)


def _reason(error: Exception) -> str:
    if isinstance(error, KeyError):
        return f"'{error.args[0]}' is missing"
    if isinstance(error, ValidationError):
        return "; ".join(item["msg"].removeprefix("Value error, ") for item in error.errors())
    return str(error)
