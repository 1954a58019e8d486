"""What a Step1X-Edit folder holds: whether it is whole, and a digest of what it computes with."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path
from typing import Any

from data.errors import UserError
from methods.backbones.step1x.layout import (
    CONFIGS,
    INDEX,
    OFFICIAL_DIT,
    OFFICIAL_ENCODER,
    OFFICIAL_VAE,
    PARTS,
    SCHEDULE,
    SCHEDULER,
)

COUNTED = {".json", ".safetensors", ".txt", ".jinja"}


def is_ours(folder: Path) -> bool:
    """Whether a folder has the layout that is also written; else it may hold released files."""
    index = folder / INDEX
    return index.is_file() and json.loads(index.read_text()).get("_class_name") == "Step1XEdit"


def absent(folder: Path) -> list[str]:
    """What a folder lacks to be loaded; weights may lie in several files."""
    encoder = OFFICIAL_ENCODER
    ours = (*CONFIGS, *(f"{part}/*.safetensors" for part in PARTS))
    released = (OFFICIAL_DIT, OFFICIAL_VAE, f"{encoder}/config.json", f"{encoder}/*.safetensors")
    return [name for name in (ours if is_ours(folder) else released) if not any(folder.glob(name))]


def check_schedule(name: str, folder: Path) -> None:
    """:class:`UserError` for a schedule that is not the one the methods plan with."""
    if not is_ours(folder):
        return
    given = json.loads((folder / SCHEDULE).read_text(encoding="utf-8"))
    for key, value in SCHEDULER.items():
        if given.get(key) != value:
            raise UserError(
                f"backbone '{name}' ({folder / SCHEDULE}) has {key} {given.get(key)}; the methods "
                f"plan with {value}, as Step1X-Edit has."
            )


def digest(folder: Path, ways: tuple[str, ...]) -> str:
    """sha256 over weights, configurations' values and ways: offload is there to be measured."""
    total = hashlib.sha256("+".join(ways).encode())
    for path in _files(folder):
        if path.suffix == ".json":
            part = hashlib.sha256(_canonical(json.loads(path.read_text("utf-8")))).digest()
        else:
            with path.open("rb") as file:
                part = hashlib.file_digest(file, "sha256").digest()
        total.update(path.relative_to(folder).as_posix().encode() + b"\0" + part)
    return total.hexdigest()


def _files(folder: Path) -> list[Path]:
    """Every file that a backbone computes with, in order of name; cards are none of them."""
    ours = is_ours(folder)
    inside = (
        path
        for part in (*(PARTS if ours else (OFFICIAL_ENCODER,)), Path(SCHEDULE).parent)
        for path in (folder / part).rglob("*")
    )
    single = (INDEX,) if ours else (OFFICIAL_DIT, OFFICIAL_VAE)
    kept = [path for path in inside if path.suffix in COUNTED]
    return sorted(kept + [folder / name for name in single])


def _canonical(config: Any) -> bytes:
    # Keys such as _diffusers_version and _name_or_path say who wrote the file, not what it means.
    if isinstance(config, dict):
        config = {k: v for k, v in config.items() if not k.startswith("_") or k == "_class_name"}
    return json.dumps(config, sort_keys=True).encode()
