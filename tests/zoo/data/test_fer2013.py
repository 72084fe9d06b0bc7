"""FER2013's CSV layouts, and every way in which such a file can be bad."""

from pathlib import Path

import numpy as np
import pytest

from tests.zoo.data.small_fer2013 import HEADER, pixel_text, random_faces, row, write_csv
from zoo.data import fer2013
from zoo.data.emotions import EMOTIONS
from zoo.data.fer2013 import load_fer2013, parse_fer2013
from zoo.errors import DataError


def test_every_value_row_and_usage_comes_back(tmp_path: Path) -> None:
    path = tmp_path / "fer2013.csv"
    faces, labels = write_csv(path, (70, 40, 30))  # several blocks, so that rows cross their borders
    dataset = load_fer2013(path)
    assert np.array_equal(dataset.faces, faces)
    assert np.array_equal(dataset.labels, labels)
    assert [len(dataset.rows(usage)) for usage in ("Training", "PublicTest", "PrivateTest")] == [70, 40, 30]
    assert (dataset.classes, dataset.name, dataset.labels.dtype, dataset.usage.dtype) == (
        EMOTIONS,
        "fer2013.csv",
        np.int64,
        np.int8,
    )
    assert dataset.faces.flags.c_contiguous


@pytest.mark.parametrize(
    "header, template",
    [
        ("emotion,pixels,Usage", "{label},{pixels},{usage}"),
        ("emotion, Usage, pixels", "{label},{usage},{pixels}"),  # icml_face_data.csv
        ("pixels,EMOTION,usage", "{pixels},{label},{usage}"),
        ("Usage,pixels,emotion", "{usage}, {pixels} , {label} "),
        ("id,emotion,pixels,Usage", "7,{label},{pixels},{usage}"),
        ("\ufeffemotion,pixels,Usage", "{label},{pixels},{usage}"),
        ('"emotion","pixels","Usage"', '"{label}","{pixels}","{usage}"'),
        ("note,emotion,pixels,Usage", '"a, b",{label},{pixels},{usage}'),
    ],
)
@pytest.mark.parametrize("line_break", ["\n", "\r\n"])
@pytest.mark.parametrize("ending", ["", "\n", "\n\n\n"])
def test_columns_in_any_order_and_dress(
    tmp_path: Path, header: str, template: str, line_break: str, ending: str
) -> None:
    faces = random_faces(3)
    usages = ("Training", "PublicTest", "PrivateTest")
    rows = [
        template.format(label=index + 4, pixels=pixel_text(face), usage=usage)
        for index, (face, usage) in enumerate(zip(faces, usages, strict=True))
    ]
    path = tmp_path / "any.csv"
    path.write_bytes((line_break.join([header, *rows]) + ending.replace("\n", line_break)).encode())
    dataset = load_fer2013(path)
    assert np.array_equal(dataset.faces, faces)
    assert (dataset.labels.tolist(), dataset.usage.tolist()) == ([4, 5, 6], [0, 1, 2])


@pytest.mark.parametrize("header", ["emotion,pixels,Usage", "emotion, Usage, pixels"])
@pytest.mark.parametrize("line_break", ["\n", "\r\n"])
def test_kaggles_files_are_never_read_line_by_line(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, header: str, line_break: str
) -> None:
    def refuse(*_: object) -> None:
        raise AssertionError("the slow way, 40 times as long")

    monkeypatch.setattr(fer2013, "_parse_lines", refuse)
    fields = {"emotion": "5", "pixels": pixel_text(random_faces(1)[0]), "Usage": "Training"}
    line = ",".join(fields[name.strip()] for name in header.split(","))
    path = tmp_path / "plain.csv"
    path.write_bytes(line_break.join([header, *[line] * 70, ""]).encode())
    dataset = load_fer2013(path)
    assert np.array_equal(dataset.faces, random_faces(1).repeat(70, axis=0))


def test_without_usage_column(tmp_path: Path) -> None:
    path = tmp_path / "train.csv"
    path.write_text(f"emotion,pixels\n3,{pixel_text(random_faces(1)[0])}\n")
    dataset = load_fer2013(path)
    assert (dataset.usage.tolist(), dataset.labels.tolist()) == ([-1], [3])


def test_unusual_spaces_and_zeros_are_numbers_too(tmp_path: Path) -> None:
    path = tmp_path / "spaces.csv"
    path.write_text(f"{HEADER}\n{row(0, '0007  ' + '255 ' * 2302 + ' 12 ')}\n")
    face = load_fer2013(path).faces.ravel()
    assert (face[0], face[1], face[-1]) == (7, 255, 12)


def test_last_row_without_line_break_is_whole(tmp_path: Path) -> None:
    path = tmp_path / "end.csv"
    path.write_text(f"{HEADER}\n{row(1)}\n{row(2)}")
    assert load_fer2013(path).labels.tolist() == [1, 2]


def test_editors_line_number_counts_blank_lines_and_earlier_blocks(tmp_path: Path) -> None:
    path = tmp_path / "far.csv"
    path.write_text("\n".join([HEADER, "", *[row()] * 90, row("x"), row()]))
    with pytest.raises(DataError, match=r"line 93: emotion is 'x'"):
        load_fer2013(path)


ROW = row()
SHORT = ROW.replace(" ", ",", 0).rsplit(" ", 1)[0] + ",Training"
BAD_FILES = {
    "empty": (b"", ["is empty", "required"]),
    "header alone": (HEADER, ["no rows"]),
    "blank rows": (f"{HEADER}\n\n\n", ["no rows"]),
    "no header": (ROW, ["line 1", "'emotion' is missing"]),
    "no pixels column": ("emotion,Usage\n0,Training\n", ["line 1", "'pixels' is missing"]),
    "no emotion column": ("pixels,Usage\n", ["line 1", "'emotion' is missing"]),
    "column twice": ("emotion,pixels,pixels\n", ["line 1", "'pixels'", "twice"]),
    "picture": (b"\x89PNG\r\n\x1a\n\0\0", ["89 50 4e 47", "required: a CSV"]),
    "zip": (b"PK\x03\x04\0\0\0\0", ["50 4b 03 04", "unpacked"]),
    "UTF-16": (HEADER.encode("utf-16"), ["ff fe", "UTF-8"]),
    "bytes after the header": (HEADER.encode() + b"\n" + bytes(range(256)) * 9, ["line 2", "columns"]),
    "endless line": (f"{HEADER}\n{'1 ' * 90_000}", ["line 2", "65,536"]),
    "line breaks of old": (f"{HEADER}\r{ROW}\r", ["carriage return"]),
    "too few pixels": (f"{HEADER}\n{ROW}\n{SHORT}\n{ROW}\n", ["line 3", "2,303 pixels", "2,304"]),
    "too many pixels": (f"{HEADER}\n{row(pixels='1 ' * 2305)}\n", ["line 2", "2,305 pixels", "2,304"]),
    "one short and one long": (
        f"{HEADER}\n{row(pixels='1 ' * 2303)}\n{row(pixels='1 ' * 2305)}\n",
        ["line 2", "2,303 pixels"],
    ),
    "no pixels": (f"{HEADER}\n0,,Training\n", ["line 2", "0 pixels"]),
    "256": (f"{HEADER}\n{row(pixels='1 ' * 2303 + '256')}\n", ["line 2", "pixel 2,304", "'256'", "0 to 255"]),
    "299": (f"{HEADER}\n{row(pixels='299 ' + '1 ' * 2303)}\n", ["line 2", "pixel 1 ", "'299'"]),
    "300": (f"{HEADER}\n{row(pixels='300 ' + '1 ' * 2303)}\n", ["line 2", "'300'", "0 to 255"]),
    "1000": (f"{HEADER}\n{row(pixels='1000 ' + '1 ' * 2303)}\n", ["line 2", "'1000'", "0 to 255"]),
    "negative": (f"{HEADER}\n{row(pixels='-1 ' + '1 ' * 2303)}\n", ["line 2", "'-1'", "0 to 255"]),
    "fraction": (f"{HEADER}\n{row(pixels='1.5 ' + '1 ' * 2303)}\n", ["line 2", "'1.5'", "whole number"]),
    "word": (f"{HEADER}\n{row(pixels='1 nan ' + '1 ' * 2302)}\n", ["line 2", "pixel 2 ", "'nan'"]),
    "other digits": (f"{HEADER}\n{row(pixels='٣ ' + '1 ' * 2303)}\n", ["line 2", "pixel 1 ", "0 to 255"]),
    "label 7": (f"{HEADER}\n{row(7)}\n", ["line 2", "emotion is '7'", "0 to 6", "angry"]),
    "no label": (f"{HEADER}\n{row('')}\n", ["line 2", "emotion is ''", "0 to 6"]),
    "label by name": (f"{HEADER}\n{row('happy')}\n", ["line 2", "emotion is 'happy'", "0 to 6"]),
    "unknown usage": (f"{HEADER}\n{row(usage='Test')}\n", ["line 2", "Usage is 'Test'", "PrivateTest"]),
    "no usage": (f"{HEADER}\n{ROW}\n{row(usage='')}\n", ["line 3", "Usage is ''", "PublicTest"]),
    "too few columns": (f"{HEADER}\n{ROW}\n0,1 2 3\n", ["line 3", "2 of 3 columns"]),
    "too many columns": (f"{HEADER}\n{ROW}\n{ROW},1\n", ["line 3", "4 of 3 columns"]),
    "cut in the pixels": (f"{HEADER}\n{ROW}\n{ROW[:5000]}", ["line 3", "truncated", "2 of 3 columns"]),
    "cut in the usage": (f"{HEADER}\n{ROW}\n{ROW[:-3]}", ["line 3", "truncated", "'Train"]),
    "cut in icml's pixels": (
        f"emotion, Usage, pixels\n0,Training,{pixel_text(random_faces(1)[0])[:5000]}",
        ["line 2", "truncated", "2,304"],
    ),
}


@pytest.mark.parametrize("content, parts", BAD_FILES.values(), ids=BAD_FILES)
def test_bad_file_is_named_with_line_value_and_requirement(
    tmp_path: Path, content: str | bytes, parts: list[str], cache_of_its_own: Path
) -> None:
    path = tmp_path / "bad.csv"
    path.write_bytes(content.encode() if isinstance(content, str) else content)
    with pytest.raises(DataError) as caught:
        load_fer2013(path)
    message = str(caught.value)
    for part in [str(path), "required", *parts]:
        assert part in message
    assert "\n" not in message and len(message) < 400
    assert not list(cache_of_its_own.iterdir())


@pytest.mark.parametrize("name", ["missing.csv", "."])
def test_no_such_file(tmp_path: Path, name: str) -> None:
    with pytest.raises(DataError, match=r"required: a readable FER2013 CSV file"):
        load_fer2013(tmp_path / name)


def test_peak_of_one_block_not_of_the_file(tmp_path: Path) -> None:
    import tracemalloc

    path = tmp_path / "long.csv"
    write_csv(path, (1500, 0, 0))
    tracemalloc.start()
    try:
        faces, _, _ = parse_fer2013(path)
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    # 16 blocks in flight with their masks take about 33 MB whatever the file's size; faces count twice.
    assert peak < 60e6 + 2 * faces.nbytes
