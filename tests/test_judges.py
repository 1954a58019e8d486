"""VIEScore's scheme: the lower of each pair, a root of a product, means of categories."""

from __future__ import annotations

import json
import math
from pathlib import Path

import numpy as np
import pytest

from data.datasets import load_dataset
from data.errors import UserError
from metrics import viescore
from metrics.base import Sample
from metrics.judges import Answer, Question, RecordedJudge, read_reply, record
from metrics.registry import get_metric
from metrics.sets import Member

NAMED = "gpt-4.1-2025-06"


def question(level: int, instruction: str = "make it red") -> Question:
    source = np.zeros((8, 8, 3), np.uint8)
    return Question(source, np.full((8, 8, 3), level, np.uint8), instruction)


class Model:
    """A vision-language model of canned replies that remembers what it was shown."""

    def __init__(self, *replies: str) -> None:
        self.replies, self.seen = list(replies), []

    def __call__(self, prompt: str, pictures) -> str:
        self.seen.append((prompt, len(pictures)))
        return self.replies.pop(0)


def reply(*scores: float) -> str:
    return f'Sure!\n```json\n{{"score": {list(scores)}, "reasoning": "so"}}\n```'


def test_the_lower_of_each_pair_counts_and_the_root_of_their_product():
    answer = Answer(semantic=(9, 4), quality=(8, 9))
    assert (answer.sc, answer.pq) == (4, 8)
    assert answer.overall == pytest.approx(math.sqrt(32))


def test_a_model_sees_both_pictures_and_the_instruction_and_for_quality_the_edit_alone(tmp_path):
    model = Model(reply(9, 4), reply(8, 8.5))
    record(tmp_path / "a.json", "m", "2026-01-02", model, [question(3, "paint it black")])
    (semantic, two), (quality, one) = model.seen
    assert (two, one) == (2, 1)
    assert "paint it black" in semantic and "paint it black" not in quality
    judge = RecordedJudge(tmp_path / "a.json")
    assert (judge.name, judge.date) == ("m", "2026-01-02")
    assert judge.answer(question(3, "paint it black")) == Answer((9, 4), (8, 8.5))


def test_what_is_answered_is_not_asked_again_and_a_failure_keeps_the_answers(tmp_path):
    path, asked = tmp_path / "a.json", [question(1), question(2)]
    with pytest.raises(UserError, match="the judge replied 'I cannot'"):
        record(path, "m", "d", Model(reply(1, 2), reply(3, 4), "I cannot"), asked)
    model = Model(reply(5, 6), reply(7, 8))
    record(path, "m", "d", model, asked)
    assert len(model.seen) == 2
    assert RecordedJudge(path).answer(question(1)).sc == 1


def test_answers_of_two_judges_or_dates_are_never_mixed(tmp_path):
    record(tmp_path / "a.json", "m", "april", Model(reply(1, 1), reply(1, 1)), [question(1)])
    with pytest.raises(UserError, match="those of m, june belong in a file of their own"):
        record(tmp_path / "a.json", "m", "june", Model(), [question(2)])


@pytest.mark.parametrize("text", ["", "7 out of 10", '{"score": "high"}', "{'score': [1]}"])
def test_a_reply_without_scores_is_refused(text):
    with pytest.raises(UserError, match="was asked for"):
        read_reply(text)


def test_scores_beyond_ten_are_refused(tmp_path):
    with pytest.raises(UserError, match=r"semantic scores \[11.0, 2.0\]"):
        record(tmp_path / "a.json", "m", "d", Model(reply(11, 2), reply(1, 1)), [question(1)])
    assert not (tmp_path / "a.json").exists()


@pytest.mark.parametrize("text", ["", "[]", '{"judge": "m", "date": "d", "answers": {"k": 3}}'])
def test_a_file_that_is_no_recording_is_told(tmp_path, text):
    (tmp_path / "a.json").write_text(text)
    with pytest.raises(UserError, match=r"a\.json: not a file of a judge's answers"):
        RecordedJudge(tmp_path / "a.json")


# As recipes.


@pytest.fixture
def recorded(tmp_path: Path, monkeypatch) -> Path:
    """A judge who has seen one edit of one clip."""
    monkeypatch.setattr(viescore, "RECORDED", tmp_path)
    clip = load_dataset("instructions").clip("red-circle-grass")
    edit = clip.edits["colour"]
    seen = Question(clip.frames[0], edit.oracle[0], edit.instruction)
    answers = {seen.key: {"semantic": [8, 9], "quality": [2, 5]}}
    text = json.dumps({"judge": "GPT-4.1", "date": "2025-06", "answers": answers})
    (tmp_path / f"{NAMED}.json").write_text(text)
    return tmp_path


def test_a_recorded_judge_is_a_recipe_that_says_who_and_when(recorded):
    clip = load_dataset("instructions").clip("red-circle-grass")
    made = viescore.VieScore.recipes()
    metric = made[f"viescore@{NAMED}"]()
    edit = clip.edits["colour"]
    assert metric.compute(Sample(edit.oracle, clip, edit)).value == pytest.approx(4)
    assert made[f"viescore_sc@{NAMED}"]().compute(Sample(edit.oracle, clip, edit)).value == 8
    assert "judged by GPT-4.1, 2025-06" in metric.citation and len(metric.extractor_digest) == 64
    with pytest.raises(UserError, match=r"GPT-4\.1 was not asked about this picture"):
        metric.compute(Sample(clip.frames, clip, edit))


def test_no_instruction_no_score():
    clip = load_dataset("world").clip("red-circle-grass")
    score = get_metric("viescore@analyser").compute(Sample(clip.frames, clip, clip.edits["colour"]))
    assert score.value is None and score.reason == "no instruction is given"


def test_to_the_embedded_judge_the_true_answer_has_ten_and_the_source_nothing():
    clip = load_dataset("instructions").clip("blue-ring-snow")
    edit = clip.edits["colour"]
    metric = get_metric("viescore@analyser")
    assert metric.compute(Sample(edit.oracle, clip, edit)).value == 10
    assert metric.compute(Sample(clip.frames, clip, edit)).value == 0
    other = Sample(clip.edits["shape"].oracle, clip, edit)  # another edit: not asked for
    assert get_metric("viescore_sc@analyser").compute(other).value == 0
    assert get_metric("viescore_pq@analyser").compute(other).value > 7


def test_categories_count_alike_however_many_pictures_they_have():
    """Brute force over GEdit-Bench's way: mean of category means of per-picture roots."""
    rng = np.random.default_rng(0)
    answers = {kind: rng.uniform(0, 10, count) for kind, count in (("a", 9), ("b", 2), ("c", 1))}
    members = [
        Member(
            "clip", "en", 0, viescore.Share(np.array([[viescore.category(kind), v]], np.float32))
        )
        for kind, values in answers.items()
        for v in values
    ]
    score = get_metric("viescore_by_category@analyser").combine(members)
    assert score.value == pytest.approx(np.mean([v.mean() for v in answers.values()]), abs=1e-5)
    assert score.n == 12


def test_eleven_categories_have_eleven_numbers():
    from data.gedit import CATEGORIES

    numbers = {np.float32(viescore.category(kind)) for kind in CATEGORIES}
    assert len(numbers) == 11 and all(float(n) == int(n) for n in numbers)
