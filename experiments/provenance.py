"""Which code and which libraries made a result."""

from __future__ import annotations

import platform
from functools import cache
from importlib import metadata
from typing import Any

from data.digest import sha256_file
from experiments.checkout import read_checkout
from experiments.code_digest import PROJECT

LIBRARIES = ("torch", "diffusers", "transformers", "open-clip-torch", "numpy")
LOCK = "requirements.lock"


@cache
def provenance() -> dict[str, Any]:
    """Commit (with ``+`` if code differs from it), lock, Python, platform, library versions."""
    found = read_checkout(PROJECT)
    return {
        "commit": found.commit + ("+" if found.dirty else "") if found else "",
        "lock": lock_digest(),
        "python": platform.python_version(),
        "platform": platform.platform(),
        "libraries": {name: _version(name) for name in LIBRARIES},
    }


def lock_digest() -> str:
    """Hex SHA-256 of the locked environment; empty where there is no lock."""
    path = PROJECT / LOCK
    return sha256_file(path) if path.is_file() else ""


def _version(name: str) -> str | None:
    try:
        return metadata.version(name)
    except metadata.PackageNotFoundError:
        return None
