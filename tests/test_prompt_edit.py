"""Editing by attention maps: what is taken from the source, when, and what is refused."""

from __future__ import annotations

from dataclasses import replace

import pytest
import torch

from data.clip import Edit
from data.errors import UserError
from methods.base import Context, Method
from methods.blending import blend, spread, word_mask
from methods.map_control import CrossEdit, SelfEdit
from methods.map_sites import map_sizes, mask_sites
from methods.registry import get_method
from methods.word_aligner import Replacement
from tests.test_attention import random
from tests.test_methods_run import context, latents_of, make_clip

METHODS = ("fatezero", "p2p")
NOTHING = {"cross_replace_steps": 0, "self_replace_steps": 0, "blend_latents": False}


def prepared(miniature, name: str, **setting) -> tuple[Method, Context]:
    """An edit from "a red disc on grass" to "a blue disc on grass"; nothing taken but what is set.

    FateZero's masks of self-attention are off, too.
    """
    if name == "fatezero":
        setting = {"blend_self_attention": False, **setting}
    return context(miniature, name, **{**NOTHING, **setting})


def first(miniature, name: str, edit: Edit | None = None, **setting) -> torch.Tensor:
    """Latents after the first step."""
    method, ctx = prepared(miniature, name, **setting)
    return latents_of(method, replace(ctx, edit=edit or ctx.edit), 1)


@pytest.mark.parametrize("name", METHODS)
def test_each_switch_acts_and_neutral_values_do_not(miniature, name: str) -> None:
    plain, cross = first(miniature, name), first(miniature, name, cross_replace_steps=0.8)
    own = first(miniature, name, self_replace_steps=0.8)
    assert not torch.allclose(cross, plain, atol=1e-3)
    assert not torch.allclose(own, plain, atol=1e-3)
    one = (("blue", 1.0),)
    assert torch.equal(first(miniature, name, cross_replace_steps=0.8, word_weights=one), cross)
    heavy = first(miniature, name, cross_replace_steps=0.8, word_weights=(("blue", 9.0),))
    assert not torch.allclose(heavy, cross, atol=1e-3)
    assert torch.equal(first(miniature, name, word_weights=one), plain)


def test_a_word_has_its_own_share_of_steps(miniature) -> None:
    every = tuple((word, 0, 0.8) for word in ("a", "blue", "disc", "on", "grass"))
    whole = first(miniature, "p2p", cross_replace_steps=0.8)
    but_one = first(miniature, "p2p", cross_replace_steps=0.8, word_steps=(("blue", 0.5, 0.8),))
    assert not torch.allclose(but_one, whole, atol=1e-4)
    alone = first(miniature, "p2p", word_steps=every)
    assert not torch.allclose(alone, whole, atol=1e-5)  # begin and end of text are no words


def test_the_source_itself_is_replaced_and_refined_alike(miniature) -> None:
    same = Edit("same", "colour", "a red disc on grass")
    shares = {"cross_replace_steps": 0.8, "self_replace_steps": 0.8}
    one, other = (
        first(miniature, "p2p", same, controller=how, **shares) for how in ("replace", "refine")
    )
    torch.testing.assert_close(one, other, rtol=1e-4, atol=1e-5)


def test_an_empty_mask_leaves_self_attention_to_the_source(miniature) -> None:
    shares = {"self_replace_steps": 0.8}
    unmasked = first(miniature, "fatezero", **shares)
    empty = first(miniature, "fatezero", **shares, blend_self_attention=True, blend_th=1)
    torch.testing.assert_close(empty, unmasked)
    some = first(miniature, "fatezero", **shares, blend_self_attention=True, blend_th=0.8)
    assert not torch.allclose(some, unmasked, atol=1e-4)


def test_an_empty_mask_leaves_latents_to_the_source(miniature) -> None:
    """From the second of four steps on: a fifth of them, rounded down, is none."""
    method, ctx = prepared(miniature, "p2p", blend_latents=True, blend_th=1)
    torch.testing.assert_close(latents_of(method, ctx, 1), ctx.inversion.latents[501])


@pytest.mark.parametrize("name", METHODS)
def test_settings_share_the_steps_in_which_they_take_the_same(name: str) -> None:
    """Shares of 0.4 and 0.6 of ten steps part at the fifth; thresholds only where they count."""
    method = get_method(name)
    n = {"n_timesteps": 10} | ({"n_inversion_steps": 10} if name == "p2p" else {})

    def agree(one: dict, other: dict) -> list[bool]:
        plans = [method.plan(method.Setting(**n, **setting), 2) for setting in (one, other)]
        return [a == b for a, b in zip(*plans, strict=True)]

    assert agree({"self_replace_steps": 0.4}, {"self_replace_steps": 0.6}) == (
        [True] * 4 + [False] * 2 + [True] * 4
    )
    blended = agree(
        *({"blend_latents": True, "blend_th": th, "self_replace_steps": 0} for th in (0.3, 0.5))
    )
    assert blended == [k < 2 or (name == "fatezero" and k > 6) for k in range(10)]
    weighted = agree({"word_weights": [("blue", 2)]}, {"word_weights": [("blue", 3)]})
    assert weighted == [False] * 8 + [True] * 2


@pytest.mark.parametrize("name", METHODS)
@pytest.mark.parametrize(
    ("setting", "message"),
    [
        ({"word_steps": (("bleu", 0, 0.5),)}, r"'bleu' is not in the prompt.*Did you mean 'blue'"),
        ({"word_weights": (("red", 2),)}, r"'red' is not in the prompt 'a blue disc"),
    ],
)
def test_a_word_that_the_prompt_lacks_is_refused(miniature, name, setting, message) -> None:
    with pytest.raises(UserError, match=message):
        first(miniature, name, **setting)


def test_prompts_of_other_length_are_refined_unless_replacement_is_asked_for(miniature) -> None:
    longer = Edit("longer", "colour", "a big red disc on grass")
    shares = {"cross_replace_steps": 0.8}
    auto = first(miniature, "p2p", longer, **shares)
    assert torch.equal(auto, first(miniature, "p2p", longer, controller="refine", **shares))
    with pytest.raises(UserError, match=r"has 5 words and .* has 6; use controller refine"):
        first(miniature, "p2p", longer, controller="replace", **shares)


def test_a_mask_needs_a_word_that_changes(miniature) -> None:
    inserted = Edit("style", "style", "sepia a red disc on grass", (("", "sepia"),))
    with pytest.raises(UserError, match="edit 'style' changes no word of the source prompt"):
        first(miniature, "p2p", inserted, blend_latents=True)


def test_a_setting_names_a_word_once() -> None:
    with pytest.raises(ValueError, match="word_weights names a word twice"):
        get_method("p2p").Setting(word_weights=[("blue", 2), ("blue", 3)])


def test_cross_attention_follows_its_formula() -> None:
    """share * weight * (source @ mapper) + (1 - share) * own, token by token."""
    source, own = random(2, 1, 4, 3).softmax(-1), random(2, 1, 4, 3, seed=1).softmax(-1)
    swap = torch.tensor([[0.0, 1, 0], [1, 0, 0], [0, 0, 1]])
    edit = CrossEdit(Replacement(swap), torch.tensor([1.0, 0, 1]), torch.tensor([1.0, 1, 5]))
    expected = torch.stack([source[..., 1], own[..., 1], 5 * source[..., 2]], -1)
    torch.testing.assert_close(edit(source, own), expected)


def test_self_attention_is_the_edits_own_inside_the_mask() -> None:
    source, own = random(1, 2, 4, 4), random(1, 2, 4, 4, seed=1)
    mask = torch.tensor([True, False, False, True])[None, None, :, None]
    ours = SelfEdit((), {4: mask})(source, own)
    assert torch.equal(ours[:, :, [0, 3]], own[:, :, [0, 3]])
    assert torch.equal(ours[:, :, [1, 2]], source[:, :, [1, 2]])


def test_masks_are_shares_of_each_frames_largest_value() -> None:
    seen = torch.zeros(2, 4, 4)
    seen[0, 0, 0], seen[1, 3, 3] = 0.2, 7
    assert spread(seen, (8, 8)).amax((1, 2)).tolist() == [1, 1]
    mask = word_mask(seen, (8, 8), 0.5)
    assert mask[0, :4, :4].all() and mask[0].sum() == 16  # widened by one, doubled in size
    edited, source = random(2, 4, 8, 8), random(2, 4, 8, 8, seed=1)
    blended = blend(source, edited, mask)
    torch.testing.assert_close(blended[0, :, :4, :4], edited[0, :, :4, :4])
    assert torch.equal(blended[0, :, 4:], source[0, :, 4:])


def test_masks_come_from_the_sixteens_of_stable_diffusion(miniature) -> None:
    """Of 64x64 latents the third level, of 40x40 the 10x10 maps; five layers each."""
    for side, expected in ((64, 16), (40, 10), (16, 16)):
        sites, size = mask_sites(map_sizes(miniature.unet, side, side), 16)
        assert size == (expected, expected) and len(sites) == 5


def test_frames_of_p2p_do_not_see_each_other_and_those_of_fatezero_do(miniature) -> None:
    clip = make_clip()
    one = replace(clip, frames=clip.frames[:1])
    for name, alike in (("p2p", True), ("fatezero", False)):
        shares = {"cross_replace_steps": 0.8, "self_replace_steps": 0.4}
        together, alone = (
            latents_of(*context(miniature, name, x, **{**NOTHING, **shares}), 1)[:1]
            for x in (clip, one)
        )
        assert torch.allclose(alone, together, rtol=1e-2, atol=1e-2) == alike
