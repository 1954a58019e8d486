"""What an edit will hold on a device, before anything is loaded and without torch.

Counted are tensors: all weights that stay there and the most that one pass makes beside them. The
shares below were counted at the real size on fake tensors; a test counts them again.
"""

from __future__ import annotations

import json
import math
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from methods.backbones.step1x.info import Step1XInfo
from methods.backbones.step1x.layout import INDEX, PARTS

MB = 2**20
BYTES = {"float32": 4, "float16": 2, "bfloat16": 2}
MAX_TOKENS = 8192  # of a call, as in ``backbone``

#: A pass's peak in transformer tokens of its width: residual, normed input, MLP, rotated queries.
PASS = 17.5
#: The decoder's and encoder's peak in float32 images of the first level's channels.
DECODE, ENCODE = 6.0, 5.0


@dataclass(frozen=True)
class Sizes:
    """Parameters of the parts, and what else a forecast needs of them."""

    transformer: int
    connector: int
    encoder: int
    vae: int
    wide: int  # of transformer and connector, those that are kept wide where others take 8 bits
    block: int  # of the largest transformer block
    leaf: int  # of the encoder's largest leaf
    width: int  # of the transformer
    text: int  # tokens of a condition
    channels: int  # of the autoencoder's first level
    pixels: int  # along a side of a token


REAL = Sizes(
    transformer=11_891_178_560,
    connector=536_621_825,
    encoder=7_747_169_280,  # without the language model's head
    vae=83_819_683,
    wide=3_314_822_209,
    block=339_831_296,
    leaf=544_997_376,
    width=3072,
    text=640,
    channels=128,
    pixels=16,
)


def forecast(info: Step1XInfo, setting: Any, dtype: str) -> float:
    """MB of tensors at the worst moment of a cell of an instructed method."""
    ours = not info.random and (info.path / INDEX).is_file()
    sizes = _sizes(info.path) if ours else REAL
    level = setting.size or info.size_level
    held = _held(sizes, info.ways, BYTES[dtype])
    return (held + max(_pass(sizes, setting, level, dtype), _images(sizes, level))) / MB


def _held(sizes: Sizes, ways: tuple[str, ...], each: int) -> float:
    network = (sizes.transformer + sizes.connector) * each
    connector, block = sizes.connector * each, sizes.block * each
    if "fp8" in ways:
        network = network - (sizes.transformer + sizes.connector - sizes.wide) * (each - 1)
    if "offload" in ways:  # a block and the one that is fetched meanwhile
        return connector + max(2 * block, sizes.leaf * each)
    return network + sizes.encoder * each + sizes.vae * 4


def _pass(sizes: Sizes, setting: Any, level: int, dtype: str) -> float:
    tokens = sizes.text + 2 * (level / sizes.pixels) ** 2
    branches = 1 if _unguided(setting) else 2
    images = max(1, int(MAX_TOKENS // (branches * tokens)))
    return PASS * branches * images * tokens * sizes.width * BYTES[dtype]


def _unguided(setting: Any) -> bool:
    """Whether no velocity is guided: then an image is one sample of a call."""
    scales = [value for name, value in setting if name.endswith("guidance_scale")]
    return all(scale == 1 for scale in scales)


def _images(sizes: Sizes, level: int) -> float:
    return max(DECODE, ENCODE) * level**2 * sizes.channels * 4


def _sizes(folder: Path) -> Sizes:
    """The same of a folder in our layout, from configurations and the weights' headers."""
    config = {part: json.loads((folder / part / "config.json").read_text()) for part in PARTS}
    counts = {part: dict(_counts(folder / part)) for part in PARTS}
    total = {part: sum(count.values()) for part, count in counts.items()}
    network = counts["transformer"] | {f"connector.{k}": v for k, v in counts["connector"].items()}
    blocks: dict[str, int] = {}
    for name, count in counts["transformer"].items():
        if "blocks." in name:
            key = ".".join(name.split(".")[:2])
            blocks[key] = blocks.get(key, 0) + count
    transformer, levels = config["transformer"], config["vae"]["block_out_channels"]
    return Sizes(
        transformer=total["transformer"],
        connector=total["connector"],
        encoder=total["condition_encoder"],
        vae=total["vae"],
        wide=sum(count for name, count in network.items() if _wide(name)),
        block=max(blocks.values()),
        leaf=max(counts["condition_encoder"].values()),
        width=transformer["num_attention_heads"] * transformer["attention_head_dim"],
        text=REAL.text if "text_config" in config["condition_encoder"] else 64,
        channels=levels[0],
        pixels=2 ** len(levels),
    )


def _wide(name: str) -> bool:
    """Whether diffusers' layerwise casting leaves a weight alone: norms, the end, the factor."""
    module = name.rpartition(".")[0]
    return "norm" in module or module == "proj_out" or name.endswith("scale_factor")


def _counts(folder: Path) -> Iterator[tuple[str, int]]:
    """Numbers in each tensor of a folder's safetensors, read from the files' headers."""
    for path in sorted(folder.glob("*.safetensors")):
        with path.open("rb") as file:
            header = json.loads(file.read(int.from_bytes(file.read(8), "little")))
        for name, entry in header.items():
            if name != "__metadata__" and not name.startswith("lm_head"):
                yield name, math.prod(entry["shape"])
