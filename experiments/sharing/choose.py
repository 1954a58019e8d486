"""Which packs an experiment's items go into: those that exist, as far as they serve, and new ones.

Packs are never taken apart, so adding a setting adds packs and leaves the others as they are. One
of which less than half is still wanted is dropped, and what is wanted of it packed anew.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from itertools import groupby

from experiments.sharing.items import CELLS, PREPARED, SCORES, Item
from experiments.sharing.packs import Pack

PACK_BYTES = 64 * 2**20  # what a push that is interrupted may have to send again


def choose(
    wanted: Iterable[Item], known: Iterable[Pack], present: Callable[[str], str | None]
) -> tuple[list[Pack], list[list[Item]]]:
    """Packs to keep, and the items of each new pack.

    ``present`` gives the digest that an item has here: a pack serves only if all that it holds is
    here unchanged, so that it can be made again wherever its file has gone.
    """
    missing = {item.name: item for item in wanted}
    ordered = sorted(known, key=lambda pack: (-len(missing.keys() & pack.items), pack.name))
    kept = []
    for pack in ordered:
        useful = missing.keys() & pack.items
        if 2 * len(useful) < len(pack.items) or not useful:
            continue
        if all(present(name) == digest for name, digest in pack.items.items()):
            kept.append(pack)
            for name in useful:
                del missing[name]
    return kept, _filled(missing.values())


def _filled(items: Iterable[Item]) -> list[list[Item]]:
    """Items by how often they change, in the order of their names, cut to size."""
    packs: list[list[Item]] = []
    for _, group in groupby(sorted(items, key=lambda i: (_pace(i), i.name)), key=_pace):
        room = 0
        for item in group:
            if item.size > room:
                packs.append([])
                room = PACK_BYTES
            packs[-1].append(item)
            room -= item.size
    return packs


def _pace(item: Item) -> int:
    """Frames never change, scores with a metric, tables and report with everything."""
    kind = item.name.partition("/")[0]
    return 0 if kind in (*PREPARED, CELLS) else 1 if kind == SCORES else 2
