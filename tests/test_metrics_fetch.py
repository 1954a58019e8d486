"""Fetching puts each file in its place, checks it, and says what it could not have."""

from __future__ import annotations

import hashlib
import zipfile
from pathlib import Path

import pytest

from data.errors import UserError
from metrics.nets import fetch, files
from metrics.nets.files import Extractor, PackageFile, WeightFile


@pytest.fixture(autouse=True)
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setattr(files, "FOLDER", tmp_path / "extractors")
    monkeypatch.setenv("TORCH_HOME", str(tmp_path / "no torch"))
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_CACHE", str(tmp_path / "no hub"))
    return tmp_path / "extractors"


class Given(WeightFile):
    """A file whose content a test gives."""

    path, origin = "some/net.bin", "a test"

    def __init__(self, content: bytes | None, sha256: str = "") -> None:
        self.content, self.sha256 = content, sha256

    def fetch(self, to: Path) -> None:
        if self.content is None:
            raise OSError("no network")
        to.write_bytes(self.content)


def extractor(content: bytes | None, sha256: str = "") -> Extractor:
    return Extractor("some-net", (Given(content, sha256),), 1, "MIT")


def test_every_network_a_recipe_needs_can_be_fetched():
    known = fetch.extractors()
    assert {"ViT-B-32/openai", "ViT-L-14/openai", "PickScore_v1", "clip-vit-large-patch14",
            "lpips-alex", "lpips-vgg", "lpips-squeeze", "stlpips-alex", "raft-large",
            "dino-vitb8"} <= known.keys()  # fmt: skip


def test_a_fetched_file_is_found_and_digested(folder: Path):
    some = extractor(b"weights")
    assert some.digest() == files.ABSENT and "a test (1 MB, MIT)" in some.problem()
    fetch.fetch(some)
    assert some.problem() == "" and some.paths() == [folder / "some" / "net.bin"]
    assert len(some.digest()) == 64


def test_what_is_here_is_not_fetched_again(folder: Path):
    fetch.fetch(extractor(b"weights"))
    fetch.fetch(extractor(None))


def test_a_file_with_another_checksum_is_refused():
    with pytest.raises(UserError, match=r"not the published file .* begin with abc"):
        fetch.fetch(extractor(b"tampered", "abc"))


def test_without_a_published_checksum_a_file_is_held_to_the_one_it_came_with(folder: Path):
    some = extractor(b"weights")
    fetch.fetch(some)
    told = files.recorded()
    assert told == {"some/net.bin": hashlib.sha256(b"weights").hexdigest()}
    files._sha256.cache_clear()
    (folder / "some" / "net.bin").write_bytes(b"swapped")
    assert "net.bin is not the file that was fetched" in some.problem()
    assert some.digest() == files.ABSENT
    with pytest.raises(UserError, match="not the file that was fetched"):
        fetch.fetch(some)
    assert files.recorded() == told


def test_what_the_hub_says_of_a_file_is_checked_when_it_comes(folder: Path, monkeypatch):
    class Told:
        etag = hashlib.sha256(b"what the hub has").hexdigest()

    def download(repository: str, name: str, local_dir: Path) -> None:
        (Path(local_dir) / name).write_bytes(b"something else")

    monkeypatch.setattr("huggingface_hub.hf_hub_download", download)
    monkeypatch.setattr("huggingface_hub.get_hf_file_metadata", lambda url: Told)
    hub = Extractor("hub", (files.HubFile("some/repository", "net.bin"),), 1, "MIT")
    with pytest.raises(UserError, match="what came is not what the hub has"):
        fetch.fetch(hub)
    assert not (folder / "some" / "repository" / "net.bin").exists()


def test_large_files_of_well_known_networks_have_their_checksums_here():
    """TorchFile's is in its name; of a hub's file it was compared in several independent places."""
    pinned = {
        name: any(file.sha256 for file in extractor.files)
        for name, extractor in fetch.extractors().items()
    }
    assert {name for name, known in pinned.items() if not known} == {
        "PickScore_v1", "ViT-L-14/openai", "dino-vitb8", "owlvit", "syncnet-v2", "arcface",
    }  # fmt: skip


def test_without_a_network_it_says_so():
    with pytest.raises(UserError, match=r"could not fetch some-net from a test: no network"):
        fetch.fetch(extractor(None))


def test_a_file_is_taken_out_of_its_wheel(folder: Path, tmp_path: Path, monkeypatch):
    def download(command: list[str], **kwargs: object) -> object:
        to = Path(command[command.index("--dest") + 1])
        with zipfile.ZipFile(to / "pack-1.0-py3-none-any.whl", "w") as wheel:
            wheel.writestr("pack/weights/net.pth", b"in the wheel")
        return type("Done", (), {"returncode": 0})

    monkeypatch.setattr("subprocess.run", download)
    packed = Extractor("packed", (PackageFile("pack==1.0", "pack", "weights/net.pth"),), 1, "MIT")
    fetch.fetch(packed)
    assert packed.paths()[0].read_bytes() == b"in the wheel"


def test_the_command_names_the_nearest_and_lists_what_is_missing(capsys):
    assert fetch.main(["lpips-aleks", "--list"]) == 1
    assert "Did you mean 'lpips-alex'" in capsys.readouterr().err
    assert fetch.main(["--list", "raft-large"]) == 0
    assert capsys.readouterr().out.split()[:3] == ["raft-large", "missing", "21"]
