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


def _as_printed(value: Any) -> Any:
    """A number as text, in the digits that were given."""
    try:
        float("no" if isinstance(value, bool) else value)
    except (TypeError, ValueError):
        raise ValueError("should be a number") from None
    return str(value)


PublishedNumber = Annotated[str, BeforeValidator(_as_printed)]
FILE_NAME = r"^[A-Za-z0-9][A-Za-z0-9._-]*$"


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


class RowBlock(Strict):
    """Rows of a table: by label, by values of their settings, or both."""

    label: str = Field("", description="label of the rows; default: any")
    setting: dict[str, Any] = Field({}, description="values that single out rows of a label")

    @model_validator(mode="before")
    @classmethod
    def _one_word(cls, value: Any) -> Any:
        return {"label": value} if isinstance(value, str) else value

    @model_validator(mode="after")
    def _something(self) -> RowBlock:
        if not self.label and not self.setting:
            raise ValueError("give a 'label', a 'setting' or both")
        return self

    def concerns(self, label: str, setting: Mapping[str, Any]) -> bool:
        """Whether a row may be meant at all: named, or with one of the fields asked for."""
        return label == self.label if self.label else bool(self.setting.keys() & setting.keys())

    def fits(self, label: str, setting: Mapping[str, Any]) -> bool:
        """Whether a row is meant; fields that its method lacks do not count."""
        return self.concerns(label, setting) and all(
            setting[name] == value for name, value in self.setting.items() if name in setting
        )


class PublishedBlock(Strict):
    """Numbers of somebody's publication: a column of their own, never ranked with ours."""

    title: str = Field(min_length=1, description="what was measured, as they call it")
    source: str = Field(min_length=1, description="authors, year and table")
    unit: str = ""
    values: dict[str, PublishedNumber] = Field(
        description="per label, as printed; in quotes where a last zero counts"
    )


class TableBlock(Strict):
    """A table of the paper: what its rows and columns are and what is said under it."""

    name: str = Field(pattern=FILE_NAME, description="its files' name, and its LaTeX label")
    title: str = ""
    caption: str = Field("", description="put before what the project says of the numbers")
    dataset: str = Field("", description="default: the one with the most rows")
    edits: list[str] = Field([], description="kinds of edits; default: all")
    rows: list[RowBlock] = Field([], description="in this order; default: all")
    recipes: list[str] = Field([], description="metrics and cost figures; default: all metrics")
    columns: str = Field(
        "", description="what each recipe is spread over: edit, backbone or a setting"
    )
    group: str = Field(
        "", description="what parts the rows into blocks: method, edit, backbone or a setting"
    )
    baseline: RowBlock | None = Field(None, description="show differences to it, not means")
    published: list[PublishedBlock] = []


class ReportBlock(Strict):
    """What the report shows beyond the leaderboards."""

    baseline: RowBlock | None = Field(None, description="what differences are taken to")
    tables: list[TableBlock] = []


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
    shard_size: int | None = Field(
        None, ge=1, description="most cells that one job runs; default: 64, more in a large sweep"
    )
    shard_evaluations: int | None = Field(
        None,
        ge=1,
        description="network evaluations above which a job takes no further cells; default: 6000, "
        "more in a large sweep",
    )
    report: ReportBlock = ReportBlock()
