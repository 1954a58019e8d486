"""What the loaders of other benchmarks' files share: clips of files, some with masks."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path

import numpy as np
from PIL import Image

from data.clip import Clip
from data.digest import json_digest
from data.errors import Missing, UserError
from data.footage import FileEntry, FileManifest, FileSource
from data.recipe import Recipe
from data.source import Outline, Source

ID = r"[A-Za-z0-9][A-Za-z0-9._-]*"  # of clips: they become file names


class ImportedSource(FileSource):
    """Clips that a benchmark's own file describes; errors name the place in that file."""

    def __init__(self, name: str, manifest: Path) -> None:
        Source.__init__(self, name, manifest)
        self._places: dict[str, str] = {}
        clips = self.read()
        self._entries = FileManifest.model_construct(loader="files", title=name, clips=clips)

    @abstractmethod
    def read(self) -> dict[str, FileEntry]:
        """Every clip, its place noted by :meth:`note`; all problems in one UserError."""

    def note(self, clip_id: str, path: Path, line: int) -> None:
        """Remember where a clip is described."""
        self._places[clip_id] = f"{path}:{line}"

    def masks(self, clip_id: str, frames: int) -> np.ndarray | None:
        """(K, N, H, W) bool of a clip as it is cut; None where the benchmark has none."""
        return None

    def mask_digest(self, clip_id: str) -> str:
        """Digest of what masks are made from; empty where there are none."""
        return ""

    def outline(self, clip_id: str) -> Outline:
        found, masks = super().outline(clip_id), self.mask_digest(clip_id)
        return replace(found, entry=json_digest([found.entry, masks])) if masks else found

    def build(self, clip_id: str) -> Clip:
        clip = super().build(clip_id)
        try:
            return replace(clip, masks=self.masks(clip_id, len(clip.frames)))
        except (UserError, ValueError) as error:
            raise self._at(clip_id, "masks", error) from None

    def _at(self, clip_id: str, key: str, error: Exception) -> UserError:
        kind = Missing if isinstance(error, Missing) else UserError
        return kind(f"{self._places[clip_id]}: clip '{clip_id}': {error}")


def below(base: Path, name: str) -> str:
    """A path that a benchmark's file gives, below its folder. Raises ValueError for one outside."""
    path = Path(name)
    if path.is_absolute() or ".." in path.parts or not path.parts:
        raise ValueError(f"the path '{name}' leads out of {base}")
    return str(base / path)


def cut_mask(recipe: Recipe, mask: np.ndarray) -> np.ndarray:
    """An (H, W) bool mask as a recipe cuts its frame, the nearest pixel's value kept."""
    height, width = recipe.height_width
    image = Image.fromarray(mask.astype(np.uint8)).crop(recipe.box(*mask.shape))
    return np.asarray(image.resize((width, height), Image.Resampling.NEAREST)) > 0


def together(problems: list[str], entries: Mapping[str, FileEntry], path: Path) -> None:
    """Raise UserError for problems found, or where nothing was."""
    if problems:
        raise UserError("\n".join(problems))
    if not entries:
        raise UserError(f"{path}: it describes no clip.")
