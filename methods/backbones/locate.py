"""Where a backbone's diffusers folder lies: by declared name, by path, or in the hub's cache."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import yaml

from data.errors import Missing, UserError, unknown

ROOT = Path(__file__).resolve().parents[2]

#: What a Stable-Diffusion-shaped folder holds; also what is fetched from a hub, and digested.
WEIGHTS = (
    "unet/diffusion_pytorch_model.safetensors",
    "vae/diffusion_pytorch_model.safetensors",
    "text_encoder/model.safetensors",
)
CONFIGS = (
    "unet/config.json",
    "vae/config.json",
    "text_encoder/config.json",
    "scheduler/scheduler_config.json",
)
TOKENIZER = "tokenizer"


@dataclass(frozen=True)
class Declaration:
    """One ``methods/backbones/<name>.yaml``."""

    name: str
    title: str
    folder: Path
    prediction: str = "epsilon"  # what the network predicts; counts where its files are missing
    hub: str | None = None
    megabytes: int | None = None
    licence: str | None = None


def backbone_names() -> list[str]:
    """The declared backbones, in alphabetical order."""
    return sorted(path.stem for path in Path(__file__).parent.glob("*.yaml"))


def declaration(name: str) -> Declaration:
    """What is declared under ``name``; :class:`UserError` for a name that is not."""
    path = Path(__file__).parent / f"{name}.yaml"
    if name not in backbone_names():
        raise unknown("backbone", name, backbone_names())
    fields = yaml.safe_load(path.read_text())
    return Declaration(name=name, **{**fields, "folder": ROOT / fields["folder"]})


def locate(name: str) -> Path:
    """The folder of a backbone: a declared name, a local folder, or a cached hub id.

    Nothing is downloaded. :class:`data.errors.Missing` says in one sentence what to fetch and
    where; a name that stands for nothing is a :class:`data.errors.UserError`.
    """
    if name in backbone_names():
        declared = declaration(name)
        if (declared.folder / WEIGHTS[0]).exists():
            return declared.folder
        cached = _cached(declared.hub) if declared.hub else None
        return cached or _missing(declared)
    folder = Path(name).expanduser()
    if folder.is_dir():
        return folder
    cached = _cached(name) if name.count("/") == 1 and not name.startswith((".", "/")) else None
    if cached is None:
        error = unknown("backbone", name, backbone_names())
        raise UserError(f"{error} A local diffusers folder or a cached hub id also works.")
    return cached


def _cached(repository: str) -> Path | None:
    """The hub snapshot of a repository if it is complete on this machine."""
    from huggingface_hub import try_to_load_from_cache

    files = [try_to_load_from_cache(repository, name) for name in (*WEIGHTS, *CONFIGS)]
    if not all(isinstance(file, str) for file in files):
        return None
    return Path(files[0]).parents[1]


def _missing(declared: Declaration) -> Path:
    folder = declared.folder.relative_to(ROOT)
    if declared.hub is None:
        raise Missing(
            f"backbone '{declared.name}' is missing: restore {folder} from the repository."
        )
    raise Missing(
        f"backbone '{declared.name}' is missing: run `make weights BACKBONE={declared.name}` to "
        f"fetch {declared.hub} ({declared.megabytes} MB, {declared.licence}), or put its "
        f"diffusers folder at {folder}."
    )
