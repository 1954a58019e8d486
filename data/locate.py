"""Find a source: a path beside the manifest, or a file that an installed package ships."""

from __future__ import annotations

from importlib.metadata import PackageNotFoundError, distribution
from pathlib import Path

from pydantic import model_validator

from data.digest import json_digest, sha256_file
from data.errors import Missing, UserError
from data.manifest import Strict

IMAGES = (".png", ".jpg", ".jpeg", ".webp", ".bmp", ".tif", ".tiff", ".ppm")


def is_image(path: Path) -> bool:
    """Whether a file is taken for an image, by its name."""
    return path.suffix.lower() in IMAGES


class Where(Strict):
    """A ``path`` (file, folder of frames, or list of images), or a ``file`` of a ``package``."""

    path: str | tuple[str, ...] | None = None
    package: str | None = None
    file: str | None = None

    @model_validator(mode="after")
    def _one(self) -> Where:
        if (self.path is None) != (self.package is not None and self.file is not None):
            raise ValueError("give either `path`, or both `package` and `file`")
        return self

    def files(self, base: Path) -> list[Path]:
        """The source's files in order, paths taken relative to the folder ``base``.

        Raises Missing for a path or package that is not here, UserError for an empty folder or
        list, or a file that its package lacks.
        """
        if self.package is not None:
            return [_package_file(self.package, str(self.file))]
        given = (self.path,) if isinstance(self.path, str) else tuple(self.path or ())
        paths = [base / item for item in given]
        for path in paths:
            if not path.exists():
                raise Missing(f"{path}: no such file. Paths are relative to the manifest.")
        if len(paths) == 1 and paths[0].is_dir():
            return _images_in(paths[0])
        odd = [path for path in paths if len(paths) > 1 and not is_image(path)]
        if odd:
            raise UserError(f"{odd[0]}: not an image; a list of paths is a list of frames.")
        if not paths:
            raise UserError("the list of images is empty: a clip needs at least one frame.")
        return paths


def _images_in(folder: Path) -> list[Path]:
    images = sorted(path for path in folder.iterdir() if is_image(path))
    if not images:
        raise UserError(f"{folder}: no images in this folder: a clip needs at least one frame.")
    return images


def _package_file(package: str, name: str) -> Path:
    try:
        path = Path(str(distribution(package).locate_file(name)))
    except PackageNotFoundError:
        raise Missing(
            f"package '{package}' is not installed; `pip install {package}` brings {name}."
        ) from None
    if not path.is_file():
        raise UserError(f"{path}: no such file in package '{package}'; reinstall the package.")
    return path


def source_digest(files: list[Path]) -> str:
    """SHA-256 of a single file; of names and SHA-256s where a source has several files."""
    if len(files) == 1:
        return sha256_file(files[0])
    return json_digest([[path.name, sha256_file(path)] for path in files])
