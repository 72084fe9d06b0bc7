"""Reads folders of pictures, one folder a class, as 48×48 gray faces; knows nothing of CSV files."""

from __future__ import annotations

import os
import warnings
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from zoo.data.cache import cached_bytes
from zoo.data.dataset import FACE_SIZE, USAGES, FaceDataset
from zoo.data.emotions import EMOTIONS
from zoo.errors import DataError, ImageError

__all__ = ["is_hidden", "load_folders", "read_face"]

_FORMAT = 3  # of the cached faces; raise it when pictures are brought to 48×48 in another way
_SPLIT_FOLDERS = {
    **dict.fromkeys(("train", "training"), "Training"),
    **dict.fromkeys(("val", "valid", "validation", "publictest"), "PublicTest"),
    **dict.fromkeys(("test", "testing", "privatetest"), "PrivateTest"),
}
_SYNONYMS = {
    **dict.fromkeys(("angry", "anger"), "angry"),
    **dict.fromkeys(("disgust", "disgusted"), "disgust"),
    **dict.fromkeys(("fear", "fearful", "afraid", "scared"), "fear"),
    **dict.fromkeys(("happy", "happiness", "joy"), "happy"),
    **dict.fromkeys(("sad", "sadness"), "sad"),
    **dict.fromkeys(("surprise", "surprised"), "surprise"),
    "neutral": "neutral",
}


@dataclass(frozen=True)
class _Picture:
    folder: Path
    name: str
    size: int
    time: int
    label: int
    usage: int


def load_folders(root: Path) -> FaceDataset:
    """The data set of class folders, from the cache when the same files were read before.

    Args:
        root: holds `train/` and optionally `val/` and `test/`, each with one folder a class, or the class
            folders themselves. Folders named as the seven expressions (in any case, usual synonyms
            too) or `0` to `6` stand for these; any other names are classes of their own, sorted.

    Returns:
        Faces by usage, class and file name. `train` is usage Training, `val` PublicTest, `test` PrivateTest;
        without these folders all usages are -1.

    Raises:
        DataError: a folder, class or picture is missing, unreadable, huge or doesn't match the others; the
            message names the path and what is required.
    """
    try:
        parts, notes = _find_parts(root)
        classes, class_folders = _agree_on_classes(parts)
        pictures, other = _list_pictures(class_folders)
        identity = [
            _FORMAT,
            *((one.usage, one.folder.name, one.name, one.size, one.time) for one in pictures),
        ]
        stored = cached_bytes(root, identity, lambda: [read_face(one.folder / one.name) for one in pictures])
    except OSError as error:
        raise DataError(
            f"{error.filename or root}: {error.strerror or error}; required: a readable folder"
        ) from error
    if other:
        notes.append(
            f"{root}: {other:,} files or folders among the pictures are no pictures and were passed over"
        )
    return FaceDataset(
        name=root.resolve().name or str(root),
        classes=classes,
        faces=stored.reshape(-1, FACE_SIZE, FACE_SIZE),
        labels=np.array([one.label for one in pictures], np.int64),
        usage=np.array([one.usage for one in pictures], np.int8),
        notes=tuple(notes),
    )


def read_face(path: Path) -> np.ndarray:
    """A whole picture of any size and colour mode as one face, the same as predictions take it.

    Returns:
        uint8 (48, 48), 0–255.

    Raises:
        DataError: the file is no picture, is damaged or too large; see `zoo.pictures.read_image`.
    """
    from zoo.faces import whole_image
    from zoo.pictures import read_image

    try:
        with warnings.catch_warnings():
            # Damaged metadata is no reason to give up a picture.
            warnings.simplefilter("ignore")
            return whole_image(read_image(path, name=str(path)))
    except ImageError as error:
        raise DataError(f"{error}; required: a whole picture, or its removal") from error


def is_hidden(name: str) -> bool:
    """Whether a file or folder of this name is hidden, or what archivers leave: `._photo.jpg`, `__MACOSX`."""
    return name.startswith((".", "__"))


def _folders_in(folder: Path) -> list[Path]:
    """Sub-folders by name."""
    if not folder.is_dir():
        raise DataError(f"{folder}: no such folder; required: a folder of class folders")
    found = [Path(entry.path) for entry in _visible(folder) if entry.is_dir()]
    if not found:
        raise DataError(f"{folder}: holds no folders; required: one folder of pictures a class")
    return found


def _find_parts(root: Path) -> tuple[dict[int, Path], list[str]]:
    """Usage → its folder of classes (usage -1 where there is no split), and what to tell the user."""
    folders = _folders_in(root)
    parts: dict[int, Path] = {}
    extra = []
    for folder in folders:
        usage = _SPLIT_FOLDERS.get(folder.name.casefold())
        if usage is None:
            extra.append(folder.name)
        elif USAGES.index(usage) in parts:
            raise DataError(
                f"{folder}: stands for {usage}, as {parts[USAGES.index(usage)].name} does; "
                "required: one of them"
            )
        else:
            parts[USAGES.index(usage)] = folder
    if not parts:
        return {-1: root}, []
    notes = [f"{root}: folders beside the split were passed over: {', '.join(extra)}"] if extra else []
    read_as = ", ".join(f"{parts[usage].name}/ is {USAGES[usage]}" for usage in sorted(parts))
    return dict(sorted(parts.items())), [*notes, f"{root}: {read_as}"]


def _agree_on_classes(parts: dict[int, Path]) -> tuple[tuple[str, ...], dict[int, dict[int, Path]]]:
    """Class names, and usage → label → folder."""
    folders = {usage: _folders_in(part) for usage, part in parts.items()}
    names = {folder.name for found in folders.values() for folder in found}
    keys = {name: _SYNONYMS.get(name.casefold(), name) for name in names}
    if {name.strip() for name in names} == {str(label) for label in range(len(EMOTIONS))}:
        keys = {name: EMOTIONS[int(name)] for name in names}
    known = set(keys.values())
    if known <= set(EMOTIONS):
        classes = tuple(name for name in EMOTIONS if name in known)
    else:
        # One name that isn't an expression makes them all classes of their own, under their folders' names.
        keys = {name: name for name in names}
        classes = tuple(sorted(names))
    if len(classes) < 2:
        raise DataError(
            f"{next(iter(parts.values()))}: holds the one class {classes[0]!r}; "
            "required: at least two class folders"
        )
    result: dict[int, dict[int, Path]] = {}
    for usage, found in folders.items():
        chosen: dict[int, Path] = {}
        for folder in found:
            label = classes.index(keys[folder.name])
            if label in chosen:
                raise DataError(
                    f"{folder}: stands for class {classes[label]!r}, as {chosen[label].name} does; "
                    "required: one folder a class"
                )
            chosen[label] = folder
        if missing := [name for label, name in enumerate(classes) if label not in chosen]:
            raise DataError(
                f"{parts[usage]}: has no folder for class {missing[0]!r}, which another part has; "
                f"required: the same classes in every part ({', '.join(classes)})"
            )
        result[usage] = dict(sorted(chosen.items()))
    return classes, result


def _list_pictures(class_folders: dict[int, dict[int, Path]]) -> tuple[list[_Picture], int]:
    """Every picture in a fixed order, and how many other entries stand among them."""
    from zoo.pictures import PICTURE_SUFFIXES

    pictures: list[_Picture] = []
    other = 0
    for usage, folders in class_folders.items():
        for label, folder in folders.items():
            before = len(pictures)
            for entry in _visible(folder):
                if entry.name.casefold().endswith(PICTURE_SUFFIXES) and entry.is_file():
                    state = entry.stat()
                    pictures.append(
                        _Picture(folder, entry.name, state.st_size, state.st_mtime_ns, label, usage)
                    )
                else:
                    other += 1
            if len(pictures) == before:
                raise DataError(
                    f"{folder}: the class is empty; required: at least one picture "
                    f"({', '.join(PICTURE_SUFFIXES)})"
                )
    return pictures, other


def _visible(folder: Path) -> Iterator[os.DirEntry[str]]:
    """What isn't hidden, by name."""
    with os.scandir(folder) as entries:
        yield from sorted(
            (entry for entry in entries if not is_hidden(entry.name)), key=lambda entry: entry.name
        )
