"""Read an experiment's keys and types; what is wrong does not hide what else is wrong.

A wrong value is recorded and a harmless one stands in for it, so that the names in the rest of the
file are checked in the same run.
"""

from __future__ import annotations

import copy
import inspect
import itertools
import re
from typing import Any, get_args

from pydantic import BaseModel, ValidationError

from data.errors import nearest
from experiments.schema import Experiment
from experiments.yaml_source import Location, YamlSource

_ROUNDS = 12  # a stand-in may itself lack a key; the deepest block needs half as many
_NO_KEY = "invalid_key"  # pydantic's name for a top-level key that is no text

# pydantic's way to say a type, and ours
_WORDS = (
    (r"should be a valid integer.*", "should be an integer"),
    (r"should be a valid number.*", "should be a number"),
    (r"should be a valid string", "should be text"),
    (r"should be a valid boolean.*", "should be true or false"),
    (r"should be a valid list", "should be a list"),
    (r"(String|List|Dictionary) should have at least 1 .*", "should not be empty"),
    (r"String should match pattern .*", "should be letters, digits, '-', '_' and '.' only"),
    (r"should be a valid dictionary.*", "should be a mapping of keys to values"),
)


def read_experiment(source: YamlSource) -> Experiment | None:
    """The typed experiment, with stand-ins at ``source.broken``; None if too little is left."""
    value = copy.deepcopy(source.value)
    number = itertools.count(10**9)  # stand-ins that nothing else in the file equals
    for _ in range(_ROUNDS):
        try:
            return Experiment.model_validate(value)
        except ValidationError as error:
            errors = error.errors()
        places = [_place(item) for item in errors]
        for item, place in zip(errors, places, strict=True):
            unknown = item["type"] in ("extra_forbidden", _NO_KEY)
            source.problem(place, _unknown_key(place) if unknown else explain(item))
        source.broken |= set(places)
        for item in errors:
            _mend(value, _raw(item["loc"]), item["type"], next(number))
    return None


def _raw(loc: Location) -> Location:
    """The path in the value; pydantic puts a mark behind a key that is no text."""
    return loc[:-1] if loc and loc[-1] == "[key]" else loc


def _place(item: Any) -> Location:
    """Where in the file, which has keys as text."""
    raw = _raw(item["loc"])
    return (*raw[:-1], str(raw[-1])) if raw != item["loc"] or item["type"] == _NO_KEY else raw


def _model_at(location: Location) -> type[BaseModel]:
    """The model whose keys are allowed at a place of the file."""
    model: type[BaseModel] = Experiment
    for part in location[:-1]:
        field = model.model_fields.get(str(part))
        inner = _models(field.annotation) if field else []  # an index stays in its list's model
        model = inner[0] if inner else model
    return model


def _models(annotation: Any) -> list[type[BaseModel]]:
    """The models named in a type such as ``list[Model]`` or ``Model | None``."""
    if inspect.isclass(annotation) and issubclass(annotation, BaseModel):
        return [annotation]
    return [model for inner in get_args(annotation) for model in _models(inner)]


def _unknown_key(location: Location) -> str:
    allowed = list(_model_at(location).model_fields)
    return f"unknown key.{nearest(str(location[-1]), allowed)} Allowed: {', '.join(allowed)}."


def _mend(value: Any, location: Location, kind: str, number: int) -> None:
    """Take a wrong key out, or put something of the right type in its place."""
    try:
        for part in location[:-1]:
            value = value[part]
    except (KeyError, IndexError, TypeError):
        return  # it went with a wrong value around it
    last = location[-1]
    if isinstance(value, dict):
        field = _model_at(location).model_fields.get(str(last))
        if not (field and field.is_required()):
            value.pop(last, None)
            return
    if kind.startswith(("int", "greater", "less")):
        value[last] = number
    elif kind in ("model_type", "dict_type"):
        value[last] = {}
    elif kind in ("list_type", "too_short"):
        value[last] = [f"?{number}"]
    elif kind == "string_pattern_mismatch":
        value[last] = f"x{number}"
    else:
        value[last] = f"?{number}"


def explain(error: Any) -> str:
    """A pydantic error in a sentence: what was given and what is allowed."""
    if error["type"] == "missing":
        return "required, but not given."
    if error["type"] == "model_type":
        return f"{_shown(error['input'])}should be a mapping of keys to values."
    message = error["msg"].removeprefix("Value error, ").removeprefix("Input ")
    for theirs, ours in _WORDS:
        message = re.sub(theirs, ours, message)
    if error["type"] == "string_type" and not isinstance(error["input"], list | dict | None):
        message += "; put it in quotes"
    near = ""
    if error["type"] == "literal_error":
        near = nearest(str(error["input"]), re.findall(r"'([^']*)'", error["ctx"]["expected"]))
    return f"{_shown(error['input'])}{message}.{near}"


def _shown(given: Any) -> str:
    """The value given, if it is short enough to read."""
    if given is None:
        return "nothing given; "
    if isinstance(given, dict):
        return "a mapping given; "
    if isinstance(given, list | tuple):
        return "a list given; " if given else "an empty list given; "
    text = repr(given) if isinstance(given, str | int | float) else f"'{given}'"
    return f"{text if len(text) <= 60 else text[:57] + '...'} given; "
