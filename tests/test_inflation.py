"""A 2D network that sees a clip: attention across frames, pooled norms, temporal layers."""

from __future__ import annotations

import pytest
import torch
from diffusers.models.attention_processor import AttnProcessor2_0
from torch import Tensor, nn

from methods.attention import PNP_ATTENTION, control
from methods.inflation import ClipAttention, Inflation, PooledNorm, listed_frames
from methods.source_pass import inflated, read_source
from methods.temporal import BIAS, released_biases
from tests.test_attention import random, trace

CROSS = PNP_ATTENTION[0].replace("attn1", "attn2")
CLIP = Inflation(attend=("mid",), plain_levels=1)


def answer(miniature, clips: Tensor, inflation: Inflation | None, weights=None) -> Tensor:
    """The network's noise for one clip (n, 4, 16, 16)."""
    with inflated(miniature.unet, inflation, len(clips), weights):
        text = miniature.embed(["a disc"]).repeat_interleave(len(clips), dim=0)
        return miniature.predict(clips, 301, text)


@pytest.mark.parametrize(
    ("entry", "frames"),
    [
        ("first", [0, 0, 0, 0]),
        ("mid", [1, 1, 1, 1]),
        ("last", [3, 3, 3, 3]),
        (-1, [0, 0, 1, 2]),
        (2, [2, 3, 3, 3]),
    ],
)
def test_frames_are_named_or_relative_and_stay_in_the_clip(entry, frames: list[int]) -> None:
    assert listed_frames(entry, 4) == frames


@pytest.mark.parametrize("write_out", [False, True])
@pytest.mark.parametrize("site", [PNP_ATTENTION[0], CROSS])
def test_without_a_list_attention_is_the_librarys(miniature, site: str, write_out: bool) -> None:
    attention = miniature.unet.get_submodule(site)
    tokens = random(6, 16, attention.query_dim)
    text = random(6, 5, 16, seed=1) if site == CROSS else None
    processor = ClipAttention(3, use=(lambda own: own) if write_out else None)
    expected = AttnProcessor2_0()(attention, tokens, text)
    torch.testing.assert_close(processor(attention, tokens, text), expected)


def test_every_frame_sees_the_listed_ones_of_its_own_branch(miniature) -> None:
    """Keys of frames i - 1 and 0, written out frame by frame for two branches."""
    attention = miniature.unet.get_submodule(PNP_ATTENTION[0])
    tokens = random(6, 4, attention.query_dim)
    ours = ClipAttention(3, (-1, "first"))(attention, tokens)
    for branch in (0, 3):
        for frame, seen in enumerate([(0, 0), (0, 0), (1, 0)]):
            context = torch.cat([tokens[branch + i] for i in seen])[None]
            alone = AttnProcessor2_0()(attention, tokens[branch + frame][None], context)
            torch.testing.assert_close(ours[branch + frame], alone[0])


def test_pooled_norms_are_those_of_the_five_dimensional_tensor() -> None:
    norm, frames = nn.GroupNorm(2, 4), random(6, 4, 5, 3)
    pooled = PooledNorm(3)(norm, (frames,), norm(frames))
    clips = frames.unflatten(0, (2, 3)).transpose(1, 2)
    torch.testing.assert_close(pooled, norm(clips).transpose(1, 2).flatten(0, 1))
    assert not torch.allclose(pooled, norm(frames), atol=0.01)


def test_a_clip_that_stands_still_is_seen_as_its_frames(miniature) -> None:
    still = random(1, 4, 16, 16).repeat(3, 1, 1, 1)
    plain, joined = (answer(miniature, still, how) for how in (None, CLIP))
    torch.testing.assert_close(joined, plain, rtol=1e-3, atol=1e-4)
    moving = random(3, 4, 16, 16)
    plain, joined = (answer(miniature, moving, how) for how in (None, CLIP))
    assert not torch.allclose(joined, plain, atol=1e-3)


def test_released_temporal_layers_add_a_constant_to_every_block(miniature) -> None:
    clip, network = random(2, 4, 16, 16), miniature.unet
    biases = released_biases(network)
    assert len(biases) == 16
    plain = answer(miniature, clip, CLIP)
    assert not torch.allclose(answer(miniature, clip, CLIP, biases), plain, atol=1e-3)
    zero = {name: torch.zeros_like(bias) for name, bias in biases.items()}
    assert torch.equal(answer(miniature, clip, CLIP, zero), plain)


def test_trained_temporal_layers_with_zero_output_are_the_identity(miniature) -> None:
    clip, network, weights = random(3, 4, 16, 16), miniature.unet, {}
    for name in released_biases(network):
        block = name.removesuffix(f".{BIAS}")
        width = network.get_submodule(block).attn1.query_dim
        shapes = {f"attn_temporal.to_{x}.weight": (width, width) for x in "qkv"}
        shapes |= {"norm_temporal.weight": (width,), "norm_temporal.bias": (width,)}
        weights |= {f"{block}.{part}": random(*shape) for part, shape in shapes.items()}
        weights[f"{block}.attn_temporal.to_out.0.weight"] = torch.zeros(width, width)
        weights[name] = torch.zeros(width)
    for name, channels in {"conv_in": 8, "conv_out": 4}.items():
        weights[f"{name}.conv_temporal.down.weight"] = random(2, channels, 3)
        weights[f"{name}.conv_temporal.up.weight"] = torch.zeros(channels, 2, 3)
    ours = answer(miniature, clip, CLIP, weights)
    torch.testing.assert_close(ours, answer(miniature, clip, CLIP), rtol=1e-4, atol=1e-5)


def test_the_network_is_left_as_it_was_found(miniature) -> None:
    before = trace(miniature.unet)
    with pytest.raises(KeyError), inflated(miniature.unet, Inflation(temporal="released"), 2):
        assert trace(miniature.unet) != before
        raise KeyError
    assert trace(miniature.unet) == before


@pytest.mark.parametrize("how", [None, CLIP])
def test_what_a_source_pass_keeps_gives_the_maps_that_the_network_has(miniature, how) -> None:
    """Queries and keys are kept; maps written out during the same pass are the same."""
    clip, network, maps = random(3, 4, 16, 16), miniature.unet, {}
    source = read_source(miniature, clip, miniature.embed(["a disc"]), 301, how)
    site = PNP_ATTENTION[2]

    def keep(own: Tensor) -> Tensor:
        maps[site] = own
        return own

    listed = how.attend_at(network, site) if how else ()
    with inflated(network, how, 3), control(network, {site: ClipAttention(3, listed, keep)}):
        miniature.predict(clip, 301, miniature.embed(["a disc"] * 3))
    torch.testing.assert_close(source.map(network, site), maps[site], rtol=1e-3, atol=1e-5)
    kept = sum(x.query.nbytes + x.key.nbytes for x in source.projections.values())
    written = sum(source.map(network, site).nbytes for site in source.projections)
    assert kept < written / 2
