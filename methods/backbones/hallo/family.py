"""The family of talking portraits: which folders there are, and what is known without torch."""

from __future__ import annotations

import hashlib
import json
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from data.errors import Missing, UserError
from methods.backbones.families import Family

if TYPE_CHECKING:
    from methods.backbones.hallo.backbone import Hallo

ROOT = Path(__file__).resolve().parents[3]
RELEASED = ROOT / "models" / "weights" / "hallo"
FOLDERS = {"hallo": RELEASED, "world-hallo": ROOT / "models" / "world-hallo"}
TITLES = {
    "hallo": "Hallo",
    "world-hallo": "Embedded tiny Hallo of the procedural portraits",
}
NEEDED = (
    "config.json",
    "net.safetensors",
    "vae/config.json",
    "vae/diffusion_pytorch_model.safetensors",
    "audio/config.json",
    "face/config.json",
)
PREDICTION = "portrait velocity"
HUB = "fudan-generative-ai/hallo"


@dataclass(frozen=True)
class HalloInfo:
    """What the planner knows."""

    name: str
    title: str
    path: Path
    digest: str  # sha256 over all files that it computes with
    prediction_type: str = PREDICTION


@dataclass(frozen=True)
class PromisedHallo:
    """Enough to plan with while weights are absent."""

    digest: str = "absent"
    prediction_type: str = PREDICTION


def folder_of(name: str) -> Path:
    """Where a backbone lies; :class:`Missing` says what to fetch, where its weights are absent."""
    folder = FOLDERS.get(name) or Path(name).expanduser()
    if (folder / NEEDED[1]).is_file():
        return folder
    if name == "hallo":
        raise Missing(
            "backbone 'hallo' is missing: run `python -m methods.backbones.hallo.convert` while "
            f"online, which fetches {HUB} (6 GB, MIT) and makes {folder.relative_to(ROOT)}, or "
            "give it a copy of those files with --source."
        )
    raise Missing(
        f"backbone '{name}' is missing: restore {folder.relative_to(ROOT)} from the repository."
    )


def info(name: str) -> HalloInfo:
    """Describe a backbone; :class:`UserError` for a folder that is not whole."""
    folder = folder_of(name)
    absent = [file for file in NEEDED if not (folder / file).is_file()]
    if absent:
        raise UserError(f"backbone '{name}' at {folder} lacks {', '.join(absent)}.")
    return HalloInfo(name, TITLES.get(name, name), folder, digest(folder))


def digest(folder: Path) -> str:
    """sha256 over weights and configs' values; cards and evaluations are none of them."""
    total = hashlib.sha256()
    beside = (p for part in ("vae", "audio", "face") for p in (folder / part).rglob("*"))
    for path in sorted(
        [folder / NEEDED[0], folder / NEEDED[1], *(p for p in beside if p.is_file())]
    ):
        if path.suffix == ".json":
            values = json.loads(path.read_text(encoding="utf-8"))
            kept = {key: value for key, value in values.items() if not key.startswith("_")}
            part = hashlib.sha256(json.dumps(kept, sort_keys=True).encode()).digest()
        else:
            with path.open("rb") as file:
                part = hashlib.file_digest(file, "sha256").digest()
        total.update(path.relative_to(folder).as_posix().encode() + b"\0" + part)
    return total.hexdigest()


def load(name: str, device: str, dtype: str) -> Hallo:
    """A loaded backbone; ``dtype`` of the networks: float32, float16 or bfloat16."""
    from methods.backbones.hallo.backbone import Hallo

    return Hallo.from_folder(folder_of(name), device, dtype)


def claims(name: str) -> bool:
    """Whether a name is declared here, or a folder has this family's layout."""
    return name in FOLDERS or (Path(name).expanduser() / NEEDED[1]).is_file()


FAMILY = Family(
    names=lambda: sorted(FOLDERS),
    claims=claims,
    info=info,
    promised=lambda name: PromisedHallo(),
    load=load,
)
