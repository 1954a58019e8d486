"""Run every recording below a folder and say, case by case, how far we are from it.

Originals were recorded in float32, and so we compute. Methods that choose (a nearest token, a
threshold) can meet a tie narrower than float32 can tell, which then falls differently from machine
to machine. So a miss is computed again in float64: if that agrees with the recording it was such
a tie; if the algorithm is another one, it still disagrees. Both errors are shown.
"""

from __future__ import annotations

import importlib
import pkgutil
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, replace
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
    exact: Comparison | None = None  # in float64, where float32 misses

    @property
    def tied(self) -> bool:
        """Out of tolerance in float32 by a tie that float64 decides as recorded."""
        return self.exact is not None and self.exact.ok

    @property
    def ok(self) -> bool:
        """Run, and within tolerance."""
        return self.worst is not None and (self.worst.ok or self.tied)

    def __str__(self) -> str:
        if self.worst is None:
            return f"{self.name:<68} cannot run: {self.reason}"
        text = f"{self.name:<68} {self.worst}"
        if self.exact is not None:
            text += f", in float64 {self.exact}"
        return f"{text}  {'ok' if self.ok else 'NOT OK'}{' (a tie)' if self.tied else ''}"


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
        family = _family(recording)
        cases = dict(family.cases(recording))
        tensors = recording.tensors
    except CannotRun as error:
        for name in _listed(recording):
            yield Line(name, reason=str(error))
        return
    for name, run in cases.items():
        line = _run_case(f"{recording.name} {name}", run)
        if line.worst is not None and not line.ok:
            again = dict(family.cases(recording.in_float64()))[name]
            line = replace(line, exact=_run_case(line.name, again).worst)
        yield line
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
