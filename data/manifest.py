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
_MOST_NODES = 200_000  # far above any manifest; anchors can stand for billions
_KINDS = {list: "a list", int: "a number", float: "a number", bool: "true or false"}


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


def _check_nodes(node: yaml.Node | None, path: Path) -> None:
    """Refuse what YAML allows and nobody means: repeated keys, endless and exploding anchors.

    Raises UserError; YAML itself would silently keep the last of two equal keys.
    """
    repeated, visited = [], 0

    def visit(node: yaml.Node, above: tuple[int, ...]) -> None:
        nonlocal visited
        visited += 1
        at = f"{path}:{node.start_mark.line + 1}"
        if id(node) in above:
            raise UserError(f"{at}: an anchor (&) that contains itself.")
        if visited > _MOST_NODES:
            raise UserError(f"{at}: more than {_MOST_NODES:,} values; are there nested anchors?")
        above = (*above, id(node))
        if isinstance(node, yaml.MappingNode):
            seen = set()
            for key, value in node.value:
                if isinstance(key, yaml.ScalarNode) and key.value in seen:
                    repeated.append(
                        f"{path}:{key.start_mark.line + 1}: the key '{key.value}' is given twice."
                    )
                elif isinstance(key, yaml.ScalarNode):
                    seen.add(key.value)
                visit(value, above)
        elif isinstance(node, yaml.SequenceNode):
            for child in node.value:
                visit(child, above)

    if node is not None:
        visit(node, ())
    if repeated:
        raise UserError("\n".join(repeated))


def _complaint(error: yaml.YAMLError) -> str:
    """What the YAML parser says, in one line, with what to do about a tab."""
    if isinstance(error, yaml.reader.ReaderError):
        code = error.character if isinstance(error.character, int) else ord(error.character)
        return f"the character U+{code:04X} is not allowed"
    context, begun, at = error.context, error.context_mark, error.problem_mark
    if context and begun and at and begun.line != at.line:
        context += f" begun in line {begun.line + 1}"
    said = ", ".join(part for part in (context, error.problem) if part)
    hints = {
        " tab ": "; indent with spaces",
        "mapping values are not": "; put text that has a colon in quotes",
    }
    return said + next((hint for words, hint in hints.items() if words in said), "")


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

    Raises UserError when the file cannot be read, is not YAML, is no mapping or repeats a key.
    """
    try:
        text = path.read_text(encoding="utf-8")
    except FileNotFoundError:
        raise UserError(f"{path}: no such file.") from None
    except IsADirectoryError:
        raise UserError(f"{path}: a folder; a YAML file is expected.") from None
    except UnicodeDecodeError as error:
        line = error.object[: error.start].count(b"\n") + 1
        raise UserError(f"{path}:{line}: not a text file in UTF-8; save it as UTF-8.") from None
    except OSError as error:
        raise UserError(f"{path}: cannot be read: {error.strerror}.") from None
    try:
        loader = _Loader(text)
        node = loader.get_single_node()
        _check_nodes(node, path)
        value = loader.construct_document(node) if node is not None else None
    except yaml.YAMLError as error:
        mark = getattr(error, "problem_mark", None)
        where = f"{path}:{mark.line + 1}" if mark else str(path)
        raise UserError(f"{where}: not valid YAML: {_complaint(error)}.") from None
    except ValueError as error:  # a date or a number that only looks like one
        raise UserError(f"{path}: not valid YAML: {str(error).split(';')[0]}.") from None
    except RecursionError:
        raise UserError(f"{path}: not valid YAML: nested too deeply.") from None
    if not isinstance(value, dict):
        given = "the file is empty" if value is None else f"it is {_KINDS.get(type(value), 'text')}"
        raise UserError(f"{path}: a mapping of keys to values is expected at the top; {given}.")
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
