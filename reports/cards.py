"""What the code says of itself: cards of methods, metrics, backbones and clips."""

from __future__ import annotations

import inspect
import re
from dataclasses import dataclass
from functools import cache

from data.clip import Clip
from data.errors import UserError
from metrics.base import Metric
from metrics.sets import CELLS, SetMetric


@dataclass(frozen=True)
class Field:
    """One setting of a method."""

    name: str
    default: str
    allowed: str
    description: str


@dataclass(frozen=True)
class MethodCard:
    """A method as its own file describes it."""

    name: str
    doc: str = ""
    paper: str = ""
    fields: tuple[Field, ...] = ()
    control: bool = False  # edits nothing or knows the answer: shown for reference, never ranked


@dataclass(frozen=True)
class MetricCard:
    """A recipe as its own file describes it."""

    recipe: str
    doc: str = ""
    citation: str = ""
    version: str = ""
    unit: str = ""
    higher_is_better: bool | None = None
    range: tuple[float, float] | None = None
    digest: str = ""  # of the extractor's weights, where it has any
    margin: float | None = None  # how much worse passes for no regression, in its own unit

    @property
    def name(self) -> str:
        """What is measured: the part before ``@``."""
        return self.recipe.partition("@")[0]

    @property
    def extractor(self) -> str:
        """What measured it: the part after ``@``."""
        return self.recipe.partition("@")[2]

    @property
    def arrow(self) -> str:
        """Which way is better."""
        return {True: "↑", False: "↓", None: ""}[self.higher_is_better]


class Catalogue:
    """The project's registries and datasets, as a report needs them."""

    @cache  # noqa: B019 - one catalogue per report
    def method(self, name: str) -> MethodCard:
        """A method's card; a bare one where this checkout does not have the method any more."""
        from methods.registry import get_method

        try:
            method = get_method(name)
        except UserError as error:
            return MethodCard(name, doc=f"Not in this checkout: {error}")
        needs = method.requires
        return MethodCard(
            name=name,
            doc=inspect.cleandoc(inspect.getmodule(type(method)).__doc__ or ""),
            paper=method.paper,
            fields=_fields(method.Setting.model_json_schema()),
            control=needs.oracle or not needs.backbone or not needs.edit,
        )

    @cache  # noqa: B019 - one catalogue per report
    def metric(self, recipe: str) -> MetricCard:
        """A recipe's card; a bare one, never ranked, where this checkout does not have it."""
        from metrics.registry import get_metric

        try:
            metric = get_metric(recipe)
        except UserError as error:
            return MetricCard(recipe, doc=f"Not in this checkout: {error}")
        return MetricCard(
            recipe=recipe,
            doc=inspect.getdoc(type(metric)) or "",
            citation=metric.citation,
            version=metric.version,
            unit=re.sub(r"^x(?=\d)", "×", metric.unit),
            higher_is_better=metric.higher_is_better,
            range=metric.range,
            digest=_extractor_digest(metric),
            margin=metric.margin,
        )

    @cache  # noqa: B019 - one catalogue per report
    def set_metric(self, recipe: str) -> SetMetric | None:
        """The metric of a recipe whose numbers are those of sets of cells; None of any other."""
        from metrics.registry import get_metric

        try:
            metric = get_metric(recipe)
        except UserError:
            return None
        return metric if isinstance(metric, SetMetric) and metric.extent == CELLS else None

    @cache  # noqa: B019 - one catalogue per report
    def clip(self, dataset: str, clip: str) -> Clip:
        """A clip with frames, edits and oracles."""
        from data.datasets import load_dataset

        return load_dataset(dataset).clip(clip)

    def clip_digest(self, dataset: str, clip: str) -> str:
        """Digest of a clip's frames and prompt."""
        from data.datasets import load_dataset

        return load_dataset(dataset).summary(clip).digest

    def backbone_digest(self, name: str) -> str:
        """Digest of a backbone's weights, or why there is none."""
        from methods.backbones.families import describe

        try:
            return describe(name).digest
        except UserError as error:
            return f"not available: {error}"


def _extractor_digest(metric: Metric) -> str:
    """Digest of the weights behind a metric; empty where it has none or they are absent."""
    try:
        return getattr(metric, "extractor_digest", "")
    except UserError:
        return ""


def _fields(schema: dict) -> tuple[Field, ...]:
    """The settings of a pydantic JSON schema, with their limits in words."""
    limits = {"minimum": "≥", "exclusiveMinimum": ">", "maximum": "≤", "exclusiveMaximum": "<"}
    fields = []
    for name, entry in schema.get("properties", {}).items():
        allowed = [f"{sign} {entry[key]}" for key, sign in limits.items() if key in entry]
        allowed += [" | ".join(map(str, entry["enum"]))] if "enum" in entry else []
        fields.append(
            Field(
                name,
                default=str(entry["default"]) if "default" in entry else "required",
                allowed=", ".join(allowed) or str(entry.get("type", "")),
                description=entry.get("description", ""),
            )
        )
    return tuple(fields)
