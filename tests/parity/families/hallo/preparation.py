"""D: what a frame hears, masks of face and lips, wav2vec2's features, the picture's range."""

from __future__ import annotations

from collections.abc import Callable, Iterator

import numpy as np
import torch
from transformers import Wav2Vec2Config, Wav2Vec2Model

from methods.backbones.hallo import regions
from methods.backbones.hallo.audio_features import SAMPLES, Wav2Vec2, stretched, windowed
from methods.backbones.hallo.backbone import as_minus_one_to_one
from methods.backbones.hallo.faces import spanned
from tests.parity.compare import Comparison, Tolerance, compare, equal
from tests.parity.families.hallo.common import held, real
from tests.parity.recording import Recording
from tests.parity.run import Case

LEVEL = Tolerance(1, float("inf"))  # of 255


def _window_cases(recording: Recording) -> Iterator[Case]:
    def windows() -> list[Comparison]:
        size = recording.tensors["windowed"].shape[1]
        return held(recording, {"windowed": windowed(real(recording, "audio_emb"), size)})

    def interpolation() -> list[Comparison]:
        lengths = {n: x.shape[1] for n, x in recording.tensors.items() if n.startswith("interp_")}
        given = real(recording, "interp_in")
        return held(
            recording, {n: stretched(given, k) for n, k in lengths.items() if n != "interp_in"}
        )

    yield from (("windows", windows), ("interpolation", interpolation))


def _mask_cases(recording: Recording) -> Iterator[Case]:
    tensors = recording.tensors
    image = tensors["image"].numpy()
    height, width = image.shape[:2]
    points = tensors["landmarks"].numpy()

    def mask(ids: str, growth: str) -> np.ndarray:
        box = spanned(points[recording.setting(ids)])
        grown = regions.grown(box, height, width, recording.setting(growth))
        return regions.box_mask(grown, height, width)

    face = mask("silhouette_ids", "face_expand_ratio")
    lips = mask("lip_ids", "lip_expand_ratio")
    full, expression, mouth = regions.separated(face, lips)

    def boxes() -> Iterator[Comparison]:
        for case in recording.manifest["expand_region_cases"]:
            x0, x1, y0, y1 = case["region_xxyy"]
            sizes = case["image_h"], case["image_w"]
            x0, y0, x1, y1 = regions.grown((x0, y0, x1, y1), *sizes, case["ratio"])
            yield equal(case["out"], [x0, x1, y0, y1])

    def masks() -> list[Comparison]:
        made = {
            "lip_mask": lips,
            "face_mask": face,
            "face_mask_blur": regions.blurred(face, regions.FACE_BLUR),
            "sep_background": full,
            "sep_face": expression,
            "sep_lip": mouth,
        }
        return _levels(recording, made)

    def pyramid() -> Iterator[Comparison]:
        levels = sum(name.startswith("full_") for name in tensors)
        side = round(tensors["full_0"].shape[1] ** 0.5)
        found = regions.pyramid((full, expression, mouth), side, levels)
        for level, three in enumerate(found):
            for index, region in enumerate(("full", "face", "lip")):
                expected = tensors[f"{region}_{level}"]
                yield compare(expected, three[:, index], Tolerance(1 / 255, float("inf")))

    def pictures() -> list[Comparison]:
        side = len(tensors["face_region_u8"])
        region = regions.face_region(face, side)
        small = tensors["pixels_sub8_u8"]
        every = side // small.shape[1]
        shown = regions.pixels(image, side)[:, ::every, ::every] * 0.5 + 0.5
        return _levels(
            recording,
            {
                "face_region_u8": (region[0] * 255).round().numpy(),
                "pixels_sub8_u8": (shown * 255).round().numpy(),
            },
        )

    yield from (("boxes", boxes), ("masks", masks), ("pyramid", pyramid), ("pictures", pictures))


def _levels(recording: Recording, made: dict[str, np.ndarray]) -> list[Comparison]:
    return [
        compare(recording.tensors[name], torch.from_numpy(array), LEVEL)
        for name, array in made.items()
    ]


def _wav2vec_cases(recording: Recording) -> Iterator[Case]:
    config = Wav2Vec2Config(**recording.manifest["wav2vec2_config"])

    def features() -> list[Comparison]:
        model = Wav2Vec2Model(config)
        names = [name for name in recording.tensors if name.startswith("w.")]
        model.load_state_dict({n.removeprefix("w."): recording.tensors[n] for n in names})
        hear = Wav2Vec2(model.to(recording.dtype)).hear
        wave = real(recording, "wave")
        frames = int(recording.tensors["audio_length"])
        padded = len(recording.tensors["emb_clip"])
        return [
            equal([frames], [-(-len(wave) // SAMPLES)]),
            *held(recording, {"emb_plain": hear(wave, frames), "emb_clip": hear(wave, padded)}),
        ]

    yield "features", features


def _range_cases(recording: Recording) -> Iterator[Case]:
    def ranges() -> list[Comparison]:
        given = {f"y_{kind}": real(recording, f"x_{kind}") for kind in ("neg", "pos")}
        return held(recording, {name: as_minus_one_to_one(x) for name, x in given.items()})

    yield "range", ranges


KINDS: dict[str, Callable[[Recording], Iterator[Case]]] = {
    "D1": _window_cases,
    "D2": _mask_cases,
    "D3": _wav2vec_cases,
    "D4": _range_cases,
}
