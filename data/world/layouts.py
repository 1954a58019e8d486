"""The loader of layouts in the world's grammar: captions, and boxes for what they name.

A clip is a blank canvas that says how large an image is asked for; its edits are layouts of one
caption. A layout's oracle is one picture that meets it, rendered, of the many that do.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

from pydantic import Field, field_validator, model_validator

from data.canvas import BoxEntry, blank
from data.clip import Clip, Edit, Region
from data.digest import json_digest
from data.errors import unknown
from data.manifest import Strict, read_manifest
from data.source import EditSummary, Outline, Source
from data.world.edits import VOCABULARY
from data.world.grammar import caption
from data.world.render import render_frames, render_truth
from data.world.scene import Object, Scene
from data.world.vocabulary import SIZE

_REACH = {"circle": 1.0, "square": 0.88, "triangle": 1.1, "star": 1.28, "ring": 1.16}  # in radii


def _known(value: str, info: Any) -> str:
    if value not in VOCABULARY[info.field_name]:
        raise ValueError(str(unknown(info.field_name, value, VOCABULARY[info.field_name])))
    return value


class NamedObject(Strict):
    """An object as the caption names it."""

    colour: str
    shape: str

    _names = field_validator("colour", "shape")(_known)

    @property
    def phrase(self) -> str:
        """Its words in the caption."""
        return f"{self.colour} {self.shape}"


class CaptionEntry(Strict):
    """A caption, and layouts by name: a box for each object, in the caption's order."""

    ground: str
    objects: tuple[NamedObject, ...] = Field(min_length=1)
    layouts: dict[str, tuple[BoxEntry, ...]] = Field(min_length=1)

    _names = field_validator("ground")(_known)

    @model_validator(mode="after")
    def _fits(self) -> CaptionEntry:
        phrases = [entry.phrase for entry in self.objects]
        if len(set(phrases)) < len(phrases):
            raise ValueError("two objects of one caption have the same colour and shape")
        for name, boxes in self.layouts.items():
            if len(boxes) != len(self.objects):
                raise ValueError(
                    f"layout '{name}' has {len(boxes)} boxes for {len(self.objects)} objects"
                )
        return self

    def scene(self, boxes: tuple[BoxEntry, ...]) -> Scene:
        """Each object upright in the middle of its box, as large as its shorter side allows."""
        objects = []
        for entry, (x0, y0, x1, y1) in zip(self.objects, boxes, strict=True):
            half = min(x1 - x0, y1 - y0) / 2 * SIZE
            at = {"x": (x0 + x1) / 2 * SIZE, "y": (y0 + y1) / 2 * SIZE}
            objects.append(
                Object(entry.colour, entry.shape, radius=half / _REACH[entry.shape], **at)
            )
        return Scene(self.ground, tuple(objects), n_frames=1)

    def edits(self) -> dict[str, Edit]:
        """The layouts without their oracles; a layout's kind is its name."""
        return {
            name: Edit(
                name,
                name,
                caption(self.scene(boxes)),
                layout=tuple(
                    Region(entry.phrase, (box,))
                    for entry, box in zip(self.objects, boxes, strict=True)
                ),
            )
            for name, boxes in self.layouts.items()
        }


class LayoutsManifest(Strict):
    """A YAML file of captions and layouts."""

    loader: str
    title: str
    licence: str
    attribution: str
    clips: dict[str, CaptionEntry] = Field(min_length=1)


class LayoutSource(Source):
    """Canvases of the world's size, and layouts of the world's captions."""

    def __init__(self, name: str, manifest: Path) -> None:
        super().__init__(name, manifest)
        self._entries = read_manifest(manifest, LayoutsManifest)

    @property
    def clip_ids(self) -> tuple[str, ...]:
        return tuple(self._entries.clips)

    def outline(self, clip_id: str) -> Outline:
        entry = self._entries.clips[clip_id]
        edits = {
            name: EditSummary(edit.kind, edit.prompt, (), True, edit.layout)
            for name, edit in entry.edits().items()
        }
        return Outline("", json_digest(entry.model_dump(mode="json")), edits)

    def verify(self, clip_id: str) -> None:
        """A layout needs no files: the manifest holds all of it."""

    def build(self, clip_id: str) -> Clip:
        entry = self._entries.clips[clip_id]
        edits = {}
        for name, edit in entry.edits().items():
            scene = entry.scene(entry.layouts[name])
            truth = render_truth(scene)
            edits[name] = Edit(
                edit.id,
                edit.kind,
                edit.prompt,
                oracle=render_frames(scene),
                oracle_masks=truth.masks,
                layout=edit.layout,
            )
        attribution = f"{self._entries.attribution}, {self._entries.licence}"
        return Clip(clip_id, self.name, blank(SIZE, SIZE), "", edits=edits, attribution=attribution)
