"""Where an extractor's published weights lie, and whether they are the published ones.

A file is looked for in ``models/weights/extractors`` and then in the cache of its own ecosystem
(the hub's, torch.hub's, or an installed package). Nothing is downloaded here. A file without a
published checksum is held to the one that it had when it was fetched.
"""

from __future__ import annotations

import hashlib
import json
import os
from abc import ABC, abstractmethod
from dataclasses import dataclass
from functools import cache
from importlib.util import find_spec
from pathlib import Path

from data.digest import sha256_file
from metrics.extractors import MissingExtractor

PLACE = "models/weights/extractors"  # in the repository's root
FOLDER = Path(__file__).resolve().parents[2] / PLACE
ABSENT = "absent"  # in place of a digest
RECORD = "checksums.json"  # below ``FOLDER``: of files whose publishers give none, as first fetched


class WeightFile(ABC):
    """A published file; ``sha256`` is its checksum or the first digits of it, where published."""

    path: str  # below ``FOLDER``
    sha256: str = ""

    @property
    @abstractmethod
    def origin(self) -> str:
        """Where it comes from, in words."""

    def cached(self) -> Path | None:
        """The file in its ecosystem's cache."""
        return None

    @abstractmethod
    def fetch(self, to: Path) -> None:
        """Download the file to a path whose folder exists. Raises OSError where it cannot."""

    def found(self) -> Path | None:
        """The file on this machine."""
        own = FOLDER / self.path
        return own if own.is_file() else self.cached()

    @property
    def expected(self) -> str:
        """What its SHA-256 begins with: as published, or as recorded; empty where neither is."""
        return self.sha256 or recorded().get(self.path, "")


def recorded() -> dict[str, str]:
    """Checksums of files as they were first fetched, by path."""
    try:
        return json.loads((FOLDER / RECORD).read_text(encoding="utf-8"))
    except FileNotFoundError:
        return {}


@dataclass(frozen=True)
class HubFile(WeightFile):
    """A file of a Hugging Face repository."""

    repository: str
    name: str
    sha256: str = ""

    @property
    def path(self) -> str:
        return f"{self.repository}/{self.name}"

    @property
    def origin(self) -> str:
        return f"huggingface.co/{self.repository}"

    def cached(self) -> Path | None:
        from huggingface_hub import try_to_load_from_cache

        found = try_to_load_from_cache(self.repository, self.name)
        return Path(found) if isinstance(found, str) else None

    def fetch(self, to: Path) -> None:
        from huggingface_hub import get_hf_file_metadata, hf_hub_download, hf_hub_url

        hf_hub_download(self.repository, self.name, local_dir=FOLDER / self.repository)
        # Of a large file the hub names the SHA-256 (64 digits); of a small one git's hash.
        told = get_hf_file_metadata(hf_hub_url(self.repository, self.name)).etag or ""
        if len(told) == 64 and sha256_file(to) != told:
            to.unlink()
            raise OSError(f"what came is not what the hub has (SHA-256 {told})")


@dataclass(frozen=True)
class TorchFile(WeightFile):
    """A file that torch.hub and torchvision cache; its name ends in its checksum's first digits."""

    url: str

    @property
    def path(self) -> str:
        return self.url.rpartition("/")[2]

    @property
    def sha256(self) -> str:
        return self.path.rpartition(".")[0].rpartition("-")[2]

    @property
    def origin(self) -> str:
        return self.url

    def cached(self) -> Path | None:
        caches = os.environ.get("XDG_CACHE_HOME", "~/.cache")
        home = Path(os.environ.get("TORCH_HOME", f"{caches}/torch")).expanduser()
        path = home / "hub" / "checkpoints" / self.path
        return path if path.is_file() else None

    def fetch(self, to: Path) -> None:
        from torch.hub import download_url_to_file

        download_url_to_file(self.url, str(to), hash_prefix=self.sha256)


@dataclass(frozen=True)
class PackageFile(WeightFile):
    """A file in a wheel on PyPI: in the installed package, or taken out of the wheel."""

    package: str  # as pip knows it, with its version: "stlpips-pytorch==0.0.2"
    module: str  # as Python imports it
    name: str
    sha256: str = ""

    @property
    def path(self) -> str:
        return f"{self.module}/{self.name}"

    @property
    def origin(self) -> str:
        return f"PyPI's {self.package}"

    def cached(self) -> Path | None:
        spec = find_spec(self.module)
        path = Path(spec.origin).parent / self.name if spec and spec.origin else None
        return path if path and path.is_file() else None

    def fetch(self, to: Path) -> None:
        import subprocess
        import sys
        import tempfile
        import zipfile

        with tempfile.TemporaryDirectory() as folder:
            command = ["pip", "download", "--quiet", "--no-deps", "--dest", folder, self.package]
            result = subprocess.run(
                [sys.executable, "-m", *command], capture_output=True, text=True, check=False
            )
            if result.returncode:
                raise OSError(result.stderr.strip().splitlines()[-1])
            (wheel,) = Path(folder).glob("*.whl")
            with zipfile.ZipFile(wheel) as archive:
                to.write_bytes(archive.read(self.path))


@dataclass(frozen=True)
class Extractor:
    """A network's published files, what they weigh and under which licence they stand."""

    name: str
    files: tuple[WeightFile, ...]
    megabytes: int
    licence: str

    def digest(self) -> str:
        """SHA-256 over all files; ``absent`` where one is missing or not the published one."""
        paths = [file.found() for file in self.files]
        if self.problem():
            return ABSENT
        return hashlib.sha256("".join(_sha256(path) for path in paths).encode()).hexdigest()

    def problem(self) -> str:
        """What is missing or wrong and what to do about it; empty where all is in place."""
        for file in self.files:
            path = file.found()
            if path is None:
                return (
                    f"missing extractor '{self.name}': run `make extractors EXTRACTORS={self.name}`"
                    f" to fetch it from {file.origin} ({self.megabytes} MB, {self.licence}), or put"
                    f" {file.path.rpartition('/')[2]} at {PLACE}/{file.path}."
                )
            if not _sha256(path).startswith(file.expected):
                known = "published file" if file.sha256 else "file that was fetched"
                return (
                    f"missing extractor '{self.name}': {path.name} is not the {known} (its "
                    f"SHA-256 should begin with {file.expected}); delete it and run "
                    f"`make extractors EXTRACTORS={self.name}`."
                )
        return ""

    def paths(self) -> list[Path]:
        """The files, in the order of their declaration. Raises MissingExtractor."""
        problem = self.problem()
        if problem:
            raise MissingExtractor(problem)
        return [file.found() for file in self.files]


@cache
def _sha256(path: Path) -> str:
    return sha256_file(path)
