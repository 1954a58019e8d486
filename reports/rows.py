"""The rows of tables, and the requests behind their numbers."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
import pandas as pd


@dataclass(frozen=True)
class Row:
    """One line of every table: a method in one setting on one backbone."""

    key: str  # "pnp[pnp_f_t=0.4]", unique in the experiment
    method: str
    title: str  # the label given in the YAML, else the method's name
    detail: str  # what sets it apart from the method's other rows, "pnp_f_t = 0.4"
    backbone: str
    values: tuple[tuple[str, object], ...]  # the settings that vary within the method
    control: bool = False  # a reference that edits nothing or knows the answer: never ranked

    @property
    def name(self) -> str:
        """Title and detail on one line."""
        return f"{self.title} ({self.detail})" if self.detail else self.title

    def without(self, name: str) -> Row:
        """The row with one of its settings, or its backbone, left open."""
        parts = [(key, show_value(value)) for key, value in self.values if key != name]
        if name != "backbone" and self.detail.endswith(f"backbone = {self.backbone}"):
            parts.append(("backbone", self.backbone))
        key, detail = told(self.title, parts)
        values = tuple(pair for pair in self.values if pair[0] != name)
        return replace(self, key=key, detail=detail, values=values)


@dataclass(frozen=True)
class Part:
    """The requests behind one number: of one row, on one dataset, of some kinds of edit."""

    row: str  # a Row's key
    dataset: str
    kinds: tuple[str, ...] = ()  # empty: all

    def of(self, table: pd.DataFrame) -> pd.DataFrame:
        """Its lines of a results table.

        A row that ignores the edit may be asked once per clip only; it belongs to every kind.
        """
        found = table[(table["row"] == self.row) & (table["dataset"] == self.dataset)]
        return found[found["edit_kind"].isin([*self.kinds, ""])] if self.kinds else found


def told(title: str, parts: list[tuple[str, str]]) -> tuple[str, str]:
    """A row's key and detail from what sets it apart."""
    inner = ",".join(f"{name}={value}" for name, value in parts)
    detail = ", ".join(f"{name} = {value}" for name, value in parts)
    return f"{title}[{inner}]" if inner else title, detail


def show_value(value: object) -> str:
    """A setting's value as one would write it in the YAML."""
    if isinstance(value, float | np.floating):
        return f"{value:g}"
    return str(value)
