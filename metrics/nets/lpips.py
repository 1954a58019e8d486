"""LPIPS v0.1 (Zhang et al. 2018) by the ``lpips`` package, over torchvision's ImageNet networks."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import cache
from typing import TYPE_CHECKING

import numpy as np

from metrics.memo import Memo
from metrics.nets.files import Extractor, PackageFile, TorchFile

if TYPE_CHECKING:
    import torch

_TRUNKS = {
    "alex": ("alexnet-owt-7be5be79.pth", 233),
    "vgg": ("vgg16-397923af.pth", 528),
    "squeeze": ("squeezenet1_1-b8a52dc0.pth", 5),
}
EXTRACTORS = {
    name: Extractor(
        f"lpips-{name}",
        (
            TorchFile(f"https://download.pytorch.org/models/{trunk}"),
            PackageFile("lpips==0.1.4", "lpips", f"weights/v0.1/{name}.pth"),
        ),
        megabytes,
        "BSD-3, BSD-2",
    )
    for name, (trunk, megabytes) in _TRUNKS.items()
}


class Lpips:
    """A trunk, the linear weights over its layers, and the last references' features."""

    def __init__(
        self,
        trunk: Callable[[torch.Tensor], Sequence[torch.Tensor]],
        scale: Callable[[torch.Tensor], torch.Tensor],
        weights: Sequence[Callable[[torch.Tensor], torch.Tensor]],
    ) -> None:
        """``trunk`` gives the layers' activations, ``scale`` prepares [-1, 1], ``weights`` weigh
        each layer's squared differences of channels."""
        self._trunk, self._scale, self._weights = trunk, scale, weights
        self._features: Memo[list[torch.Tensor]] = Memo()

    def fresh_features(self, frames: np.ndarray) -> list[torch.Tensor]:
        """(N, C, h, w) features of unit length at each depth of (N, H, W, 3) frames."""
        import torch

        pixels = torch.tensor(frames).permute(0, 3, 1, 2).contiguous()
        pixels = pixels.float() / 255 if pixels.dtype == torch.uint8 else pixels.float()
        with torch.no_grad():
            layers = self._trunk(self._scale(2 * pixels - 1))
        return [part / (part.pow(2).sum(dim=1, keepdim=True).sqrt() + 1e-10) for part in layers]

    def unit_features(self, frames: np.ndarray) -> list[torch.Tensor]:
        """The same, remembered for the last few frames."""
        return self._features.get(frames, lambda: self.fresh_features(frames))

    def distances(
        self, features: list[torch.Tensor], reference: list[torch.Tensor]
    ) -> list[torch.Tensor]:
        """(N, h, w) weighted squared differences at each depth."""
        import torch

        with torch.no_grad():
            return [
                weigh((a - b).pow(2))[:, 0]
                for weigh, a, b in zip(self._weights, features, reference, strict=True)
            ]


@cache
def lpips_net(name: str) -> Lpips:
    """LPIPS over AlexNet, VGG or SqueezeNet, loaded once. Raises MissingExtractor."""
    trunk, _ = EXTRACTORS[name].paths()
    import lpips
    import torch

    with torch.random.fork_rng(devices=[]):
        model = lpips.LPIPS(net=name, pnet_rand=True, verbose=False)
    published = torch.load(trunk, map_location="cpu", weights_only=True)
    # The package cuts torchvision's ``features.<i>`` into ``slice<k>.<i>``.
    model.net.load_state_dict(
        {key: published["features." + key.partition(".")[2]] for key in model.net.state_dict()}
    )
    model.eval().requires_grad_(False)
    return Lpips(model.net, model.scaling_layer, model.lins)
