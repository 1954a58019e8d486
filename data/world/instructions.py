"""The loader of instruction datasets: world manifests whose edits are asked for by a sentence."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

from pydantic import Field, model_validator

from data.clip import Clip
from data.instructed import InstructedEdit
from data.manifest import read_manifest
from data.source import Outline, Source
from data.world.dataset import ClipEntry, WorldManifest, WorldSource
from data.world.edits import Change
from data.world.instruct import instruction


class AskedChange(Change):
    """A change and which phrasing of the grammar asks for it."""

    phrasing: int = Field(default=0, ge=0, le=1)


class InstructedEntry(ClipEntry):
    """A scene and what is asked of it."""

    edits: dict[str, AskedChange] = Field(min_length=1)

    @model_validator(mode="after")
    def _can_be_said(self) -> InstructedEntry:
        for edit_id in self.edits:
            try:
                self.instruction(edit_id)
            except ValueError as error:
                raise ValueError(f"edit '{edit_id}': {error}") from None
        return self

    def instruction(self, edit_id: str) -> str:
        """The sentence that asks for an edit."""
        change = self.edits[edit_id]
        return instruction(self.scene.scene(), change, change.phrasing)


class InstructionsManifest(WorldManifest):
    """An instruction dataset's YAML file."""

    clips: dict[str, InstructedEntry] = Field(min_length=1)


class InstructionSource(WorldSource):
    """Clips rendered from scenes, and edits with their instructions."""

    def __init__(self, name: str, manifest: Path) -> None:
        Source.__init__(self, name, manifest)
        self._entries = read_manifest(manifest, InstructionsManifest)

    def outline(self, clip_id: str) -> Outline:
        outline, entry = super().outline(clip_id), self._entries.clips[clip_id]
        edits = {
            name: replace(edit, instruction=entry.instruction(name))
            for name, edit in outline.edits.items()
        }
        return replace(outline, edits=edits)

    def build(self, clip_id: str) -> Clip:
        clip, entry = super().build(clip_id), self._entries.clips[clip_id]
        edits = {
            name: InstructedEdit(**vars(edit), instruction=entry.instruction(name))
            for name, edit in clip.edits.items()
        }
        return replace(clip, edits=edits)
