"""Whether frames show what the oracle shows, read back by the procedural world's analyser.

The analyser (``data.world.analyser``) names style, ground and each object's colour and shape from
pixels alone. Source, frames and oracle are read alike, so its own mistakes are no method's. What
source and oracle differ in is asked for; what they share is to be kept.
"""

from __future__ import annotations

from functools import lru_cache
from itertools import permutations
from typing import TYPE_CHECKING, ClassVar

import numpy as np

from data.world.vocabulary import SIZE
from metrics.base import Metric, Sample, Score
from metrics.pixels import no_oracle, same_shape

if TYPE_CHECKING:
    from data.world.analyser import Reading
    from data.world.fitting import Found

_READ = 3  # frames: the first, the middle and the last, since reading one takes about a second
_LEGIBLE = 40.0  # grey levels RMS to the best rendering; a true object has 12, a black frame 47


@lru_cache(maxsize=256)
def _read(pixels: bytes) -> Reading:
    from data.world.analyser import analyse

    return analyse(np.frombuffer(pixels, np.uint8).reshape(SIZE, SIZE, 3))


def _apart(found: Found | None, true: Found) -> float:
    """Pixels between the centres of two boxes; a whole frame where nothing was found."""
    if found is None:
        return SIZE
    (x0, y0, x1, y1), (u0, v0, u1, v1) = found.box, true.box
    return float(np.hypot(x0 + x1 - u0 - u1, y0 + y1 - v0 - v1)) / 2


def attributes(shown: Reading, true: Reading) -> list[str]:
    """What is shown in each place of the truth: style, ground, colour and shape of each object.

    An object stands in the place of the true one nearest to it; a place may stay empty. What looks
    like no rendering of any object is none.
    """
    legible = [found for found in shown.objects if found.error < _LEGIBLE]
    spare = [*legible, *[None] * len(true.objects)]
    placed = min(
        permutations(spare, len(true.objects)),
        key=lambda order: sum(map(_apart, order, true.objects)),
    )
    objects = [(found.colour, found.shape) if found else ("", "") for found in placed]
    return [shown.style, shown.ground, *(name for pair in objects for name in pair)]


class _Read(Metric):
    higher_is_better = True
    range = (0.0, 1.0)
    asked: ClassVar[bool]  # whether the attributes that change count, or those that stay

    def _share(self, frame: np.ndarray, source: np.ndarray, oracle: np.ndarray) -> float:
        """The share of right attributes in one frame; NaN where none counts."""
        true = _read(oracle.tobytes())
        wanted = attributes(true, true)
        before, shown = (attributes(_read(v.tobytes()), true) for v in (source, frame))
        right = [
            a == b for a, b, c in zip(shown, wanted, before, strict=True) if (b != c) == self.asked
        ]
        return float(np.mean(right)) if right else np.nan

    def compute(self, sample: Sample) -> Score:
        problem = no_oracle(sample) or same_shape(sample)
        if problem:
            return Score(None, reason=problem)
        if sample.frames.shape[1:3] != (SIZE, SIZE):
            return Score(None, reason=f"the world's analyser reads pictures of {SIZE}x{SIZE} only")
        values = np.full(len(sample.frames), np.nan)
        for t in {round(t) for t in np.linspace(0, len(values) - 1, _READ)}:
            values[t] = self._share(sample.frames[t], sample.clip.frames[t], sample.edit.oracle[t])
        if np.isnan(values).all():
            return Score(None, reason="to the analyser, no such attribute is in source and oracle")
        return Score(float(np.nanmean(values)), tuple(values))


class AttributeAccuracy(_Read):
    """Share of the attributes to be changed that read as in the oracle, in the first, middle and
    last frame: 1 for the oracle, 0 for the source."""

    recipe = "attribute_accuracy@analyser"
    citation = "read by the procedural world's analyser, held against its reading of the oracle"
    asked = True


class AttributesKept(_Read):
    """Share of the attributes to be kept that read as in the oracle, in the first, middle and last
    frame: 1 for oracle and source."""

    recipe = "attributes_kept@analyser"
    citation = "read by the procedural world's analyser, held against its reading of the oracle"
    asked = False
