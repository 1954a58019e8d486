"""Feature extractors by name: found, digested and loaded once. Importing this loads no torch."""

from __future__ import annotations

import hashlib
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING

from data.errors import UserError

if TYPE_CHECKING:
    from metrics.world_clip import WorldClip

WORLD_CLIP = Path(__file__).resolve().parents[1] / "models" / "world-clip"
FILES = ("config.json", "model.safetensors", "tokenizer.json", "tokenizer_config.json")
SMALLEST = 32  # pixels; smaller frames vanish in the strides of the embedded CLIP


class MissingExtractor(UserError):
    """An extractor's weights are not on this machine; scores that need it stay undefined."""


def _missing(folder: Path) -> list[str]:
    return [name for name in FILES if not (folder / name).is_file()]


@cache
def world_clip(folder: Path = WORLD_CLIP) -> WorldClip:
    """The embedded CLIP, loaded once per process.

    Raises MissingExtractor where its files are absent.
    """
    absent = _missing(folder)
    if absent:
        raise MissingExtractor(
            f"the embedded CLIP is incomplete: {', '.join(absent)} not found in {folder}. It is "
            "part of the repository; restore it with git, or train it as models/ describes."
        )
    from metrics.world_clip import WorldClip

    return WorldClip(folder)


@cache
def world_clip_digest(folder: Path = WORLD_CLIP) -> str:
    """SHA-256 over the embedded CLIP's files; ``absent`` where they are not all there."""
    if _missing(folder):
        return "absent"
    digest = hashlib.sha256()
    for name in FILES:
        digest.update((folder / name).read_bytes())
    return digest.hexdigest()
