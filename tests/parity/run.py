"""Run every recording below a folder and say, case by case, how far we are from it."""

from __future__ import annotations

import importlib
import pkgutil
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from types import ModuleType

from tests.parity import families
from tests.parity.compare import Comparison, largest
from tests.parity.recording import CannotRun, Recording, find_recordings

Case = tuple[str, Callable[[], Iterable[Comparison]]]  # its name within the recording, and its run


@dataclass(frozen=True)
class Line:
    """The outcome of one case."""

    name: str
    worst: Comparison | None = None
    reason: str = ""  # why it could not be run

    @property
    def ok(self) -> bool:
        """Run, and within tolerance."""
        return self.worst is not None and self.worst.ok

    def __str__(self) -> str:
        if self.worst is None:
            return f"{self.name:<68} cannot run: {self.reason}"
        errors, within = self.worst, self.worst.tolerance
        return (
            f"{self.name:<68} absolute {errors.absolute:.1e} (<= {within.absolute:.0e})  "
            f"relative {errors.relative:.1e} (<= {within.relative:.0e})  "
            f"{'ok' if self.ok else 'NOT OK'}"
        )


def run_folder(folder: Path) -> Iterator[Line]:
    """One line per case of every recording below a folder."""
    for found in find_recordings(folder):
        if isinstance(found, Recording):
            yield from run_recording(found)
        else:
            path, reason = found
            yield Line(str(path.relative_to(folder)), reason=reason)


def run_recording(recording: Recording) -> Iterator[Line]:
    """One line per case, and one for recorded tensors that no case has looked at."""
    try:
        cases = list(_family(recording).cases(recording))
        tensors = recording.tensors
    except CannotRun as error:
        for name in _listed(recording):
            yield Line(name, reason=str(error))
        return
    for name, run in cases:
        yield _run_case(f"{recording.name} {name}", run)
    if unread := sorted(set(tensors) - tensors.read):
        shown = ", ".join(unread[:3]) + (", …" if len(unread) > 3 else "")
        reason = f"no case here uses {len(unread)} recorded tensors: {shown}"
        yield Line(f"{recording.name} (the rest)", reason=reason)


def _run_case(name: str, run: Callable[[], Iterable[Comparison]]) -> Line:
    try:
        comparisons = list(run())
    except CannotRun as error:
        return Line(name, reason=str(error))
    except Exception as error:  # one broken case must not hide the others
        return Line(name, reason=f"{type(error).__name__}: {error}")
    if not comparisons:
        return Line(name, reason="the case compares nothing")
    return Line(name, largest(comparisons))


def _family(recording: Recording) -> ModuleType:
    for module in _families():
        if recording.repositories & set(module.REPOSITORIES):
            return module
    origin = ", ".join(sorted(recording.repositories)) or "an unnamed repository"
    raise CannotRun(f"family '{recording.path.parts[-3]}' ({origin}) is not built")


@cache
def _families() -> list[ModuleType]:
    names = sorted(info.name for info in pkgutil.iter_modules(families.__path__))
    return [importlib.import_module(f"{families.__name__}.{name}") for name in names]


def _listed(recording: Recording) -> list[str]:
    """Names of the cases that a manifest lists, or the recording's own."""
    listed = recording.manifest.get("cases")
    if not isinstance(listed, list) or not listed:
        return [recording.name]
    return [f"{recording.name} {case.get('id', '?')}" for case in listed]
