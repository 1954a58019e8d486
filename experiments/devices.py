"""One shard per device: a lock file for each, so that no two shards share one unasked.

The locks are flock's: the system frees them when their holder ends, however it ends. They lie
outside the store because a device is a machine's, whichever checkout uses it.
"""

from __future__ import annotations

import contextlib
import fcntl
import os
import platform
import random
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import IO
from urllib.parse import quote

from data.errors import UserError, unknown
from experiments import gpus

CPU = "cpu"
AUTO = "auto"
ALLOTTED = "allotted"  # the GPUs that a cluster gave to the job; an error if it gave none
POLL = 0.2  # seconds between two looks at a device that is taken
LOCKS = Path(tempfile.gettempdir()) / f"crossframe-{os.getuid()}" / "devices"


def resolve(given: str) -> tuple[str, ...]:
    """The devices that ``auto``, ``allotted``, ``cpu`` or a list such as ``0,1,1`` stands for.

    A list names GPUs as CUDA_VISIBLE_DEVICES does; a name that stands there n times takes n shards
    at once. ``auto`` is every visible GPU once, or the CPU where there is none. Raises UserError
    for a name that no visible GPU has; where no driver tells of any, names are taken at their word.
    """
    visible = [gpu.uuid for gpu in gpus.visible(os.environ.get("CUDA_VISIBLE_DEVICES"))]
    if given == ALLOTTED and not visible:
        raise UserError(
            f"devices={ALLOTTED}: this job was given no GPU on {platform.node()}. Ask the cluster "
            "for one (the profile's `gpu` or `gres`), or run with --config devices=cpu."
        )
    if given == ALLOTTED:
        return tuple(visible)
    if given in (AUTO, CPU, ""):
        return (tuple(visible) if given == AUTO else ()) or (CPU,)
    names = [name.strip() for name in given.split(",")]
    if not visible and CPU not in names:
        return tuple(names)
    known = {str(number): uuid for number, uuid in enumerate(visible)} | {u: u for u in visible}
    for name in names:
        if name not in known:
            raise unknown("device", name, [*known, f"{CPU} or {AUTO} alone"])
    return tuple(known[name] for name in names)


def on_gpus(devices: Sequence[str]) -> bool:
    """Whether the devices are GPUs."""
    return CPU not in devices


@contextlib.contextmanager
def held(devices: Sequence[str], *, alone: bool = False, folder: Path = LOCKS) -> Iterator[str]:
    """Hold one of the devices, waiting for one if need be, and yield its name.

    A GPU has as many holders at a time as it is named in ``devices``, the CPU any number (who
    schedules the shards divides its cores). Whoever is ``alone`` shares the device with nobody.
    """
    folder.mkdir(parents=True, exist_ok=True)
    told = False
    while (taken := _first_free(devices, alone, folder)) is None:
        if not told:
            print(f"waiting for a device: {', '.join(dict.fromkeys(devices))}", file=sys.stderr)
            told = True
        time.sleep(POLL * random.uniform(0.5, 1))
    name, locks = taken
    with locks:
        yield name


def _first_free(
    devices: Sequence[str], alone: bool, folder: Path
) -> tuple[str, contextlib.ExitStack] | None:
    for name in dict.fromkeys(devices):
        if locks := _take(name, devices.count(name), alone, folder):
            return name, locks
    return None


def _take(name: str, slots: int, alone: bool, folder: Path) -> contextlib.ExitStack | None:
    """The locks that give a place on a device, or None where all places are taken."""
    with contextlib.ExitStack() as locks:
        whole = locks.enter_context((folder / quote(name, safe="")).open("a"))
        if not _locked(whole, fcntl.LOCK_EX if alone else fcntl.LOCK_SH):
            return None
        if alone or name == CPU:
            return locks.pop_all()
        for slot in range(slots):
            place = locks.enter_context((folder / f"{quote(name, safe='')}.{slot}").open("a"))
            if _locked(place, fcntl.LOCK_EX):
                return locks.pop_all()
    return None


def _locked(file: IO[str], kind: int) -> bool:
    try:
        fcntl.flock(file, kind | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True
