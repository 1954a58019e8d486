"""Flux's autoencoder, small: its posterior, scaled latents and decoder."""

from __future__ import annotations

from collections.abc import Iterator
from functools import partial

import torch
from diffusers import AutoencoderKL

from methods.backbones.step1x.autoencoder import to_latents, to_pixels
from methods.backbones.step1x.convert import convert_vae, vae_config
from tests.parity.compare import Comparison
from tests.parity.families.step1x.common import held
from tests.parity.recording import Recording
from tests.parity.run import Case


def autoencoder_cases(recording: Recording) -> Iterator[Case]:
    """There, and back from the recorded latents."""
    yield "encoder", partial(_encoder, recording)
    yield "decoder", partial(_decoder, recording)


def _autoencoder(recording: Recording) -> AutoencoderKL:
    names = [name for name in recording.tensors if name.startswith("w.")]
    weights = {n.removeprefix("w."): recording.tensors[n].to(recording.dtype) for n in names}
    config = vae_config({name: tensor.shape for name, tensor in weights.items()})
    given = {f"{x}_factor": recording.setting(f"{x}_factor") for x in ("scale", "shift")}
    config |= {"scaling_factor": given["scale_factor"], "shift_factor": given["shift_factor"]}
    vae = AutoencoderKL(**config).to(recording.dtype)
    vae.load_state_dict(convert_vae(weights))
    return vae.eval().requires_grad_(False)


@torch.inference_mode()
def _encoder(recording: Recording) -> Iterator[Comparison]:
    vae, image = _autoencoder(recording), recording.tensors["image"].to(recording.dtype)
    yield held(recording, "moments", vae.encode(image).latent_dist.parameters)
    yield held(recording, "latents_mean", to_latents(vae, image))


@torch.inference_mode()
def _decoder(recording: Recording) -> Iterator[Comparison]:
    latents = recording.tensors["latents_mean"].to(recording.dtype)
    yield held(recording, "decoded", to_pixels(_autoencoder(recording), latents))
