"""The Frechet distance is that of torchmetrics, of sets that are large enough, and of each once."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from torch.nn import functional as F
from torchmetrics.image.fid import _compute_fid

from data.clip import Clip, Edit
from metrics.base import Sample
from metrics.extractors import world_clip
from metrics.frechet import LEAST, frechet_distance, set_distance
from metrics.nets import i3d, inception
from metrics.registry import get_metric
from metrics.sets import Member, Share


def draw(seed: int, n: int = 300, d: int = 12, shift: float = 0.0) -> np.ndarray:
    rng = np.random.default_rng(seed)
    return rng.normal(shift, 1, (n, d)) @ rng.normal(0, 1, (d, d))


def noise(seed: int, shape: tuple[int, ...] = (3, 64, 64, 3)) -> np.ndarray:
    return np.random.default_rng(seed).integers(0, 256, shape, dtype=np.uint8)


def test_it_is_that_of_torchmetrics():
    a, b = draw(0), draw(1, n=400, shift=0.5)
    given = [t for f in (a, b) for t in (torch.tensor(f.mean(axis=0)), torch.tensor(np.cov(f.T)))]
    assert frechet_distance(a, b) == pytest.approx(float(_compute_fid(*given)), rel=1e-6)


def test_equal_sets_are_no_distance_apart_in_any_order_and_a_shift_is_its_square():
    a = draw(2)
    assert frechet_distance(a, a[::-1]) == pytest.approx(0, abs=1e-6)
    assert frechet_distance(a, a + 3.0) == pytest.approx(9 * a.shape[1], rel=1e-6)


def test_of_too_few_samples_there_is_none():
    assert "255 samples; at least 256" in set_distance(draw(3, LEAST - 1), draw(4)).reason
    wide = np.random.default_rng(0).normal(size=(300, 512))
    assert "at least 513" in set_distance(wide, wide).reason
    assert set_distance(draw(5), draw(6)).value > 0


def test_a_reference_counts_once_however_many_cells_were_made_of_it():
    """Two clips, two edits, two seeds: eight cells, two sources and four true answers."""
    asked = [(c, e) for c in range(2) for e in range(2)]
    samples = {(c, e, s): draw(10 + 4 * c + 2 * e + s) for c, e in asked for s in range(2)}
    for recipe, key in (("frechet", lambda c, e: (c, 0)), ("oracle_frechet", lambda c, e: (c, e))):
        answers = {key(c, e): draw(30 + 2 * c + e) for c, e in reversed(asked)}
        members = [
            Member(str(c), str(e), s, Share(samples[c, e, s], answers[key(c, e)]))
            for c, e, s in samples
        ]
        score = get_metric(f"{recipe}@world-tiny").combine(members)
        once = np.concatenate([answers[place] for place in sorted(answers)])
        alone = frechet_distance(np.concatenate(list(samples.values())), once)
        assert score.value == pytest.approx(alone) and score.n == min(2400, len(once))


def test_a_cell_gives_the_features_of_its_frames_and_of_what_they_are_held_against():
    edit = Edit("colour", "colour", "a blue box", (), noise(1))
    sample = Sample(noise(2), Clip("box", "test", noise(0), "a red box"), edit)
    for recipe, reference in (("frechet", noise(0)), ("oracle_frechet", noise(1))):
        share = get_metric(f"{recipe}@world-tiny").share(sample)
        assert share.samples == pytest.approx(world_clip().encode_image(noise(2)).numpy())
        assert share.reference == pytest.approx(world_clip().encode_image(reference).numpy())
    unknown = Sample(noise(2), sample.clip, Edit("style", "style", "a box in oil"))
    assert get_metric("oracle_frechet@world-tiny").share(unknown) == (
        "no oracle is known for this edit"
    )
    assert "I3D needs 10" in get_metric("frechet@i3d").share(sample)


def test_inception_pools_as_tensorflow_did():
    """Of a constant an average without the padding is the constant; with it, borders are darker."""
    model = inception.build()
    caught = {}
    for name in ("Mixed_5b", "Mixed_7b", "Mixed_7c"):
        block = getattr(model, name)
        block.register_forward_hook(lambda b, x, y, name=name: caught.update({name: (b, x[0], y)}))
    model(torch.rand(1, 3, 299, 299, generator=torch.Generator().manual_seed(0)))
    for name, (block, given, out) in caught.items():
        ones = torch.ones_like(given[:, :1])
        if name == "Mixed_7c":
            pooled = F.max_pool2d(given, 3, 1, 1)
        else:
            counted = F.avg_pool2d(ones, 3, 1, 1)  # share of the window that is no padding
            pooled = F.avg_pool2d(given, 3, 1, 1) / counted
        branch = block.branch_pool(pooled)
        assert torch.allclose(out[:, -branch.shape[1] :], branch, rtol=1e-4, atol=1e-5), name


def test_inception_loads_the_published_names_and_gives_2048_features_a_frame(tmp_path, monkeypatch):
    name = inception.EXTRACTOR.files[0].path
    assert name == "pt_inception-2015-12-05-6726825d.pth"
    torch.save(inception.build().state_dict(), tmp_path / name)
    monkeypatch.setattr("metrics.nets.files.FOLDER", tmp_path)
    monkeypatch.setattr("metrics.nets.files.TorchFile.sha256", "")
    inception.inception.cache_clear()
    found = inception.features(inception.inception(), noise(0, (2, 40, 56, 3)))
    again = inception.features(inception.inception(), noise(0, (2, 40, 56, 3))[:1])
    inception.inception.cache_clear()
    assert found.shape == (2, 2048) and found.dtype == np.float32
    assert again[0] == pytest.approx(found[0], rel=1e-4, abs=1e-5)


def test_i3d_is_given_the_video_as_its_own_program_asks(tmp_path):
    class Stand(torch.nn.Module):
        def forward(self, x, rescale: bool, resize: bool, return_features: bool):
            assert not rescale and not resize and return_features
            assert list(x.shape) == [1, 3, 10, 224, 224]
            return x.mean(dim=(2, 3, 4)).repeat(1, 400)[:, :400]

    frames = np.full((10, 8, 8, 3), 255, np.uint8)
    found = i3d.features(torch.jit.script(Stand()), frames)
    assert found.shape == (1, 400) and found == pytest.approx(1)
