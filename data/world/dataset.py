"""The loader of world manifests: scenes written out in YAML, rendered on demand."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
from pydantic import Field, field_validator, model_validator

from data.clip import Clip, Flow
from data.digest import json_digest
from data.errors import unknown
from data.manifest import Strict, read_manifest
from data.source import EditSummary, Outline, Source
from data.world.edits import VOCABULARY, Change, change_scene, describe_edit, render_edit
from data.world.grammar import caption
from data.world.render import render_frames, render_truth
from data.world.scene import Object, Scene
from data.world.vocabulary import SIZE

FLOW_DECIMALS = 4  # rounded so that a last-bit difference of sin and cos leaves the bytes alone


def _known(value: str | None, info: Any) -> str | None:
    if value is not None and value not in VOCABULARY[info.field_name]:
        raise ValueError(str(unknown(info.field_name, value, VOCABULARY[info.field_name])))
    return value


class ObjectEntry(Strict):
    """An object as a manifest writes it: pixels, radians, rates per frame."""

    colour: str
    shape: str
    x: float = Field(ge=0, le=SIZE)
    y: float = Field(ge=0, le=SIZE)
    radius: float = Field(gt=0, le=SIZE)
    angle: float = 0.0
    vx: float = 0.0
    vy: float = 0.0
    spin: float = 0.0
    growth: float = Field(default=1.0, gt=0)

    _names = field_validator("colour", "shape")(_known)


class SceneEntry(Strict):
    """A scene as a manifest writes it."""

    ground: str
    objects: tuple[ObjectEntry, ...]
    style: str = "photo"
    motion: str | None = None
    ground_seed: int = Field(default=0, ge=0)
    pan: tuple[float, float] = (0.0, 0.0)
    n_frames: int = Field(default=16, ge=1)

    _names = field_validator("ground", "style", "motion")(_known)

    @model_validator(mode="after")
    def _one_or_two(self) -> SceneEntry:
        if len(self.objects) not in (1, 2):
            raise ValueError(f"a scene has one or two objects, {len(self.objects)} given")
        return self

    def scene(self) -> Scene:
        """The scene to render."""
        objects = tuple(Object(**entry.model_dump()) for entry in self.objects)
        return Scene(**(self.model_dump() | {"objects": objects}))


class ClipEntry(Strict):
    """A scene and the edits asked of it."""

    scene: SceneEntry
    edits: dict[str, Change] = Field(default_factory=dict)

    @model_validator(mode="after")
    def _edits_fit(self) -> ClipEntry:
        for edit_id, change in self.edits.items():
            try:
                change_scene(self.scene.scene(), change)
            except ValueError as error:
                raise ValueError(f"edit '{edit_id}': {error}") from None
        return self


class WorldManifest(Strict):
    """A world dataset's YAML file."""

    loader: str
    title: str
    licence: str
    attribution: str
    fps: float = Field(default=8.0, gt=0)
    clips: dict[str, ClipEntry] = Field(min_length=1)


class WorldSource(Source):
    """Clips rendered from scenes."""

    def __init__(self, name: str, manifest: Path) -> None:
        super().__init__(name, manifest)
        self._entries = read_manifest(manifest, WorldManifest)

    @property
    def clip_ids(self) -> tuple[str, ...]:
        return tuple(self._entries.clips)

    def outline(self, clip_id: str) -> Outline:
        entry = self._entries.clips[clip_id]
        scene = entry.scene.scene()
        described = [describe_edit(scene, name, change) for name, change in entry.edits.items()]
        return Outline(
            caption(scene),
            json_digest(entry.model_dump(mode="json") | {"fps": self._entries.fps}),
            {e.id: EditSummary(e.kind, e.prompt, e.words, True) for e in described},
        )

    def verify(self, clip_id: str) -> None:
        """A scene needs no files: the manifest holds all of it."""

    def build(self, clip_id: str) -> Clip:
        entry = self._entries.clips[clip_id]
        scene = entry.scene.scene()
        truth = render_truth(scene)
        flow = Flow(
            np.round(truth.flow_forward, FLOW_DECIMALS),
            np.round(truth.flow_backward, FLOW_DECIMALS),
            truth.occluded_forward,
            truth.occluded_backward,
        )
        return Clip(
            clip_id,
            self.name,
            render_frames(scene),
            caption(scene),
            self._entries.fps,
            truth.masks,
            truth.boxes,
            flow,
            {name: render_edit(scene, name, change) for name, change in entry.edits.items()},
            f"{self._entries.attribution}, {self._entries.licence}",
        )
