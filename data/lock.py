"""The committed lock of a dataset: digests of the bytes its manifest must yield.

With it a clip can be named by content without being rendered, and a renderer, decoder or source
file that yields other bytes than those everybody else scored is noticed.
"""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass, field
from pathlib import Path

from data.clip import Clip
from data.digest import frames_digest
from data.errors import UserError
from data.files import write_text
from data.speech import audio_of


@dataclass(frozen=True)
class Locked:
    """What is known of one clip's bytes."""

    entry: str  # digest of the manifest entry the rest was computed from
    shape: tuple[int, int, int]  # frames, height, width
    frames: str  # digest of the source frames
    oracles: dict[str, str]  # edit id: digest of its oracle frames
    sounds: dict[str, str] = field(default_factory=dict)  # edit id: digest of its audio


def lock_clip(entry: str, clip: Clip) -> Locked:
    """The lock of a clip that has been built."""
    n, height, width, _ = clip.frames.shape
    oracles = {
        name: frames_digest(edit.oracle)
        for name, edit in clip.edits.items()
        if edit.oracle is not None
    }
    sounds = {name: audio.digest for name, edit in clip.edits.items() if (audio := audio_of(edit))}
    return Locked(entry, (n, height, width), frames_digest(clip.frames), oracles, sounds)


def read_lock(path: Path) -> dict[str, Locked]:
    """Clip id: its lock. Empty where there is no lock file."""
    if not path.exists():
        return {}
    try:
        clips = json.loads(path.read_text(encoding="utf-8"))["clips"]
        return {
            name: Locked(
                item["entry"],
                tuple(item["shape"]),
                item["frames"],
                item["oracles"],
                item.get("sounds", {}),
            )
            for name, item in clips.items()
        }
    except (ValueError, KeyError, TypeError):
        raise UserError(
            f"{path}: not a lock file; delete it and run `python -m data prepare`."
        ) from None


def write_lock(path: Path, locks: dict[str, Locked]) -> None:
    """Write the lock of a whole dataset, atomically."""
    clips = {
        name: {key: value for key, value in asdict(lock).items() if key != "sounds" or value}
        for name, lock in locks.items()
    }
    write_text(path, json.dumps({"clips": clips}, indent=1) + "\n")


def check_lock(path: Path, clip_id: str, expected: Locked | None, found: Locked) -> None:
    """Raise UserError when a clip's bytes are not those locked for the same manifest entry."""
    if expected is None or expected.entry != found.entry or expected == found:
        return
    wrong = ["source frames"] if expected.frames != found.frames else []
    names = sorted(expected.oracles.keys() | found.oracles.keys())
    differing = [n for n in names if expected.oracles.get(n) != found.oracles.get(n)]
    wrong += [f"oracle of '{name}'" for name in differing]
    wrong += ["sound"] if expected.sounds != found.sounds else []
    raise UserError(
        f"{path}: clip '{clip_id}' no longer has the locked bytes ({', '.join(wrong)}), although "
        "its manifest entry is unchanged. Scores would not compare with earlier ones. Restore the "
        "renderer or decoder it was made with, or accept the new bytes with "
        "`python -m data prepare <dataset> --relock`."
    )
