"""Attention control: exact while it lasts, and gone without a trace."""

from __future__ import annotations

import math
from contextlib import suppress

import pytest
import torch
from diffusers.models.attention_processor import AttnProcessor2_0
from torch import Tensor, nn

from data.errors import UserError
from methods.attention import (
    PNP_ATTENTION,
    PNP_FEATURES,
    ExtendedAttention,
    InjectedAttention,
    Projection,
    RecordedAttention,
    control,
    plain_attention,
    record_output,
    replace_output,
    self_attention_sites,
)
from methods.correspondence import nearest_tokens

SITE = PNP_ATTENTION[0]


def trace(network: nn.Module) -> list[tuple]:
    """Everything that control could have changed, by identity."""
    return [
        (
            name,
            id(getattr(module, "processor", None)),
            [*module._forward_hooks.values()],
            [*module._forward_pre_hooks.values()],
            [*module._modules],
            sorted(vars(module)),
        )
        for name, module in network.named_modules()
    ]


def projection(attention: nn.Module, tokens: Tensor) -> Projection:
    """What the recording processor keeps of (n, S, C) source tokens."""
    record: dict[str, Projection] = {}
    RecordedAttention(SITE, record)(attention, tokens)
    return record[SITE]


def random(*shape: int, seed: int = 0) -> Tensor:
    return torch.randn(shape, generator=torch.Generator().manual_seed(seed))


@pytest.mark.parametrize("inside", [None, RuntimeError("boom"), KeyboardInterrupt()])
def test_the_network_is_left_as_it_was_found(miniature, inside: BaseException | None) -> None:
    before = trace(miniature.unet)
    with (
        suppress(RuntimeError, KeyboardInterrupt),
        control(
            miniature.unet,
            dict.fromkeys(PNP_ATTENTION, plain_attention),
            {PNP_FEATURES: replace_output(random(1, 1))},
        ),
    ):
        assert trace(miniature.unet) != before
        if inside:
            raise inside
    assert trace(miniature.unet) == before


def test_a_failing_processor_leaves_nothing_behind(miniature) -> None:
    def fail(*_: object, **__: object) -> Tensor:
        raise ArithmeticError

    before = trace(miniature.unet)
    with pytest.raises(ArithmeticError), control(miniature.unet, {SITE: fail}):
        miniature.predict(random(1, 4, 16, 16), 1, miniature.embed(["a"]))
    assert trace(miniature.unet) == before


def test_processors_that_are_modules_are_put_back(miniature) -> None:
    class Weighted(nn.Module):
        def forward(self, attn: nn.Module, hidden_states: Tensor, **_: object) -> Tensor:
            return hidden_states

    attention = miniature.unet.get_submodule(SITE)
    original, weighted = attention.processor, Weighted()
    with control(miniature.unet, {SITE: weighted}):
        before = trace(miniature.unet)
        with control(miniature.unet, {SITE: plain_attention}):
            assert "processor" not in attention._modules
        assert trace(miniature.unet) == before and attention.processor is weighted
    assert attention.processor is original and "processor" not in attention._modules


def test_an_unknown_site_is_refused_before_anything_changes(miniature) -> None:
    before = trace(miniature.unet)
    wrong = SITE.replace("attn1", "attn3")
    both = dict.fromkeys((SITE, wrong), plain_attention)
    with pytest.raises(UserError, match=r"attn3.*Did you mean"), control(miniature.unet, both):
        pass
    assert trace(miniature.unet) == before


def test_a_stable_diffusion_network_has_sixteen_self_attentions(miniature) -> None:
    sites = self_attention_sites(miniature.unet)
    assert len(sites) == 16 and set(PNP_ATTENTION) < set(sites)


def test_plain_attention_is_the_librarys(miniature) -> None:
    attention = miniature.unet.get_submodule(SITE)
    tokens = random(3, 16, attention.query_dim)
    expected = AttnProcessor2_0()(attention, tokens)
    torch.testing.assert_close(plain_attention(attention, tokens), expected)
    record: dict[str, Projection] = {}
    torch.testing.assert_close(RecordedAttention(SITE, record)(attention, tokens), expected)


def test_extended_attention_over_one_keyframe_is_plain_attention(miniature) -> None:
    attention = miniature.unet.get_submodule(SITE)
    tokens = random(2, 16, attention.query_dim)
    plain = AttnProcessor2_0()(attention, tokens)
    torch.testing.assert_close(ExtendedAttention()(attention, tokens), plain)


def test_extended_attention_equals_its_formula(miniature) -> None:
    """softmax(q k^T / sqrt(d)) v over all frames of a branch, head by head, written out."""
    attention = miniature.unet.get_submodule(SITE)
    frames, length, width = 3, 4, attention.query_dim
    source, edited = random(frames, length, width), random(2 * frames, length, width, seed=1)
    injected = ExtendedAttention(source=projection(attention, source))
    ours = injected(attention, edited).unflatten(0, (2, frames))
    q, k = attention.to_q(source).flatten(0, 1), attention.to_k(source).flatten(0, 1)
    for branch in (0, 1):
        v = attention.to_v(edited.unflatten(0, (2, frames))[branch]).flatten(0, 1)
        heads = []
        for part in torch.arange(width).chunk(attention.heads):
            scores = q[:, part] @ k[:, part].T / math.sqrt(len(part))
            heads.append(scores.softmax(-1) @ v[:, part])
        expected = attention.to_out[0](torch.cat(heads, -1)).unflatten(0, (frames, length))
        torch.testing.assert_close(ours[branch], expected)


def test_a_window_as_wide_as_the_clip_sees_all_of_it(miniature) -> None:
    attention = miniature.unet.get_submodule(SITE)
    tokens = random(6, 4, attention.query_dim)
    wide = ExtendedAttention(window=5)(attention, tokens)
    torch.testing.assert_close(wide, ExtendedAttention()(attention, tokens))


def test_injected_attention_takes_the_sources_pattern_and_every_branchs_values(miniature) -> None:
    attention = miniature.unet.get_submodule(SITE)
    source, edited = random(2, 16, attention.query_dim), random(4, 16, attention.query_dim, seed=1)
    injected, plain = InjectedAttention(projection(attention, source)), AttnProcessor2_0()
    assert not torch.allclose(injected(attention, edited), plain(attention, edited))
    same = source.repeat(2, 1, 1)
    torch.testing.assert_close(injected(attention, same), plain(attention, same))


def test_a_recorded_output_replaces_that_of_every_branch(miniature) -> None:
    """The recording pass is left as it was; in the replacing one the module's input is moot."""
    record: dict[str, Tensor] = {}
    module, text = miniature.unet.get_submodule(PNP_FEATURES), miniature.embed(["a"])
    with control(miniature.unet, hooks={PNP_FEATURES: record_output(record, PNP_FEATURES)}):
        recorded = miniature.predict(random(1, 4, 16, 16), 1, text)
    torch.testing.assert_close(recorded, miniature.predict(random(1, 4, 16, 16), 1, text))
    source = record[PNP_FEATURES]
    with control(miniature.unet, hooks={PNP_FEATURES: replace_output(source)}):
        given = module(random(2, *module.weight.shape[1:2], 4, 4, seed=3))
    torch.testing.assert_close(given, source.repeat(2, 1, 1, 1))


@pytest.mark.parametrize("held", [1, 300, 60 * 64, 10**6])
def test_chunked_matching_equals_the_whole_table(held: int) -> None:
    """60 tokens and 64 references: one reference at a time, five, all, and room to spare."""
    tokens, references = random(2, 30, 8), random(2, 64, 8, seed=1)
    table = torch.cosine_similarity(tokens[:, :, None], references[:, None], dim=-1)
    torch.testing.assert_close(nearest_tokens(tokens, references, held), table.argmax(-1))


def test_matching_finds_permuted_and_rescaled_tokens() -> None:
    references = random(1, 50, 8)
    order = torch.randperm(50, generator=torch.Generator().manual_seed(2))
    assert torch.equal(nearest_tokens(references[:, order] * 3, references, 7)[0], order)
