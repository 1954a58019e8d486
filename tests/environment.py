"""The conda twin of requirements.lock: ``python -m tests.environment > environment.yml``."""

from __future__ import annotations

import re
from pathlib import Path

ROOT = Path(__file__).parent.parent


def pins(lock: str) -> list[str]:
    """``name==version`` lines of a lock, with their environment markers, without hashes."""
    return re.findall(r"^([A-Za-z0-9][^\s\\]*==[^\\\n]*?)\s*\\?$", lock, flags=re.MULTILINE)


def environment(lock: str) -> str:
    """The text of environment.yml for a lock's text."""
    packages = "\n".join(f"      - {pin}" for pin in pins(lock))
    return (
        "# The conda twin of requirements.lock, written by `make lock`; do not edit.\n"
        "name: crossframe\nchannels:\n  - conda-forge\ndependencies:\n  - python>=3.11\n"
        f"  - pip\n  - pip:\n{packages}\n"
    )


if __name__ == "__main__":
    print(environment((ROOT / "requirements.lock").read_text()), end="")
