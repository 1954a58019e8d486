"""VIEScore: what a judge says of an edited picture, from 0 to 10.

Ku et al. 2024, as GEdit-Bench uses it (Liu et al. 2025): semantic consistency and perceptual
quality, the root of their product per picture, means per category and then over categories.
``analyser`` is the embedded judge, which knows the true answer. Every recorded judge is a recipe of
its own, named by its file in ``models/weights/judges``.
"""

from __future__ import annotations

import zlib
from collections.abc import Callable, Sequence
from functools import lru_cache, partial
from pathlib import Path
from typing import ClassVar

import numpy as np

from data.digest import sha256_file
from data.instructed import instruction_of
from metrics.analyser_judge import AnalyserJudge
from metrics.base import Family, Metric, Sample, Score
from metrics.judges import Answer, Judge, Question, RecordedJudge
from metrics.pixels import no_oracle
from metrics.sets import CELLS, Member, SetMetric, SetScore, Share

RECORDED = Path(__file__).resolve().parents[1] / "models" / "weights" / "judges"
ANALYSER = "analyser"
PARTS = {"viescore": "overall", "viescore_sc": "sc", "viescore_pq": "pq"}
_SHOWN = 3  # frames judged: the first, the middle and the last


def judges() -> tuple[str, ...]:
    """The embedded judge and those of which there are answers."""
    return (ANALYSER, *sorted(path.stem for path in RECORDED.glob("*.json")))


@lru_cache(maxsize=8)
def _recorded(path: Path, changed: int) -> RecordedJudge:
    return RecordedJudge(path)


class _Judged(Family):
    """What recipes of one judge share."""

    @property
    def path(self) -> Path:
        """The file of a recorded judge's answers."""
        return RECORDED / f"{self.extractor}.json"

    @property
    def extractor_digest(self) -> str:
        """SHA-256 of a recorded judge's file."""
        if self.extractor == ANALYSER:
            return ""
        return sha256_file(self.path) if self.path.is_file() else "absent"

    @property
    def citation(self) -> str:
        """Who judged, and when."""
        if self.extractor == ANALYSER:
            return "VIEScore's scheme, judged by the world's analyser against the true answer"
        judge = self._recorded_judge()
        return f"VIEScore's scheme (Ku et al. 2024), judged by {judge.name}, {judge.date}"

    def _recorded_judge(self) -> RecordedJudge:
        stamp = self.path.stat().st_mtime_ns if self.path.is_file() else 0
        return _recorded(self.path, stamp)

    def answers(self, sample: Sample) -> dict[int, Answer] | str:
        """The judge's answer to the first, middle and last frame, or why there is none."""
        instruction = instruction_of(sample.edit)
        if not instruction:
            return "no instruction is given"
        if self.extractor == ANALYSER and (problem := no_oracle(sample)):
            return problem
        last = min(len(sample.frames), len(sample.clip.frames)) - 1
        found = {}
        for t in sorted({round(t) for t in np.linspace(0, last, _SHOWN)}):
            question = Question(sample.clip.frames[t], sample.frames[t], instruction)
            judge: Judge = (
                AnalyserJudge(sample.edit.oracle[t])
                if self.extractor == ANALYSER
                else self._recorded_judge()
            )
            found[t] = judge.answer(question)
        return found


class VieScore(_Judged):
    """A judge's overall score, or its part for semantic consistency (``_sc``) or perceptual
    quality (``_pq``); mean over the first, middle and last frame."""

    higher_is_better = True
    range = (0.0, 10.0)

    def __init__(self, name: str, extractor: str) -> None:
        self.name: str = name
        super().__init__(extractor)

    @classmethod
    def recipes(cls) -> dict[str, Callable[[], Metric]]:
        return {
            f"{name}@{judge}": partial(cls, name, judge) for name in PARTS for judge in judges()
        }

    def compute(self, sample: Sample) -> Score:
        answers = self.answers(sample)
        if isinstance(answers, str):
            return Score(None, reason=answers)
        values = np.full(len(sample.frames), np.nan)
        for t, answer in answers.items():
            values[t] = getattr(answer, PARTS[self.name])
        return Score(float(np.nanmean(values)), tuple(values))


class VieScoreByCategory(SetMetric, _Judged):
    """The benchmark's figure: mean overall score per category of edit, then over categories."""

    name = "viescore_by_category"
    extent: ClassVar[str] = CELLS
    higher_is_better = True
    range = (0.0, 10.0)

    @classmethod
    def recipes(cls) -> dict[str, Callable[[], Metric]]:
        return {f"{cls.name}@{judge}": partial(cls, judge) for judge in judges()}

    def share(self, sample: Sample) -> Share | str:
        answers = self.answers(sample)
        if isinstance(answers, str):
            return answers
        overall = float(np.mean([answer.overall for answer in answers.values()]))
        return Share(np.array([[category(sample.edit.kind), overall]], np.float32))

    def combine(self, members: Sequence[Member]) -> SetScore:
        if not members:
            return SetScore(None, 0, "no picture was judged")
        rows = np.concatenate([member.share.samples for member in members])
        kinds = np.unique(rows[:, 0])
        means = [rows[rows[:, 0] == kind, 1].mean(dtype=np.float64) for kind in kinds]
        return SetScore(float(np.mean(means)), len(rows))


def category(kind: str) -> float:
    """A number for a kind of edit that float32 holds exactly."""
    return float(zlib.crc32(kind.encode()) % (1 << 24))
