"""The loader of a DAVIS folder (Pont-Tuset et al. 2017): frames, and the masks of its objects.

The manifest names the folder that holds ``JPEGImages/480p/<clip>/`` and, of the same names,
``Annotations/480p``, and gives each clip a prompt and edits, which DAVIS has not.
An annotation is a PNG with a palette: its index is the object's number, 0 the ground, 255 what is
not to be judged.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np
from PIL import Image
from pydantic import Field

from data.digest import json_digest, sha256_file
from data.errors import Missing, UserError, unknown
from data.footage import EditEntry, FileEntry
from data.imported import ImportedSource, cut_mask, together
from data.locate import Where
from data.manifest import Strict, load_yaml, read_manifest
from data.recipe import Recipe

VOID = 255  # index of what is not to be judged


class DavisEntry(Strict):
    """What a manifest says of a clip."""

    prompt: str = Field(min_length=1)
    edits: dict[str, EditEntry] = {}
    recipe: Recipe | None = Field(None, description="default: the manifest's")


class DavisManifest(Strict):
    """A YAML file that says where the folder is and what is asked of its clips."""

    loader: str
    title: str
    folder: str = Field(description="DAVIS's root, relative to the manifest")
    resolution: str = Field("480p", pattern=r"^[A-Za-z0-9-]+$")
    recipe: Recipe = Recipe(crop="square", size=512)
    clips: dict[str, DavisEntry] = Field(min_length=1)


class DavisSource(ImportedSource):
    """A DAVIS folder's clips, with masks where they are annotated."""

    def read(self) -> dict[str, FileEntry]:
        manifest = read_manifest(self.manifest, DavisManifest)
        root = self.manifest.parent / manifest.folder
        frames = root / "JPEGImages" / manifest.resolution
        self._annotations = root / "Annotations" / manifest.resolution
        _, lines = load_yaml(self.manifest)
        if not frames.is_dir():
            at = f"{self.manifest}:{lines['folder',]}"
            raise Missing(f"{at}: {frames} is no folder; unpack DAVIS there.")
        known = sorted(path.name for path in frames.iterdir() if path.is_dir())
        entries: dict[str, FileEntry] = {}
        problems: list[str] = []
        for name, clip in manifest.clips.items():
            line = lines["clips", name]
            if name not in known:
                problems.append(f"{self.manifest}:{line}: {unknown('clip of DAVIS', name, known)}")
                continue
            self.note(name, self.manifest, line)
            place = (frames / name).relative_to(self.manifest.parent)
            entries[name] = FileEntry(
                source=Where(path=str(place)),
                attribution="DAVIS, Pont-Tuset et al. 2017",
                prompt=clip.prompt,
                recipe=clip.recipe or manifest.recipe,
                edits=clip.edits,
            )
        together(problems, entries, self.manifest)
        return entries

    def _annotated(self, clip_id: str) -> list[Path]:
        return sorted((self._annotations / clip_id).glob("*.png"))

    def mask_digest(self, clip_id: str) -> str:
        paths = self._annotated(clip_id)
        return json_digest([sha256_file(path) for path in paths]) if paths else ""

    def masks(self, clip_id: str, frames: int) -> np.ndarray | None:
        paths = self._annotated(clip_id)
        if not paths:
            return None
        recipe = self._entries.clips[clip_id].recipe
        rate = self._entries.clips[clip_id].frame_rate
        wanted = [at for at, _ in zip(recipe.indices(rate), range(frames), strict=False)]
        if wanted[-1] >= len(paths):
            raise UserError(f"{len(paths)} annotations in {paths[0].parent}, frame {wanted[-1]} "
                            "of the cut has none.")  # fmt: skip
        indices = [_read(paths[at]) for at in wanted]
        objects = sorted({int(i) for picture in indices for i in np.unique(picture)} - {0, VOID})
        if not objects:
            return None
        cut = [[cut_mask(recipe, picture == one) for picture in indices] for one in objects]
        return np.array(cut)


def _read(path: Path) -> np.ndarray:
    """(H, W) indices of an annotation."""
    with Image.open(path) as picture:
        if picture.mode not in ("P", "L"):
            raise UserError(f"{path}: {picture.mode} pixels; a PNG with a palette is expected.")
        return np.asarray(picture)
