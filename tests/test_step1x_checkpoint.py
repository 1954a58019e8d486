"""The released checkpoints by their own key names, on the meta device and with numbers."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import torch
from diffusers.loaders.single_file_utils import convert_flux_transformer_checkpoint_to_diffusers
from safetensors.torch import save_file
from torch import Tensor

from data.errors import UserError
from methods.backbones.step1x.convert import convert
from methods.backbones.step1x.layout import OFFICIAL_DIT, OFFICIAL_ENCODER, OFFICIAL_VAE
from methods.backbones.step1x.official import official_network, official_vae

PARAMETERS = 12_427_800_385  # as counted on the released model


def original_shapes(width: int, depth: int, head: int = 16) -> dict[str, tuple[int, ...]]:
    """A checkpoint's names and shapes in the original's modules, written down independently."""
    text, condition, pooled, mlp = 24, 16, 12, 4 * width

    def linear(name: str, into: int, out: int) -> dict[str, tuple[int, ...]]:
        return {f"{name}.weight": (out, into), f"{name}.bias": (out,)}

    def norms(prefix: str) -> dict[str, tuple[int, ...]]:
        return {f"{prefix}.{x}_norm.scale": (head,) for x in ("query", "key")}

    shapes = linear("img_in", 16, width) | linear("txt_in", text, width)
    for name, into in (("time_in", 256), ("vector_in", pooled)):
        shapes |= linear(f"{name}.in_layer", into, width)
        shapes |= linear(f"{name}.out_layer", width, width)
    for k in range(depth):
        for stream in ("img", "txt"):
            block = f"double_blocks.{k}.{stream}"
            shapes |= linear(f"{block}_mod.lin", width, 6 * width)
            shapes |= linear(f"{block}_attn.qkv", width, 3 * width)
            shapes |= norms(f"{block}_attn.norm")
            shapes |= linear(f"{block}_attn.proj", width, width)
            shapes |= linear(f"{block}_mlp.0", width, mlp) | linear(f"{block}_mlp.2", mlp, width)
        block = f"single_blocks.{k}"
        shapes |= linear(f"{block}.modulation.lin", width, 3 * width) | norms(f"{block}.norm")
        shapes |= linear(f"{block}.linear1", width, 3 * width + mlp)
        shapes |= linear(f"{block}.linear2", width + mlp, width)
    shapes |= linear("final_layer.linear", width, 16)
    shapes |= linear("final_layer.adaLN_modulation.1", width, 2 * width)
    shapes |= linear("connector.S.input_embedder", condition, text)
    for name, into in (("t_embedder.mlp.{}", 256), ("c_embedder.linear_{}", condition)):
        first, second = (0, 2) if "mlp" in name else (1, 2)
        shapes |= linear(f"connector.S.{name.format(first)}", into, text)
        shapes |= linear(f"connector.S.{name.format(second)}", text, text)
    for k in range(depth):
        block = f"connector.S.individual_token_refiner.blocks.{k}"
        shapes |= {
            f"{block}.{n}.{w}": (text,) for n in ("norm1", "norm2") for w in ("weight", "bias")
        }
        shapes |= linear(f"{block}.self_attn_qkv", text, 3 * text)
        shapes |= linear(f"{block}.self_attn_proj", text, text)
        shapes |= linear(f"{block}.mlp.fc1", text, 4 * text)
        shapes |= linear(f"{block}.mlp.fc2", 4 * text, text)
        shapes |= linear(f"{block}.adaLN_modulation.1", text, 2 * text)
    shapes |= linear("connector.global_proj_out", condition, pooled)
    return shapes | {"connector.scale_factor": (1,)}


def numbered(shapes: dict[str, tuple[int, ...]]) -> dict[str, Tensor]:
    """Every row of every tensor tells where it came from."""
    return {
        name: (index + torch.arange(shape[0]) / 4096)
        .reshape(-1, *[1] * (len(shape) - 1))
        .expand(shape)
        for index, (name, shape) in enumerate(shapes.items())
    }


@pytest.fixture(scope="module")
def checkpoint() -> dict[str, Tensor]:
    return numbered(original_shapes(width=32, depth=2))


def test_a_checkpoint_of_any_size_fills_the_networks(checkpoint) -> None:
    """Nothing is missing or left over, and every number arrives once."""
    network = official_network(
        checkpoint,
        torch.float32,
        {"axes_dims_rope": (4, 6, 6)},
        {"num_attention_heads": 2, "attention_head_dim": 12},
    )
    given = sorted(torch.cat([tensor.flatten() for tensor in checkpoint.values()]).tolist())
    got = sorted(torch.cat([weight.flatten() for weight in network.parameters()]).tolist())
    assert given == got


def test_rows_are_split_and_swapped_as_the_modules_read_them(checkpoint) -> None:
    transformer, connector = convert(checkpoint)
    fused = checkpoint["single_blocks.1.linear1.weight"]
    block = "single_transformer_blocks.1."
    for part, (first, last) in {
        "attn.to_q": (0, 32),
        "attn.to_k": (32, 64),
        "attn.to_v": (64, 96),
        "proj_mlp": (96, 224),
    }.items():
        assert torch.equal(transformer[f"{block}{part}.weight"], fused[first:last])
    fused = checkpoint["double_blocks.0.txt_attn.qkv.bias"]
    for part, rows in zip("qkv", fused.chunk(3), strict=True):
        assert torch.equal(transformer[f"transformer_blocks.0.attn.add_{part}_proj.bias"], rows)
    shift, scale = checkpoint["final_layer.adaLN_modulation.1.weight"].chunk(2)
    assert torch.equal(transformer["norm_out.linear.weight"], torch.cat([scale, shift]))
    fused = checkpoint["connector.S.individual_token_refiner.blocks.1.self_attn_qkv.weight"]
    name = "refiner.token_refiner.refiner_blocks.1.attn.to_{}.weight"
    assert torch.equal(torch.cat([connector[name.format(part)] for part in "qkv"]), fused)


def test_the_transformer_is_renamed_as_diffusers_renames_flux() -> None:
    """By the library's own converter, which knows one width."""
    with torch.device("meta"):
        shapes = original_shapes(width=3072, depth=2, head=128)
        ours, _ = convert({name: torch.empty(shape) for name, shape in shapes.items()})
        flux = {n: torch.empty(s) for n, s in shapes.items() if not n.startswith("connector.")}
        theirs = convert_flux_transformer_checkpoint_to_diffusers(flux)
    assert {n: t.shape for n, t in ours.items()} == {n: t.shape for n, t in theirs.items()}


def test_keys_of_another_model_are_refused_by_name(checkpoint) -> None:
    with pytest.raises(UserError, match=r"1 keys are none of Step1X-Edit v1.0: guidance_in\.x"):
        convert({**checkpoint, "guidance_in.x": torch.zeros(1)})
    short = {name: t for name, t in checkpoint.items() if name != "img_in.bias"}
    with pytest.raises(UserError, match=r"1 keys are missing .* x_embedder\.bias"):
        official_network(short, torch.float32, None, {"attention_head_dim": 12})


def test_a_folder_of_released_files_says_what_it_lacks(checkpoint, tmp_path: Path) -> None:
    from methods.backbones.families import describe

    save_file({n: t.contiguous() for n, t in checkpoint.items()}, tmp_path / OFFICIAL_DIT)
    with pytest.raises(UserError) as error:
        describe(str(tmp_path))
    assert OFFICIAL_VAE in str(error.value) and OFFICIAL_ENCODER in str(error.value)


def released(golden: Path, part: str) -> dict[str, Tensor]:
    """A released checkpoint's names and shapes, without numbers."""
    shapes = json.loads((golden / "step1x" / "keys" / f"{part}.json").read_text())
    with torch.device("meta"):
        return {name: torch.empty(shape) for name, shape in shapes.items()}


def test_the_released_transformer_loads_with_nothing_missing_or_unexpected(golden: Path) -> None:
    network = official_network(released(golden, "dit"), torch.bfloat16)
    assert sum(weight.numel() for weight in network.parameters()) == PARAMETERS
    stated = json.loads((golden / "step1x" / "keys" / "full_size_config.json").read_text())
    config, dit = network.transformer.config, stated["dit"]
    assert (config.num_layers, config.num_single_layers) == (
        dit["depth"],
        dit["depth_single_blocks"],
    )
    assert config.num_attention_heads == dit["num_heads"]
    assert list(config.axes_dims_rope) == dit["axes_dim"]
    assert network.connector.config.num_attention_heads == stated["connector"]["heads_num"]


def test_the_released_autoencoder_loads_with_nothing_missing_or_unexpected(golden: Path) -> None:
    checkpoint = released(golden, "vae")
    vae = official_vae(checkpoint)
    count = sum(tensor.numel() for tensor in checkpoint.values())
    assert sum(weight.numel() for weight in vae.parameters()) == count
    stated = json.loads((golden / "step1x" / "keys" / "full_size_config.json").read_text())["vae"]
    assert vae.config.scaling_factor == stated["scale_factor"]
    assert vae.config.shift_factor == stated["shift_factor"]
