"""The keys of an experiment file and their types. ``requests`` looks up the names."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Any, Literal

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, model_validator


def _no_switch(value: Any) -> Any:
    if isinstance(value, bool):  # which YAML also reads from yes, no, on and off
        raise ValueError("should be an integer")
    return value


Whole = Annotated[int, BeforeValidator(_no_switch)]


class Strict(BaseModel):
    """Frozen, and an unknown key is an error."""

    model_config = ConfigDict(frozen=True, extra="forbid")


class ClipsBlock(Strict):
    """Some clips of a dataset and the edits asked of them."""

    dataset: str
    ids: list[str] | None = Field(None, min_length=1, description="clip names; default: all")
    first: Whole | None = Field(None, ge=1, description="the dataset's first n clips")
    edits: list[str] = Field(["all"], min_length=1, description="edit names, [all] or [none]")
    frames: Whole | None = Field(None, ge=1, description="use only the first n frames")
    methods: list[str] | None = Field(
        None, min_length=1, description="labels of the methods run on these clips; default: all"
    )

    @model_validator(mode="before")
    @classmethod
    def _one_word(cls, value: Any) -> Any:
        if isinstance(value, dict) and isinstance(value.get("edits"), str):
            return value | {"edits": [value["edits"]]}
        return value


class MethodBlock(Strict):
    """A method and the settings it runs with: preset and setting × grid × cases."""

    name: str
    preset: str = Field("", description="the method's named values; what else is set goes first")
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
    seeds: list[Whole] = Field([0], min_length=1)
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
