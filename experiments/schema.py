"""The keys of an experiment file. Names are checked against what exists in ``validate``."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, Field, ValidationError, model_validator

from data.errors import nearest
from experiments.yaml_source import Location, YamlSource


class Strict(BaseModel):
    """Frozen, and an unknown key is an error."""

    model_config = ConfigDict(frozen=True, extra="forbid")


class ClipsBlock(Strict):
    """Some clips of a dataset and the edits asked of them."""

    dataset: str
    ids: list[str] | None = Field(None, min_length=1, description="clip names; default: all")
    first: int | None = Field(None, ge=1, description="the dataset's first n clips")
    edits: list[str] = Field(["all"], min_length=1, description="edit names, [all] or [none]")
    frames: int | None = Field(None, ge=1, description="use only the first n frames")
    methods: list[str] | None = Field(
        None, min_length=1, description="labels of the methods run on these clips; default: all"
    )

    @model_validator(mode="before")
    @classmethod
    def _one_word(cls, value: Any) -> Any:
        if isinstance(value, dict) and isinstance(value.get("edits"), str):
            return value | {"edits": [value["edits"]]}
        return value

    @model_validator(mode="after")
    def _one_choice(self) -> ClipsBlock:
        if self.ids is not None and self.first is not None:
            raise ValueError("give 'ids' or 'first', not both")
        return self


class MethodBlock(Strict):
    """A method and the settings it runs with: setting × grid × cases."""

    name: str
    setting: dict[str, Any] = Field({}, description="fields that stay fixed")
    grid: dict[str, list[Any]] = Field({}, description="axes; their full product is run")
    cases: list[dict[str, Any]] = Field([], description="coupled values, one dict per case")
    label: str = Field("", description="name of the rows in tables; default: the method's name")

    @property
    def title(self) -> str:
        """The label, or the method's name."""
        return self.label or self.name


class BaselineBlock(Strict):
    """What rows are compared with: one row, or the one of the same label that has a setting."""

    label: str = Field("", description="label of the row; default: each label its own")
    setting: dict[str, Any] = Field({}, description="values that single out one row of a label")

    @model_validator(mode="before")
    @classmethod
    def _one_word(cls, value: Any) -> Any:
        return {"label": value} if isinstance(value, str) else value

    @model_validator(mode="after")
    def _something(self) -> BaselineBlock:
        if not self.label and not self.setting:
            raise ValueError("give a 'label', a 'setting' or both")
        return self

    def concerns(self, label: str, setting: Mapping[str, Any]) -> bool:
        """Whether a row may be a baseline at all: named, or with one of the fields asked for."""
        return label == self.label if self.label else bool(self.setting.keys() & setting.keys())

    def fits(self, label: str, setting: Mapping[str, Any]) -> bool:
        """Whether a row is a baseline; fields that its method lacks do not count."""
        return self.concerns(label, setting) and all(
            setting[name] == value for name, value in self.setting.items() if name in setting
        )


class ReportBlock(Strict):
    """What the report shows beyond the leaderboards."""

    baseline: BaselineBlock | None = Field(None, description="what differences are taken to")


class Experiment(Strict):
    """What to run, score and show."""

    title: str = Field(min_length=1)
    description: str = ""
    backbones: list[str] = Field(min_length=1)
    clips: list[ClipsBlock] = Field(min_length=1)
    methods: list[MethodBlock] = Field(min_length=1)
    seeds: list[int] = Field([0], min_length=1)
    metrics: list[str] = []
    dtype: Literal["float32", "float16", "bfloat16"] = "float32"
    allow_failures: bool = Field(False, description="failed cells do not fail the run")
    cell_time_limit: float | None = Field(
        None,
        gt=0,
        description="seconds that a cell's inversion, or its edit, may take; default: any",
    )
    timing: bool = Field(False, description="times matter: each shard has its device for itself")
    shard_size: int = Field(64, ge=1, description="most cells that one job runs")
    shard_evaluations: int = Field(
        6000, ge=1, description="network evaluations above which a job takes no further cells"
    )
    report: ReportBlock = ReportBlock()


def _model_at(location: Location) -> type[BaseModel]:
    """The model whose keys are allowed at a place of the file."""
    models: dict[str, type[BaseModel]] = {
        "clips": ClipsBlock,
        "methods": MethodBlock,
        "report": BaselineBlock if len(location) > 2 else ReportBlock,
    }
    return models.get(str(location[0]), Experiment) if len(location) > 1 else Experiment


def read_experiment(source: YamlSource) -> Experiment | None:
    """The typed experiment, or None with the problems recorded in ``source``."""
    try:
        return Experiment.model_validate(source.value)
    except ValidationError as error:
        for item in error.errors():
            location: Location = item["loc"]
            if item["type"] == "extra_forbidden":
                allowed = list(_model_at(location).model_fields)
                message = (
                    f"unknown key.{nearest(str(location[-1]), allowed)} "
                    f"Allowed: {', '.join(allowed)}."
                )
            else:
                message = explain(item)
            source.problem(location, message)
        return None


def explain(error: Any) -> str:
    """A pydantic error in a sentence: what was given and what is allowed."""
    if error["type"] == "missing":
        return "required, but not given."
    message = error["msg"].removeprefix("Value error, ").removeprefix("Input ")
    message = message.replace("valid integer, unable to parse string as an integer", "integer")
    message = message.replace("valid number, unable to parse string as a number", "number")
    given = error["input"]
    shown = f"{given!r} given; " if isinstance(given, str | int | float | bool | None) else ""
    return f"{shown}{message}."
