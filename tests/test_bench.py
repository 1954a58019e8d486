"""The benchmark's plain TokenFlow gives our numbers, and its figures say what they hold."""

from __future__ import annotations

import gc

import pytest
import torch

from bench import __main__ as command
from bench.figures import Figure, peak_bytes, seconds
from bench.plain import PlainTokenFlow
from methods.correspondence import nearest_tokens
from methods.sampling import Branches
from methods.tokenflow_step import tokenflow_step
from tests.test_methods_run import context, make_clip


@pytest.mark.parametrize("inject", [True, False])
def test_a_step_of_the_plain_rendering_is_ours(miniature, inject: bool) -> None:
    """Six frames in batches of two: loops over heads, repeated keys and whole tables."""
    clip, shares = make_clip(6), {} if inject else {"pnp_f_t": 0, "pnp_attn_t": 0}
    method, ctx = context(miniature, "tokenflow", clip, **shares)
    plan = method.plan(ctx.setting, 6)[0]
    text = miniature.embed([clip.prompt, plan.negative_prompt, ctx.edit.prompt])
    source, x = ctx.inversion.latents[plan.timestep], method.start(ctx).latents
    keyframes = [1, 2, 5]
    plain = PlainTokenFlow(miniature.unet, text, plan.timestep, features=inject)
    if not inject:
        plain.injected = ()
    plain.keyframes(source[keyframes], x[keyframes])
    noise = []
    for index in range(3):
        part = slice(2 * index, 2 * index + 2)
        _, uncond, cond = plain.batch(index, source[part], x[part]).chunk(3)
        noise.append(uncond + plan.guidance_scale * (cond - uncond))
    alpha, to = miniature.alpha(plan.timestep), miniature.alpha(plan.previous)
    clean = (x - (1 - alpha) ** 0.5 * torch.cat(noise)) / alpha**0.5
    expected = to**0.5 * clean + (1 - to) ** 0.5 * torch.cat(noise)
    ours = tokenflow_step(miniature, Branches(source, x, text, plan.timestep), keyframes, plan)
    torch.testing.assert_close(ours, expected, rtol=1e-3, atol=1e-3)


def test_peaks_count_what_is_alive_at_once() -> None:
    def work(keep: bool) -> None:
        held = []
        for _ in range(4):
            made = torch.ones(1000) + 1  # two tensors of 4000 bytes, one of them short-lived
            held.append(made if keep else None)

    gc.collect()
    assert peak_bytes(lambda: work(keep=True)) in range(16_000, 20_001)
    assert peak_bytes(lambda: work(keep=False)) in range(8_000, 12_001)


def test_matching_holds_no_more_of_the_table_than_allowed() -> None:
    """2 x 256 x 256 similarities are 512 KiB; with room for a 16th of them, far less is alive."""
    tokens, references = torch.randn(2, 2, 256, 4)
    whole = peak_bytes(lambda: nearest_tokens(tokens, references))
    part = peak_bytes(lambda: nearest_tokens(tokens, references, 2 * 256 * 16))
    assert whole > 2 * 256 * 256 * 4 and part < whole / 5


def test_works_take_turns() -> None:
    order: list[str] = []
    times = seconds(lambda: order.append("a"), lambda: order.append("b"), repeats=2)
    assert order == ["a", "b"] * 3 and len(times) == 2


@pytest.mark.parametrize(
    "figure, met",
    [
        (Figure("speed", 3, at_least=2.5), True),
        (Figure("speed", 2.4, at_least=2.5), False),
        (Figure("share", 0.6, at_most=0.5), False),
        (Figure("share", float("nan"), at_most=0.5), False),
        (Figure("anything", 7), True),
    ],
)
def test_figures_are_held_to_their_targets(figure: Figure, met: bool) -> None:
    assert figure.met == met
    assert ("MISSED" in str(figure)) == (not met)


def test_benchmarks_are_chosen_by_name_or_by_what_they_begin_with() -> None:
    assert command.chosen([]) == list(command.BENCHMARKS)
    assert command.chosen(["memory"]) == ["memory/embedded", "memory/sd-like"]
    assert command.chosen(["step/embedded", "evaluations"]) == ["evaluations", "step/embedded"]


def test_an_unknown_benchmark_is_named_with_the_nearest(capsys) -> None:
    assert command.main(["--only", "keyframe"]) == 2
    assert "Did you mean 'keyframes'?" in capsys.readouterr().err


def test_a_missed_target_is_an_exit_status(monkeypatch, capsys) -> None:
    monkeypatch.setattr(command, "BENCHMARKS", {"x": lambda device: [Figure("x", 1, at_least=2)]})
    assert command.main([]) == 1 and "1 targets missed" in capsys.readouterr().out
