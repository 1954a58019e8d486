"""Pixel metrics agree with other libraries, and with what is known of extreme videos."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch
from skimage.metrics import mean_squared_error, peak_signal_noise_ratio
from torchmetrics.functional.image import peak_signal_noise_ratio as torchmetrics_psnr
from torchmetrics.functional.image import structural_similarity_index_measure
from torchmetrics.functional.regression import mean_squared_error as mean_squared_error_of

from data.clip import Clip, Edit
from metrics.base import Sample
from metrics.flicker import flicker
from metrics.pixels import PSNR_CAP, mse, psnr, untouched
from metrics.registry import get_metric
from metrics.ssim import ssim


def noise(seed: int, shape: tuple[int, ...] = (3, 17, 23, 3)) -> np.ndarray:
    return np.random.default_rng(seed).integers(0, 256, shape, dtype=np.uint8)


@pytest.fixture
def clip() -> Clip:
    masks = np.zeros((1, 3, 17, 23), bool)
    masks[0, :, 5:9, 6:11] = True
    frames = noise(0)
    edit = Edit("colour", "colour", "a blue box", (), noise(1), masks.copy())
    return Clip("box", "test", frames, "a red box", masks=masks, edits={"colour": edit})


def test_psnr_is_that_of_torchmetrics_and_scikit_image():
    a, b = noise(0), noise(1)
    for ours, x, y in zip(psnr(a, b), a, b, strict=True):
        given = (torch.from_numpy(v.astype(np.float64)) for v in (x, y))
        assert ours == pytest.approx(float(torchmetrics_psnr(*given, data_range=255.0)))
        assert ours == pytest.approx(peak_signal_noise_ratio(x, y))


def test_masked_psnr_is_that_of_the_chosen_pixels_alone():
    a, b, where = noise(0), noise(1), noise(2, (3, 17, 23)) > 99
    for ours, x, y, chosen in zip(psnr(a, b, where), a, b, where, strict=True):
        assert ours == pytest.approx(peak_signal_noise_ratio(x[chosen], y[chosen]))


def test_mse_is_that_of_scikit_image_in_all_and_of_the_chosen_pixels():
    a, b, where = noise(0), noise(1), noise(2, (3, 17, 23)) > 99
    for all_of, part, x, y, chosen in zip(mse(a, b), mse(a, b, where), a, b, where, strict=True):
        assert all_of == pytest.approx(mean_squared_error(x / 255, y / 255))
        assert part == pytest.approx(mean_squared_error(x[chosen] / 255, y[chosen] / 255))


def test_ssim_is_that_of_torchmetrics_at_odd_sizes():
    a = noise(0)
    b = np.clip(a.astype(int) + noise(1) // 4, 0, 255).astype(np.uint8)
    for ours, x, y in zip(ssim(a, b), a, b, strict=True):
        given = (torch.from_numpy(v / 255).permute(2, 0, 1)[None] for v in (x, y))
        _, windows = structural_similarity_index_measure(
            *given, data_range=1.0, return_full_image=True
        )
        inner = windows[..., 5:-5, 5:-5]  # the rest looks at pixels mirrored beyond the frame
        assert ours == pytest.approx(float(inner.mean()), abs=1e-6)


def test_masked_ssim_counts_only_windows_that_lie_wholly_in_the_region():
    a, b = noise(0, (1, 31, 37, 3)), noise(1, (1, 31, 37, 3))
    where = np.zeros((1, 31, 37), bool)
    where[0, 4:20, 8:28] = True
    elsewhere = np.where(where[..., None], b, noise(2, (1, 31, 37, 3)))
    assert ssim(a, b, where) == pytest.approx(ssim(a, elsewhere, where))
    cut = np.s_[:, 4:20, 8:28]  # the windows that fit are those of the region cut out
    assert ssim(a, b, where) == pytest.approx(ssim(a[cut], b[cut]))
    where[0, 4:20, 18:] = False  # 10 wide: no window fits
    assert np.isnan(ssim(a, b, where)).all()


def test_ssim_is_one_for_equal_frames_black_ones_too():
    assert ssim(noise(0), noise(0)) == pytest.approx(1)
    assert ssim(np.zeros((1, 12, 11, 3)), np.zeros((1, 12, 11, 3))) == pytest.approx(1)


def test_identical_frames_have_the_capped_value():
    assert (psnr(noise(0), noise(0)) == PSNR_CAP).all()


def test_the_least_difference_stays_below_the_cap():
    frames = np.zeros((1, 64, 64, 3), np.uint8)
    changed = frames.copy()
    changed[0, 0, 0, 0] = 1
    assert psnr(frames, changed)[0] < PSNR_CAP


def test_black_against_white_is_zero_decibels():
    black = np.zeros((1, 8, 8, 3), np.uint8)
    assert psnr(black, 255 - black) == pytest.approx([0.0])


def test_frames_may_be_uint8_or_float():
    a, b = noise(0), noise(1)
    assert psnr(a / 255, b / 255) == pytest.approx(psnr(a, b))
    assert mse(a / 255, b / 255) == pytest.approx(mse(a, b))
    assert ssim(a / 255, b / 255) == pytest.approx(ssim(a, b))
    assert flicker(a / 255) == pytest.approx(flicker(a))


def test_nothing_chosen_is_undefined():
    assert np.isnan(psnr(noise(0), noise(1), np.zeros((3, 17, 23), bool))).all()


def test_outside_leaves_out_a_rim_around_the_objects_before_and_after(clip):
    moved = np.roll(clip.masks, 8, axis=3)
    edit = replace(clip.edits["colour"], oracle_masks=moved)
    outside, reason = untouched(Sample(clip.frames, clip, edit))
    expected = np.ones((3, 17, 23), bool)
    expected[:, 3:11, 4:21] = False  # rows 5:9 and columns 6:11, 14:19, two pixels wider: they meet
    assert reason == ""
    assert np.array_equal(outside, expected)


def test_changes_inside_the_object_do_not_lower_the_outside_score(clip):
    frames = clip.frames.copy()
    frames[:, 5:9, 6:11] = 0
    sample = Sample(frames, clip, clip.edits["colour"])
    assert get_metric("psnr_outside@source").compute(sample).value == PSNR_CAP
    assert get_metric("psnr@source").compute(sample).value < PSNR_CAP


def test_inside_are_the_objects_before_and_after_and_nothing_else(clip):
    moved = np.roll(clip.masks, 8, axis=3)
    edit = replace(clip.edits["colour"], oracle_masks=moved)
    outside = np.where((clip.masks | moved)[0, ..., None], clip.frames, noise(5))
    inside = np.where(moved[0, ..., None], noise(5), clip.frames)
    score = get_metric("mse_inside@source")
    assert score.compute(Sample(outside, clip, edit)).value == 0
    assert score.compute(Sample(inside, clip, edit)).value > 0
    assert (
        "no object masks" in score.compute(Sample(inside, replace(clip, masks=None), edit)).reason
    )


def test_without_an_object_in_view_nothing_is_inside(clip):
    bare = replace(clip, masks=np.zeros_like(clip.masks))
    score = get_metric("psnr_inside@source").compute(Sample(clip.frames, bare, None))
    assert score.value is None and "large enough region" in score.reason


@pytest.mark.parametrize(
    ("recipe", "better"),
    [("psnr_outside@source", True), ("mse_outside@source", False), ("oracle_ssim@rgb", True),
     ("oracle_mse@rgb", False), ("ssim@source", None), ("mse_inside@source", None)],
)  # fmt: skip
def test_only_what_was_not_to_change_and_the_truth_rank_edits(recipe, better):
    assert get_metric(recipe).higher_is_better is better


@pytest.mark.parametrize("kind", ["ground", "style", "colour+ground", "shape+style"])
def test_where_everything_is_to_change_nothing_is_outside(clip, kind):
    edit = replace(clip.edits["colour"], kind=kind)
    score = get_metric("psnr_outside@source").compute(Sample(clip.frames, clip, edit))
    assert score.value is None and "everything outside" in score.reason


def test_objects_that_fill_the_frame_leave_nothing_outside(clip):
    full = replace(clip, masks=np.ones_like(clip.masks))
    score = get_metric("psnr_outside@source").compute(Sample(clip.frames, full, None))
    assert score.value is None and "fill the frame" in score.reason


def test_the_oracle_itself_reaches_the_cap_and_the_source_does_not(clip):
    edit, metric = clip.edits["colour"], get_metric("oracle_psnr@rgb")
    assert metric.compute(Sample(edit.oracle, clip, edit)).value == PSNR_CAP
    assert metric.compute(Sample(clip.frames, clip, edit)).value < 20


@pytest.mark.parametrize(
    "recipe", ["oracle_psnr@rgb", "psnr@source", "psnr_outside@source", "mse_inside@source"]
)
def test_frames_of_another_size_are_not_compared(clip, recipe):
    score = get_metric(recipe).compute(Sample(noise(3, (3, 8, 8, 3)), clip, clip.edits["colour"]))
    assert score.value is None and score.reason


def test_no_oracle_is_a_reason(clip):
    edit = replace(clip.edits["colour"], oracle=None)
    score = get_metric("oracle_psnr@rgb").compute(Sample(clip.frames, clip, edit))
    assert (score.value, score.reason) == (None, "no oracle is known for this edit")


def test_flicker_is_the_mean_step_in_levels(clip):
    ramp = np.stack([np.full((9, 7, 3), 10 * t, np.uint8) for t in (0, 1, 3)])
    score = get_metric("flicker@rgb").compute(Sample(ramp, clip, None))
    assert score.per_frame == pytest.approx((10, 20)) and score.value == pytest.approx(15)


def test_a_constant_video_does_not_flicker_and_one_frame_cannot(clip):
    constant = np.repeat(clip.frames[:1], 4, axis=0)
    metric = get_metric("flicker@rgb")
    assert metric.compute(Sample(constant, clip, None)).value == 0
    assert metric.compute(Sample(constant[:1], clip, None)).value is None


@pytest.fixture
def pie(clip) -> tuple[Sample, torch.Tensor, torch.Tensor]:
    """A sample, and its pictures as PIE-Bench's program hands them to torchmetrics."""
    frames = np.clip(clip.frames.astype(int) + noise(6) // 3, 0, 255).astype(np.uint8)
    mask = clip.masks[0].astype(np.float32)
    mask[:, 0] = mask[:, -1] = mask[:, :, 0] = mask[:, :, -1] = 1
    a, b = (
        torch.tensor(v.astype(np.float32) / 255 * (1 - mask[..., None])).permute(0, 3, 1, 2)
        for v in (frames, clip.frames)
    )
    return Sample(frames, clip, clip.edits["colour"]), a, b


def test_pie_bench_s_figures_are_those_of_its_program(pie):
    sample, a, b = pie
    found = {
        name: get_metric(f"{name}_outside@pie-compat").compute(sample).per_frame
        for name in ("psnr", "mse", "ssim")
    }
    for t in range(len(a)):
        x, y = a[t : t + 1].contiguous(), b[t : t + 1].contiguous()
        assert found["psnr"][t] == pytest.approx(float(torchmetrics_psnr(x, y, data_range=1.0)))
        assert found["mse"][t] == pytest.approx(float(mean_squared_error_of(x, y)))
        _, windows = structural_similarity_index_measure(
            x, y, data_range=1.0, return_full_image=True
        )
        # Until 1.4.1 torchmetrics left the mirrored rim out, and so do the published tables.
        assert found["ssim"][t] == pytest.approx(float(windows[..., 5:-5, 5:-5].mean()), abs=1e-5)


def test_in_pie_bench_s_figures_the_mask_counts_as_agreement(clip):
    """The habit for which the masked recipes exist: a larger object, a better score."""
    larger = replace(clip, masks=np.zeros_like(clip.masks))
    larger.masks[0, :, 3:14, 4:19] = True
    recipe = get_metric("psnr_outside@pie-compat")
    small, large = (recipe.compute(Sample(noise(3), c, None)).value for c in (clip, larger))
    assert large > small
    full = replace(clip, masks=np.ones_like(clip.masks))
    assert "fill the frame" in recipe.compute(Sample(noise(3), full, None)).reason
    assert recipe.compute(Sample(clip.frames, clip, None)).value == PSNR_CAP
