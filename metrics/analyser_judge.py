"""The embedded judge: the world's analyser, which reads source, edit and true answer alike."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from data.errors import UserError
from data.world.vocabulary import SIZE
from metrics.attribute_accuracy import _LEGIBLE, _read, attributes
from metrics.judges import Answer, Judge, Question


@dataclass(frozen=True)
class AnalyserJudge(Judge):
    """Judges against the true answer.

    Success: the share of attributes that were to change and read as in the true answer.
    Restraint: the share of those that were to stay. Quality: how near the objects come to their
    best rendering, from 0 where nothing is legible to 10 where it is as near as in the true answer.
    """

    oracle: np.ndarray  # (64, 64, 3) uint8
    name = "the world's analyser"
    date = ""  # it does not drift

    def answer(self, question: Question) -> Answer:
        """Raises UserError for a picture that is not of the world's size."""
        pictures = (question.source, question.edited, self.oracle)
        if any(picture.shape != (SIZE, SIZE, 3) for picture in pictures):
            raise UserError(f"the analyser judges {SIZE}x{SIZE} pictures of the world alone")
        source, edited, true = (_read(np.ascontiguousarray(p).tobytes()) for p in pictures)
        wanted = attributes(true, true)
        before, shown = attributes(source, true), attributes(edited, true)
        triples = list(zip(shown, wanted, before, strict=True))
        changed = [a == b for a, b, c in triples if b != c]
        kept = [a == b for a, b, c in triples if b == c]
        semantic = tuple(10 * float(np.mean(part)) for part in (changed, kept) if part)
        return Answer(semantic, (10 * _legibility(edited, true),))


def _legibility(edited, true) -> float:
    """From 0 to 1: errors of as many objects as the true answer has, missing ones counted."""
    count = len(true.objects)
    if not count:
        return 1.0
    errors = [min(found.error, _LEGIBLE) for found in edited.objects[:count]]
    errors += [_LEGIBLE] * (count - len(errors))
    floor = float(np.mean([found.error for found in true.objects]))
    return float(np.clip((_LEGIBLE - np.mean(errors)) / max(_LEGIBLE - floor, 1e-9), 0, 1))
