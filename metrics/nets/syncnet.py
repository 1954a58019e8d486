"""SyncNet (Chung and Zisserman 2016): how near speech and mouth are, with the published weights.

Layers and the names of their weights are those of the published file. Sound is heard as its
authors' program does: mel-frequency cepstra by python_speech_features' defaults.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from scipy.fft import dct

from metrics.nets.files import Extractor, WeightFile

if TYPE_CHECKING:
    import torch
    from torch import nn


@dataclass(frozen=True)
class _Published(WeightFile):
    """The file on its authors' page, which names no checksum."""

    path: str = "syncnet_v2.model"
    origin: str = "https://www.robots.ox.ac.uk/~vgg/software/lipsync/data/syncnet_v2.model"

    def fetch(self, to: Path) -> None:
        from torch.hub import download_url_to_file

        download_url_to_file(self.origin, str(to))


EXTRACTOR = Extractor(
    "syncnet-v2",
    (_Published(),),
    54,
    "MIT",
)
SIDE, FRAMES = 224, 5  # what a mouth is judged by: pixels a side, frames in a row
HOPS = 4  # cepstra a frame of video
_RATE, _SIZE, _HOP, _FFT = 16_000, 400, 160, 512
_FILTERS, _CEPSTRA, _LIFTER, _EMPHASIS = 26, 13, 22, 0.97


def _filterbank() -> np.ndarray:
    """(257, 26) triangles between whole FFT bins, equally spaced in mels."""
    mels = np.linspace(0, 2595 * np.log10(1 + _RATE / 2 / 700), _FILTERS + 2)
    bins = np.floor((_FFT + 1) * 700 * (10 ** (mels / 2595) - 1) / _RATE)
    at = np.arange(_FFT // 2 + 1)[:, None]
    low, middle, high = bins[:-2], bins[1:-1], bins[2:]
    rise, fall = (at - low) / (middle - low), (high - at) / (high - middle)
    return np.where(at < middle, rise, fall) * ((at >= low) & (at < high))


def cepstra(samples: np.ndarray) -> np.ndarray:
    """(T, 13) mel-frequency cepstra of (S,) int16 samples at 16 kHz, one every 10 ms.

    The first is the logarithm of the energy. Sound is filled up with silence to whole windows.
    """
    sound = samples.astype(np.float64)
    sound = np.append(sound[:1], sound[1:] - _EMPHASIS * sound[:-1])
    count = 1 + max(0, -(-(len(sound) - _SIZE) // _HOP))
    sound = np.pad(sound, (0, max(0, (count - 1) * _HOP + _SIZE - len(sound))))
    windows = sound[_HOP * np.arange(count)[:, None] + np.arange(_SIZE)]
    power = np.abs(np.fft.rfft(windows, _FFT)) ** 2 / _FFT
    tiny = np.finfo(float).eps
    energy, bands = (np.where(x == 0, tiny, x) for x in (power.sum(1), power @ _filterbank()))
    found = dct(np.log(bands), type=2, axis=1, norm="ortho")[:, :_CEPSTRA]
    found *= 1 + _LIFTER / 2 * np.sin(np.pi * np.arange(_CEPSTRA) / _LIFTER)
    found[:, 0] = np.log(energy)
    return found


class SyncNet:
    """Embeddings of mouths and of sound, near each other where they belong together."""

    def __init__(self, weights: dict[str, torch.Tensor]) -> None:
        """Raises RuntimeError for weights that are not SyncNet's."""
        self._net = build()
        self._net.load_state_dict(weights, strict=True)
        self._net.eval().requires_grad_(False)

    def mouths(self, faces: np.ndarray) -> torch.Tensor:
        """(N - 5, 1024) of N square (N, 224, 224, 3) uint8 faces, RGB, each with the next four."""
        import torch

        pixels = torch.from_numpy(faces[..., ::-1].copy()).permute(3, 0, 1, 2).float()
        return torch.cat(
            [
                self._net["netfclip"](
                    self._net["netcnnlip"](pixels[None, :, t : t + FRAMES]).flatten(1)
                )
                for t in range(len(faces) - FRAMES)
            ]
        )

    def sounds(self, samples: np.ndarray, count: int) -> torch.Tensor:
        """(count, 1024) of (S,) int16 samples, each of the fifth of a second from a frame on."""
        import torch

        heard = torch.from_numpy(cepstra(samples).T.copy()).float()[None, None]
        return torch.cat(
            [
                self._net["netfcaud"](
                    self._net["netcnnaud"](heard[..., HOPS * t : HOPS * (t + FRAMES)]).flatten(1)
                )
                for t in range(count)
            ]
        )


def build() -> nn.ModuleDict:
    """The network without its weights."""
    from torch import nn

    def layer(conv: nn.Module, *rest: nn.Module) -> list[nn.Module]:
        norm = nn.BatchNorm3d if isinstance(conv, nn.Conv3d) else nn.BatchNorm2d
        return [conv, norm(conv.out_channels), nn.ReLU(), *rest]

    def head() -> nn.Sequential:
        return nn.Sequential(
            nn.Linear(512, 512), nn.BatchNorm1d(512), nn.ReLU(), nn.Linear(512, 1024)
        )

    sound = [
        *layer(nn.Conv2d(1, 64, 3, padding=1), nn.MaxPool2d(1, 1)),
        *layer(nn.Conv2d(64, 192, 3, padding=1), nn.MaxPool2d(3, (1, 2))),
        *layer(nn.Conv2d(192, 384, 3, padding=1)),
        *layer(nn.Conv2d(384, 256, 3, padding=1)),
        *layer(nn.Conv2d(256, 256, 3, padding=1), nn.MaxPool2d(3, 2)),
        *layer(nn.Conv2d(256, 512, (5, 4))),
    ]
    wide, half = (1, 3, 3), (1, 2, 2)
    mouth = [
        *layer(nn.Conv3d(3, 96, (5, 7, 7), half), nn.MaxPool3d(wide, half)),
        *layer(nn.Conv3d(96, 256, (1, 5, 5), half, (0, 1, 1)), nn.MaxPool3d(wide, half, (0, 1, 1))),
        *layer(nn.Conv3d(256, 256, wide, padding=(0, 1, 1))),
        *layer(nn.Conv3d(256, 256, wide, padding=(0, 1, 1))),
        *layer(nn.Conv3d(256, 256, wide, padding=(0, 1, 1)), nn.MaxPool3d(wide, half)),
        *layer(nn.Conv3d(256, 512, (1, 6, 6))),
    ]
    return nn.ModuleDict(
        {
            "netcnnaud": nn.Sequential(*sound),
            "netfcaud": head(),
            "netcnnlip": nn.Sequential(*mouth),
            "netfclip": head(),
        }
    )


@cache
def syncnet() -> SyncNet:
    """The published network, loaded once. Raises MissingExtractor."""
    (path,) = EXTRACTOR.paths()
    import torch

    return SyncNet(torch.load(path, map_location="cpu", weights_only=True))
