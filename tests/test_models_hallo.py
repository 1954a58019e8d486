"""The portraits' committed weights: what they are, and that they do what their card says."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
import torch

from data.portraits.analyser import mouth_opening
from data.portraits.loudness import FPS, opening
from data.portraits.render import render_frames
from data.portraits.sample import draw_face, draw_motion
from data.portraits.voice import speak
from methods.backbones.hallo.backbone import Hallo
from methods.backbones.hallo.schedule import LATENT_SCALE
from models.evaluate import psnr
from models.evaluate_hallo import FOLDER, SETTING, evaluate
from models.portrait_clips import RUN, PortraitClips, portrait_clips
from models.train_hallo import CONFIG, MOTION, Portraits, velocity

CARD = json.loads((FOLDER / "evaluation.json").read_text())["held-out faces"]


@pytest.fixture(scope="module")
def backbone() -> Hallo:
    return Hallo.from_folder(FOLDER, "cpu", "float32")


def held_out(count: int, frames: int) -> tuple[np.ndarray, np.ndarray]:
    """(count * frames, 64, 64, 3) pictures and their openings."""
    pictures, openings = [], []
    for k in range(count):
        rng = np.random.default_rng([77, k])
        face, motion = draw_face(rng, unseen=True), draw_motion(rng, frames)
        openings.append(opening(speak(rng, frames / FPS), frames))
        pictures.append(render_frames(face, motion, openings[-1]))
    return np.concatenate(pictures), np.concatenate(openings)


def test_the_autoencoder_returns_held_out_faces_with_readable_mouths(backbone):
    frames, opened = held_out(6, 6)
    pixels = torch.from_numpy(frames).permute(0, 3, 1, 2).contiguous().float() / 127.5 - 1
    latents = backbone.encode(pixels)
    back = backbone.decode(latents)
    assert psnr(back, frames).mean() > 30
    assert np.corrcoef(mouth_opening(back), opened)[0, 1] > 0.98
    assert 0.8 < latents.std() < 1.25  # what a denoiser expects, at the released scale
    assert backbone.vae.config.scaling_factor == LATENT_SCALE


@pytest.mark.slow
def test_faces_speak_as_the_card_says(tmp_path: Path):
    found = evaluate(2, SETTING, tmp_path)
    for name in ("mouth follows its sound", "PSNR outside the face"):
        spread = np.sqrt(CARD[name]["n"]) * (CARD[name]["high"] - CARD[name]["value"])
        assert abs(found[name]["value"] - CARD[name]["value"]) < spread


def test_training_batches_are_what_sampling_gives_the_networks(tmp_path: Path):
    """A first clip's motion frames are its reference; sound is centred on its frame."""
    drawn = portrait_clips(2, 5, cache=tmp_path / "clips.npz")
    again = portrait_clips(2, 5, cache=tmp_path / "clips.npz")
    assert all(np.array_equal(getattr(drawn, name), getattr(again, name)) for name in vars(drawn))
    assert isinstance(drawn, PortraitClips) and drawn.features.shape == (2, RUN + 4, 64)
    marked = torch.arange(2 * 24.0)[:, None, None, None].expand(-1, 4, 16, 16)
    portraits = Portraits(drawn, marked)
    for seed in range(12):
        batch = portraits.draw(2, 4, torch.Generator().manual_seed(seed))
        for clip in range(2):
            times = batch.clean[clip, :, 0, 0, 0]
            assert (times.diff() == 1).all()
            shown = batch.pictures[clip, :, 0, 0, 0]
            first = bool((shown == shown[0]).all())
            before = times[0] - torch.arange(MOTION, 0, -1)
            assert first or (shown[1:] - before).abs().max() < 1
            which, at = divmod(int(times[0]), 24)
            heard = torch.from_numpy(drawn.features[which, at : at + 5])
            assert torch.equal(batch.audio[clip, 0, :, 0], heard)


def test_the_training_pass_is_the_network_of_the_folder(backbone):
    """Both ways to the same velocity: all clips at once, and clip by clip as the network's own."""
    from methods.backbones.hallo.net import Portrait

    net = backbone.net
    clips = portrait_clips(2, 5)
    latents = torch.randn(48, 4, 16, 16, generator=torch.Generator().manual_seed(1))
    batch = Portraits(clips, latents).draw(2, 4, torch.Generator().manual_seed(2))
    noisy, t = torch.randn_like(batch.clean), torch.tensor([900, 300])
    flags = torch.tensor([1.0, 0.0]), torch.tensor([1.0, 1.0])
    own = torch.ones(2, 1 + MOTION)
    with torch.inference_mode():
        ours = velocity(net, noisy, t, batch, *flags, own)
        portraits = [
            Portrait(
                batch.pictures[k], batch.faces[k], batch.region[k],
                [level[k] for level in batch.masks], batch.audio[k],
            )
            for k in range(2)
        ]  # fmt: skip
        theirs = net(noisy, t, portraits, *(flag.bool().tolist() for flag in flags))
    assert torch.allclose(ours, theirs, atol=1e-4)
    assert net.config == CONFIG


# The checks above hold the weights to their card; these hold the card to its aims.


def test_mouths_follow_the_sound():
    assert CARD["mouth follows its sound"]["value"] >= 0.7
    assert CARD["mouth follows its sound"]["n"] >= 12


def test_mouths_do_not_follow_another_sound():
    assert CARD["mouth follows the source's sound"]["value"] <= 0.2


def test_what_is_outside_the_face_is_kept():
    assert CARD["PSNR outside the face"]["value"] >= 24


def test_the_true_answer_is_read_as_such():
    assert CARD["the true answer's mouth follows its sound"]["value"] >= 0.98
