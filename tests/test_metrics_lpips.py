"""LPIPS and ST-LPIPS are the published computations, whatever the weights; nothing is guessed."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from skimage import data
from torch.nn import functional as F
from torchmetrics.functional.image.lpips import _LPIPS
from torchvision.models import squeezenet1_1

from data.clip import Clip, Edit
from metrics.base import Sample
from metrics.extractors import MissingExtractor
from metrics.feature_distance import CHUNK, feature_distance
from metrics.nets import files, lpips, stlpips
from metrics.registry import get_metric


def noise(seed: int, shape: tuple[int, ...] = (2, 45, 61, 3)) -> np.ndarray:
    return np.random.default_rng(seed).integers(0, 256, shape, dtype=np.uint8)


@pytest.fixture(autouse=True, scope="module")
def random_squeezenet(tmp_path_factory):
    """A SqueezeNet of random weights where torch.hub would have the published one."""
    folder = tmp_path_factory.mktemp("torch") / "hub" / "checkpoints"
    folder.mkdir(parents=True)
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        torch.save(squeezenet1_1(weights=None).state_dict(), folder / "squeezenet1_1-b8a52dc0.pth")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("TORCH_HOME", str(folder.parents[1]))
        patch.setattr(files, "FOLDER", folder / "none of our own")
        patch.setattr(files.TorchFile, "sha256", "")
        lpips.lpips_net.cache_clear()
        yield folder
        lpips.lpips_net.cache_clear()


def theirs(folder: Path, spatial: bool = False) -> torch.nn.Module:
    """torchmetrics' LPIPS with the same trunk."""
    model = _LPIPS(net="squeeze", pnet_rand=True, spatial=spatial)
    state = torch.load(folder / "squeezenet1_1-b8a52dc0.pth", weights_only=True)
    for part in model.net.slices:
        part.load_state_dict({key: state[f"features.{key}"] for key in part.state_dict()})
    return model


def tensor(frames: np.ndarray) -> torch.Tensor:
    return torch.from_numpy(frames).permute(0, 3, 1, 2) / 255


def test_lpips_is_that_of_torchmetrics_with_the_same_trunk(random_squeezenet):
    a, b = noise(0, (CHUNK + 1, 45, 61, 3)), noise(1, (CHUNK + 1, 45, 61, 3))
    with torch.no_grad():
        expected = theirs(random_squeezenet)(tensor(a), tensor(b), normalize=True).flatten()
    found = feature_distance(lpips.lpips_net("squeeze"), a, b)
    assert found == pytest.approx(expected.tolist(), rel=1e-3)
    assert feature_distance(lpips.lpips_net("squeeze"), a / 255, b / 255) == pytest.approx(found)


def test_outside_it_is_the_mean_of_the_spatial_map_there(random_squeezenet):
    a, b = noise(0), noise(1)
    where = np.zeros(a.shape[:3], bool)
    where[:, :20] = True
    seen = np.where(where[..., None], a, b)
    with torch.no_grad():
        maps = theirs(random_squeezenet, spatial=True)(tensor(seen), tensor(b), normalize=True)
    expected = maps[:, 0].numpy()[where].reshape(2, -1).mean(axis=1)
    found = feature_distance(lpips.lpips_net("squeeze"), a, b, where)
    assert found == pytest.approx(expected, rel=1e-3)


def test_regions_see_only_their_own_changes():
    masks = np.zeros((1, 2, 45, 61), bool)
    masks[0, :, 10:30, 12:40] = True
    edit = Edit("colour", "colour", "a blue box", (), noise(3), masks)
    clip = Clip("box", "test", noise(0), "a red box", masks=masks, edits={"colour": edit})
    changed = clip.frames.copy()
    changed[:, 15:25, 20:30] = 0

    def value(recipe: str, frames: np.ndarray) -> float:
        return get_metric(recipe).compute(Sample(frames, clip, edit)).value

    assert value("lpips_outside@squeeze", changed) == 0
    assert value("lpips_inside@squeeze", changed) > 0
    assert value("lpips@squeeze", clip.frames) == value("oracle_lpips@squeeze", edit.oracle) == 0


def test_pie_bench_s_lpips_has_both_pictures_black_inside_the_mask(random_squeezenet):
    masks = np.zeros((1, 2, 45, 61), bool)
    masks[0, :, 10:30, 12:40] = True
    clip = Clip("box", "test", noise(0), "a red box", masks=masks)
    found = get_metric("lpips_outside@pie-compat").compute(Sample(noise(4), clip, None))
    inside = masks[0].copy()
    inside[:, 0] = inside[:, -1] = inside[:, :, 0] = inside[:, :, -1] = True
    a, b = (tensor(v * ~inside[..., None]).float() for v in (noise(4), clip.frames))
    with torch.no_grad():
        expected = theirs(random_squeezenet)(2 * a - 1, 2 * b - 1)
    assert found.value == pytest.approx(float(expected.mean()), rel=1e-3)


def test_black_frames_have_a_finite_distance():
    black = np.zeros((1, 32, 33, 3), np.uint8)
    values = feature_distance(lpips.lpips_net("squeeze"), black, noise(0, black.shape))
    assert np.isfinite(values).all() and values > 0


def test_a_trunk_that_is_not_here_is_said_with_what_to_do(random_squeezenet):
    metric = get_metric("lpips@alex")
    sample = Sample(noise(0), Clip("c", "d", noise(1), "a thing"), None)
    with pytest.raises(
        MissingExtractor, match=r"lpips-alex.*make extractors EXTRACTORS=lpips-alex"
    ):
        metric.compute(sample)
    assert metric.extractor_digest == "absent"


# ST-LPIPS


def published(seed: int = 0) -> dict[str, torch.Tensor]:
    """Random weights under the names of the published file."""
    generator = torch.Generator().manual_seed(seed)

    def draw(*shape: int) -> torch.Tensor:
        return torch.rand(shape, generator=generator) - 0.3

    kernel = torch.tensor([1.0, 2, 1])
    blur = (kernel[:, None] * kernel / 16)[None, None]
    state = {"scaling_layer.shift": draw(1, 3, 1, 1), "scaling_layer.scale": draw(1, 3, 1, 1) + 1}
    for slice_, at, shape in [(1, 0, (64, 3, 11, 11)), (2, 5, (192, 64, 5, 5)),
                              (3, 9, (384, 192, 3, 3)), (4, 11, (256, 384, 3, 3)),
                              (5, 13, (256, 256, 3, 3))]:  # fmt: skip
        state[f"net.slice{slice_}.{at}.weight"] = 0.1 * draw(*shape)
        state[f"net.slice{slice_}.{at}.bias"] = draw(shape[0])
        state[f"lin{slice_ - 1}.model.1.weight"] = draw(1, shape[0], 1, 1).abs()
    for slice_, at, channels in [(1, 1, 64), (2, 4, 64), (3, 8, 192)]:
        state[f"net.slice{slice_}.{at}.filt"] = blur.repeat(channels, 1, 1, 1)
    return state


def by_hand(w: dict[str, torch.Tensor], x: torch.Tensor) -> list[torch.Tensor]:
    """The activations of the shift-tolerant AlexNet, written out."""

    def blur(x: torch.Tensor, filt: torch.Tensor) -> torch.Tensor:
        return F.conv2d(F.pad(x, (2, 2, 2, 2), "reflect"), filt, stride=2, groups=x.shape[1])

    def conv(x: torch.Tensor, name: str, padding: int) -> torch.Tensor:
        return F.conv2d(x, w[f"net.{name}.weight"], w[f"net.{name}.bias"], padding=padding)

    x = (2 * x - 1 - w["scaling_layer.shift"]) / w["scaling_layer.scale"]
    one = blur(conv(x, "slice1.0", 2), w["net.slice1.1.filt"]).relu()
    two = blur(F.max_pool2d(one, 3, 1), w["net.slice2.4.filt"])
    two = conv(two, "slice2.5", 2).relu()
    three = conv(blur(F.max_pool2d(two, 3, 1), w["net.slice3.8.filt"]), "slice3.9", 1).relu()
    four = conv(three, "slice4.11", 1).relu()
    return [one, two, three, four, conv(four, "slice5.13", 1).relu()]


def test_st_lpips_is_the_weighted_unit_difference_of_its_five_layers():
    state, a, b = published(), noise(0, (1, 37, 41, 3)), noise(1, (1, 37, 41, 3))
    total = 0.0
    layers = zip(by_hand(state, tensor(a)), by_hand(state, tensor(b)), strict=True)
    for k, (x, y) in enumerate(layers):
        gap = (F.normalize(x, dim=1) - F.normalize(y, dim=1)) ** 2
        total += float((gap * state[f"lin{k}.model.1.weight"]).sum(dim=1).mean())
    net = stlpips.build(state)
    assert feature_distance(net, a, b)[0] == pytest.approx(total, rel=1e-4)
    assert feature_distance(net, a, a)[0] == 0


def test_a_file_that_is_not_the_published_one_is_refused(tmp_path, monkeypatch):
    monkeypatch.setattr(files, "FOLDER", tmp_path)
    path = tmp_path / stlpips.EXTRACTOR.files[0].path
    path.parent.mkdir(parents=True)
    path.write_bytes(b"something else")
    assert "is not the published file" in stlpips.EXTRACTOR.problem()
    assert stlpips.EXTRACTOR.digest() == "absent"


def test_st_lpips_is_what_the_package_itself_computes(monkeypatch):
    """The package's own program, with the published weights, on the same pictures in [-1, 1].

    Fed with [0, 1] instead it gives 30 to 55 % less: figures of 0.015 for a JPEG are of that kind.
    """
    monkeypatch.setattr(files, "FOLDER", Path(files.__file__).parents[2] / files.PLACE)
    if stlpips.EXTRACTOR.problem():
        pytest.skip("needs ST-LPIPS's weights: make extractors EXTRACTORS=stlpips-alex")
    astronaut, cat = (picture[100:164, 200:264] for picture in (data.astronaut(), data.chelsea()))
    pictures = {0.026593: np.roll(astronaut, 4, axis=1), 0.195430: astronaut // 2, 0.650620: cat}
    for expected, picture in pictures.items():
        found = feature_distance(stlpips.stlpips_net(), picture[None], astronaut[None])
        assert found[0] == pytest.approx(expected, rel=1e-3)
