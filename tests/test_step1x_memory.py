"""What a plan says of memory beforehand, against tensors counted one by one."""

from __future__ import annotations

import weakref
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import nn
from torch._subclasses.fake_tensor import FakeTensorMode
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves

from experiments.catalogue import project_catalogue
from experiments.commands import Desk, show_plan
from experiments.store import Store
from methods.backbones.families import forecast
from methods.backbones.step1x import memory
from methods.backbones.step1x.connector import Prepared
from methods.backbones.step1x.info import expected
from methods.backbones.step1x.loading import STORED
from methods.backbones.step1x.network import Step1XNetwork
from methods.backbones.step1x.random_parts import drawing, made
from methods.step1x_edit import Step1XEdit
from tests.step1x_miniature import save_step1x_miniature

WITHIN = 0.15
SETTING = Step1XEdit.Setting()


class Counted(TorchDispatchMode):
    """Bytes of all tensors made inside that are still held, and their peak."""

    def __init__(self) -> None:
        super().__init__()
        self.held: dict[int, int] = {}
        self.peak = 0

    def __torch_dispatch__(self, op: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        out = op(*args, **(kwargs or {}))
        for tensor in tree_leaves(out):
            if isinstance(tensor, torch.Tensor):
                storage = tensor.untyped_storage()
                key = storage._cdata
                if key not in self.held:
                    self.held[key] = storage.nbytes()
                    weakref.finalize(storage, self.held.pop, key, None)
        self.peak = max(self.peak, sum(self.held.values()))
        return out


def numbers(*networks: nn.Module) -> int:
    return sum(weight.numel() for network in networks for weight in network.parameters())


@pytest.fixture(scope="module")
def real() -> dict[str, nn.Module]:
    """The real size without storage."""
    with torch.device("meta"):
        return made()


def test_the_real_sizes_are_the_librarys(real) -> None:
    assert {name: numbers(network) for name, network in real.items()} == {
        name: getattr(memory.REAL, name) for name in ("transformer", "connector", "encoder", "vae")
    }
    blocks = [
        *real["transformer"].transformer_blocks,
        *real["transformer"].single_transformer_blocks,
    ]
    assert max(map(numbers, blocks)) == memory.REAL.block
    assert max(weight.numel() for weight in real["encoder"].parameters()) == memory.REAL.leaf


def test_what_stays_wide_in_8_bits_is_what_diffusers_leaves_alone(real) -> None:
    networks = real["transformer"], real["connector"]
    for network in networks:
        network.to(torch.bfloat16).enable_layerwise_casting(STORED, torch.bfloat16)
    weights = [weight for network in networks for weight in network.parameters()]
    wide = sum(weight.numel() for weight in weights if weight.dtype != STORED)
    assert wide == memory.REAL.wide


@pytest.mark.parametrize("level", [512, 1024])
def test_a_pass_at_the_real_width_takes_what_is_forecast(level: int) -> None:
    """Two blocks of each kind tell: what a block makes is gone when the next begins."""
    from diffusers import FluxTransformer2DModel

    from methods.backbones.step1x.connector import Step1XConnector

    tokens, bf16 = (level // 16) ** 2, {"dtype": torch.bfloat16}
    with drawing(torch.bfloat16, torch.device("cpu")), FakeTensorMode(), torch.inference_mode():
        transformer = FluxTransformer2DModel(num_layers=2, num_single_layers=2)
        network = Step1XNetwork(transformer, Step1XConnector(num_layers=1))
        prepared = Prepared(
            torch.empty(2, 640, 4096, **bf16),
            torch.empty(2, 4096, **bf16),
            torch.empty(2, 768, **bf16),
            torch.ones(2, 640, dtype=torch.bool),
        )
        images = torch.empty(2, tokens, 64, **bf16)
        with Counted() as counted:
            grid = (level // 16, level // 16)
            network.predict(images, images, prepared, torch.empty(2, **bf16), grid)
    told = memory._pass(memory.REAL, SETTING, level, "bfloat16")
    assert counted.peak == pytest.approx(told, rel=WITHIN)


def test_the_autoencoder_takes_what_is_forecast() -> None:
    with FakeTensorMode(), torch.inference_mode():
        from diffusers import AutoencoderKL

        from methods.backbones.step1x.random_parts import VAE

        vae = AutoencoderKL(**VAE)
        with Counted() as counted:
            vae.decode(torch.empty(1, 16, 64, 64))
    assert counted.peak == pytest.approx(memory._images(memory.REAL, 512), rel=WITHIN)


def test_the_forecast_of_the_released_runs_is_what_their_readme_measured() -> None:
    """In bfloat16, with the encoder's head besides, whose 1 GB we do not load."""
    head = memory.REAL.leaf * 2 / 1e9
    for level, gigabytes in ((512, 42.5), (1024, 49.8)):
        told = forecast("step1x", Step1XEdit.Setting(size=level), "bfloat16") * memory.MB / 1e9
        assert told + head == pytest.approx(gigabytes, rel=WITHIN)


def test_ways_of_loading_take_less(tmp_path: Path) -> None:
    setting = Step1XEdit.Setting(size=512)
    whole, fp8, off = (
        forecast(f"step1x-random{way}", setting, "bfloat16") for way in ("", "+fp8", "+offload")
    )
    assert off < 0.2 * whole < fp8 < 0.8 * whole


def test_a_folders_forecast_counts_its_own_weights(tmp_path: Path) -> None:
    from methods.backbones.families import load

    folder = str(save_step1x_miniature(tmp_path / "miniature"))
    sizes, backbone = memory._sizes(Path(folder)), load(folder)
    assert sizes.transformer + sizes.connector == numbers(backbone.network)
    assert sizes.encoder == numbers(backbone.encoder) and sizes.vae == numbers(backbone.vae)
    assert (sizes.width, sizes.channels, sizes.pixels) == (32, 8, 8)
    cast = load(f"{folder}+fp8").network
    wide = sum(weight.numel() for weight in cast.parameters() if weight.dtype != STORED)
    assert sizes.wide == wide
    assert forecast(folder, SETTING, "float32") == pytest.approx(
        memory.forecast(expected(folder), SETTING, "float32")
    )


def test_a_plan_states_memory_before_any_run(tmp_path: Path, capsys) -> None:
    path = tmp_path / "costs.yaml"
    path.write_text(
        "title: Costs\nbackbones: [step1x-random]\ndtype: bfloat16\n"
        "clips:\n  - {dataset: instructions, first: 1, edits: [colour], frames: 1}\n"
        "methods:\n  - {name: step1x-edit, setting: {size: 512}}\n"
    )
    show_plan(Desk(project_catalogue(), tmp_path, Store(tmp_path / "results")), str(path))
    printed = capsys.readouterr().out
    told = forecast("step1x-random", Step1XEdit.Setting(size=512), "bfloat16")
    assert f"step1x-edit on step1x-random {told:,.0f} (forecast, tensors alone)" in printed
