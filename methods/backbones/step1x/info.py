"""What the planner knows of a Step1X-Edit backbone without importing torch.

A name is a declared one (``step1x``, ``world-step1x``) or a folder, and may end in ways of loading:
``step1x+fp8``, ``step1x+offload``, ``step1x+fp8+offload``.
"""

from __future__ import annotations

import hashlib
import json
from dataclasses import dataclass, replace
from pathlib import Path

import yaml

from data.errors import Missing, UserError, unknown
from methods.backbones.step1x.contents import absent, check_schedule, digest, is_ours
from methods.backbones.step1x.layout import (
    INDEX,
    OFFICIAL_DIT,
    OFFICIAL_ENCODER,
    OFFICIAL_SIZE,
    OFFICIAL_VAE,
)

ROOT = Path(__file__).resolve().parents[3]
PREDICTION = "flow"

#: Ways of loading, by the libraries' own means.
WAYS = {
    "fp8": "transformer and connector stored in float8, computed in the experiment's dtype",
    "offload": "weights on the CPU, each block on the device while it computes",
}


@dataclass(frozen=True)
class Declared:
    """One ``<name>.yaml`` beside this module."""

    title: str
    folder: Path
    hub: str = ""
    encoder_hub: str = ""
    megabytes: int = 0
    licence: str = ""
    random: bool = False  # drawn at load: says what it costs and nothing else


@dataclass(frozen=True)
class Step1XInfo:
    """A backbone: where it is, how it is loaded and a digest of all that it computes with."""

    name: str
    title: str
    path: Path
    digest: str
    ways: tuple[str, ...] = ()
    size_level: int = OFFICIAL_SIZE
    random: bool = False
    prediction_type: str = PREDICTION


@dataclass(frozen=True)
class PromisedStep1X:
    """Enough to plan with while weights are absent."""

    digest: str = "absent"
    prediction_type: str = PREDICTION


def names() -> list[str]:
    """The declared backbones, in alphabetical order."""
    return sorted(path.stem for path in Path(__file__).parent.glob("*.yaml"))


def declared(base: str) -> Declared:
    """What is declared under a name without ways."""
    fields = yaml.safe_load((Path(__file__).parent / f"{base}.yaml").read_text())
    return Declared(**{**fields, "folder": ROOT / fields["folder"]})


def parse(name: str) -> tuple[str, tuple[str, ...]]:
    """A name or folder and its ways of loading; :class:`UserError` for a way there is not."""
    path, slash, last = name.rpartition("/")
    last, *ways = last.split("+")
    base = path + slash + last
    for way in ways:
        if way not in WAYS:
            raise unknown(f"way of loading '{base}'", way, WAYS)
    if len(set(ways)) < len(ways):
        raise UserError(f"backbone '{name}' names a way of loading twice.")
    return base, tuple(sorted(ways))


def claims(name: str) -> bool:
    """Whether a name is declared here, or a folder has one of the two layouts."""
    try:
        base, _ = parse(name)
    except UserError:
        base = name.split("+")[0]  # still ours: describe says what is wrong with it
    folder = Path(base).expanduser()
    return base in names() or is_ours(folder) or (folder / OFFICIAL_DIT).is_file()


def describe(name: str) -> Step1XInfo:
    """A backbone of that name.

    Raises :class:`data.errors.Missing` where weights are to be fetched, and :class:`UserError` for
    a folder that is not whole.
    """
    found = expected(name)
    base, ways = parse(name)
    if found.random:
        drawn = "/".join(("random", base, *ways)).encode()
        return replace(found, digest=hashlib.sha256(drawn).hexdigest())
    if base in names() and not is_ours(found.path) and not (found.path / OFFICIAL_DIT).is_file():
        raise _missing(base, declared(base))
    if lacks := absent(found.path):
        raise UserError(f"backbone '{base}' at {found.path} lacks {', '.join(lacks)}.")
    check_schedule(base, found.path)
    return replace(found, digest=digest(found.path, ways))


def expected(name: str) -> Step1XInfo:
    """The same but for the digest, which takes long, and of weights that are not here yet."""
    base, ways = parse(name)
    found = declared(base) if base in names() else None
    folder = found.folder if found else Path(base).expanduser()
    title = found.title if found else base
    random = bool(found and found.random)
    return Step1XInfo(name, title, folder, "", ways, _size_level(folder), random)


def _size_level(folder: Path) -> int:
    if not is_ours(folder):
        return OFFICIAL_SIZE
    return json.loads((folder / INDEX).read_text())["size_level"]


def _missing(base: str, found: Declared) -> Missing:
    folder = found.folder.relative_to(ROOT)
    if not found.hub:
        return Missing(f"backbone '{base}' is missing: restore {folder} from the repository.")
    return Missing(
        f"backbone '{base}' is missing: run `make weights BACKBONE={base}` or put {OFFICIAL_DIT} "
        f"and {OFFICIAL_VAE} of {found.hub} and the folder of {found.encoder_hub} as "
        f"{OFFICIAL_ENCODER} ({found.megabytes} MB, {found.licence}) into {folder}."
    )
