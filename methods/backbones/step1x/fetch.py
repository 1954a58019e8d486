"""Download the released files while online: ``make weights BACKBONE=step1x``."""

from __future__ import annotations

from pathlib import Path

from data.errors import UserError
from methods.backbones.step1x.info import declared, describe, names, parse
from methods.backbones.step1x.layout import OFFICIAL_DIT, OFFICIAL_ENCODER, OFFICIAL_VAE


def fetch(name: str) -> Path:
    """Put a declared backbone's files into its folder and return that folder."""
    from huggingface_hub import snapshot_download

    base, _ = parse(name)
    found = declared(base) if base in names() else None
    if found is None or not found.hub:
        raise UserError(f"backbone '{name}' comes with the repository; there is nothing to fetch.")
    encoder = found.folder / OFFICIAL_ENCODER
    for hub, folder, wanted in (
        (found.hub, found.folder, [OFFICIAL_DIT, OFFICIAL_VAE]),
        (found.encoder_hub, encoder, ["*.safetensors", "*.json", "*.txt", "*.jinja"]),
    ):
        try:
            snapshot_download(hub, local_dir=folder, allow_patterns=wanted)
        except OSError as error:
            raise UserError(f"could not fetch {hub}: {error}") from error
    describe(base)  # says what is incomplete
    return found.folder
