"""Metrics by recipe name. A metric is found by its file: any ``metrics/*.py`` may define recipes.

These files import no torch at the top, so that listing recipes stays cheap.
"""

from __future__ import annotations

import importlib
import inspect
import pkgutil
from collections.abc import Callable
from functools import cache

import metrics
from data.errors import unknown
from metrics.base import Metric

_HELPERS = {"extractors", "nets", "registry", "statistics", "world_clip"}  # no recipes in them


@cache
def _makers() -> dict[str, Callable[[], Metric]]:
    found: dict[str, Callable[[], Metric]] = {}
    modules: dict[str, str] = {}
    for info in pkgutil.iter_modules(metrics.__path__):
        if info.name in _HELPERS:
            continue
        module = importlib.import_module(f"metrics.{info.name}")
        for value in vars(module).values():
            if not (inspect.isclass(value) and issubclass(value, Metric)):
                continue
            if inspect.isabstract(value) or value.__module__ != module.__name__:
                continue
            if value.__name__.startswith("_"):  # what several metrics of a file share
                continue
            for recipe, make in value.recipes().items():
                if recipe in found:
                    raise ImportError(
                        f"recipe '{recipe}' is defined twice: in {modules[recipe]}"
                        f" and {module.__name__}"
                    )
                found[recipe], modules[recipe] = make, module.__name__
    return found


def recipe_names() -> list[str]:
    """All recipes, sorted."""
    return sorted(_makers())


def get_metric(recipe: str) -> Metric:
    """The metric of a recipe; UserError with the nearest name if there is none."""
    if recipe not in _makers():
        raise unknown("metric", recipe, recipe_names())
    return _makers()[recipe]()
