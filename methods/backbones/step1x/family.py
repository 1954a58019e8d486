"""Step1X-Edit among the families of backbones."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from methods.backbones.families import Family
from methods.backbones.step1x import info, memory
from methods.backbones.step1x.fetch import fetch

if TYPE_CHECKING:
    from methods.backbones.step1x.backbone import Step1X


def _load(name: str, device: str, dtype: str) -> Step1X:
    from methods.backbones.step1x.loading import load

    return load(info.describe(name), device, dtype)


def _promised(name: str) -> info.PromisedStep1X:
    info.parse(name)
    return info.PromisedStep1X()


def _memory(name: str, setting: Any, dtype: str) -> float:
    return memory.forecast(info.expected(name), setting, dtype)


FAMILY = Family(
    names=info.names,
    claims=info.claims,
    info=info.describe,
    promised=_promised,
    load=_load,
    memory=_memory,
    fetch=fetch,
)
