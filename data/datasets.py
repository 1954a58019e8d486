"""Datasets by name: ``load_dataset("world").clip("red-circle-grass")``.

A dataset is a manifest, ``data/<name>.yaml``, whose ``loader`` key says how its clips are made.
Clips come from the prepared files where these are valid, and are made in memory otherwise.
"""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from importlib import import_module
from pathlib import Path

from data.clip import Clip
from data.digest import clip_digest, edit_digest, sha256_file
from data.errors import UserError, unknown
from data.lock import Locked, check_lock, lock_clip, read_lock, write_lock
from data.manifest import load_yaml
from data.prepared import read_clip, read_index, write_clip, write_index
from data.source import EditSummary, Source

FOLDER = Path(__file__).parent
ABSENT = "absent"  # in place of a digest of frames
LOADERS = {
    "world": "data.world.dataset:WorldSource",
    "layouts": "data.world.layouts:LayoutSource",
    "prompts": "data.prompt_files:PromptSource",
    "files": "data.footage:FileSource",
    "loveu": "data.loveu:LoveuSource",
    "pie-bench": "data.pie_bench:PieSource",
    "davis": "data.davis_folder:DavisSource",
    "gedit": "data.gedit:GEditSource",
    "instructions": "data.world.instructions:InstructionSource",
    "portraits": "data.portraits.dataset:PortraitSource",
}


@dataclass(frozen=True)
class ClipSummary:
    """A clip without its frames: enough to plan and to name its cells."""

    n_frames: int
    height: int
    width: int
    prompt: str
    edits: dict[str, EditSummary]
    digest: str  # of frames and prompt
    edit_digests: dict[str, str]  # of target prompt, changing words, layout, oracle, audio


class Dataset:
    """The clips of one manifest, in its order."""

    def __init__(self, source: Source, folder: Path) -> None:
        self.name = source.name
        self.prepared = folder / "prepared" / source.name
        self._source = source
        self._lock_path = source.manifest.with_suffix(".lock.json")
        self._locks = read_lock(self._lock_path)
        self._index = read_index(self.prepared)

    @property
    def clip_ids(self) -> list[str]:
        """Clip names, ordered as in the manifest."""
        return list(self._source.clip_ids)

    def _checked(self, clip_id: str) -> str:
        if clip_id not in self._source.clip_ids:
            raise unknown(f"clip of dataset '{self.name}'", clip_id, self._source.clip_ids)
        return clip_id

    def _build(self, clip_id: str, *, relock: bool = False) -> tuple[Clip, Locked]:
        """Make a clip and hold it against the lock."""
        clip = self._source.build(clip_id)
        found = lock_clip(self._source.outline(clip_id).entry, clip)
        if not relock:
            check_lock(self._lock_path, clip_id, self._locks.get(clip_id), found)
        return clip, found

    def _is_prepared(self, clip_id: str, entry: str) -> bool:
        return clip_id in self._index and self._index[clip_id]["entry"] == entry

    def clip(self, clip_id: str) -> Clip:
        """Frames, truth and edits with their oracles.

        Raises UserError for an unknown clip, a damaged prepared file, an unreadable source, or
        bytes other than the locked ones.
        """
        entry = self._source.outline(self._checked(clip_id)).entry
        if not self._is_prepared(clip_id, entry):
            return self._build(clip_id)[0]
        record = self._index[clip_id]
        path = self.prepared / record["file"]
        if not path.exists() or sha256_file(path) != record["sha256"]:
            raise UserError(
                f"{path}: missing or damaged. Run `python -m data prepare {self.name}`."
            )
        clip = read_clip(path)
        found = lock_clip(entry, clip)
        check_lock(self._lock_path, clip_id, self._locks.get(clip_id), found)
        return clip

    def summary(self, clip_id: str) -> ClipSummary:
        """What a clip is, from manifest and lock; it is made only where the lock lacks it."""
        outline = self._source.outline(self._checked(clip_id))
        if not self._is_prepared(clip_id, outline.entry):
            self._source.verify(clip_id)
        locked = self._locks.get(clip_id)
        if locked is None or locked.entry != outline.entry:
            locked = self._locks[clip_id] = lock_clip(outline.entry, self.clip(clip_id))
        edits = {
            name: replace(edit, audio=locked.sounds.get(name, ""))
            for name, edit in outline.edits.items()
        }
        digests = {
            name: edit_digest(
                edit.prompt,
                edit.words,
                locked.oracles.get(name),
                edit.layout,
                edit.audio,
                edit.instruction,
            )
            for name, edit in edits.items()
        }
        digest = clip_digest(locked.frames, outline.prompt)
        return ClipSummary(*locked.shape, outline.prompt, edits, digest, digests)

    def promise(self, clip_id: str) -> ClipSummary:
        """What the manifest says of a clip whose source is Missing; its digests are stand-ins.

        Raises UserError where the manifest leaves the number of frames open.
        """
        promised = self._source.promise(self._checked(clip_id))
        edits = {
            name: edit_digest(
                edit.prompt, edit.words, None, edit.layout, instruction=edit.instruction
            )
            for name, edit in promised.edits.items()
        }
        digest = clip_digest(f"{ABSENT} {self.name}/{clip_id}", promised.prompt)
        return ClipSummary(*promised.shape, promised.prompt, promised.edits, digest, edits)

    def prepare(
        self,
        *,
        relock: bool = False,
        workers: int = 1,
        report: Callable[[str], None] = lambda clip_id: None,
    ) -> Path:
        """Make every clip, check it against the lock, write files, index and lock.

        ``relock`` accepts bytes that differ from the locked ones; ``workers`` clips are made at a
        time; ``report`` is called after each clip. The index is written last, so an interrupted run
        leaves no half-prepared clip in use.
        """

        def make(clip_id: str) -> Locked:
            clip, locked = self._build(clip_id, relock=relock)
            write_clip(self.prepared / f"{clip_id}.npz", clip)
            return locked

        locks = {}
        with ThreadPoolExecutor(workers) as pool:
            made = {clip_id: pool.submit(make, clip_id) for clip_id in self._source.clip_ids}
            try:
                for clip_id, future in made.items():
                    locks[clip_id] = future.result()
                    report(clip_id)
            except BaseException:
                pool.shutdown(cancel_futures=True)
                raise
        entries = {clip_id: locked.entry for clip_id, locked in locks.items()}
        write_index(self.prepared, entries)
        for path in self.prepared.glob("*.npz"):
            if path.stem not in entries:
                path.unlink()
        if locks != read_lock(self._lock_path):
            write_lock(self._lock_path, locks)
        self._locks, self._index = locks, read_index(self.prepared)
        return self.prepared

    def check(self, clip_id: str) -> None:
        """Make a clip anew and raise UserError unless it has the locked bytes."""
        self._build(self._checked(clip_id))


def dataset_names(folder: Path = FOLDER) -> list[str]:
    """Every manifest's name, sorted."""
    return sorted(path.stem for path in folder.glob("*.yaml"))


def load_dataset(name: str, folder: Path = FOLDER) -> Dataset:
    """The dataset of a name; UserError where there is none or its manifest is wrong."""
    if name not in dataset_names(folder):
        raise unknown("dataset", name, dataset_names(folder))
    manifest = folder / f"{name}.yaml"
    value, lines = load_yaml(manifest)
    loader = value.get("loader")
    if not isinstance(loader, str) or loader not in LOADERS:
        problem = unknown("loader", str(loader), LOADERS)
        raise UserError(f"{manifest}:{lines.get(('loader',), 1)}: {problem}")
    module, _, attribute = LOADERS[loader].partition(":")
    return Dataset(getattr(import_module(module), attribute)(name, manifest), folder)
