"""The released noise schedule: velocity, zero signal at the end (Lin et al. 2024), trailing steps.

The released program asks for a "scaled linear" schedule after its scheduler has been built with a
linear one; so it is the linear one that counts.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from methods.lazy import lazy_import

if TYPE_CHECKING:
    import diffusers
    from diffusers import DDIMScheduler
else:
    diffusers = lazy_import("diffusers")

TRAIN_TIMESTEPS = 1000
LATENT_SCALE = 0.18215  # latents are the autoencoder's posterior mean times this

RELEASED = {
    "num_train_timesteps": TRAIN_TIMESTEPS,
    "beta_start": 0.00085,
    "beta_end": 0.012,
    "beta_schedule": "linear",
    "clip_sample": False,
    "steps_offset": 1,
    "prediction_type": "v_prediction",
    "rescale_betas_zero_snr": True,
    "timestep_spacing": "trailing",
}


def timesteps(n: int) -> list[int]:
    """The ``n`` timesteps of "trailing" spacing, noisiest first; from 999 on."""
    return [int(t) - 1 for t in np.round(np.arange(TRAIN_TIMESTEPS, 0, -TRAIN_TIMESTEPS / n))]


def scheduler(n: int = TRAIN_TIMESTEPS) -> DDIMScheduler:
    """diffusers' scheduler, about to walk ``n`` steps.

    For training: ``add_noise`` and ``get_velocity``, whose timesteps are 0 to 999.
    """
    made = diffusers.DDIMScheduler(**RELEASED)
    made.set_timesteps(n)
    return made
