"""Methods by name. A method is found by its file: ``methods/<name>.py`` defines one, named so.

A hyphen in a method's name is an underscore in its file's.
"""

from __future__ import annotations

import importlib
import inspect
import pkgutil
from functools import cache

import methods
from data.errors import unknown
from methods.base import Method


@cache
def _classes() -> dict[str, type[Method]]:
    found = {}
    for module_info in pkgutil.iter_modules(methods.__path__):
        if module_info.ispkg:
            continue
        module = importlib.import_module(f"methods.{module_info.name}")
        defined = [
            value
            for value in vars(module).values()
            if inspect.isclass(value)
            and issubclass(value, Method)
            and value.__module__ == module.__name__
            and not inspect.isabstract(value)
        ]
        for method in defined:
            if len(defined) > 1 or method.name.replace("-", "_") != module_info.name:
                raise ImportError(
                    f"methods/{module_info.name}.py must define one method, named "
                    f"'{module_info.name}'; it defines {', '.join(m.name for m in defined)}"
                )
            found[method.name] = method
    return found


def method_names() -> list[str]:
    """All methods, in alphabetical order."""
    return sorted(_classes())


def get_method(name: str) -> Method:
    """The method of that name; :class:`data.errors.UserError` if there is none."""
    if name not in _classes():
        raise unknown("method", name, method_names())
    return _classes()[name]()
