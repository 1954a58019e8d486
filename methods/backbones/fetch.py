"""Download a backbone for which the repository has no weights: ``make weights BACKBONE=sd15``."""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

from data.errors import UserError
from methods.backbones.families import STABLE_DIFFUSION, all_names, family_of
from methods.backbones.info import get_backbone_info
from methods.backbones.locate import CONFIGS, TOKENIZER, WEIGHTS, declaration


def fetch(name: str) -> Path:
    """Put the files of a declared backbone into its folder and return that folder."""
    from huggingface_hub import snapshot_download

    family = family_of(name)
    if family.fetch:
        return family.fetch(name)
    if family is not STABLE_DIFFUSION:
        family.info(name)  # says what to do where it is missing
        raise UserError(f"backbone '{name}' is here; there is nothing to fetch.")
    declared = declaration(name)
    if declared.hub is None:
        raise UserError(f"backbone '{name}' comes with the repository; there is nothing to fetch.")
    wanted = [*WEIGHTS, *CONFIGS, f"{TOKENIZER}/*.json", f"{TOKENIZER}/*.txt"]
    try:
        snapshot_download(declared.hub, local_dir=declared.folder, allow_patterns=wanted)
    except OSError as error:
        raise UserError(f"could not fetch {declared.hub}: {error}") from error
    get_backbone_info(name)  # says what is incomplete
    return declared.folder


def main(arguments: list[str] | None = None) -> int:
    """Command line: one backbone name."""
    parser = argparse.ArgumentParser(prog="python -m methods.backbones.fetch", description=__doc__)
    parser.add_argument("name", help=f"one of {', '.join(all_names())}")
    try:
        print(fetch(parser.parse_args(arguments).name))
    except UserError as error:
        print(error, file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
