"""Metrics of layouts on detections known by hand, and on the world's own pictures."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch
from transformers import (
    OwlViTConfig,
    OwlViTForObjectDetection,
    OwlViTImageProcessor,
    OwlViTProcessor,
)

from data.clip import Region
from data.datasets import load_dataset
from data.errors import UserError
from metrics.base import Sample
from metrics.box_fit import average_precision, iou
from metrics.clip_min_object import parts
from metrics.detectors import Analyser, Detection
from metrics.nets.files import HubFile
from metrics.nets.owlvit import OwlViT
from metrics.registry import get_metric
from metrics.sets import Member, Share
from metrics.visor import as_asked
from tests.miniature import make_tokenizer

LEFT, RIGHT = (0.0, 0.2, 0.4, 0.6), (0.6, 0.2, 1.0, 0.6)
CAT, DOG = Region("cat", (LEFT,)), Region("dog", (RIGHT,))


def found(**boxes: tuple) -> dict[str, Detection]:
    return {name: Detection(name, box, 0.9) for name, box in boxes.items()}


@pytest.mark.parametrize(
    "one, other, expected",
    [
        (LEFT, LEFT, 1),
        (LEFT, RIGHT, 0),
        ((0, 0, 0.5, 1), (0.25, 0, 0.75, 1), 1 / 3),
        ((0, 0, 1, 1), (0.5, 0.5, 1, 1), 1 / 4),
    ],
)
def test_iou_by_hand(one: tuple, other: tuple, expected: float) -> None:
    assert iou(one, other) == pytest.approx(expected) == iou(other, one)


def test_a_relation_is_that_of_the_axis_on_which_the_asked_boxes_lie_apart() -> None:
    layout = [CAT, DOG]
    assert as_asked(found(cat=(0.1, 0.8, 0.2, 0.9), dog=(0.3, 0.0, 0.4, 0.1)), layout)
    assert not as_asked(found(cat=RIGHT, dog=LEFT), layout)
    assert not as_asked(found(cat=LEFT, dog=LEFT), layout)
    below = Region("owl", ((0.4, 0.8, 0.6, 1.0),))
    three = [CAT, DOG, below]
    good = found(cat=LEFT, dog=RIGHT, owl=(0.1, 0.7, 0.2, 0.8))
    assert as_asked(good, three)
    assert not as_asked(good | found(owl=(0.4, 0.0, 0.6, 0.1)), three)


def images(*right: bool) -> list[Member]:
    """A prompt's images, in the order of their seeds from 10 on."""
    shares = [Share(np.array([[one]], np.float32)) for one in right]
    return [Member("cats", "left", 10 + at, share) for at, share in enumerate(shares)]


def test_visor_n_asks_whether_n_of_the_first_four_images_are_right() -> None:
    two = images(True, False, True, False)
    found = [get_metric(f"visor_{n}@analyser").combine(two) for n in (1, 2, 3, 4)]
    assert [score.value for score in found] == [1, 1, 0, 0]
    assert {score.n for score in found} == {4}
    five = [*reversed(images(False, False, False, False, True))]
    assert get_metric("visor_1@analyser").combine(five).value == 0
    short = get_metric("visor_1@analyser").combine(images(True, True, True))
    assert short.value is None and short.reason == "3 of 4 images of the prompt"


def test_average_precision_by_hand() -> None:
    """Two boxes; surest first a hit, a miss, a hit: precision 1 up to recall 1/2, then 2/3."""
    layout = [CAT, DOG]
    hit, miss = Detection("cat", LEFT, 0.9), Detection("dog", (0.6, 0.7, 1.0, 1.0), 0.8)
    late = Detection("dog", RIGHT, 0.3)
    assert average_precision([([hit, late], layout)]) == 1
    assert average_precision([([hit], layout)]) == pytest.approx(51 / 101)
    expected = (51 + 50 * 2 / 3) / 101
    assert average_precision([([hit, miss, late], layout)]) == pytest.approx(expected)
    assert average_precision([([], layout)]) == 0
    twice = [hit, Detection("cat", LEFT, 0.95)]  # the second of one box is a miss
    assert average_precision([(twice, [CAT])]) == 1
    assert average_precision([(twice, [CAT, DOG])]) == pytest.approx(51 / 101)
    wrong = [Detection("cat", RIGHT, 0.99), hit]
    assert average_precision([(wrong, [CAT])]) == pytest.approx(1 / 2)


def test_average_precision_is_over_all_pictures_at_once() -> None:
    sure_and_wrong = [Detection("cat", RIGHT, 0.9)]
    right = [Detection("cat", LEFT, 0.5)]
    pictures = [(sure_and_wrong, [CAT]), (right, [CAT])]
    assert average_precision(pictures) == pytest.approx(51 / 101 / 2)


@pytest.fixture(scope="module")
def asked() -> Sample:
    """A layout's oracle as its own answer."""
    clip = load_dataset("layouts").clip("yellow-square-purple-ring-snow")
    edit = clip.edits["left"]
    return Sample(edit.oracle, clip, edit)


def scores(sample: Sample, *recipes: str) -> list[float | None]:
    return [get_metric(recipe).compute(sample).value for recipe in recipes]


RECIPES = ("object_accuracy@analyser", "visor@analyser", "visor_cond@analyser", "box_ap50@analyser")


def test_a_picture_that_meets_its_layout(asked: Sample) -> None:
    assert scores(asked, *RECIPES) == [1, 1, 1, 1]
    assert scores(asked, "box_iou@analyser")[0] > 0.85


def test_a_picture_that_meets_another_layout(asked: Sample) -> None:
    swapped = replace(asked, edit=asked.clip.edits["right"])
    assert scores(swapped, *RECIPES) == [1, 0, 0, 0]
    assert scores(swapped, "box_iou@analyser") == [0]


def test_a_picture_without_one_of_the_objects(asked: Sample) -> None:
    half = asked.frames.copy()
    half[:, :, 32:] = half[:, :, :1]  # snow over the right half
    lost = replace(asked, frames=half)
    assert scores(lost, *RECIPES[:3]) == [0, 0, None]
    assert scores(lost, "object_recall@analyser") == [1 / 2]
    value = get_metric("visor_cond@analyser").compute(lost)
    assert value.reason == "not all objects are in any frame" and np.isnan(value.per_frame).all()
    assert 0.4 < scores(lost, "box_iou@analyser")[0] < 0.5


def test_without_a_layout_nothing_is_scored(asked: Sample) -> None:
    bare = replace(asked, edit=replace(asked.edit, layout=()))
    unplaced = replace(asked, edit=replace(asked.edit, layout=(Region("yellow square", ()),)))
    for recipe in (*RECIPES, "box_iou@analyser"):
        assert get_metric(recipe).compute(bare).value is None
    assert scores(unplaced, "object_accuracy@analyser", "box_iou@analyser") == [1, None]


def test_the_analyser_reads_pictures_of_the_world_alone() -> None:
    with pytest.raises(UserError, match="64x64"):
        Analyser().detect(np.zeros((32, 32, 3), np.uint8), ["red circle"])


def test_the_least_matched_part_of_a_prompt_counts(asked: Sample) -> None:
    assert parts("a cat with a hat and a dog") == ["a cat", "a hat", "a dog"]
    full = get_metric("clip_min_object@world-tiny")
    each = [
        get_metric("clip_text@world-tiny").compute(
            replace(asked, edit=replace(asked.edit, prompt=part))
        )
        for part in parts(asked.edit.prompt)
    ]
    assert full.compute(asked).value == pytest.approx(min(score.value for score in each))
    alone = replace(asked, edit=replace(asked.edit, prompt="a photo of a red circle on grass"))
    assert full.compute(alone).value is None


def test_owlvit_gives_boxes_in_shares_of_the_picture(monkeypatch) -> None:
    """A tiny random one through the library's own processor: form, not sight."""
    from metrics.nets import owlvit

    tokenizer = make_tokenizer(16)
    small = {"hidden_size": 16, "intermediate_size": 16, "num_hidden_layers": 1}
    small["num_attention_heads"] = 2
    config = OwlViTConfig(
        text_config=small | {"vocab_size": len(tokenizer), "max_position_embeddings": 16},
        vision_config=small | {"image_size": 32, "patch_size": 8},
        projection_dim=16,
    )
    processor = OwlViTProcessor(OwlViTImageProcessor(size={"height": 32, "width": 32}), tokenizer)
    monkeypatch.setattr(owlvit, "THRESHOLD", 0.0)
    model = OwlViTForObjectDetection(config)
    for value in model.box_head.dense2.parameters():
        torch.nn.init.zeros_(value)  # then a box is where its patch is
    detector = OwlViT(model, processor)
    detections = detector.detect(np.full((20, 40, 3), 90, np.uint8), ["cat", "dog"])
    assert len(detections) == 16  # one for each patch
    assert {one.phrase for one in detections} <= {"cat", "dog"}
    middles = sorted((one.box[0] + one.box[2]) / 2 for one in detections)
    assert middles == pytest.approx([k / 4 for k in (1, 2, 3, 4) for _ in range(4)], abs=1e-3)
    assert all(0 <= one.score <= 1 for one in detections)


def test_owlvit_that_is_not_there_says_what_to_fetch(asked: Sample, monkeypatch) -> None:
    monkeypatch.setattr(HubFile, "found", lambda self: None)
    metric = get_metric("visor@owlvit")
    assert metric.extractor_digest == "absent"
    with pytest.raises(UserError, match="missing extractor 'owlvit': run `make extractors"):
        metric.compute(asked)
