"""The loader of LOVEU-TGVE-2023's sheet (Wu et al. 2023): a caption and four edits of each video.

The manifest names ``LOVEU-TGVE-2023_Dataset.csv`` as it is published. A line such as "DAVIS
Videos:" opens a part, whose videos lie in ``DAVIS_480p``, ``youtube_480p`` or ``videvo_480p``
beside the sheet: as frames in ``480p_frames/<video>/``, or as ``480p_videos/<video>.mp4``.
"""

from __future__ import annotations

import csv
import re
from pathlib import Path

from pydantic import Field

from data.errors import Missing, UserError, nearest
from data.footage import EditEntry, FileEntry
from data.imported import ID, ImportedSource, together
from data.locate import Where
from data.manifest import Strict, read_manifest
from data.recipe import Recipe

NAME, CAPTION = "Video name", "Our GT caption"
EDITS = {  # column: (edit, its kind)
    "Style Change Caption": ("style", "style"),
    "Object Change Caption": ("object", "object"),
    "Background Change Caption": ("background", "ground"),
    "Multiple Changes Caption": ("multiple", "multiple"),
}
PARTS = {"davis": "DAVIS_480p", "youtube": "youtube_480p", "videvo": "videvo_480p"}


class LoveuManifest(Strict):
    """A YAML file that says where the sheet is and how its videos are cut."""

    loader: str
    title: str
    sheet: str = Field(description="the CSV, relative to the manifest; videos lie beside it")
    licence: str = ""
    frame_rate: float = Field(default=8.0, gt=0)
    recipe: Recipe = Recipe(crop="none", size=480)  # as the benchmark's own evaluation


class LoveuSource(ImportedSource):
    """The sheet's videos."""

    def read(self) -> dict[str, FileEntry]:
        manifest = read_manifest(self.manifest, LoveuManifest)
        path = self.manifest.parent / manifest.sheet
        if not path.is_file():
            raise Missing(f"{path}: no such file; {self.manifest} says it is LOVEU-TGVE's sheet.")
        entries: dict[str, FileEntry] = {}
        problems: list[str] = []
        part = ""
        with path.open(encoding="utf-8-sig", newline="") as stream:
            rows = csv.DictReader(stream)
            _check_columns(path, rows.fieldnames or [])
            for row in rows:
                name, line = (row[NAME] or "").strip(), rows.line_num
                if not name:
                    continue
                if name.endswith("Videos:"):
                    part = PARTS.get(name.split()[0].lower(), "")
                    if not part:
                        problems.append(f"{path}:{line}: '{name}' is none of its parts: DAVIS, "
                                        "Youtube or Videvo Videos.")  # fmt: skip
                    continue
                found = _problems(row, name, part, name in entries)
                problems += [f"{path}:{line}: {problem}" for problem in found]
                if not found:
                    entries[name] = self._entry(row, path.parent / part, manifest)
                    self.note(name, path, line)
        together(problems, entries, path)
        return entries

    def _entry(self, row: dict[str, str], folder: Path, manifest: LoveuManifest) -> FileEntry:
        name = row[NAME].strip()
        frames, video = folder / "480p_frames" / name, folder / "480p_videos" / f"{name}.mp4"
        source = frames if frames.is_dir() or not video.is_file() else video
        return FileEntry(
            source=Where(path=str(source.relative_to(self.manifest.parent))),
            licence=manifest.licence,
            attribution="LOVEU-TGVE-2023",
            prompt=row[CAPTION].strip(),
            frame_rate=manifest.frame_rate,
            recipe=manifest.recipe,
            edits={
                edit: EditEntry(kind=kind, prompt=row[column].strip())
                for column, (edit, kind) in EDITS.items()
            },
        )


def _check_columns(path: Path, given: list[str]) -> None:
    absent = [column for column in (NAME, CAPTION, *EDITS) if column not in given]
    told = [f"no column '{column}'.{nearest(column, given)}" for column in absent]
    if told:
        raise UserError("\n".join(f"{path}:1: {text}" for text in told))


def _problems(row: dict[str, str], name: str, part: str, again: bool) -> list[str]:
    """What is wrong with a line of the sheet."""
    told = [] if part else ["a video before the first part ('DAVIS Videos:' or another)."]
    if not re.fullmatch(ID, name):
        told.append(f"{NAME}: '{name}' cannot name a file; letters, digits, - _ and . can.")
    if again:
        told.append(f"{NAME}: '{name}' stands here a second time.")
    blank = [column for column in (CAPTION, *EDITS) if not (row[column] or "").strip()]
    return told + [f"video '{name}': '{column}' is empty." for column in blank]
