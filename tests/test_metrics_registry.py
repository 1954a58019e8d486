"""Every recipe says what it is; finding recipes loads nothing heavy."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from data.clip import Clip
from data.errors import UserError
from metrics.base import Sample
from metrics.extractors import MissingExtractor
from metrics.nets.fetch import extractors
from metrics.registry import get_metric, recipe_names

FIRST_LINE = {
    "clip_text@world-tiny", "clip_direction@world-tiny", "clip_gain@world-tiny",
    "frame_consistency@world-tiny", "warp_error@exact", "warp_error@dis",
    "perceptual@world-tiny", "perceptual_outside@world-tiny", "psnr_outside@source",
    "oracle_psnr@rgb", "oracle_perceptual@world-tiny", "flicker@rgb", "dynamic_degree@dis",
}  # fmt: skip


def test_the_first_line_of_metrics_is_there():
    assert set(recipe_names()) >= FIRST_LINE
    assert recipe_names() == sorted(recipe_names())


@pytest.mark.parametrize("recipe", recipe_names())
def test_a_recipe_is_fully_described(recipe):
    metric = get_metric(recipe)
    assert (
        re.fullmatch(r"[a-z_0-9]+@[A-Za-z0-9-]+(/[a-z0-9]+)?", recipe) and metric.recipe == recipe
    )
    assert metric.higher_is_better in (True, False, None)
    assert metric.range[0] < metric.range[1]
    assert metric.citation and metric.version and type(metric).__doc__


@pytest.mark.parametrize("recipe", recipe_names())
def test_a_single_frame_of_odd_size_without_truth_gives_a_number_or_a_reason(recipe):
    frames = np.random.default_rng(0).integers(0, 256, (1, 33, 47, 3), dtype=np.uint8)
    try:
        score = get_metric(recipe).compute(Sample(frames, Clip("c", "d", frames, "a thing"), None))
    except MissingExtractor as error:  # which scoring records as the reason
        named = re.search(r"make extractors EXTRACTORS=([^`]+)`", str(error))
        assert named and named[1] in extractors()
        assert get_metric(recipe).extractor_digest == "absent"
        return
    assert (score.value is None) == bool(score.reason)
    if score.value is not None:
        low, high = get_metric(recipe).range
        assert isinstance(score.value, float) and low <= score.value <= high


def test_an_unknown_recipe_is_named_with_the_nearest():
    with pytest.raises(
        UserError, match=r"unknown metric 'warp_eror@exact'\. Did you mean 'warp_error"
    ):
        get_metric("warp_eror@exact")


def test_listing_recipes_loads_no_torch():
    code = (
        "import sys; from metrics.registry import recipe_names; recipe_names()\n"
        "assert not {'torch', 'cv2', 'transformers'} & set(sys.modules)"
    )
    subprocess.run([sys.executable, "-c", code], check=True, cwd=Path(__file__).parents[1])
