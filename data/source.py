"""What a dataset's loader must give: cheap outlines of its clips, and the clips themselves."""

from __future__ import annotations

from abc import ABC, abstractmethod
from dataclasses import dataclass, field
from pathlib import Path

from data.clip import Clip, Region
from data.errors import UserError


@dataclass(frozen=True)
class EditSummary:
    """An edit without its frames."""

    kind: str
    prompt: str
    words: tuple[tuple[str, str], ...]
    has_oracle: bool
    layout: tuple[Region, ...] = ()
    audio: str = ""  # digest of what is to be spoken; empty until the clip or its lock is read
    instruction: str = ""  # what is to be done; empty where the prompt says what is to be seen


@dataclass(frozen=True)
class Outline:
    """What a manifest alone says of a clip: no frame is rendered or decoded for it."""

    prompt: str
    entry: str  # digest of everything in the manifest (and in source files) that makes the clip
    edits: dict[str, EditSummary] = field(default_factory=dict)


@dataclass(frozen=True)
class Promise:
    """What a manifest says of a clip whose source is not here."""

    shape: tuple[int, int, int]  # frames, height, width
    prompt: str
    edits: dict[str, EditSummary]


class Source(ABC):
    """Builds the clips of one manifest. Construction reads and validates the manifest only."""

    def __init__(self, name: str, manifest: Path) -> None:
        self.name, self.manifest = name, manifest

    @property
    @abstractmethod
    def clip_ids(self) -> tuple[str, ...]:
        """Clip names in the manifest's order."""

    @abstractmethod
    def outline(self, clip_id: str) -> Outline:
        """Prompt, edits and entry digest of a clip."""

    def promise(self, clip_id: str) -> Promise:
        """What the manifest alone says of a clip; UserError where that is too little to plan."""
        raise UserError(f"{self.manifest}: says too little of clip '{clip_id}' to plan without it.")

    @abstractmethod
    def verify(self, clip_id: str) -> None:
        """Raise UserError where a clip's source files are missing or not the expected ones."""

    @abstractmethod
    def build(self, clip_id: str) -> Clip:
        """Render or decode a clip with its truth and all its edits."""
