"""The keys of a portrait manifest and what they may be."""

from __future__ import annotations

from pydantic import Field, field_validator, model_validator

from data.errors import unknown
from data.locate import Where
from data.manifest import Strict
from data.portraits.face import CUTS, EYES, GROUNDS, HAIRS, SHIRTS, SKINS
from data.recipe import Recipe

VOCABULARY = {"skin": SKINS, "hair": HAIRS, "cut": CUTS, "eyes": EYES, "ground": GROUNDS}
BoxEntry = tuple[float, float, float, float]


class FaceEntry(Strict):
    """A face as a manifest writes it; lengths in pixels."""

    skin: str
    hair: str
    cut: str
    eyes: str
    ground: str
    shirt: int = Field(ge=0, lt=len(SHIRTS))
    half_width: float = Field(ge=12, le=22)
    half_height: float = Field(ge=16, le=26)
    x: float = Field(ge=24, le=40)
    y: float = Field(ge=24, le=36)
    brow: float = Field(gt=0, le=3)
    mouth: float = Field(ge=4, le=10)
    grain: int = Field(default=0, ge=0)

    @field_validator(*VOCABULARY)
    @classmethod
    def _known(cls, value: str, info) -> str:
        if value not in VOCABULARY[info.field_name]:
            raise ValueError(str(unknown(info.field_name, value, VOCABULARY[info.field_name])))
        return value


class FileEntry(Strict):
    """A file of somebody else's and its terms."""

    source: Where
    sha256: str = Field(pattern="^[0-9a-f]{64}$")
    licence: str
    attribution: str


class PhotoEntry(FileEntry):
    """A photo that is to speak, and where its face and lips are after the cut, in pixels."""

    prompt: str = Field(min_length=1)
    recipe: Recipe = Recipe()
    face: BoxEntry
    lips: BoxEntry


class RecordingEntry(FileEntry):
    """Recorded speech and what is said."""

    text: str


class VoiceEntry(Strict):
    """What is spoken: a synthetic voice by its seed, or a recording."""

    voice: int | None = Field(default=None, ge=0)
    recording: RecordingEntry | None = None

    @model_validator(mode="after")
    def _one(self) -> VoiceEntry:
        if (self.voice is None) == (self.recording is None):
            raise ValueError("give either `voice` (a seed) or `recording`")
        return self

    @property
    def text(self) -> str:
        """What is said, in words."""
        return self.recording.text if self.recording else f"speech-like sound, seed {self.voice}"


class PortraitEntry(Strict):
    """A face that moves and has a voice of its own, or a photo; and what it is to say."""

    face: FaceEntry | None = None
    motion: int = Field(default=0, ge=0, description="seed of sway, nod and blinks")
    voice: int | None = Field(default=None, ge=0, description="seed of the source's own speech")
    photo: PhotoEntry | None = None
    n_frames: int = Field(default=32, ge=1)
    edits: dict[str, VoiceEntry] = Field(default_factory=dict)

    @model_validator(mode="after")
    def _one(self) -> PortraitEntry:
        if (self.face is None) == (self.photo is None):
            raise ValueError("give either `face` or `photo`")
        if (self.face is None) != (self.voice is None):
            raise ValueError("a face needs a `voice`, and a photo has none")
        return self


class PortraitsManifest(Strict):
    """A portrait dataset's YAML file; 25 frames a second."""

    loader: str
    title: str
    licence: str
    attribution: str
    clips: dict[str, PortraitEntry] = Field(min_length=1)
