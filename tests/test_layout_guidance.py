"""Layout guidance: its loss, the pass that stops early, and what guidance does to attention."""

from __future__ import annotations

from dataclasses import replace
from types import SimpleNamespace

import pytest
import torch
from diffusers.models.attention_processor import AttnProcessor

from data.clip import Region
from data.errors import UserError
from methods.attention import control
from methods.base import run_cell
from methods.cross_attention import follow, read_maps, sites_of_blocks
from methods.layout_guidance import LOSS, Guidance, LayoutGuidance, follow_layout
from methods.layout_loss import Target, box_mask, layout_loss
from methods.solvers import Stand
from methods.token_positions import token_positions, word_positions
from tests.test_methods_run import context, latents_of, make_clip

PROMPT = "a blue disc on grass"


@pytest.mark.parametrize("side", [8, 16])
@pytest.mark.parametrize(
    "boxes, share",
    [
        (((0.0, 0.0, 0.5, 0.5),), 1 / 4),
        (((0.25, 0.0, 1.0, 0.5),), 3 / 8),
        (((0.0, 0.0, 0.5, 1.0), (0.25, 0.0, 0.75, 1.0)), 3 / 4),  # their union, counted once
    ],
)
def test_uniform_attention_loses_what_lies_outside_the_boxes(side, boxes, share) -> None:
    maps = [torch.full((3, side, side, 9), 1 / 9), torch.full((5, side, side, 9), 1 / 9)]
    loss = layout_loss(maps, [Target((2, 3), boxes), Target((7,), boxes)])
    assert loss.item() == pytest.approx((1 - share) ** 2, abs=1e-6)


def test_attention_within_the_box_alone_loses_nothing() -> None:
    attention = torch.zeros(2, 8, 8, 5)
    attention[:, 2:4, 4:6, 1] = 0.3
    assert layout_loss([attention], [Target((1,), ((0.5, 0.25, 0.75, 0.5),))]).item() == 0
    assert layout_loss([attention], [Target((1,), ((0.0, 0.5, 1.0, 1.0),))]).item() == 1


def test_boxes_are_cut_down_as_released_or_rounded_as_the_port_does() -> None:
    boxes = ((0.1, 0.2, 0.35, 0.99),)  # of 8 cells: 0.8, 1.6, 2.8, 7.92
    down, nearest = (box_mask(boxes, 8, 8, rounding) for rounding in ("down", "nearest"))
    assert down[1:7, 0:2].all() and down.sum() == 12
    assert nearest[2:8, 1:3].all() and nearest.sum() == 12


def test_the_port_leaves_out_the_first_half_of_the_heads() -> None:
    maps = torch.rand(4, 8, 8, 5)
    target = [Target((1, 2), ((0.0, 0.0, 0.5, 0.5),))]
    port = layout_loss([maps], target, heads="second half")
    torch.testing.assert_close(port, layout_loss([maps[2:]], target))


def test_the_early_exit_has_the_whole_networks_maps_and_gradient(miniature) -> None:
    """Against diffusers' own processor on every module, the pass run to its end."""
    method, ctx = context(miniature, "layout-guidance")
    x, text = method.start(ctx).latents[:1], miniature.embed([PROMPT])
    stand = Stand.before("lms", miniature, 4, 1)
    sites = sites_of_blocks(miniature.unet, "mid+up1")
    target = [Target((3,), ((0.0, 0.0, 0.5, 1.0),))]
    reached = []
    hook = miniature.unet.up_blocks[2].register_forward_hook(lambda *_: reached.append(True))
    loss, gradient, maps = follow(
        miniature,
        stand,
        x,
        text,
        sites,
        lambda maps: (layout_loss([maps[s.name][0] for s in sites], target), maps),
    )
    assert not reached

    whole: dict[str, torch.Tensor] = {}

    class Keep(AttnProcessor):
        def __call__(self, attn, hidden_states, encoder_hidden_states=None, **_):
            shares = attn.get_attention_scores(
                attn.head_to_batch_dim(attn.to_q(hidden_states)),
                attn.head_to_batch_dim(attn.to_k(encoder_hidden_states)),
            )
            whole[id(attn)] = shares
            return super().__call__(attn, hidden_states, encoder_hidden_states)

    modules = dict(miniature.unet.named_modules())
    leaf = x.clone().requires_grad_(True)
    with control(miniature.unet, {site.name: Keep() for site in sites}):
        miniature.unet(stand.scaled(leaf), stand.timestep, text)
    hook.remove()
    assert reached
    plain = {
        s.name: whole[id(modules[s.name])].unflatten(1, maps[s.name].shape[2:4]) for s in sites
    }
    for site in sites:
        torch.testing.assert_close(maps[site.name][0], plain[site.name], rtol=1e-5, atol=1e-6)
    expected = layout_loss(list(plain.values()), target)
    torch.testing.assert_close(loss, expected.detach(), rtol=1e-6, atol=1e-6)
    wanted = torch.autograd.grad(expected, leaf)[0]
    torch.testing.assert_close(gradient, wanted, rtol=1e-4, atol=1e-6 * wanted.abs().max().item())


def test_the_pass_asks_nothing_of_the_weights_and_leaves_the_network_as_it_was(miniature) -> None:
    before = dict(miniature.unet.attn_processors)
    latents_of(*context(miniature, "layout-guidance"), 1)
    assert {k: id(v) for k, v in miniature.unet.attn_processors.items()} == {
        k: id(v) for k, v in before.items()
    }
    assert all(p.grad is None and not p.requires_grad for p in miniature.unet.parameters())


@pytest.mark.parametrize("scheduler", ["lms", "euler", "ddim", "pndm"])
@pytest.mark.parametrize("off", [{"max_index_step": 0}, {"max_iter": 0}, {"loss_threshold": 1}])
def test_without_guided_steps_it_is_plain_sampling_from_the_same_noise(
    miniature, scheduler: str, off: dict
) -> None:
    """A threshold of 1 is never exceeded; the first pass, which finds that, moves once."""
    guided = context(miniature, "layout-guidance", scheduler=scheduler, n_timesteps=3, **off)
    plain = context(miniature, "text-to-image", scheduler=scheduler, n_timesteps=3)
    same = torch.equal(latents_of(*guided), latents_of(*plain))
    assert same == ("loss_threshold" not in off)


def test_without_boxes_nothing_moves(miniature) -> None:
    method, ctx = context(miniature, "layout-guidance", scheduler="ddim")
    bare = replace(ctx, edit=replace(ctx.edit, layout=()))
    plain, plain_ctx = context(miniature, "text-to-image", scheduler="ddim")
    assert torch.equal(latents_of(method, bare), latents_of(plain, plain_ctx))


@pytest.mark.parametrize("scheduler", ["lms", "ddim"])
def test_guidance_draws_attention_into_the_box(miniature, scheduler: str) -> None:
    """The share of attention inside, before the first step and after its moves."""
    setting = {"scheduler": scheduler, "n_timesteps": 8, "loss_scale": 30, "max_iter": 5}
    method, ctx = context(miniature, "layout-guidance", make_clip(1), **setting)
    plan, state = method.plan(ctx.setting, 1)[0], method.start(ctx)
    stand = Stand.before(scheduler, miniature, 8, 0)
    targets = method.targets(ctx, "pieces")
    sites = sites_of_blocks(miniature.unet, plan.guidance.layers)

    def loss(latents: torch.Tensor) -> float:
        text = miniature.embed([PROMPT])
        maps = read_maps(miniature, stand.scaled(latents), stand.timestep, text, sites)
        return layout_loss([x[0] for x in maps.values()], targets).item()

    with torch.no_grad():
        before = loss(state.latents)
        after = loss(method.prepare(ctx, state, plan, stand).latents)
    assert after < before


def test_guidance_once_at_its_threshold_never_starts_again() -> None:
    """Losses 10, 4, 1 of scale 10 with threshold 0.5: the pass that sees 4 still moves."""
    guidance = Guidance(10, 0.5, 5, "mid", "all", "down", "pieces")
    stand = SimpleNamespace(sigma=torch.tensor(2.0), exploding=True)
    given = iter([10.0, 4.0, 1.0])

    def evaluate(latents):
        return torch.tensor(next(given)), torch.ones_like(latents)

    latents, loss = follow_layout(torch.zeros(1), torch.tensor(1e4), guidance, stand, evaluate)
    assert loss == 4 and latents == -2 * 2.0**2
    again, same = follow_layout(latents, loss, guidance, stand, evaluate)
    assert same == 4 and again == latents


@pytest.mark.parametrize("sigma", [0.3, 1.0, 14.6])
def test_a_move_is_the_same_in_both_scalings_of_latents(sigma: float) -> None:
    """Exploding latents are the preserving ones times sqrt(sigma^2 + 1); so is their move."""
    guidance = Guidance(1, 0, 1, "mid", "all", "down", "pieces")
    scale, weights = (sigma**2 + 1) ** 0.5, torch.tensor([1.0, -2.0])
    x = torch.tensor([0.4, 0.1])
    moved = {}
    for exploding in (True, False):
        stand = SimpleNamespace(sigma=torch.tensor(sigma), exploding=exploding)
        chain = 1 / scale if exploding else 1.0
        start = x * scale if exploding else x
        moved[exploding], _ = follow_layout(
            start,
            torch.tensor(1e4),
            guidance,
            stand,
            lambda _, c=chain: (torch.ones(()), weights * c),
        )
    torch.testing.assert_close(moved[True] / scale, moved[False])


def test_every_image_is_guided_by_itself(miniature) -> None:
    clip = make_clip(3)
    one = replace(clip, frames=clip.frames[:1])
    together = latents_of(*context(miniature, "layout-guidance", clip), 2)[:1]
    alone = latents_of(*context(miniature, "layout-guidance", one), 2)
    torch.testing.assert_close(together, alone, rtol=1e-2, atol=1e-2)


def test_the_state_carries_each_images_loss(miniature) -> None:
    method, ctx = context(miniature, "layout-guidance")
    state = method.start(ctx)
    for k, plan in enumerate(method.plan(ctx.setting, 3)[:2]):
        state = method.step(ctx, state, plan, k)
    assert state.extra[LOSS].shape == (3,) and (state.extra[LOSS] < 30).all()


@pytest.mark.parametrize(
    "phrase, message",
    [
        ("blu disc", "word 'blu' of the phrase 'blu disc' is not in the prompt.*'blue'"),
        ("dis", "word 'dis' is not in the prompt 'a blue disc on grass'.*Did you mean 'disc'"),
        ("", "empty phrase"),
    ],
)
def test_words_that_the_prompt_lacks_are_named(miniature, phrase: str, message: str) -> None:
    method, ctx = context(miniature, "layout-guidance")
    wrong = replace(ctx.edit, layout=(Region(phrase, ((0, 0, 1, 1),)),))
    with pytest.raises(UserError, match=message):
        run_cell(method, replace(ctx, edit=wrong))


def test_an_object_without_a_box_is_refused(miniature) -> None:
    method, ctx = context(miniature, "layout-guidance")
    unplaced = replace(ctx.edit, layout=(Region("blue disc", ()),))
    with pytest.raises(UserError, match=r"phrase 'blue disc' of the prompt .* has no box"):
        run_cell(method, replace(ctx, edit=unplaced))


@pytest.mark.parametrize(
    "preset, steps, passes", [("released", 51, 10 * 5), ("walkthrough-004", 20, 10 * 5)]
)
def test_presets_are_what_was_published(preset: str, steps: int, passes: int) -> None:
    """Defaults of the released configuration, and of the walkthrough's example."""
    setting = LayoutGuidance.Setting(**LayoutGuidance.presets[preset])
    plans = LayoutGuidance().plan(setting, 1)
    assert len(plans) == steps and plans[0].timestep == 999
    assert sum(plan.evaluations for plan in plans) == 2 * steps + passes
    assert setting.guidance_scale == 7.5 and setting.loss_threshold == 0.2
    released = preset == "released"
    assert setting.loss_scale == (30 if released else 50)
    assert (setting.heads, setting.tokens) == (
        ("all", "words") if released else ("second half", "pieces")
    )


def test_words_are_found_by_their_pieces(miniature) -> None:
    """The miniature's tokenizer has a token for every letter."""
    find = miniature.tokenizer
    assert token_positions(find, PROMPT, "blue disc") == [[2, 3, 4, 5], [6, 7, 8, 9]]
    assert token_positions(find, "a disc, Blue", "blue disc") == [[7, 8, 9, 10], [2, 3, 4, 5]]
    assert token_positions(find, "discs or disc", "disc") == [[8, 9, 10, 11]]
    assert word_positions(PROMPT + ".", "blue grass") == [[2], [5]]
    with pytest.raises(UserError, match="too far back"):
        token_positions(find, "a very long prompt about a disc", "disc")


def test_blocks_without_cross_attention_are_refused(miniature) -> None:
    method, ctx = context(miniature, "layout-guidance", layers="mid+up0")
    with pytest.raises(UserError, match=r"block 'up0'.*down0, down1, down2, mid, up1, up2, up3"):
        run_cell(method, ctx)
    with pytest.raises(ValueError, match="layers"):
        LayoutGuidance.Setting(layers="middle")
