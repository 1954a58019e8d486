"""What is run: requests (rows of a table) and the cells they come down to.

A cell's id is a digest of all that can change its frames and of nothing else, so several requests
may be one cell: a method without randomness gives the same frames for every seed.
"""

from __future__ import annotations

from dataclasses import asdict, dataclass
from functools import cached_property
from typing import Any

from experiments.atomic import digest
from methods.base import InversionSpec, Method, Setting

# Raise it when the engine itself (not a method) comes to give other frames for the same request.
ENGINE = 1


@dataclass(frozen=True)
class ClipRef:
    """A clip of a dataset, cut to its first ``frames`` frames."""

    dataset: str
    clip: str
    frames: int
    digest: str
    prompt: str


@dataclass(frozen=True)
class EditRef:
    """An edit of a clip; ``digest`` digests all of it, its oracle too.

    ``asked`` digests the words, an instruction and what is to be spoken, which every method reads,
    and ``layout`` phrases and boxes: empty where there are none.
    """

    edit: str
    kind: str
    asked: str
    digest: str
    layout: str = ""
    instruction: bool = False  # whether there is one


@dataclass(frozen=True)
class BackboneRef:
    """A backbone by name and by the digest of its weights."""

    name: str
    digest: str


@dataclass(frozen=True, eq=False)
class Request:
    """One row of an experiment's table."""

    label: str
    method: Method
    setting: Setting
    setting_json: dict[str, Any]
    backbone: BackboneRef
    clip: ClipRef
    edit: EditRef | None
    seed: int
    dtype: str

    def identity(self, code: str) -> dict[str, Any]:
        """Everything that can change the frames; ``code`` digests the method's code."""
        requires = self.method.requires
        identity: dict[str, Any] = {
            "engine": ENGINE,
            "method": self.method.name,
            "code": code,
            "setting": self.setting_json,
            "clip": self.clip.digest,
            "frames": self.clip.frames,
        }
        if requires.backbone:
            identity |= {"backbone": self.backbone.digest, "dtype": self.dtype}
        if requires.edit and self.edit:
            identity["edit"] = self.edit.digest if requires.oracle else self.edit.asked
        if requires.layout and self.edit:
            identity["layout"] = self.edit.layout
        if self.method.stochastic:
            identity["seed"] = self.seed
        return identity


@dataclass(frozen=True, eq=False)
class Cell:
    """The smallest thing that is run: a request stripped of what does not matter to it."""

    identity: dict[str, Any]
    method: Method
    setting: Setting
    clip: ClipRef
    edit: str | None
    seed: int
    backbone: BackboneRef | None
    dtype: str

    @classmethod
    def of(cls, request: Request, code: str) -> Cell:
        """The cell behind a request."""
        requires = request.method.requires
        return cls(
            identity=request.identity(code),
            method=request.method,
            setting=request.setting,
            clip=request.clip,
            edit=request.edit.edit if requires.edit and request.edit else None,
            seed=request.seed if request.method.stochastic else 0,
            backbone=request.backbone if requires.backbone else None,
            dtype=request.dtype,
        )

    @cached_property
    def id(self) -> str:
        """16 hex digits."""
        return digest(self.identity)

    @cached_property
    def inversion(self) -> InversionSpec | None:
        """The inverted latents the cell starts from."""
        return self.method.inversion(self.setting, self.clip.prompt)

    def __str__(self) -> str:
        parts = [self.method.name, self.clip.clip, self.edit or "", f"seed {self.seed}"]
        return " ".join(part for part in parts if part)


def inversion_id(cell: Cell, code: str) -> str | None:
    """Digest of all that the cell's inverted latents depend on; ``code`` is the inverter's."""
    spec = cell.inversion
    if spec is None:
        return None
    parts = [spec.steps, list(spec.save), spec.prompt, cell.clip.digest, cell.clip.frames]
    if spec.inflation is not None:
        parts.append(asdict(spec.inflation))
    return digest([*parts, cell.backbone.digest if cell.backbone else "", cell.dtype, code])
