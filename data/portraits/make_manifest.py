"""Write ``data/portraits.yaml``: held-out faces and voices, and a photo that is to speak.

``python -m data.portraits.make_manifest``
"""

from __future__ import annotations

from dataclasses import asdict
from pathlib import Path

import numpy as np
import yaml

from data.portraits.sample import draw_face

MANIFEST = Path(__file__).parent.parent / "portraits.yaml"
SEED, FACES, FIRST_VOICE = 25, 12, 9_000_000  # training draws no voice from such a seed
HEADER = """\
# Held-out faces of the portrait world, each with a voice of its own and another's to speak with;
# and a photo and a face that speak a recording. Lengths in pixels; `motion` and
# `voice` are seeds. Written by `python -m data.portraits.make_manifest`.
"""
RECORDING = {
    "recording": {
        "source": {"path": "recordings/austen-0880.wav"},
        "sha256": "fbec491ef00ee734a67f0ee318e98c51c157b479e1629ff4f4426861ecac0414",
        "licence": "recording in the public domain, cut under BSD-2-Clause",
        "attribution": "Sense and Sensibility read for LibriVox, as cut for pocketsphinx-testdata",
        "text": "he was not an ill disposed young man",
    }
}
PHOTO = {
    "source": {"package": "scikit-image", "file": "skimage/data/astronaut.png"},
    "sha256": "88431cd9653ccd539741b555fb0a46b61558b301d4110412b5bc28b5e3ea6cb5",
    "licence": "public domain",
    "attribution": "Eileen Collins, NASA",
    "prompt": "a photo of a woman in an orange suit",
    "recipe": {"crop": [132, 27, 316, 211], "size": 64},
    "face": [17, 16, 48, 53],
    "lips": [25, 38, 39, 45],
}


def make_manifest() -> dict:
    """The whole manifest as plain data."""
    clips: dict[str, dict] = {}
    for index in range(FACES):
        rng = np.random.default_rng([SEED, index])
        face = draw_face(rng, unseen=True)
        while f"{face.skin}-{face.hair}-{face.ground}" in clips:
            face = draw_face(rng, unseen=True)
        clips[f"{face.skin}-{face.hair}-{face.ground}"] = {
            "face": asdict(face),
            "motion": FIRST_VOICE + index,
            "voice": FIRST_VOICE + 2 * index,
            "n_frames": 32,
            "edits": {
                "own": {"voice": FIRST_VOICE + 2 * index},
                "other": {"voice": FIRST_VOICE + 2 * index + 1},
            },
        }
    reader = next(iter(clips.values())) | {"n_frames": 75, "edits": {"reading": RECORDING}}
    clips["reader"] = reader
    clips["astronaut"] = {"photo": PHOTO, "n_frames": 75, "edits": {"reading": RECORDING}}
    return {
        "loader": "portraits",
        "title": "Held-out faces that speak, with oracle videos; real speech, and a photo",
        "licence": "CC0-1.0",
        "attribution": "Crossframe",
        "clips": clips,
    }


class _Dumper(yaml.SafeDumper):
    """Repeated parts are written out, not referred to."""

    def ignore_aliases(self, data: object) -> bool:
        return True


def main() -> None:
    """Write the manifest."""
    text = yaml.dump(make_manifest(), Dumper=_Dumper, sort_keys=False, width=100,
                     default_flow_style=None)  # fmt: skip
    MANIFEST.write_text(HEADER + text, encoding="utf-8")
    print(f"{MANIFEST}: {FACES + 2} clips")


if __name__ == "__main__":
    main()
