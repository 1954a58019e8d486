"""Let a fork hold the pages of libraries that its parent holds, so that their memory compares.

A fork shares them and maps each when it first uses it. Its peak memory would leave out most of what
the libraries take in a process of its own, some 370 MB of a thousand with the embedded model.
"""

from __future__ import annotations

import ctypes
import mmap
from pathlib import Path

import numpy as np

Run = tuple[int, int]  # address and length in bytes
_PRESENT = np.uint64(63)  # bit of an entry in pagemap
_POPULATE_READ = 22  # madvise: map the pages now (Linux 5.14)


def held_pages() -> list[Run]:
    """The pages of files that this process has in memory."""
    runs: list[Run] = []
    with Path("/proc/self/pagemap").open("rb") as pagemap:
        for line in Path("/proc/self/maps").read_text().splitlines():
            span, _, _, _, inode, *_ = line.split()
            if inode == "0":
                continue
            start, end = (int(address, 16) for address in span.split("-"))
            pagemap.seek(start // mmap.PAGESIZE * 8)
            entries = np.frombuffer(pagemap.read((end - start) // mmap.PAGESIZE * 8), np.uint64)
            present = np.concatenate([[0], (entries >> _PRESENT).astype(np.int8), [0]])
            edges = np.flatnonzero(np.diff(present)).reshape(-1, 2) * mmap.PAGESIZE
            runs += [(start + int(low), int(high - low)) for low, high in edges]
    return runs


def hold_pages(runs: list[Run]) -> None:
    """Map pages that the parent held; a system that cannot leaves them to be mapped when used."""
    madvise = ctypes.CDLL(None).madvise
    for address, length in runs:
        madvise(ctypes.c_void_p(address), ctypes.c_size_t(length), _POPULATE_READ)
