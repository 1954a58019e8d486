"""Read a YAML file into a pydantic model; every error at once, with its file and line."""

from __future__ import annotations

from pathlib import Path
from typing import Any, TypeVar

import yaml
from pydantic import BaseModel, ConfigDict, ValidationError

from data.errors import UserError, nearest

Model = TypeVar("Model", bound=BaseModel)
Location = tuple[str | int, ...]
_Loader = getattr(yaml, "CSafeLoader", yaml.SafeLoader)  # the same, faster where it was built


class Strict(BaseModel):
    """Base of everything read from a manifest: frozen, and unknown keys are errors."""

    model_config = ConfigDict(frozen=True, extra="forbid")


def _line_numbers(node: yaml.Node | None, at: Location = ()) -> dict[Location, int]:
    """1-based line of every key and list item below a YAML node."""
    lines: dict[Location, int] = {}
    if isinstance(node, yaml.MappingNode):
        for key, value in node.value:
            below = (*at, key.value)
            lines[below] = key.start_mark.line + 1
            lines |= _line_numbers(value, below)
    elif isinstance(node, yaml.SequenceNode):
        for index, value in enumerate(node.value):
            below = (*at, index)
            lines[below] = value.start_mark.line + 1
            lines |= _line_numbers(value, below)
    return lines


def _repeated_key(node: yaml.Node | None) -> yaml.Node | None:
    """A key that a mapping has twice; YAML itself would silently keep the last."""
    children = []
    if isinstance(node, yaml.MappingNode):
        seen = set()
        for key, value in node.value:
            if key.value in seen:
                return key
            seen.add(key.value)
            children.append(value)
    elif isinstance(node, yaml.SequenceNode):
        children = node.value
    found = (_repeated_key(child) for child in children)
    return next((key for key in found if key is not None), None)


def _line(lines: dict[Location, int], location: Location) -> int:
    """Line of a location, or of the nearest enclosing key that the file has."""
    while location and location not in lines:
        location = location[:-1]
    return lines.get(location, 1)


def _message(error: dict[str, Any], fields: dict[str, list[str]]) -> str:
    location = ".".join(str(part) for part in error["loc"])
    if error["type"] == "extra_forbidden":
        name, owner = str(error["loc"][-1]), ".".join(str(part) for part in error["loc"][:-1])
        allowed = fields.get(name, [])
        return f"{owner or 'the file'} has an unknown key '{name}'.{nearest(name, allowed)}"
    text = error["msg"].removeprefix("Value error, ")
    given = error.get("input")
    shown = f" (given: {given!r})" if isinstance(given, str | int | float | bool) else ""
    return f"{location}: {text}{shown}"


def _field_names(model: type[BaseModel]) -> set[str]:
    """Every key the model and the models inside it know; used to guess what was meant."""
    names: set[str] = set()
    for name, child in model.model_json_schema().get("$defs", {}).items():
        names |= set(child.get("properties", {})) if name else set()
    return names | set(model.model_fields)


def load_yaml(path: Path) -> tuple[dict[str, Any], dict[Location, int]]:
    """The mapping in a YAML file and the line of every key.

    Raises UserError when the file is missing, is not YAML, or is no mapping.
    """
    try:
        text = path.read_text(encoding="utf-8")
    except FileNotFoundError:
        raise UserError(f"{path}: no such file.") from None
    except UnicodeDecodeError:
        raise UserError(f"{path}: not a text file; a YAML manifest is expected.") from None
    try:
        loader = _Loader(text)
        node = loader.get_single_node()
        value = loader.construct_document(node) if node is not None else None
    except yaml.YAMLError as error:
        mark = getattr(error, "problem_mark", None)
        where = f"{path}:{mark.line + 1}" if mark else str(path)
        raise UserError(f"{where}: not valid YAML: {getattr(error, 'problem', error)}.") from None
    if not isinstance(value, dict):
        raise UserError(f"{path}: a mapping of keys to values is expected at the top.")
    twice = _repeated_key(node)
    if twice is not None:
        raise UserError(
            f"{path}:{twice.start_mark.line + 1}: the key '{twice.value}' is given twice."
        )
    return value, _line_numbers(node)


def read_manifest(path: Path, model: type[Model]) -> Model:
    """Validate a YAML file; a UserError lists everything wrong, one line each with file:line."""
    value, lines = load_yaml(path)
    try:
        return model.model_validate(value)
    except ValidationError as error:
        known = sorted(_field_names(model))
        problems = [
            f"{path}:{_line(lines, item['loc'])}: "
            + _message(item, {str(item["loc"][-1]): known} if item["loc"] else {})
            for item in error.errors()
        ]
        raise UserError("\n".join(problems)) from None
