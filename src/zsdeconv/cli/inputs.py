"""What the inputs of a command line stand for: files, or folders whose files are a movie or images each."""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Literal

from zsdeconv.errors import ConfigError, ImageError, UserError

if TYPE_CHECKING:
    from zsdeconv.channels import ChannelModels
    from zsdeconv.config import Config
    from zsdeconv.image import Image
    from zsdeconv.model import Model

ReadAs = Literal["movie", "images"]
Read = Callable[[Path], "Image"]
MAX_SCENE_CHARS = 60
"""Characters of a scene's name in file names. Chosen: names of folders in a microscope's software are shorter."""
ALL_SCENES = "all"
"""What stands for every scene of a file."""


@dataclass(frozen=True)
class Source:
    """One image to be restored: the `path` by which it is called, the `files` it is in, its `scene` in them where one is chosen, and the
    `crop` of it that is wanted.

    >>> Source(Path("plates/well.2"), (Path("plates/well.2/f1.tif"), Path("plates/well.2/f2.tif")), movie=True).words
    '2 frames, f1.tif to f2.tif'
    """

    path: Path
    files: tuple[Path, ...]
    movie: bool = False
    crop: str | None = None
    scene: str | None = None

    @property
    def name(self) -> str:
        """What messages call it."""
        name = self.path.name or self.path.resolve().name
        return name if self.scene is None else f"{name}, scene {self.scene}"

    @property
    def words(self) -> str:
        """The frames of a movie; empty for a file."""
        return f"{len(self.files)} frames, {self.files[0].name} to {self.files[-1].name}" if self.movie else ""

    def all_files(self) -> list[Path]:
        """The files, and those of their data sets; of a file that cannot be read the file itself."""
        from zsdeconv.io import files_of

        found: list[Path] = []
        for file in self.files:
            try:
                found += files_of(file)
            except UserError:
                found.append(file)
        return found

    def read(self, read: Read) -> Image:
        """The image, each file of it by `read`. Raises `ImageError` for a folder of which the user has not said what it is."""
        from zsdeconv.image import cropped

        if self.movie:
            from zsdeconv.io import read_movie

            return cropped(read_movie(self.files, name=self.name, read=read), self.crop)
        _refuse_folder(self.path)
        return cropped(read(self.path), self.crop)


def sources_of(inputs: Sequence[Path], read_as: ReadAs | None, crop: str | None = None, scene: str | None = None) -> list[Source]:
    """The images that the inputs stand for.

    Parameters
    ----------
    inputs
        Files and folders, as given.
    read_as
        With "movie" a folder, or all files together, are the frames of one movie; with "images" a folder stands for the images in it.
    crop
        The part of each that is wanted; None for the whole.
    scene
        The scene of each file, by number or name; "all" for each of them in turn.

    Returns
    -------
    list of Source

    Raises
    ------
    ConfigError, ImageError
        Where `read_as` has nothing to act on, or a folder holds no image.
    """
    folders = [path for path in inputs if path.is_dir()]
    if read_as is None:
        found = [Source(path, (path,)) for path in inputs]
    elif read_as == "images":
        found = _images(inputs, folders)
    elif folders:
        found = _movies(inputs, folders)
    else:
        if len(inputs) < 2:
            raise ConfigError(f"--as movie with one file, {inputs[0]}: a movie of files has two at least; leave it out, or give a folder")
        found = [Source(inputs[0], tuple(inputs), movie=True)]
    found = [replace(source, crop=crop, scene=scene) for source in found]
    return [each for source in found for each in _scenes(source)] if scene == ALL_SCENES else found


def _scenes(source: Source) -> list[Source]:
    """A source for each scene of a file: by its name where that is its own, else by its number."""
    if source.movie:
        raise ConfigError(f"--scene all with the movie {source.path}: a frame is one image; give the number of a scene, or leave it out")
    from zsdeconv.io import scene_names

    names = scene_names(source.path)
    if len(names) == 1:
        return [replace(source, scene=None)]
    told_apart = [file_name(name).casefold() for name in names]
    own = [
        name if name and told_apart.count(file_name(name).casefold()) == 1 and name != ALL_SCENES else str(number)
        for number, name in enumerate(names, 1)
    ]
    return [replace(source, scene=name) for name in own]


def file_name(scene: str) -> str:
    """The name of a scene as a part of a file name: letters, digits and a few marks, never a path.

    >>> file_name("../Pos 1/zelle_ö:2")
    'Pos-1-zelle_ö-2'
    """
    return re.sub(r"[^\w.-]+", "-", scene).strip("-.")[:MAX_SCENE_CHARS] or "scene"


def with_scene(settings: Config, scene: str | None) -> Config:
    """Settings for one scene of a file; those of a repeated run restore the same one."""
    if settings.input.scene == scene:
        return settings
    from zsdeconv.config import resolve

    return resolve({**settings.given, "input": {**settings.given.get("input", {}), "scene": scene}})


def _images(inputs: Sequence[Path], folders: Sequence[Path]) -> list[Source]:
    from zsdeconv.io import images_in

    if not folders:
        raise ConfigError(f"--as images with {len(inputs)} files and no folder: each file is an image anyway; leave it out")
    files = [file for path in inputs for file in (images_in(path) if path in folders else [path])]
    return [Source(file, (file,)) for file in files]


def _movies(inputs: Sequence[Path], folders: Sequence[Path]) -> list[Source]:
    from zsdeconv.io import images_in

    others = [path for path in inputs if path not in folders]
    if others:
        raise ConfigError(f"--as movie with a folder and the file {others[0]}: folders, or the files of one movie; give one kind")
    return [Source(path, tuple(images_in(path)), movie=True) for path in folders]


def _refuse_folder(path: Path) -> None:
    """Raise `ImageError` for a folder that is no image by itself."""
    if not path.is_dir():
        return
    from zsdeconv.io.readers import READERS

    if not any(reader.recognises(path, b"") for reader in READERS):
        raise ImageError(
            f"{path}: is a folder, an image file is needed; give the files in it, or --as movie (each file is a frame) "
            "or --as images (each file is an image)"
        )


def read_input(path: Path, settings: Config, axes: str | None = None, pixel_um: float | None = None) -> Image:
    """The image in a file, read as the configured modality reads it; `axes` or `pixel_um` win over the settings."""
    from zsdeconv.modality import reading_row

    return reading_row(settings).acquisition.read(path, settings, axes=axes, pixel_um=pixel_um)


def read_again(path: Path, model: Model | ChannelModels, axes: str | None, pixel_um: float | None, scene: str | None = None) -> Image:
    """The image in a file for a trained model; `axes` and `pixel_um` win over its configuration, and `scene` is that of this file."""
    settings = model.config.model_copy(update={"input": model.config.input.model_copy(update={"scene": scene})})
    return model.acquisition.read_next(path, settings, axes=axes, pixel_um=pixel_um)


def refuse_too_large(name: str, image: Image, config: Config, passes: int | None = None) -> None:
    """Raise `ImageError` for an image whose restoration, and deskewing where it is one of a scan, needs more memory than there is."""
    from zsdeconv.image import upright_sizes
    from zsdeconv.io.memory import refuse_larger_than_memory, restoration_bytes, result_bytes

    scan, spread = config.input.scan, (config.prediction.passes if passes is None else passes) > 1
    needed = restoration_bytes(image.sizes, image.data.itemsize, scale=config.scale, with_spread=spread)
    if scan is not None:
        needed += result_bytes(upright_sizes(image, scan), scale=config.scale, with_spread=spread)
    refuse_larger_than_memory(name, needed, "restoring it")
