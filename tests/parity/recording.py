"""Recordings: a manifest in JSON, the tensors it describes, and which of them have been used."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import load_file
from torch import Tensor


class CannotRun(Exception):
    """A recording, or a case of it, that cannot be run here; the message says why."""


class Tensors(Mapping[str, Tensor]):
    """Tensors by name that remember which of them were read."""

    def __init__(self, values: dict[str, Tensor]) -> None:
        self._values = values
        self.read: set[str] = set()

    def __getitem__(self, name: str) -> Tensor:
        if name not in self._values:
            raise CannotRun(f"the recording has no tensor '{name}'")
        self.read.add(name)
        return self._values[name]

    def __iter__(self) -> Iterator[str]:
        return iter(self._values)

    def __len__(self) -> int:
        return len(self._values)

    def __contains__(self, name: object) -> bool:
        return name in self._values


@dataclass(frozen=True)
class Recording:
    """One manifest and its tensors; tensors are read from disk on first use.

    ``dtype`` is what networks are to compute in: float32, as the originals did, or float64.
    """

    path: Path
    manifest: dict[str, Any]
    dtype: torch.dtype = torch.float32

    def in_float64(self) -> Recording:
        """The same, to be computed without float32's rounding."""
        return replace(self, dtype=torch.float64)

    @property
    def name(self) -> str:
        """``family/set/case``, from where the manifest lies."""
        return "/".join((*self.path.parts[-3:-1], self.path.stem))

    @cached_property
    def repositories(self) -> set[str]:
        """Repositories of the original code, as the manifest names them."""
        original = self.manifest.get("original")
        parts = original if isinstance(original, list) else []
        named = [self.manifest.get("repo"), *(part.get("repo") for part in parts)]
        return {name.removeprefix("github.com/") for name in named if name}

    @cached_property
    def tensors(self) -> Tensors:
        """All tensors; :class:`CannotRun` if their file is absent or not the recorded one."""
        path = self.path.with_name(self.manifest["file"])
        if not path.is_file():
            raise CannotRun(f"{path} is missing")
        expected = self.manifest.get("sha256")
        if expected and hashlib.sha256(path.read_bytes()).hexdigest() != expected:
            raise CannotRun(f"{path} is not the file its manifest describes (sha256 differs)")
        return Tensors(load_file(path))

    def setting(self, *keys: str) -> Any:
        """A value of the manifest's settings; :class:`CannotRun` where it has none."""
        value = self.manifest.get("settings", {})
        for key in keys:
            if not isinstance(value, dict) or key not in value:
                raise CannotRun(f"the manifest's settings have no '{'.'.join(keys)}'")
            value = value[key]
        return value


def find_recordings(folder: Path) -> Iterator[Recording | tuple[Path, str]]:
    """Every manifest below a folder, in order of path; (path, reason) for an unreadable one.

    A manifest is a JSON object that names a safetensors file and describes its tensors. Other JSON
    files (network configs, key lists, digests) are none, nor is an unreadable one that has no
    tensors of its name beside it.
    """
    for path in sorted(folder.rglob("*.json")):
        try:
            content = json.loads(path.read_text(encoding="utf-8"))
        except ValueError as error:
            if path.with_suffix(".safetensors").is_file():
                yield path, f"not readable as JSON: {error}"
            continue
        if not isinstance(content, dict) or "tensors" not in content:
            continue
        if str(content.get("file", "")).endswith(".safetensors"):
            yield Recording(path, content)
