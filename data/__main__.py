"""``python -m data {list,prepare,check} [dataset]``: see, prepare and verify datasets."""

from __future__ import annotations

import argparse
import sys

from data.datasets import dataset_names, load_dataset
from data.errors import UserError
from data.progress import Progress


def _list(names: list[str]) -> None:
    for name in names:
        dataset = load_dataset(name)
        print(f"{name}: {len(dataset.clip_ids)} clips")
        for clip_id in dataset.clip_ids:
            clip = dataset.summary(clip_id)
            size = f"{clip.n_frames}x{clip.height}x{clip.width}"
            print(f'  {clip_id}  {size}  "{clip.prompt}"  edits: {", ".join(clip.edits)}')


def _prepare(names: list[str], relock: bool) -> None:
    for name in names:
        dataset = load_dataset(name)
        progress = Progress(f"prepare {name}", len(dataset.clip_ids))
        print(dataset.prepare(relock=relock, report=lambda clip, p=progress: p.update(note=clip)))


def _check(names: list[str]) -> None:
    for name in names:
        dataset = load_dataset(name)
        progress = Progress(f"check {name}", len(dataset.clip_ids))
        for clip_id in dataset.clip_ids:
            dataset.check(clip_id)
            progress.update(note=clip_id)
        print(f"{name}: {len(dataset.clip_ids)} clips have their locked bytes")


def main(arguments: list[str] | None = None) -> int:
    """Run a command; 1 with one message where something the user gave is wrong."""
    parser = argparse.ArgumentParser(prog="python -m data", description=__doc__)
    parser.add_argument("command", choices=["list", "prepare", "check"])
    parser.add_argument("dataset", nargs="?", help="a dataset's name; all of them by default")
    parser.add_argument("--relock", action="store_true", help="prepare: accept changed bytes")
    options = parser.parse_args(arguments)
    names = [options.dataset] if options.dataset else dataset_names()
    try:
        if options.command == "list":
            _list(names)
        elif options.command == "prepare":
            _prepare(names, options.relock)
        else:
            _check(names)
    except UserError as error:
        print(error, file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
