"""Edits of a scene: what changes, and the scene, caption, words and oracle that follow."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from pydantic import Field, field_validator, model_validator

from data.clip import Edit
from data.errors import unknown
from data.manifest import Strict
from data.words import changed_words
from data.world.grammar import caption
from data.world.render import render_frames, render_truth
from data.world.sample import steer
from data.world.scene import Object, Scene
from data.world.vocabulary import COLOURS, GROUNDS, MOTIONS, SHAPES, STYLES

VOCABULARY: dict[str, tuple[str, ...]] = {
    "colour": tuple(COLOURS),
    "shape": SHAPES,
    "ground": GROUNDS,
    "style": STYLES,
    "motion": MOTIONS,
}


class Change(Strict):
    """The attributes an edit sets; those not named stay as they are."""

    colour: str | None = None
    shape: str | None = None
    ground: str | None = None
    style: str | None = None
    motion: str | None = None
    object: int = Field(default=0, ge=0, description="which object changes colour or shape")

    @field_validator("colour", "shape", "ground", "style", "motion")
    @classmethod
    def _known(cls, value: str | None, info: Any) -> str | None:
        if value is not None and value not in VOCABULARY[info.field_name]:
            raise ValueError(str(unknown(info.field_name, value, VOCABULARY[info.field_name])))
        return value

    @model_validator(mode="after")
    def _something(self) -> Change:
        if not self.kind:
            raise ValueError(f"an edit must set at least one of {', '.join(VOCABULARY)}")
        return self

    @property
    def kind(self) -> str:
        """``colour``, ``shape+ground`` …: what is set, in the vocabulary's order."""
        return "+".join(name for name in VOCABULARY if getattr(self, name) is not None)


def _redirect(obj: Object, motion: str, n_frames: int) -> Object:
    """The object moving another way at its old speed, its path centred where it was."""
    half = (n_frames - 1) / 2
    middle = replace(
        obj, x=round(obj.x + obj.vx * half, 2), y=round(obj.y + obj.vy * half, 2), vx=0.0, vy=0.0
    )
    return steer(middle, motion, abs(obj.vx) + abs(obj.vy), n_frames)


def change_scene(scene: Scene, change: Change) -> Scene:
    """The scene after an edit: what the change names is new, all else is the same.

    Raises ValueError where the change does not fit: no such object, a motion asked of a scene
    whose caption names none, or nothing that differs.
    """
    if change.object >= len(scene.objects):
        raise ValueError(f"object {change.object} of a scene with {len(scene.objects)} object(s)")
    if change.motion and (scene.motion is None or len(scene.objects) > 1):
        raise ValueError("a motion edit needs a single object whose motion the caption names")
    obj = scene.objects[change.object]
    edited = replace(obj, colour=change.colour or obj.colour, shape=change.shape or obj.shape)
    if change.motion:
        edited = _redirect(edited, change.motion, scene.n_frames)
    objects = tuple(edited if i == change.object else o for i, o in enumerate(scene.objects))
    target = replace(
        scene,
        objects=objects,
        ground=change.ground or scene.ground,
        style=change.style or scene.style,
        motion=change.motion or scene.motion,
    )
    for name in change.kind.split("+"):
        old = getattr(obj if name in ("colour", "shape") else scene, name)
        if old == getattr(change, name):
            raise ValueError(f"the {name} already is '{old}': nothing would change")
    return target


def describe_edit(scene: Scene, edit_id: str, change: Change) -> Edit:
    """Target prompt and changing words of an edit, without rendering its oracle."""
    prompt = caption(change_scene(scene, change))
    return Edit(edit_id, change.kind, prompt, changed_words(caption(scene), prompt))


def render_edit(scene: Scene, edit_id: str, change: Change) -> Edit:
    """The edit with its oracle: the changed scene, truly rendered, and its objects' masks."""
    target = change_scene(scene, change)
    return replace(
        describe_edit(scene, edit_id, change),
        oracle=render_frames(target),
        oracle_masks=render_truth(target).masks,
    )
