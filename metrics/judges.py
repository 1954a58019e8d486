"""Judges of edited pictures: scores from 0 to 10, asked for as VIEScore asks (Ku et al. 2024).

A judge sees the source, the edited picture and the instruction. Two scores are of semantic
consistency: whether the edit succeeded, and whether nothing else was edited. Two are of perceptual
quality: naturalness, and freedom from artefacts. Of each pair the lower counts, and a picture's
overall score is the root of their product, as in GEdit-Bench (Liu et al. 2025).

A vision-language model's answers drift and cost money, so they are asked for once and recorded:
``record`` asks any model through a function of a prompt and pictures, and writes a file that names
judge and date; ``RecordedJudge`` reads it. The prompts are in our words: scores compare among
answers to these prompts, not with published ones.
"""

from __future__ import annotations

import hashlib
import json
import math
import re
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from data.errors import UserError
from data.files import write_text

Ask = Callable[[str, Sequence[np.ndarray]], str]  # prompt and pictures to the model's reply

_FORM = 'Reply with JSON alone: {"score": [first, second], "reasoning": "one short sentence"}.'
SEMANTIC_PROMPT = f"""\
You judge edited pictures by fixed rules. The first picture is the source, the second is what an
editing program made of it. The two may look the same where the program failed.
Give two scores from 0 to 10.
First, success: 0 if nothing of the instruction was followed, 10 if all of it was.
Second, restraint: 0 if the second picture is another scene altogether, 10 if nothing was changed
but what the instruction asks for.
Instruction: <instruction>
{_FORM}"""
QUALITY_PROMPT = f"""\
You judge pictures made by a program, by fixed rules, whatever they were meant to show.
Give two scores from 0 to 10.
First, naturalness: 0 for impossible light, shadow or distance, 10 if nothing looks wrong.
Second, freedom from artefacts: 0 for distortion, blur, seams or noise throughout, 10 for none.
{_FORM}"""


@dataclass(frozen=True)
class Question:
    """What is to be judged."""

    source: np.ndarray  # (H, W, 3) uint8
    edited: np.ndarray  # (h, w, 3) uint8
    instruction: str

    @property
    def key(self) -> str:
        """Hex SHA-256 of pictures and instruction: what an answer is filed under."""
        total = hashlib.sha256(self.instruction.encode())
        for picture in (self.source, self.edited):
            total.update(str(picture.shape).encode() + np.ascontiguousarray(picture).tobytes())
        return total.hexdigest()


@dataclass(frozen=True)
class Answer:
    """Scores from 0 to 10, of which the lowest of each kind counts."""

    semantic: tuple[float, ...]
    quality: tuple[float, ...]

    def __post_init__(self) -> None:
        for name, scores in (("semantic", self.semantic), ("quality", self.quality)):
            if not scores or not all(0 <= score <= 10 for score in scores):
                raise UserError(f"{name} scores {list(scores)} given; numbers from 0 to 10 needed.")

    @property
    def sc(self) -> float:
        """Semantic consistency."""
        return min(self.semantic)

    @property
    def pq(self) -> float:
        """Perceptual quality."""
        return min(self.quality)

    @property
    def overall(self) -> float:
        """Root of the product of both, from 0 to 10."""
        return math.sqrt(self.sc * self.pq)


class Judge(ABC):
    """Who judges. ``date`` says of when the answers are: the same model drifts."""

    name: str
    date: str

    @abstractmethod
    def answer(self, question: Question) -> Answer:
        """The scores of one edited picture. Raises UserError where there is none."""


def read_reply(reply: str) -> tuple[float, ...]:
    """The scores in a model's reply, whatever it wrote around the JSON.

    Raises UserError for a reply without a list of scores.
    """
    for found in re.finditer(r"\{.*\}", reply, re.DOTALL):
        try:
            scores = json.loads(found.group())["score"]
            return tuple(float(s) for s in (scores if isinstance(scores, list) else [scores]))
        except (ValueError, KeyError, TypeError):
            continue
    raise UserError(f'the judge replied {reply[:200]!r}; JSON with a list "score" was asked for.')


def ask(model: Ask, question: Question) -> Answer:
    """A vision-language model's answer: both pictures for the meaning, the edited for quality."""
    prompt = SEMANTIC_PROMPT.replace("<instruction>", question.instruction)
    return Answer(
        read_reply(model(prompt, [question.source, question.edited])),
        read_reply(model(QUALITY_PROMPT, [question.edited])),
    )


def record(path: Path, name: str, date: str, model: Ask, questions: Iterable[Question]) -> None:
    """Ask what the file does not answer yet, writing it after every answer.

    Raises UserError for a file of another judge or date: answers of two are never mixed.
    """
    known = RecordedJudge(path) if path.exists() else None
    if known and (known.name, known.date) != (name, date):
        raise UserError(
            f"{path}: answers of {known.name}, {known.date}; those of {name}, {date} belong in a "
            "file of their own."
        )
    answers = dict(known.answers) if known else {}
    for question in questions:
        if question.key in answers:
            continue
        answers[question.key] = ask(model, question)
        filed = {
            key: {"semantic": list(each.semantic), "quality": list(each.quality)}
            for key, each in answers.items()
        }
        text = json.dumps({"judge": name, "date": date, "answers": filed}, indent=1)
        write_text(path, text + "\n")


class RecordedJudge(Judge):
    """Answers from a file that ``record`` wrote."""

    def __init__(self, path: Path) -> None:
        """Raises UserError for a file that is missing or not a recording."""
        self.path = path
        try:
            value = json.loads(path.read_text(encoding="utf-8"))
            self.name, self.date = str(value["judge"]), str(value["date"])
            self.answers = {
                key: Answer(tuple(each["semantic"]), tuple(each["quality"]))
                for key, each in value["answers"].items()
            }
        except FileNotFoundError:
            raise UserError(f"{path}: no such file of a judge's answers.") from None
        except (ValueError, KeyError, TypeError, AttributeError) as error:
            raise UserError(f"{path}: not a file of a judge's answers ({error!r}).") from None

    def answer(self, question: Question) -> Answer:
        if question.key not in self.answers:
            raise UserError(
                f"{self.path}: {self.name} was not asked about this picture; ask it with "
                "metrics.judges.record."
            )
        return self.answers[question.key]
