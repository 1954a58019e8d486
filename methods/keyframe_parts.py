"""The keyframes of a long clip, edited some at a time and kept only while frames draw on them."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from methods.lazy import lazy_import
from methods.propagation import SourceRecord
from methods.routes import Route

if TYPE_CHECKING:
    import torch
    from torch import Tensor
else:
    torch = lazy_import("torch")


@dataclass(frozen=True)
class EditedKeyframes:
    """What frames draw on: K keyframes' source record, and their edit's (2 K, S, C) outputs."""

    source: SourceRecord
    outputs: Mapping[str, Tensor]


class KeyframeParts:
    """Parts of ``size`` keyframes, each edited when frames first need it.

    A clip's frames go by in order and draw on keyframes near them, so a step's memory does not
    grow with the number of keyframes and every part is edited once.
    """

    def __init__(
        self, n_keyframes: int, size: int, edit: Callable[[slice], EditedKeyframes]
    ) -> None:
        self.n_keyframes, self.size, self.edit = n_keyframes, size, edit
        self.kept: dict[int, EditedKeyframes] = {}

    def serving(self, way: Route) -> tuple[EditedKeyframes, Route]:
        """The parts that a route draws on, as one, and the route with its indices among them."""
        ends = torch.stack([way.first, way.second])
        wanted = range(int(ends.min()) // self.size, int(ends.max()) // self.size + 1)
        self.kept = {part: kept for part, kept in self.kept.items() if part in wanted}
        for part in wanted:
            if part not in self.kept:
                first = part * self.size
                self.kept[part] = self.edit(slice(first, min(first + self.size, self.n_keyframes)))
        start = wanted.start * self.size
        here = replace(way, first=way.first - start, second=way.second - start)
        return join([self.kept[part] for part in wanted]), here


def join(parts: Sequence[EditedKeyframes]) -> EditedKeyframes:
    """Keyframes edited some at a time as if together."""
    if len(parts) == 1:
        return parts[0]
    sites = parts[0].outputs
    tokens = {site: torch.cat([part.source.tokens[site] for part in parts]) for site in sites}
    outputs = {site: torch.cat([part.source.outputs[site] for part in parts]) for site in sites}
    edited = {
        site: torch.cat([part.outputs[site].unflatten(0, (2, -1)) for part in parts], 1).flatten(
            0, 1
        )
        for site in sites
    }
    return EditedKeyframes(SourceRecord(tokens, outputs), edited)
