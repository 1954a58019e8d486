"""An experiment file as read: its value and the line of every key, for errors that say where."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, TypeVar

from data.errors import Missing, UserError, unknown
from data.manifest import load_yaml

Location = tuple[str | int, ...]
Thing = TypeVar("Thing")


@dataclass
class YamlSource:
    """A YAML file, the lines of its keys, and the problems found in it so far.

    ``broken``: places of a wrong key or type, where the experiment has a stand-in.
    ``missing``: weights and clips that it rightly names and this machine lacks.
    """

    path: Path
    value: dict[str, Any]
    lines: dict[Location, int]
    problems: list[tuple[int, str]] = field(default_factory=list)
    broken: set[Location] = field(default_factory=set)
    missing: list[str] = field(default_factory=list)

    def line(self, location: Location) -> int:
        """Line of a key, or of the nearest enclosing key that the file has."""
        while location and location not in self.lines:
            location = location[:-1]
        return self.lines.get(location, 1)

    def problem(self, location: Location, message: str) -> None:
        """Record a problem once; :meth:`raise_problems` reports all of them together.

        What is found at or below a broken place concerns the stand-in and is not the user's.
        """
        if any(location[: n + 1] in self.broken for n in range(len(location))):
            return
        entry = (self.line(location), f"{dotted(location)}: {message}" if location else message)
        if entry not in self.problems:
            self.problems.append(entry)

    def known(self, kind: str, name: str, allowed: Iterable[str], location: Location) -> bool:
        """Whether a name exists; if not, the problem is recorded with the nearest that does."""
        names = tuple(allowed)
        if name not in names:
            self.problem(location, str(unknown(kind, name, names)))
        return name in names

    def distinct(self, values: list[Any], location: Location) -> None:
        """Record every value of a list that stands in it before."""
        for index, value in enumerate(values):
            if value in values[:index]:
                self.problem((*location, index), f"{value!r} is given twice.")

    def attempt(
        self,
        location: Location,
        call: Callable[[], Thing],
        promise: Callable[[], Thing] | None = None,
    ) -> Thing | None:
        """The result of a call, or None with its UserError recorded at the location.

        Where what it wants is Missing, that is noted and ``promise`` asked for a stand-in.
        """
        try:
            return call()
        except UserError as error:
            if promise and isinstance(error, Missing):
                self.missing.append(str(error))
                return self.attempt(location, promise)
            self.problem(location, str(error))
            return None

    def raise_problems(self) -> None:
        """Raise one UserError with every problem, in the order of the file, if there is any."""
        if self.problems:
            raise UserError(
                "\n".join(f"{self.path}:{line}: {text}" for line, text in sorted(self.problems))
            )


def dotted(location: Iterable[str | int]) -> str:
    """``methods[1].grid.pnp_f_t``: a key path as people write it."""
    text = ""
    for part in location:
        text += f"[{part}]" if isinstance(part, int) else f"{'.' if text else ''}{part}"
    return text


def read_yaml(path: Path) -> YamlSource:
    """Read a YAML mapping with safe tags only.

    Raises UserError when the file is missing, is no YAML, is not a mapping or repeats a key.
    """
    value, lines = load_yaml(path)
    return YamlSource(path, value, lines)
