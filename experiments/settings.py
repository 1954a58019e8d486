"""The settings a method block asks for: fixed fields, a grid of axes, coupled cases."""

from __future__ import annotations

import itertools
import math
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from pydantic import ValidationError

from experiments.atomic import canonical
from experiments.legible import explain
from experiments.schema import MethodBlock
from experiments.yaml_source import Location, YamlSource
from methods.base import Method, Setting

MOST_SETTINGS = 10_000  # of one method block; more is a slip of the pen, not a sweep


@dataclass(frozen=True)
class ChosenMethod:
    """A method block with its settings."""

    label: str
    method: Method
    settings: tuple[tuple[Setting, dict[str, Any]], ...]  # typed, and as JSON
    location: Location


class SettingReader:
    """Reads method blocks; every wrong name and value is recorded in the source."""

    def __init__(self, source: YamlSource) -> None:
        self.source = source

    def settings(
        self, block: MethodBlock, method: Method, location: Location
    ) -> Iterator[tuple[Setting, dict[str, Any]]]:
        """The typed settings of a block, each checked and named where it is wrong."""
        fields = tuple(method.Setting.model_fields)
        known_problems = len(self.source.problems)
        if block.preset:
            self.source.known("preset", block.preset, method.presets, (*location, "preset"))
        preset = method.presets.get(block.preset, {})
        for part in ("setting", "grid"):
            for name in getattr(block, part):
                self.source.known("setting", name, fields, (*location, part, name))
        for n, case in enumerate(block.cases):
            for name in case:
                self.source.known("setting", name, fields, (*location, "cases", n, name))
        for name, values in block.grid.items():
            self.source.distinct(values, (*location, "grid", name))
            if not values:
                self.source.problem((*location, "grid", name), "an axis needs a value.")
        count = math.prod(len(values) for values in block.grid.values()) * max(1, len(block.cases))
        if count > MOST_SETTINGS:
            self.source.problem(
                location, f"asks for {count:,} settings; at most {MOST_SETTINGS:,} are run."
            )
            return
        seen: set[bytes] = set()
        for given, given_at in self._combinations(block, location):
            values = {**preset, **given}
            origin = dict.fromkeys(preset, (*location, "preset")) | given_at
            known = {name: value for name, value in values.items() if name in fields}
            if self._switched(method, known, origin):
                continue
            try:
                setting = method.Setting.model_validate(known)
            except ValidationError as error:
                for item in error.errors():
                    at = origin.get(str(item["loc"][0])) if item["loc"] else None
                    self.source.problem(at or location, self._describe(method, item))
                continue
            plain = setting.model_dump(mode="json")
            sound = len(self.source.problems) == known_problems and not self.source.broken
            if canonical(plain) in seen and sound:
                self.source.problem(location, f"asks twice for the same setting: {values}.")
            seen.add(canonical(plain))
            yield setting, plain

    def _switched(
        self, method: Method, values: dict[str, Any], origin: dict[str, Location]
    ) -> bool:
        """Whether a number is given as true or false, which would pass for 1 or 0."""
        kinds = {int: "an integer", float: "a number"}
        switched = {
            name: kinds[method.Setting.model_fields[name].annotation]
            for name, value in values.items()
            if isinstance(value, bool) and method.Setting.model_fields[name].annotation in kinds
        }
        for name, kind in switched.items():
            self.source.problem(origin[name], f"{values[name]} given; should be {kind}.")
        return bool(switched)

    @staticmethod
    def _describe(method: Method, item: Any) -> str:
        described = method.Setting.model_fields.get(str(item["loc"][0])) if item["loc"] else None
        about = f" ({described.description})" if described and described.description else ""
        return f"{explain(item)}{about}"

    def _combinations(
        self, block: MethodBlock, location: Location
    ) -> Iterator[tuple[dict[str, Any], dict[str, Location]]]:
        """Each combination of values, and where in the file each value stands."""
        places: dict[str, str] = {}
        for part, names in (
            ("setting", block.setting),
            ("grid", block.grid),
            ("cases", {name: None for case in block.cases for name in case}),
        ):
            for name in names:
                if name in places:
                    self.source.problem(
                        (*location, part), f"'{name}' is set in '{places[name]}' too; keep one."
                    )
                places.setdefault(name, part)
        axes = list(block.grid)
        indices = [range(len(block.grid[name])) for name in axes]
        for n, case in enumerate(block.cases or [{}]):
            for chosen in itertools.product(*indices):
                grid = {name: block.grid[name][i] for name, i in zip(axes, chosen, strict=True)}
                origin: dict[str, Location] = {
                    name: (*location, "setting", name) for name in block.setting
                }
                origin |= {
                    name: (*location, "grid", name, i) for name, i in zip(axes, chosen, strict=True)
                }
                origin |= {name: (*location, "cases", n, name) for name in case}
                yield block.setting | grid | case, origin
