"""The loader of file manifests: real video, folders of frames and photos, cut by a recipe."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from pydantic import Field, field_validator

from data.clip import Clip, Edit
from data.digest import json_digest
from data.errors import Missing, UserError, unknown
from data.locate import Where, is_image, source_digest
from data.manifest import Strict, load_yaml, read_manifest
from data.recipe import Recipe
from data.source import EditSummary, Outline, Promise, Source
from data.words import changed_words

KINDS = ("colour", "shape", "object", "ground", "style", "motion")
KINDS += ("add", "remove", "content", "pose", "material", "multiple", "random")  # benchmarks' own


class EditEntry(Strict):
    """A target prompt; the words that change follow from it where they are not given."""

    kind: str
    prompt: str = Field(min_length=1)
    words: tuple[tuple[str, str], ...] | None = None

    @field_validator("kind")
    @classmethod
    def _kinds(cls, value: str) -> str:
        for part in value.split("+"):
            if part not in KINDS:
                raise ValueError(str(unknown("kind of edit", part, KINDS)))
        return value


class FileEntry(Strict):
    """A source, its terms, the cut, and what is asked of it."""

    source: Where
    sha256: str | None = Field(default=None, pattern="^[0-9a-f]{64}$")
    licence: str = ""
    attribution: str = ""
    prompt: str = Field(min_length=1)
    frame_rate: float = Field(default=8.0, gt=0, description="of images; a video says its own")
    recipe: Recipe = Recipe()
    edits: dict[str, EditEntry] = Field(default_factory=dict)


class FileManifest(Strict):
    """A file dataset's YAML."""

    loader: str
    title: str
    clips: dict[str, FileEntry] = Field(min_length=1)


class FileSource(Source):
    """Clips cut from files."""

    def __init__(self, name: str, manifest: Path) -> None:
        super().__init__(name, manifest)
        self._entries = read_manifest(manifest, FileManifest)

    @property
    def clip_ids(self) -> tuple[str, ...]:
        return tuple(self._entries.clips)

    def _at(self, clip_id: str, key: str, error: Exception) -> UserError:
        """The error with the manifest line that led to it."""
        _, lines = load_yaml(self.manifest)
        line = lines.get(("clips", clip_id, key), lines.get(("clips", clip_id), 1))
        kind = Missing if isinstance(error, Missing) else UserError
        return kind(f"{self.manifest}:{line}: clip '{clip_id}': {error}")

    def _files(self, clip_id: str) -> list[Path]:
        try:
            return self._entries.clips[clip_id].source.files(self.manifest.parent)
        except UserError as error:
            raise self._at(clip_id, "source", error) from None

    def verify(self, clip_id: str) -> None:
        """Raise UserError if the source is missing or is not the file the manifest names."""
        files, expected = self._files(clip_id), self._entries.clips[clip_id].sha256
        found = source_digest(files)
        if expected is not None and found != expected:
            problem = UserError(
                f"{files[0]}: SHA-256 is {found}, {expected} expected: another version of the "
                "file. Fetch the right one, or correct the manifest if the new one is meant."
            )
            raise self._at(clip_id, "sha256", problem)

    def outline(self, clip_id: str) -> Outline:
        entry = self._entries.clips[clip_id]
        digest = entry.sha256 or source_digest(self._files(clip_id))
        recorded = entry.model_dump(mode="json", exclude={"source", "sha256"})
        entry_digest = json_digest(recorded | {"sha256": digest})
        return Outline(entry.prompt, entry_digest, self._edits(clip_id))

    def promise(self, clip_id: str) -> Promise:
        """Raises UserError unless the recipe counts its frames: ``stop``, and steps, not fps."""
        entry = self._entries.clips[clip_id]
        if entry.recipe.stop is None or entry.recipe.fps is not None:
            problem = UserError("its length is known only with the source: `stop` is open")
            raise self._at(clip_id, "recipe", problem)
        n_frames = len(list(entry.recipe.indices(entry.frame_rate)))
        shape = (n_frames, *entry.recipe.height_width)
        return Promise(shape, entry.prompt, self._edits(clip_id))

    def _edits(self, clip_id: str) -> dict[str, EditSummary]:
        entry = self._entries.clips[clip_id]
        edits = {}
        for name, edit in entry.edits.items():
            words = edit.words
            if words is None:
                words = changed_words(entry.prompt, edit.prompt)
            edits[name] = EditSummary(edit.kind, edit.prompt, words, False)
        return edits

    def build(self, clip_id: str) -> Clip:
        self.verify(clip_id)
        entry, files = self._entries.clips[clip_id], self._files(clip_id)
        try:
            frames, fps = cut(files, entry.recipe, entry.frame_rate)
        except (UserError, ValueError) as error:
            raise self._at(clip_id, "recipe", error) from None
        return Clip(
            clip_id,
            self.name,
            frames,
            entry.prompt,
            fps,
            edits={
                name: Edit(name, edit.kind, edit.prompt, edit.words)
                for name, edit in self.outline(clip_id).edits.items()
            },
            attribution=", ".join(part for part in (entry.attribution, entry.licence) if part),
        )


def cut(files: list[Path], recipe: Recipe, frame_rate: float = 8.0) -> tuple[np.ndarray, float]:
    """(N, H, W, 3) uint8 frames and frames per second of a source cut by a recipe.

    ``files`` is one video or image, or several images in order. Raises UserError where fewer
    frames come than the recipe asks for, and ValueError where the crop does not fit.
    """
    # The decoders load only here: planning an experiment reads manifests and needs none of them.
    from data.decode import ImageReader, VideoReader

    reader = ImageReader(files, frame_rate) if is_image(files[0]) else VideoReader(files[0])
    frames = [recipe.apply(f) for f in reader.frames(recipe.indices(reader.fps))]
    asked = None if recipe.stop is None else len(list(recipe.indices(reader.fps)))
    if not frames or (asked is not None and len(frames) < asked):
        held = len(reader) if isinstance(reader, ImageReader) else reader.decoded
        wanted = "at least one frame" if asked is None else f"{asked} frames up to {recipe.stop}"
        raise UserError(
            f"{files[0]}: {held} frames in the source, {len(frames)} of them in the cut; the "
            f"recipe asks for {wanted} from frame {recipe.start}. The file is truncated, or the "
            "recipe's `start` and `stop` are wrong."
        )
    return np.stack(frames), recipe.rate(reader.fps)
