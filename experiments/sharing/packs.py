"""Packs: archives of items, equal bytes for equal items, named by the digest of their bytes."""

from __future__ import annotations

import io
import tarfile
import uuid
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

from data.digest import sha256_file
from data.errors import UserError
from experiments.atomic import told_if_full
from experiments.sharing.items import Item, allowed

SUFFIX = ".tar"


@dataclass(frozen=True)
class Pack:
    """An archive: its name, its size in bytes, and the digest of each item in it."""

    name: str  # 32 hex digits of its SHA-256
    size: int
    items: dict[str, str]

    def path(self, folder: Path) -> Path:
        """Where it lies in a folder of packs."""
        return folder / f"{self.name}{SUFFIX}"

    def intact(self, folder: Path) -> bool:
        """Whether it is there with the bytes that were packed."""
        path = self.path(folder)
        return path.is_file() and sha256_file(path)[:32] == self.name


def write_pack(root: Path, items: Iterable[Item], folder: Path) -> Pack:
    """Pack items whose files lie under a root; it appears in the folder whole or not at all."""
    items = sorted(items, key=lambda item: item.name)
    part = folder / f".{uuid.uuid4().hex[:12]}.part"
    with told_if_full(folder):
        folder.mkdir(parents=True, exist_ok=True)
        try:
            # Uncompressed: frames and latents are as small as they get.
            with tarfile.open(part, "w", format=tarfile.USTAR_FORMAT) as archive:
                for path in (path for item in items for path in item.files):
                    content = (root / path).read_bytes()
                    member = tarfile.TarInfo(path)  # owner and time are zero
                    member.size = len(content)
                    archive.addfile(member, io.BytesIO(content))
            size, name = part.stat().st_size, sha256_file(part)[:32]
            pack = Pack(name, size, {item.name: item.digest for item in items})
            part.replace(pack.path(folder))
        finally:
            part.unlink(missing_ok=True)
    return pack


def unpack(path: Path, root: Path) -> None:
    """Write a pack's files under a root, which nobody uses yet.

    Raises UserError where the pack holds anything but the regular files that packs are made of.
    """
    with told_if_full(root), tarfile.open(path) as archive:
        for member in archive:
            if not member.isreg() or not allowed(member.name):
                raise UserError(f"{path}: holds '{member.name}', which is no part of any result.")
            target = root / member.name
            target.parent.mkdir(parents=True, exist_ok=True)
            stream = archive.extractfile(member)
            target.write_bytes(stream.read() if stream else b"")
