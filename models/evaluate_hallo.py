"""Measure the embedded Hallo on held-out faces and voices: ``python -m models.evaluate_hallo``.

Every face of the dataset ``portraits`` speaks with another's voice, through the method ``hallo``;
mouths are read by the portrait world's analyser. Writes ``evaluation.json`` beside the weights and
the table of their card.
"""

from __future__ import annotations

import argparse
import json
from pathlib import Path

import numpy as np
import torch

from data.datasets import load_dataset
from data.progress import Progress
from methods.base import Context, run_cell
from methods.hallo import Hallo
from metrics.base import Sample
from metrics.registry import get_metric
from models.evaluate import mean, write_card

FOLDER = Path(__file__).parent / "world-hallo"
SETTING = {"clip_length": 8, "n_timesteps": 8, "guidance_scale": 1.0}
MEASURED = {
    "mouth follows its sound": "lip_sync@analyser",
    "mouth follows the source's sound": "lip_leak@analyser",
    "PSNR outside the face": "psnr_outside@source",
    "identity": "identity@pixels",
    "the true answer's mouth follows its sound": "lip_sync@analyser",
}


def evaluate(faces: int, setting: dict[str, float], keep: Path) -> dict[str, dict]:
    """Means over faces with their intervals; made frames are kept in a folder."""
    from methods.backbones.hallo.backbone import Hallo as Backbone

    dataset, method = load_dataset("portraits"), Hallo()
    chosen = [name for name in dataset.clip_ids if "other" in dataset.summary(name).edits][:faces]
    backbone = Backbone.from_folder(FOLDER, "cpu", "float32")
    found: dict[str, list[float]] = {name: [] for name in MEASURED}
    progress = Progress("speak", len(chosen))
    keep.mkdir(parents=True, exist_ok=True)
    for name in chosen:
        clip = dataset.clip(name)
        edit = clip.edits["other"]
        spoken = run_cell(method, Context(clip, edit, method.Setting(**setting), 0, backbone))
        np.savez(keep / f"{name}.npz", frames=spoken)
        for title, recipe in MEASURED.items():
            shown = edit.oracle if title.startswith("the true") else spoken
            found[title].append(get_metric(recipe).compute(Sample(shown, clip, edit)).value)
        progress.update(1, " ".join(f"{values[-1]:.2f}" for values in found.values()))
    return {title: mean(np.array(values)) for title, values in found.items()}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--faces", type=int, default=12)
    parser.add_argument("--guidance", type=float, default=SETTING["guidance_scale"])
    parser.add_argument("--work", type=Path, default=Path("build/models-hallo/spoken"))
    args = parser.parse_args()
    torch.set_num_threads(1)
    setting = SETTING | {"guidance_scale": args.guidance}
    path = FOLDER / "evaluation.json"
    results = evaluate(args.faces, setting, args.work)
    path.write_text(json.dumps({"held-out faces": results}, indent=2) + "\n")
    write_card(path)


if __name__ == "__main__":
    main()
