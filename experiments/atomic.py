"""Files that appear whole or not at all, and know when they were altered."""

from __future__ import annotations

import contextlib
import errno
import fcntl
import hashlib
import json
import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from data.errors import UserError

SEAL = "record_sha256"


def write_atomic(path: Path, content: bytes) -> None:
    """Write by way of a temporary file beside ``path``, then renamed over it.

    Not synced: a file torn by a power cut fails its checksum and is made again, which costs less
    than waiting for the disk at every cell. Raises UserError when the disk is full; whatever was
    at ``path`` is then still there.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = path.with_name(f".{path.name}.{os.getpid()}.tmp")
    try:
        with temporary.open("wb") as stream:
            stream.write(content)
        temporary.replace(path)
    except OSError as error:
        temporary.unlink(missing_ok=True)
        if error.errno in (errno.ENOSPC, errno.EDQUOT):
            raise UserError(
                f"{path}: the disk is full. Free some space and run the same command again; "
                "finished cells are kept."
            ) from None
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
