"""Files that appear whole or not at all, and know when they were altered."""

from __future__ import annotations

import contextlib
import errno
import fcntl
import hashlib
import json
import os
import uuid
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from data.errors import UserError

SEAL = "record_sha256"


class DiskFull(UserError):
    """Not a cell's failure: nothing can be kept, so the run ends."""


@contextlib.contextmanager
def told_if_full(path: Path) -> Iterator[None]:
    """Raise DiskFull where the block cannot write for lack of space, whoever says so and how."""
    try:
        yield
    except Exception as error:
        full = getattr(error, "errno", None) in (errno.ENOSPC, errno.EDQUOT)
        if full or os.strerror(errno.ENOSPC) in str(error):  # safetensors only has words
            raise DiskFull(
                f"{path}: the disk is full. Free some space and run the same command again; "
                "finished cells are kept."
            ) from None
        raise


def write_atomic(path: Path, content: bytes) -> None:
    """Write by way of a temporary file beside ``path``, then renamed over it.

    Not synced: a file torn by a power cut fails its checksum and is made again, which costs less
    than waiting for the disk at every cell. Raises DiskFull when the disk is full; whatever was
    at ``path`` is then still there.
    """
    # Unique among all processes of all machines that may share the folder.
    temporary = path.with_name(f".{path.name}.{uuid.uuid4().hex[:12]}.tmp")
    with told_if_full(path):
        path.parent.mkdir(parents=True, exist_ok=True)
        try:
            with temporary.open("wb") as stream:
                stream.write(content)
            temporary.replace(path)
        except OSError:
            temporary.unlink(missing_ok=True)
            raise


def canonical(value: Any) -> bytes:
    """JSON bytes that are equal for equal values."""
    return json.dumps(value, sort_keys=True, separators=(",", ":")).encode()


def digest(value: Any, length: int = 16) -> str:
    """The first hex digits of the sha256 of a value's canonical JSON."""
    return hashlib.sha256(canonical(value)).hexdigest()[:length]


def write_sealed(path: Path, record: dict[str, Any]) -> None:
    """Write a JSON object together with its own checksum."""
    # Through JSON once, so that the checksum is of what a reader gets back.
    plain = json.loads(canonical(record))
    plain.pop(SEAL, None)
    plain[SEAL] = hashlib.sha256(canonical(plain)).hexdigest()
    write_atomic(path, json.dumps(plain, indent=1, sort_keys=True).encode() + b"\n")


def read_sealed(path: Path) -> dict[str, Any] | None:
    """The object, or None when the file is absent, truncated or altered."""
    try:
        record = json.loads(path.read_bytes())
        expected = record.pop(SEAL)
    except (OSError, ValueError, KeyError, AttributeError, TypeError):
        return None
    return record if hashlib.sha256(canonical(record)).hexdigest() == expected else None


@contextlib.contextmanager
def locked(path: Path) -> Iterator[None]:
    """Hold an exclusive lock on a file; the system releases it if the process dies."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("a") as stream:
        fcntl.flock(stream, fcntl.LOCK_EX)
        try:
            yield
        finally:
            fcntl.flock(stream, fcntl.LOCK_UN)
