"""Backbones of every family by name: described without torch, loaded through one call.

Stable Diffusion's modules stand beside this one and answer for every name that no other family
claims. Another family is a package here whose ``family.py`` gives ``FAMILY``, named nowhere else.
"""

from __future__ import annotations

import importlib
import pkgutil
from collections.abc import Callable
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

import methods.backbones
from data.errors import UserError, unknown
from methods.backbones.info import get_backbone_info, promised_backbone
from methods.backbones.load import load_backbone
from methods.backbones.locate import backbone_names


@dataclass(frozen=True)
class Family:
    """One kind of backbone. None of the first four may import torch.

    ``info`` gives at least ``digest`` and ``prediction_type``, and raises
    :class:`data.errors.Missing` where weights are to be fetched; ``promised`` gives the same two to
    plan with meanwhile. What ``load`` (name, device, dtype) gives counts ``evaluations`` and, but
    for Stable Diffusion, warms itself up by ``warm_up(frames)``.
    """

    names: Callable[[], list[str]]  # declared backbones
    claims: Callable[[str], bool]  # whether a name, or the folder it is, belongs here
    info: Callable[[str], Any]
    promised: Callable[[str], Any]
    load: Callable[[str, str, str], Any]
    #: (name, setting, dtype) -> MB of tensors that a cell will hold; None: nobody can say
    memory: Callable[[str, Any, str], float | None] = lambda name, setting, dtype: None
    fetch: Callable[[str], Path] | None = None  # download a declared backbone into its folder


STABLE_DIFFUSION = Family(
    names=backbone_names,
    claims=lambda name: True,
    info=get_backbone_info,
    promised=promised_backbone,
    load=load_backbone,
)


@cache
def _families() -> tuple[Family, ...]:
    found = pkgutil.iter_modules(methods.backbones.__path__)
    packages = sorted(module.name for module in found if module.ispkg)
    here = Path(__file__).parent
    return tuple(
        importlib.import_module(f"methods.backbones.{name}.family").FAMILY
        for name in packages
        if (here / name / "family.py").is_file()
    ) + (STABLE_DIFFUSION,)


def family_of(name: str) -> Family:
    """The family that answers for a backbone's name or folder.

    :class:`data.errors.UserError` for a name that stands for nothing, with the nearest that does.
    """
    family = next(family for family in _families() if family.claims(name))
    known = name in family.names() or "/" in name or Path(name).is_dir()
    if family is STABLE_DIFFUSION and not known:
        error = unknown("backbone", name, all_names())
        raise UserError(f"{error} A local folder or a cached hub id also works.")
    return family


def all_names() -> list[str]:
    """Every declared backbone, in alphabetical order."""
    return sorted(name for family in _families() for name in family.names())


def describe(name: str) -> Any:
    """What is known of a backbone; see :class:`Family`."""
    return family_of(name).info(name)


def promise(name: str) -> Any:
    """What can be planned with while a backbone's weights are absent."""
    return family_of(name).promised(name)


def forecast(name: str, setting: Any, dtype: str) -> float | None:
    """MB of tensors that a cell on a backbone will hold; None where that cannot be said."""
    return family_of(name).memory(name, setting, dtype)


def load(name: str, device: str = "cpu", dtype: str = "float32") -> Any:
    """A backbone on a device; ``dtype``: float32, float16 or bfloat16."""
    return family_of(name).load(name, device, dtype)
