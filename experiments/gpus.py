"""The GPUs of this machine as their driver sees them (NVML), without loading torch."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import cache
from typing import Any


@dataclass(frozen=True)
class Gpu:
    """A GPU by the name that CUDA_VISIBLE_DEVICES takes on any machine, and its model."""

    uuid: str  # "GPU-5a6e…", or "MIG-…" for a slice
    model: str


@cache
def _nvml() -> Any:
    """The library, or None where there is no NVIDIA driver."""
    import pynvml

    try:
        pynvml.nvmlInit()
    except pynvml.NVMLError:
        return None
    return pynvml


def installed() -> list[Gpu]:
    """Every GPU, in the order of ``nvidia-smi``; none where there is no NVIDIA driver."""
    nvml = _nvml()
    if nvml is None:
        return []
    handles = [nvml.nvmlDeviceGetHandleByIndex(i) for i in range(nvml.nvmlDeviceGetCount())]
    return [Gpu(nvml.nvmlDeviceGetUUID(h), nvml.nvmlDeviceGetName(h)) for h in handles]


def visible(given: str | None) -> list[Gpu]:
    """The GPUs that ``CUDA_VISIBLE_DEVICES`` leaves, in its order; all where it is not set.

    Numbers count as ``nvidia-smi`` does. As CUDA has it, the first name that is no GPU ends the
    list; a slice of a GPU (MIG) is taken at its word.
    """
    known = installed()
    if given is None or not known:
        return known
    found: list[Gpu] = []
    for name in (part.strip() for part in given.split(",")):
        if name.isdecimal() and int(name) < len(known):
            found.append(known[int(name)])
        elif name.startswith("MIG-"):
            found.append(Gpu(name, known[0].model))
        elif match := next((g for g in known if name and g.uuid.startswith(name)), None):
            found.append(match)
        else:
            break
    return found


def energy_counter(uuid: str) -> Callable[[], float | None]:
    """A function that reads the joules a GPU has used since its driver was loaded.

    It gives None where NVML cannot tell: no driver, a slice, a GPU older than Volta.
    """
    nvml = _nvml()
    if nvml is None:
        return lambda: None

    def joules() -> float | None:
        try:
            handle = nvml.nvmlDeviceGetHandleByUUID(uuid)
            return nvml.nvmlDeviceGetTotalEnergyConsumption(handle) / 1000  # given in mJ
        except nvml.NVMLError:
            return None

    return joules
