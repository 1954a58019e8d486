"""The loader of portrait manifests: faces or photos, and voices for them to speak with."""

from __future__ import annotations

from functools import cached_property
from pathlib import Path

import numpy as np

from data.digest import json_digest, sha256_file
from data.errors import UserError
from data.footage import cut
from data.manifest import load_yaml, read_manifest
from data.portraits.entries import FileEntry, PortraitEntry, PortraitsManifest, VoiceEntry
from data.portraits.face import Face
from data.portraits.loudness import FPS, levelled, opening
from data.portraits.render import render_frames, render_truth
from data.portraits.sample import draw_motion
from data.portraits.voice import speak
from data.source import EditSummary, Outline, Source
from data.speech import Audio, SpokenEdit, TalkingClip

SPEECH = "speech"  # the kind of every edit


class PortraitSource(Source):
    """Talking faces. Every edit is speech; where the face is rendered its oracle is too."""

    def __init__(self, name: str, manifest: Path) -> None:
        super().__init__(name, manifest)
        self._manifest = read_manifest(manifest, PortraitsManifest)

    @property
    def clip_ids(self) -> tuple[str, ...]:
        return tuple(self._manifest.clips)

    @cached_property
    def _lines(self) -> dict:
        return load_yaml(self.manifest)[1]

    def outline(self, clip_id: str) -> Outline:
        entry = self._manifest.clips[clip_id]
        prompt = Face(**entry.face.model_dump()).description if entry.face else entry.photo.prompt
        edits = {
            name: EditSummary(SPEECH, said.text, (), entry.face is not None)
            for name, said in entry.edits.items()
        }
        # Where files lie is nothing of a clip; their digests say what they are.
        recorded = entry.model_dump(mode="json")
        for part in (recorded["photo"], *(e["recording"] for e in recorded["edits"].values())):
            if part:
                del part["source"]
        return Outline(prompt, json_digest(recorded), edits)

    def _files(self, clip_id: str) -> list[tuple[FileEntry, tuple]]:
        """Every file of a clip, and its place in the manifest."""
        entry, at = self._manifest.clips[clip_id], ("clips", clip_id)
        found = [(entry.photo, (*at, "photo"))] if entry.photo else []
        spoken = [
            (e.recording, (*at, "edits", name, "recording")) for name, e in entry.edits.items()
        ]
        return found + [(recording, place) for recording, place in spoken if recording]

    def verify(self, clip_id: str) -> None:
        """Raise UserError where a photo or recording is missing or another than the manifest's."""
        for file, at in self._files(clip_id):
            try:
                path = self._path(file)
                found = sha256_file(path)
            except UserError as error:
                raise type(error)(f"{self._where(at)}: clip '{clip_id}': {error}") from None
            if found != file.sha256:
                raise UserError(
                    f"{self._where(at)}: clip '{clip_id}': {path}: SHA-256 is {found}, "
                    f"{file.sha256} expected: another version of the file. Fetch the right one, or "
                    "correct the manifest if the new one is meant."
                )

    def _where(self, at: tuple) -> str:
        return f"{self.manifest}:{self._lines.get(at, 1)}"

    def _path(self, file: FileEntry) -> Path:
        (path,) = file.source.files(self.manifest.parent)
        return path

    def _audio(self, said: VoiceEntry, n_frames: int) -> Audio:
        if said.voice is not None:
            return synthetic(said.voice, n_frames)
        from data.sound import read_audio  # decoders load only where they are needed

        audio = read_audio(self._path(said.recording))
        return levelled(audio.samples, audio.rate).first(n_frames, FPS)

    def build(self, clip_id: str) -> TalkingClip:
        self.verify(clip_id)
        entry, outline = self._manifest.clips[clip_id], self.outline(clip_id)
        sounds = {name: self._audio(e, entry.n_frames) for name, e in entry.edits.items()}
        clip = self._face(entry, sounds) if entry.face else self._photo(entry, sounds)
        terms = [(self._manifest.attribution, self._manifest.licence)] if entry.face else []
        terms += [(file.attribution, file.licence) for file, _ in self._files(clip_id)]
        known = {
            "id": clip_id,
            "dataset": self.name,
            "prompt": outline.prompt,
            "fps": FPS,
            "attribution": "; ".join(", ".join(part) for part in dict.fromkeys(terms)),
        }
        edits = {
            name: SpokenEdit(
                name, SPEECH, outline.edits[name].prompt, audio=sounds[name], **clip["said"][name]
            )
            for name in entry.edits
        }
        return TalkingClip(**known, edits=edits, **clip["own"])

    def _face(self, entry: PortraitEntry, sounds: dict[str, Audio]) -> dict[str, dict]:
        face, n = Face(**entry.face.model_dump()), entry.n_frames
        motion = draw_motion(np.random.default_rng(entry.motion), n)
        own = synthetic(entry.voice, n)
        opened = opening(own, n)
        truth = render_truth(face, motion, opened)
        said = {}
        for name, audio in sounds.items():
            target = opening(audio, n)
            said[name] = {
                "opening": target,
                "oracle": render_frames(face, motion, target),
                "oracle_masks": render_truth(face, motion, target).masks,
            }
        source = {
            "frames": render_frames(face, motion, opened),
            "masks": truth.masks,
            "boxes": truth.boxes,
            "landmarks": truth.landmarks,
            "audio": own,
            "opening": opened,
        }
        return {"own": source, "said": said}

    def _photo(self, entry: PortraitEntry, sounds: dict[str, Audio]) -> dict[str, dict]:
        frames, _ = cut([self._path(entry.photo)], entry.photo.recipe)
        n = entry.n_frames
        boxes = np.array([entry.photo.face, entry.photo.lips])
        masks = np.stack([_filled(box, frames.shape[1:3]) for box in boxes])
        source = {
            "frames": np.repeat(frames[:1], n, axis=0),
            "masks": np.repeat(masks[:, None], n, axis=1),
            "boxes": np.repeat(boxes[:, None], n, axis=1),
        }
        return {"own": source, "said": {name: {} for name in sounds}}


def synthetic(seed: int, n_frames: int) -> Audio:
    """The synthetic voice of a seed, as long as so many frames."""
    return speak(np.random.default_rng(seed), n_frames / FPS)


def _filled(box: np.ndarray, shape: tuple[int, int]) -> np.ndarray:
    """(H, W) bool: pixels whose middle lies in a box."""
    x0, y0, x1, y1 = box
    y, x = (np.arange(side) + 0.5 for side in shape)
    return ((y > y0) & (y < y1))[:, None] & (x > x0) & (x < x1)
