"""A Hallo folder: ``config.json`` and ``net.safetensors`` of the five networks, and the rest.

Beside them lie ``vae/`` (a diffusers autoencoder), ``audio/`` (what turns sound into features) and
``face/`` (what turns a face into an embedding), each with a ``config.json``.
"""

from __future__ import annotations

from pathlib import Path

import torch
from safetensors.torch import load_file, save_file

from data.errors import UserError
from methods.backbones.hallo.config import HalloConfig
from methods.backbones.hallo.net import HalloNet

CONFIG, WEIGHTS = "config.json", "net.safetensors"


def save_net(net: HalloNet, folder: Path) -> None:
    """Write ``config.json`` and ``net.safetensors``."""
    folder.mkdir(parents=True, exist_ok=True)
    net.config.write(folder / CONFIG)
    save_file({name: x.contiguous() for name, x in net.state_dict().items()}, folder / WEIGHTS)


def load_net(folder: Path) -> HalloNet:
    """The networks of a folder, in the dtype of the file, on the CPU, in evaluation mode.

    :class:`UserError` where the weights are not those of the config.
    """
    net = empty_net(HalloConfig.read(folder / CONFIG))
    weights = load_file(folder / WEIGHTS)
    fill(net, weights, folder / WEIGHTS)
    return net.eval().requires_grad_(False)


def empty_net(config: HalloConfig) -> HalloNet:
    """The networks without memory, to be filled by :func:`fill`."""
    with torch.device("meta"):
        return HalloNet(config)


def fill(net: HalloNet, weights: dict[str, torch.Tensor], source: Path) -> None:
    """Give a network its weights by name, all of them and no others; :class:`UserError` if not."""
    try:
        net.load_state_dict(weights, strict=True, assign=True)
    except RuntimeError as error:
        lines = str(error).splitlines()[1:4]
        raise UserError(
            f"{source} does not hold the weights of the networks that {CONFIG} describes: "
            + " ".join(line.strip() for line in lines)
        ) from error
