"""One-shot tuning of an inflated network on a clip (Wu et al., Tune-A-Video, ICCV 2023).

As released at https://github.com/showlab/Tune-A-Video: queries and temporal attentions learn to
predict the noise of the clip's own latents under its own prompt. AdamW with its defaults, gradients
clipped to norm 1, one random timestep for all frames in every step. In full precision, where the
released script runs under float16 autocast, and on the latents' means, where it draws them.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING

from data.errors import UserError
from methods.lazy import lazy_import
from methods.tuned_network import trained, tuned_network, untuned_weights

if TYPE_CHECKING:
    import torch
    import torch.nn.functional as F
    from torch import Tensor

    from methods.backbones.stable_diffusion import StableDiffusion
    from methods.tuning import TuningSpec
else:
    torch = lazy_import("torch")
    F = lazy_import("torch.nn.functional")

LARGEST_NORM = 1.0  # of all gradients together
MOMENTS = ("step", "exp_avg", "exp_avg_sq")  # what AdamW remembers of a weight


class Tuner:
    """A tuning between two of its steps: it can be packed, and goes on from there to the bit.

    Noise and timestep of a step depend on seed and step alone. :class:`UserError` for a network in
    float16, whose small gradients are lost, and where the loss is no number any more.
    """

    def __init__(self, backbone: StableDiffusion, latents: Tensor, spec: TuningSpec) -> None:
        if backbone.unet.dtype == torch.float16:
            raise UserError(
                "tuning needs more precision than float16: set dtype to float32 or bfloat16."
            )
        self.backbone, self.latents, self.spec = backbone, latents, spec
        self.done = 0
        self.weights = untuned_weights(backbone.unet, spec)
        self.learned = {
            name: x.requires_grad_(True) for name, x in self.weights.items() if trained(name)
        }
        self.optimizer = torch.optim.AdamW(self.learned.values(), lr=spec.learning_rate)

    def step(self) -> None:
        """One gradient step; counts as a network evaluation per frame."""
        backbone, n = self.backbone, len(self.latents)
        rng = torch.Generator().manual_seed((self.spec.seed << 32) + self.done)
        noise = torch.randn(self.latents.shape, generator=rng)
        total = backbone.scheduler.config.num_train_timesteps
        timestep = int(torch.randint(total, (1,), generator=rng))
        alpha = backbone.alpha(timestep)
        noisy = alpha**0.5 * self.latents + (1 - alpha) ** 0.5 * noise
        target = noise
        if backbone.scheduler.config.prediction_type == "v_prediction":
            target = alpha**0.5 * noise - (1 - alpha) ** 0.5 * self.latents
        like = {"device": backbone.device, "dtype": backbone.unet.dtype}
        text = backbone.embed([self.spec.prompt]).repeat_interleave(n, dim=0).to(**like)
        with (
            torch.enable_grad(),
            tuned_network(backbone.unet, self.spec.inflation, n, self.weights),
        ):
            out = backbone.unet(noisy.to(**like).contiguous(), timestep, text).sample
            loss = F.mse_loss(out.float(), target.to(out.device))
            if not torch.isfinite(loss):
                raise UserError(
                    f"the tuning diverged: its loss is {loss.item()} in step {self.done + 1}. "
                    f"Lower learning_rate, which is {self.spec.learning_rate:g}."
                )
            gradients = torch.autograd.grad(loss, [*self.learned.values()])
        backbone.evaluations += n
        for weight, gradient in zip(self.learned.values(), gradients, strict=True):
            weight.grad = gradient
        torch.nn.utils.clip_grad_norm_(self.learned.values(), LARGEST_NORM)
        self.optimizer.step()
        self.done += 1

    def result(self) -> dict[str, Tensor]:
        """The weights as they now are."""
        return {name: x.detach().clone() for name, x in self.weights.items()}

    def pack(self) -> dict[str, Tensor]:
        """Weights and what the optimiser remembers, by name."""
        packed = {"done": torch.tensor(self.done)}
        for name, weight in self.learned.items():
            packed[f"{name}/weight"] = weight.detach().clone()
            for moment, value in self.optimizer.state[weight].items():
                packed[f"{name}/{moment}"] = value.clone()
        return packed

    def unpack(self, packed: Mapping[str, Tensor]) -> None:
        """Stand where :meth:`pack` was called."""
        self.done = int(packed["done"])
        for name, weight in self.learned.items():
            weight.data.copy_(packed[f"{name}/weight"])
            self.optimizer.state[weight] = {m: packed[f"{name}/{m}"].clone() for m in MOMENTS}
