"""Where the source's attention waits for the edit: the frames are the same wherever it does."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest
import torch

from data.errors import UserError
from methods.kept_passes import GB, KeptPasses, pass_bytes
from tests.test_methods_run import context, latents_of

MASKED = {"self_replace_steps": 0.5, "cross_replace_steps": 0.5, "blend_latents": False}


def kept(miniature, **setting) -> KeptPasses:
    """What an inversion of three frames in five steps keeps."""
    return context(miniature, "fatezero", **setting)[1].inversion.passes


@pytest.fixture(scope="module")
def recomputed(miniature) -> torch.Tensor:
    return latents_of(*context(miniature, "fatezero"))


@pytest.mark.parametrize("place", ["device", "host", "disk", "auto"])
def test_kept_passes_give_the_bits_of_passes_run_again(miniature, recomputed, place: str) -> None:
    method, ctx = context(miniature, "fatezero", keep=place)
    before = miniature.evaluations
    assert torch.equal(latents_of(method, ctx), recomputed)
    assert miniature.evaluations - before == 5 * 2 * 3  # two branches of three frames, no source
    assert ctx.inversion.passes.place == ("host" if place == "auto" else place)


def test_half_precision_is_near_and_the_same_whether_kept_or_run_again(
    miniature, recomputed
) -> None:
    """An inversion read from the store keeps nothing; the edit then rounds what it runs again."""
    method, ctx = context(miniature, "fatezero", keep="host", keep_dtype="float16")
    half = latents_of(method, ctx)
    torch.testing.assert_close(half, recomputed, rtol=1e-2, atol=1e-2)
    assert not torch.equal(half, recomputed)
    stored = replace(ctx, inversion=replace(ctx.inversion, passes=None))
    assert torch.equal(latents_of(method, stored), half)


def test_only_steps_and_maps_that_are_read_are_kept(miniature) -> None:
    """Of five steps, cross-attention in the first three and self-attention in the first two."""
    passes = kept(miniature, keep="host", **{**MASKED, "blend_self_attention": False}).passes
    assert sorted(passes, reverse=True) == [801, 601, 401]
    ends = {t: {site[-5:] for site in p.projections} for t, p in passes.items()}
    assert ends == {801: {"attn1", "attn2"}, 601: {"attn1", "attn2"}, 401: {"attn2"}}


def test_what_is_kept_has_the_memory_layout_of_what_is_read_from_a_file(miniature) -> None:
    """Kernels round by layout, so another one would give other bits on some networks."""
    for source in kept(miniature, keep="device").passes.values():
        for projection in source.projections.values():
            assert projection.query.is_contiguous() and projection.key.is_contiguous()


def test_half_precision_takes_half_the_memory(miniature) -> None:
    whole, half = (kept(miniature, keep="host", keep_dtype=d) for d in ("float32", "float16"))
    assert whole.bytes == 2 * half.bytes == sum(map(pass_bytes, whole.passes.values()))


def test_auto_keeps_nothing_beyond_its_budget(miniature, recomputed) -> None:
    method, ctx = context(miniature, "fatezero", keep="auto", keep_gb=1e-4)
    assert ctx.inversion.passes.place is None
    assert torch.equal(latents_of(method, ctx), recomputed)


def test_a_named_place_that_is_too_small_says_what_it_takes(miniature) -> None:
    needed = kept(miniature, keep="host").bytes / GB
    with pytest.raises(UserError, match=r"on the disk takes 0\.0 GB and keep_gb allows"):
        kept(miniature, keep="disk", keep_gb=needed / 2)


def test_files_go_with_the_last_who_holds_them(miniature) -> None:
    passes = KeptPasses(kept(miniature, keep="disk").keep)
    source = kept(miniature, keep="host").passes[801]
    passes.offer(801, source)
    folder = Path(passes.folder.name)
    assert list(folder.iterdir()) and passes.get(passes.keep, 801, miniature.device) is not None
    del passes
    assert not folder.exists()
