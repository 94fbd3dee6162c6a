"""Files as people have them: encodings, separators, decimal signs, and what is no table at all."""

import numpy as np
import pytest

from ntkkit.report.problem import ReportError
from ntkkit.report.reading import read_formatted, read_table, read_text, sniff_separator

ROWS = [("a", "b", "c"), ("1", "x y", "2.5"), ("2", "z", "3.5")]


def joined(separator):
    return "\n".join(separator.join(row) for row in ROWS) + "\n"


@pytest.mark.parametrize("separator", [",", ";", "\t", "|"])
@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "utf-16"])
def test_separators_and_encodings(tmp_path, separator, encoding):
    path = tmp_path / "table.csv"
    path.write_text(joined(separator), encoding=encoding)
    frame, notes = read_table(path)
    assert list(frame) == ["a", "b", "c"]
    assert frame["a"].tolist() == [1, 2]
    assert frame["b"].tolist() == ["x y", "z"]
    assert frame["c"].tolist() == [2.5, 3.5]
    assert len(notes) == (separator != ",")


def test_quoted_cells_with_separators_and_line_ends(tmp_path):
    path = tmp_path / "quoted.csv"
    path.write_text('"name","remark; long, and","n"\r\n"Ann","a, b\nc; d","1"\r\n"Bo","""x""","2"\r\n')
    frame, _ = read_table(path)
    assert list(frame) == ["name", "remark; long, and", "n"]
    assert frame.iloc[:, 1].tolist() == ["a, b\nc; d", '"x"']
    assert frame["n"].tolist() == [1, 2]


def test_windows_text_is_read_and_said(tmp_path):
    path = tmp_path / "windows.csv"
    path.write_bytes("stadt,n\nKöln,1\nUlm,2\n".encode("cp1252"))
    frame, notes = read_table(path)
    assert frame["stadt"].tolist() == ["Köln", "Ulm"]
    assert notes == ["Read as Windows-1252 text, since it is not UTF-8."]


def test_decimal_commas_are_read_and_said(tmp_path):
    path = tmp_path / "german.csv"
    path.write_text("x;y\n1,5;2\n-2,25;3\n")
    frame, notes = read_table(path)
    assert frame["x"].tolist() == [1.5, -2.25]
    assert notes[-1] == "Read with decimal commas."


def test_missing_signs_blank_names_and_cells_before_the_header(tmp_path):
    path = tmp_path / "old.csv"
    path.write_text(" x , y \n?,NA\n1, 2\n")
    frame, _ = read_table(path)
    assert list(frame) == ["x", "y"]
    assert np.isnan(frame.to_numpy()[0]).all()
    path.write_text("x,y\nrow1,1,2\nrow2,3,4\n")
    frame, notes = read_table(path)
    assert frame.to_numpy().tolist() == [[1, 2], [3, 4]]
    assert "names of the rows" in notes[0]


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"", "is empty"),
        (b" \n\n", "is empty"),
        (b"\x89PNG\r\n\x1a\n\0\0\0", "is not a text file"),
        (b"a,b\n1,2\n1,2,3,4\n", "cannot be read as a table"),
    ],
)
def test_what_is_no_table(tmp_path, content, message):
    path = tmp_path / "no.csv"
    path.write_bytes(content)
    with pytest.raises(ReportError, match=message) as caught:
        read_table(path)
    assert "\n" not in str(caught.value)


def test_missing_file_and_directory(tmp_path):
    with pytest.raises(ReportError, match="there is no file"):
        read_table(tmp_path / "nowhere.csv")
    with pytest.raises(ReportError, match="is a directory"):
        read_table(tmp_path)


def test_separator_inside_text_is_not_taken_for_one():
    assert sniff_separator('a;b\n"1,2,3";x\n"4,5,6";y\n') == ";"
    assert sniff_separator("only\nvalues\nhere\n") == ","
    assert sniff_separator("") == ","


def test_text_is_as_it_is_written_beside_the_frame(tmp_path):
    path = tmp_path / "table.csv"
    path.write_bytes(b"\xef\xbb\xbfx;;x\r\n007;1,50;a\r\n8;;\r\n")
    frame, _, format = read_formatted(path)
    assert frame.iloc[:, :2].to_numpy(na_value=0).tolist() == [[7, 1.5], [8, 0]]
    assert read_text(path, format).to_numpy().tolist() == [["007", "1,50", "a"], ["8", "", ""]]
    assert format == ("utf-8-sig", ";", "\r\n", ",", ("x", "", "x"), 0)


def test_rows_that_are_named_by_consecutive_numbers(tmp_path):
    path = tmp_path / "table.csv"
    path.write_text("x,y\n01,1,2\n02,3,4\n")
    frame, notes = read_table(path)
    assert frame.to_numpy().tolist() == [[1, 2], [3, 4]]
    assert frame.index.tolist() == [0, 1]
    assert "names of the rows" in notes[0]
    _, _, format = read_formatted(path)
    assert format.n_row_names == 1
    assert read_text(path, format).to_numpy().tolist() == [["01", "1", "2"], ["02", "3", "4"]]
