"""Import a module on first use, so that planning never loads torch."""

from __future__ import annotations

import importlib
from types import ModuleType


class _Lazy(ModuleType):
    def __getattr__(self, attribute: str) -> object:
        module = importlib.import_module(self.__name__)
        self.__dict__.update(module.__dict__)
        return getattr(module, attribute)


def lazy_import(name: str) -> ModuleType:
    """A stand-in that imports module ``name`` when an attribute of it is first read."""
    return _Lazy(name)
