"""The table of Google's comparison set: what is read, and what each kind of wrong line is told."""

import numpy as np
import pytest

from zoo.data.fec import TRIPLET_TYPES, crop_name, image_name, read_fec
from zoo.errors import DataError


def line(annotations="1233", kind="TWO_CLASS_TRIPLET", urls=("a", "b", "c"), box="0.1,0.5,0.2,0.6"):
    """One row in the set's own form."""
    faces = [f"http://127.0.0.1/{url}.jpg,{box}" for url in urls]
    votes = [f"annotator_{number},{vote}" for number, vote in enumerate(annotations)]
    return ",".join([*faces, kind, *votes])


@pytest.fixture
def write(tmp_path):
    def to_file(*lines):
        path = tmp_path / "table.csv"
        path.write_text("\n".join(lines) + "\n", encoding="utf-8")
        return path

    return to_file


@pytest.mark.parametrize(
    ("annotations", "odd", "votes"),
    [
        ("3", 2, [0, 0, 1]),
        ("112233", -1, [2, 2, 2]),
        ("121212", -1, [3, 3, 0]),
        ("222213", 1, [1, 4, 1]),
        ("11223", -1, [2, 2, 1]),
        ("31333", 2, [1, 0, 4]),
    ],
)
def test_the_face_named_by_most_annotators_is_the_odd_one(write, annotations, odd, votes):
    triplets = read_fec(write(line(annotations)))
    assert triplets.odd.tolist() == [odd]
    assert triplets.votes.tolist() == [votes]


def test_rows_of_different_lengths_blank_lines_and_quotes_are_read(write):
    padded = line("22") + "," * 8
    quoted = line("333", "ONE_CLASS_TRIPLET").replace("http://127.0.0.1/a.jpg", '"https://127.0.0.1/a,b.jpg"')
    triplets = read_fec(write(line("1", "THREE_CLASS_TRIPLET"), "", padded, quoted))
    assert triplets.rows.tolist() == [1, 3, 4]
    assert [TRIPLET_TYPES[kind] for kind in triplets.kind] == ["three", "two", "one"]
    assert triplets.odd.tolist() == [0, 1, 2]
    assert triplets.urls[2, 0] == "https://127.0.0.1/a,b.jpg"
    np.testing.assert_allclose(triplets.boxes[0, 1], (0.1, 0.5, 0.2, 0.6))


def test_the_pair_form_calls_faces_1_and_2_alike_when_3_is_odd(write):
    triplets = read_fec(write(line("1"), line("12"), line("333"), line("2")))
    triplets = triplets.select(triplets.odd >= 0)
    assert triplets.rows.tolist() == [1, 3, 4]
    assert triplets.same_pairs().tolist() == [False, True, False]


def test_pictures_and_faces_are_listed_once(write):
    triplets = read_fec(write(line(), line(urls=("b", "c", "d")), line(box="0.2,0.5,0.2,0.6")))
    assert [url[-5:] for url in triplets.addresses()] == ["a.jpg", "b.jpg", "c.jpg", "d.jpg"]
    assert len(triplets.crops()) == 7
    assert set(triplets.crop_names().ravel()) == set(triplets.crops())


@pytest.mark.parametrize(
    "url", ["http://h/../../etc/passwd", "http://h/a\x00b", "http://h/" + "x" * 5000, "C:\\x"]
)
def test_names_of_files_come_from_a_hash(url):
    assert len(image_name(url)) == 32
    int(image_name(url), 16)
    assert crop_name(url, (0.0, 1.0, 0.0, 1.0)) != crop_name(url, (0.0, 1.0, 0.0, 0.5))


@pytest.mark.parametrize(
    ("wrong", "words"),
    [
        (line(kind="FOUR_CLASS_TRIPLET"), ["row 3", "'FOUR_CLASS_TRIPLET'", "ONE_CLASS_TRIPLET"]),
        (line("124"), ["row 3", "'4'", "1, 2 or 3"]),
        (line(""), ["row 3", "no annotation"]),
        (line("1111111"), ["row 3", "28 columns"]),
        (line("1111112"), ["row 3", "28 columns"]),
        (line() + ",x,1,y,2,z,3", ["row 3", "28 columns"]),
        (line(box="0.5,0.1,0.2,0.6"), ["row 3", "face 1", "0.5, 0.1, 0.2, 0.6", "left < right"]),
        (line(box="0.1,0.5,0.6,0.6"), ["row 3", "top < bottom"]),
        (line(box="1.1,1.5,0.2,0.6"), ["row 3", "fractions"]),
        (line(box="0.1,nan,0.2,0.6"), ["row 3", "nan"]),
        (line(box="0.1,,0.2,0.6"), ["row 3", "box"]),
        (line(box="0.1,inf,0.2,0.6"), ["row 3", "inf"]),
        (line().replace("http://127.0.0.1/b", "ftp://127.0.0.1/b"), ["row 3", "face 2", "ftp://"]),
        (line().replace("http://127.0.0.1/c", "file:///etc/passwd"), ["row 3", "face 3", "http://"]),
        ("URL_1,left", ["row 3", "http://"]),
    ],
)
def test_wrong_rows_are_named(write, wrong, words):
    with pytest.raises(DataError) as caught:
        read_fec(write(line(), "", wrong, line()))
    for word in ["table.csv", *words]:
        assert word in str(caught.value)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("content", "words"),
    [
        (None, "no such file"),
        (b"", "empty"),
        (b"\n\n", "empty"),
        (b"\xff\xfe\x00", "as text"),
        (b'"a', "EOF"),
    ],
)
def test_files_that_are_no_table(tmp_path, content, words):
    path = tmp_path / "table.csv"
    if content is not None:
        path.write_bytes(content)
    with pytest.raises(DataError, match=words):
        read_fec(path)


def test_the_first_row_may_be_the_long_one(write):
    with pytest.raises(DataError, match="row 1: has more than 28 columns"):
        read_fec(write(line() + ",x,1,y,2,z,3", line()))
