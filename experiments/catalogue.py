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
    backbone: Callable[[str], Any]  # name -> methods.backbones.BackboneInfo
    load_backbone: Callable[[str, str, str], Any]  # name, device, dtype -> a loaded backbone
    metric: Callable[[str], Any]  # recipe -> metrics.base.Metric
    warm_up: Callable[[Any, Any], Any]  # backbone, frames: as a first cell would use it
    invert: Callable[[Any, Any, Any], Any]  # backbone, frames, InversionSpec -> Inversion
    load_inversion: Callable[[Any], Any]  # path -> Inversion
    backbone_modules: tuple[str, ...]  # code that every method with a backbone uses
    inversion_modules: tuple[str, ...]  # code behind inverted latents


def project_catalogue() -> Catalogue:
    """Everything in the project's folders."""
    from data.datasets import dataset_names, load_dataset
    from methods.backbones import backbone_names, get_backbone_info, load_backbone
    from methods.registry import get_method, method_names
    from metrics.registry import get_metric, recipe_names

    def warm_up(backbone: Any, frames: Any) -> None:
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
        backbones=tuple(backbone_names()),
        dataset=load_dataset,
        backbone=get_backbone_info,
        load_backbone=load_backbone,
        metric=get_metric,
        warm_up=warm_up,
        invert=invert,
        load_inversion=load_inversion,
        backbone_modules=("methods.backbones.load",),
        inversion_modules=("methods.inversion",),
    )
