"""``python -m data {list,prepare,check} [dataset]``: see, prepare and verify datasets."""

from __future__ import annotations

import argparse
import sys

from data.command_line import end
from data.datasets import dataset_names, load_dataset
from data.errors import Missing, UserError
from data.progress import Progress


def _list(name: str, options: argparse.Namespace) -> None:
    dataset = load_dataset(name)
    print(f"{name}: {len(dataset.clip_ids)} clips")
    for clip_id in dataset.clip_ids:
        try:
            clip = dataset.summary(clip_id)
        except Missing as error:
            print(f"  {clip_id}  missing: {error}")
            continue
        size = f"{clip.n_frames}x{clip.height}x{clip.width}"
        print(f'  {clip_id}  {size}  "{clip.prompt}"  edits: {", ".join(clip.edits)}')


def _prepare(name: str, options: argparse.Namespace) -> None:
    dataset = load_dataset(name)
    progress = Progress(f"prepare {name}", len(dataset.clip_ids))
    folder = dataset.prepare(
        relock=options.relock,
        workers=options.workers,
        report=lambda clip: progress.update(note=clip),
    )
    print(folder)


def _check(name: str, options: argparse.Namespace) -> None:
    dataset = load_dataset(name)
    progress = Progress(f"check {name}", len(dataset.clip_ids))
    for clip_id in dataset.clip_ids:
        dataset.check(clip_id)
        progress.update(note=clip_id)
    print(f"{name}: {len(dataset.clip_ids)} clips have their locked bytes")


COMMANDS = {"list": _list, "prepare": _prepare, "check": _check}


def main(arguments: list[str] | None = None) -> int:
    """Run a command; 1 with one message where something the user gave is wrong.

    A dataset whose sources are not on this machine is an error only where it was named.
    """
    parser = argparse.ArgumentParser(prog="python -m data", description=__doc__)
    parser.add_argument("command", choices=COMMANDS)
    parser.add_argument("dataset", nargs="?", help="a dataset's name; all of them by default")
    parser.add_argument("--relock", action="store_true", help="prepare: accept changed bytes")
    parser.add_argument("--workers", type=int, default=1, help="prepare: clips made at a time")
    options = parser.parse_args(arguments)
    try:
        for name in [options.dataset] if options.dataset else dataset_names():
            try:
                COMMANDS[options.command](name, options)
            except Missing as error:
                if options.dataset:
                    raise
                print(f"{name}: left out. {error}", file=sys.stderr)
    except UserError as error:
        print(error, file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    end(main)
