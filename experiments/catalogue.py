"""All that an experiment can name: methods, metrics, datasets, backbones. Loads no torch."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from methods.base import Method

WARM_UP = 8  # frames: enough to choose kernels, few enough for any device


@dataclass(frozen=True)
class Catalogue:
    """Where names lead. Tests give their own."""

    methods: Mapping[str, Method]
    recipes: tuple[str, ...]
    datasets: tuple[str, ...]
    backbones: tuple[str, ...]
    dataset: Callable[[str], Any]  # name -> data.datasets.Dataset
    backbone: Callable[[str], Any]  # name -> what methods.backbones.families describes it by
    promised_backbone: Callable[[str], Any]  # the same of one whose weights are not here
    load_backbone: Callable[[str, str, str], Any]  # name, device, dtype -> a loaded backbone
    forecast: Callable[[str, Any, str], float | None]  # backbone, setting, dtype -> MB of tensors
    metric: Callable[[str], Any]  # recipe -> metrics.base.Metric
    warm_up: Callable[[Any, Any], Any]  # backbone, frames: as a first cell would use it
    invert: Callable[[Any, Any, Any], Any]  # backbone, frames, InversionSpec -> Inversion
    load_inversion: Callable[[Any], Any]  # path -> Inversion
    #: Prediction kind: code that every method on such a backbone uses. Methods of kinds that are
    #: not named here import all of it themselves.
    backbone_modules: Mapping[str, tuple[str, ...]]
    inversion_modules: tuple[str, ...]  # code behind inverted latents


def project_catalogue() -> Catalogue:
    """Everything in the project's folders."""
    from data.datasets import dataset_names, load_dataset
    from methods.backbones.families import all_names, describe, forecast, load, promise
    from methods.registry import get_method, method_names
    from metrics.registry import get_metric, recipe_names

    def warm_up(backbone: Any, frames: Any) -> None:
        if hasattr(backbone, "warm_up"):
            backbone.warm_up(frames[:WARM_UP])
            return
        latents = backbone.encode(frames[:WARM_UP])
        backbone.predict(latents, 1, backbone.embed([""] * len(latents)))
        backbone.decode(latents)

    def invert(backbone: Any, frames: Any, spec: Any) -> Any:
        from methods.inversion import invert

        return invert(backbone, backbone.encode(frames), spec)

    def load_inversion(path: Any) -> Any:
        from methods.inversion import Inversion

        return Inversion.load(path)

    return Catalogue(
        methods={name: get_method(name) for name in method_names()},
        recipes=tuple(recipe_names()),
        datasets=tuple(dataset_names()),
        backbones=tuple(all_names()),
        dataset=load_dataset,
        backbone=describe,
        promised_backbone=promise,
        load_backbone=load,
        forecast=forecast,
        metric=get_metric,
        warm_up=warm_up,
        invert=invert,
        load_inversion=load_inversion,
        backbone_modules=dict.fromkeys(("epsilon", "v_prediction"), ("methods.backbones.load",)),
        inversion_modules=("methods.backbones.load", "methods.inversion"),
    )
