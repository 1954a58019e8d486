"""Metrics by recipe name. A metric is found by its file: any ``metrics/*.py`` may define recipes.

These files import no torch at the top, so that listing recipes stays cheap.
"""

from __future__ import annotations

import importlib
import inspect
import pkgutil
from functools import cache

import metrics
from data.errors import unknown
from metrics.base import Metric

_HELPERS = {"extractors", "registry", "statistics", "world_clip"}  # slow to import, no recipes


@cache
def _classes() -> dict[str, type[Metric]]:
    found: dict[str, type[Metric]] = {}
    for info in pkgutil.iter_modules(metrics.__path__):
        if info.name in _HELPERS:
            continue
        module = importlib.import_module(f"metrics.{info.name}")
        for value in vars(module).values():
            if not (inspect.isclass(value) and issubclass(value, Metric)):
                continue
            if inspect.isabstract(value) or value.__module__ != module.__name__:
                continue
            if value.recipe in found:
                raise ImportError(
                    f"recipe '{value.recipe}' is defined twice: in {found[value.recipe].__module__}"
                    f" and {module.__name__}"
                )
            found[value.recipe] = value
    return found


def recipe_names() -> list[str]:
    """All recipes, sorted."""
    return sorted(_classes())


def get_metric(recipe: str) -> Metric:
    """The metric of a recipe; UserError with the nearest name if there is none."""
    if recipe not in _classes():
        raise unknown("metric", recipe, recipe_names())
    return _classes()[recipe]()
