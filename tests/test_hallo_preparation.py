"""What Hallo's networks are given: schedule, windows of sound, masks of face and lips."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from diffusers import DDIMScheduler
from transformers import Wav2Vec2Config, Wav2Vec2Model

from data.errors import UserError
from methods.backbones.hallo import audio_features, faces, regions
from methods.backbones.hallo.schedule import RELEASED, scheduler, timesteps


def test_timesteps_are_the_scheduler_s_for_every_number_of_steps() -> None:
    theirs = DDIMScheduler(**RELEASED)
    for n in range(1, 501):
        theirs.set_timesteps(n)
        assert timesteps(n) == theirs.timesteps.tolist(), n
    assert timesteps(40) == list(range(999, 0, -25))


def test_the_last_timestep_has_no_signal() -> None:
    assert scheduler().alphas_cumprod[999] == 0


def test_windows_are_neighbours_clamped_to_the_ends() -> None:
    features = torch.arange(6.0)[:, None]
    brute = [[min(max(i + k, 0), 5) for k in (-2, -1, 0, 1, 2)] for i in range(6)]
    assert audio_features.windowed(features, 5)[..., 0].tolist() == brute
    assert audio_features.windowed(features, 5, slice(3, 9))[..., 0].tolist() == brute[3:]


class FrameMeans(audio_features.Wav2Vec2):
    """Means of frames in place of a transformer: what a frame gets tells which samples it heard."""

    def __init__(self) -> None:
        self.calls: list[int] = []

    def _layers(self, wave: torch.Tensor, frames: int) -> torch.Tensor:
        self.calls.append(frames)
        return wave.unflatten(0, (frames, -1)).mean(1)[:, None, None]


def test_a_long_sound_is_heard_in_pieces_that_fit_together(monkeypatch) -> None:
    wave = torch.randn(23 * 640, generator=torch.Generator().manual_seed(0))
    whole = FrameMeans().hear(wave, 25)
    monkeypatch.setattr(audio_features, "PIECE", 10)
    monkeypatch.setattr(audio_features, "CONTEXT", 3)
    pieces = FrameMeans()
    assert torch.equal(pieces.hear(wave, 25), whole)
    assert pieces.calls == [13, 16, 8]  # bounded, whatever the length


def test_wav2vec2_gives_every_layer_at_25_frames_a_second() -> None:
    config = Wav2Vec2Config(
        hidden_size=8,
        num_hidden_layers=3,
        num_attention_heads=2,
        intermediate_size=8,
        conv_dim=(4,) * 7,
        num_conv_pos_embeddings=4,
        num_conv_pos_embedding_groups=2,
    )
    torch.manual_seed(0)
    model = Wav2Vec2Model(config)
    hear = audio_features.Wav2Vec2(model)
    samples = np.random.default_rng(0).integers(-9000, 9000, 10 * 640).astype(np.int16)
    layers = hear(samples, 10)
    assert layers.shape == (10, 3, 8)
    assert torch.allclose(layers, hear(samples // 2 * 2, 10), atol=1e-2)
    last = []
    model.encoder.register_forward_hook(lambda _m, _i, out: last.append(out.last_hidden_state[0]))
    assert torch.equal(hear(samples, 10)[:, -1], last[0])


def test_masks_share_the_picture_out() -> None:
    """Full is all but the face, face all but the lips; where lips are, nothing else is."""
    found = regions.masks((16, 12, 48, 52), (26, 38, 38, 46), 64, 64, side=8, levels=3)
    assert [tuple(level.shape) for level in found] == [(1, 3, 64), (1, 3, 16), (1, 3, 4)]
    full, face, lips = found[0][0].unflatten(-1, (8, 8))
    assert full[0, 0] > 0.9 and full[3, 4] < 0.1  # corner, and the middle of the face
    assert lips.flatten().argmax() // 8 == 5 and lips.max() > 0.8 and lips[0].max() < 0.1
    assert 0.8 < (full + face + lips).mean() < 1.2
    assert all(level.min() >= 0 and level.max() <= 1 for level in found)


@pytest.mark.parametrize(
    ("box", "expected"),
    [
        ((40, 20, 60, 40), (30, 10, 70, 50)),  # twice as large, about its middle
        ((0, 20, 20, 40), (0, 10, 40, 50)),  # moved in from the left
        ((90, 20, 100, 40), (80, 10, 100, 50)),  # moved in from the right
    ],
)
def test_a_box_grows_about_its_middle_and_stays_inside(box, expected) -> None:
    assert regions.grown(box, height=80, width=100, ratio=2.0) == expected


def test_a_face_that_fills_the_picture_keeps_its_mask() -> None:
    """The released box starts at -10 there, from where its slices lose the mask."""
    assert regions.grown((0, 0, 63, 63), 64, 64, 1.2)[0] == -10
    assert regions.grown_mask((0, 0, 63, 63), 64, 64, 1.2).all()


def test_a_thumbnail_averages_the_face_and_nothing_else() -> None:
    picture = np.zeros((40, 40, 3), np.uint8)
    picture[10:30, 10:30, 0] = 255
    picture[10:20, 10:20, 2] = 255
    found = faces.thumbnail(picture, (10, 10, 30, 30), 2).unflatten(0, (2, 2, 3))
    assert (found[..., 0] == 1).all() and (found[..., 1] == -1).all()
    assert found[..., 2].tolist() == [[1, -1], [-1, -1]]


def test_absent_detectors_are_named(tmp_path, monkeypatch) -> None:
    monkeypatch.setattr(faces, "find_spec", lambda name: None)
    picture = np.zeros((64, 64, 3), np.uint8)
    analyse = faces.Detectors(tmp_path)
    with pytest.raises(UserError, match="mediapipe, which is not installed"):
        analyse(picture, None)
    with pytest.raises(UserError, match="insightface, which is not installed"):
        analyse(picture, ((0, 0, 9, 9), (3, 3, 6, 6)))


def test_landmarks_span_a_box_of_whole_pixels() -> None:
    points = np.array([[3.4, 8.6], [7.5, 2.2], [5.0, 5.0]])
    assert faces.spanned(points) == (3, 2, 8, 9)


@pytest.mark.parametrize(
    "load", [faces.load_analyser, lambda p: audio_features.load_extractor(p, "cpu")]
)
def test_an_unknown_kind_is_named_with_what_is_allowed(tmp_path, load) -> None:
    (tmp_path / "config.json").write_text('{"kind": "log-mell"}')
    with pytest.raises(UserError, match=r"config.json: unknown kind .* 'log-mell'; allowed: "):
        load(tmp_path)
