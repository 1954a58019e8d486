"""Method hallo on a miniature with random weights: what holds whatever the weights."""

from __future__ import annotations

from dataclasses import replace
from functools import partial
from pathlib import Path

import numpy as np
import pytest
import torch

from data.errors import Missing, UserError
from data.speech import Audio
from methods.backbones import families
from methods.backbones.hallo.backbone import Hallo as Backbone
from methods.base import Context, State, run_cell
from methods.hallo import DONE, PICTURES, Hallo, HalloSetting
from tests.hallo_miniature import make_portrait, save_miniature

SMALL = {"n_timesteps": 3, "clip_length": 4}


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return save_miniature(tmp_path_factory.mktemp("hallo") / "net")


@pytest.fixture(scope="module")
def backbone(folder: Path) -> Backbone:
    return families.load(str(folder))


def context(backbone: Backbone, n_frames: int = 6, seed: int = 0, **setting) -> Context:
    clip = make_portrait(n_frames)
    chosen = HalloSetting(**{**SMALL, **setting})
    return Context(clip, clip.edits["speech"], chosen, seed, backbone)


def states(ctx: Context) -> list[State]:
    """The state after every step."""
    method, walked = Hallo(), []
    state = method.start(ctx)
    for k, plan in enumerate(method.plan(ctx.setting, len(ctx.clip.frames))):
        state = method.step(ctx, state, plan, k)
        walked.append(state)
    return walked


def test_as_many_frames_as_the_clip_and_twice_the_same(backbone: Backbone) -> None:
    """Six frames of two segments of four."""
    first, second = (run_cell(Hallo(), context(backbone)) for _ in range(2))
    assert first.shape == (6, 64, 64, 3) and first.dtype == np.uint8
    assert np.array_equal(first, second)
    assert not np.array_equal(first, run_cell(Hallo(), context(backbone, seed=1)))


@pytest.mark.parametrize("setting", [{}, {"guidance_scale": 1}, {"n_motion_frames": 1}])
def test_plans_count_every_picture_through_the_networks(backbone: Backbone, setting) -> None:
    ctx = context(backbone, **setting)
    state = Hallo().start(ctx)
    for k, plan in enumerate(Hallo().plan(ctx.setting, 6)):
        before = backbone.evaluations
        state = Hallo().step(ctx, state, plan, k)
        assert backbone.evaluations - before == plan.evaluations


def test_the_first_segment_shows_the_portrait_to_both_conditions_and_no_more() -> None:
    """Motion frames equal to it need no passes: 2 pictures, not the released 6."""
    plans = Hallo().plan(HalloSetting(), 32)
    assert [plan.evaluations for plan in plans[:2]] == [2 * 16 + 2, 2 * 16]
    assert [plan.evaluations for plan in plans[40:42]] == [2 * 16 + 6, 2 * 16]
    assert [plan.timestep for plan in plans] == list(range(999, 0, -25)) * 2


def test_a_state_from_disk_goes_on_alike_in_the_middle_of_a_segment(folder: Path) -> None:
    """On another backbone, which has kept nothing."""
    ctx = context(families.load(str(folder)), n_frames=8)
    expected = states(ctx)
    middle = 4  # of the second segment
    packed = {name: array.copy() for name, array in expected[middle].pack().items()}
    resumed = replace(ctx, backbone=families.load(str(folder)))
    state = State.unpack(packed)
    for k, plan in list(enumerate(Hallo().plan(ctx.setting, 8)))[middle + 1 :]:
        state = Hallo().step(resumed, state, plan, k)
    assert torch.equal(state.latents, expected[-1].latents)
    assert np.array_equal(Hallo().finish(ctx, state), Hallo().finish(ctx, expected[-1]))


def test_what_a_segment_shows_does_not_depend_on_what_is_said_later(backbone: Backbone) -> None:
    """But for the two frames that a frame hears ahead."""
    short, long = context(backbone, 8, n_timesteps=1), context(backbone, 12, n_timesteps=1)
    said = long.edit.audio.samples
    heard = Audio(said[: 8 * 640])
    short.edit = replace(short.edit, audio=heard)
    short.clip = replace(short.clip, frames=long.clip.frames[:8])
    one, other = states(short)[0].latents, states(long)[0].latents
    assert torch.equal(one, other)


def test_a_segment_starts_from_the_last_frames_of_the_one_before(backbone: Backbone) -> None:
    ctx = context(backbone, 8, n_timesteps=1)
    before, after = states(ctx)
    frames = backbone.decode(before.latents[-2:])
    pixels = torch.from_numpy(frames).permute(0, 3, 1, 2) / 127.5 - 1
    seen = backbone.encode(pixels.contiguous())
    kept = after.extra[PICTURES]
    assert torch.allclose(kept[1:], seen, atol=5e-3)  # ours are not rounded to 8 bits
    portrait = torch.from_numpy(ctx.clip.frames[:1]).permute(0, 3, 1, 2) / 127.5 - 1
    assert torch.allclose(kept[:1], backbone.encode(portrait.contiguous()), atol=1e-6)
    assert torch.equal(after.extra[DONE], before.latents)


def test_a_long_sound_takes_no_more_of_the_networks(backbone: Backbone, monkeypatch) -> None:
    """Calls stay of one segment; what waits is the finished latents and the pictures seen."""
    sizes = []
    velocity = Backbone.velocity
    monkeypatch.setattr(
        Backbone,
        "velocity",
        lambda self, latents, *rest: sizes.append(len(latents)) or velocity(self, latents, *rest),
    )
    last = states(context(backbone, 18, n_timesteps=1))[-1]
    assert sizes == [4] * 5
    assert {name: len(x) for name, x in last.extra.items()} == {DONE: 16, PICTURES: 3}


def test_each_setting_changes_the_second_segment(backbone: Backbone) -> None:
    def result(**setting) -> torch.Tensor:
        return states(context(backbone, 8, n_timesteps=1, **setting))[-1].latents

    usual = result()
    for changed in (
        {"guidance_scale": 2},
        {"guidance_scale": 1},
        {"motion_scale_pose": 0},
        {"motion_scale_face": 0.5},
        {"motion_scale_lip": 2},
        {"n_motion_frames": 0},
        {"n_motion_frames": 1},
        {"branch": "evaluation"},
    ):
        assert not torch.equal(usual, result(**changed)), changed


def test_the_sound_and_the_portrait_matter(backbone: Backbone) -> None:
    def result(**changes) -> torch.Tensor:
        ctx = context(backbone, 4, n_timesteps=2)
        return states(replace(ctx, **changes))[-1].latents

    ctx, usual = context(backbone, 4), result()
    silent = replace(ctx.edit, audio=Audio(np.zeros(2560, np.int16)))
    assert not torch.equal(usual, result(edit=silent))
    assert not torch.equal(usual, result(clip=replace(ctx.clip, frames=255 - ctx.clip.frames)))
    shut = {f"motion_scale_{region}": 0 for region in ("pose", "face", "lip")}
    deaf = HalloSetting(**{**SMALL, "n_timesteps": 2, **shut})
    assert torch.equal(result(setting=deaf), result(setting=deaf, edit=silent))


def test_sound_shorter_than_the_clip_ends_in_silence(backbone: Backbone) -> None:
    ctx = context(backbone, 4)
    short = ctx.edit.audio.samples[:1000]
    padded = np.pad(short, (0, 2560 - 1000))
    one, other = (
        states(replace(ctx, edit=replace(ctx.edit, audio=Audio(x))))[-1] for x in (short, padded)
    )
    assert torch.equal(one.latents, other.latents)


def test_what_does_not_fit_is_refused_with_the_reason(backbone: Backbone) -> None:
    ctx = context(backbone)
    refused = partial(pytest.raises, UserError)
    with refused(match="edit 'speech' of clip 'portrait' has no sound"):
        Hallo().start(replace(ctx, edit=replace(ctx.edit, audio=None)))
    with refused(match="8.0 frames and its sound 16000 samples"):
        Hallo().start(replace(ctx, clip=replace(ctx.clip, fps=8.0)))
    with refused(match="must be square, of a multiple of 64 pixels"):
        Hallo().start(replace(ctx, clip=replace(ctx.clip, frames=ctx.clip.frames[:, :32])))
    with refused(match="more than the 12 positions"):
        Hallo().start(context(backbone, clip_length=11))
    with pytest.raises(ValueError, match="more than the 1 frames of a segment"):
        HalloSetting(clip_length=1)
    blind = replace(ctx, clip=replace(ctx.clip, boxes=None))
    with refused(match="finds no faces by itself"):
        Hallo().step(blind, Hallo().start(blind), Hallo().plan(ctx.setting, 6)[0], 0)


def test_absent_weights_say_what_to_fetch(monkeypatch, tmp_path: Path) -> None:
    from methods.backbones.hallo import family

    monkeypatch.setattr(family, "ROOT", tmp_path)
    monkeypatch.setattr(family, "FOLDERS", {n: tmp_path / n for n in ("hallo", "world-hallo")})
    with pytest.raises(Missing, match=r"hallo\.convert` while online, which fetches fudan-"):
        families.describe("hallo")
    with pytest.raises(Missing, match="restore world-hallo"):
        families.describe("world-hallo")
    assert families.promise("hallo").prediction_type == "portrait velocity"


def test_the_digest_follows_all_that_is_computed_with(folder: Path) -> None:
    before = families.describe(str(folder)).digest
    (folder / "README.md").write_text("A card.")
    assert families.describe(str(folder)).digest == before
    config = folder / "face" / "config.json"
    kept = config.read_text()
    config.write_text('{"kind": "thumbnail", "side": 5}')
    assert families.describe(str(folder)).digest != before
    config.write_text(kept)
    (folder / "audio").rename(folder / "elsewhere")
    with pytest.raises(UserError, match=r"lacks audio/config.json"):
        families.describe(str(folder))
    (folder / "elsewhere").rename(folder / "audio")
