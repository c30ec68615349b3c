"""A table that a killed process has left: whole rows stay, byte for byte, and others go."""

from __future__ import annotations

from pathlib import Path

import pytest

from bench.storage.table_repair import mend

HEAD = "block,why,n\r\n"
WHOLE = 'b1,"slow, very",1\r\n'


@pytest.mark.parametrize(
    "left",
    [
        "b2",
        "b2,fine,2",
        "b2,fine\r\n",
        'b2,"cut in\r\nits text',
        'b2,"cut in\r\nits text\r\n',
        "b2,fine,2,3\r\n",
    ],
)
def test_a_row_without_its_end_or_with_other_columns_goes(left: str, tmp_path: Path) -> None:
    path = tmp_path / "blocks.csv"
    path.write_bytes((HEAD + WHOLE + left).encode())
    mend(path, stays=lambda row: row["block"] == "b1")
    assert path.read_bytes() == (HEAD + WHOLE).encode()


def test_a_row_that_is_not_to_stay_goes_and_its_neighbours_stay(tmp_path: Path) -> None:
    path = tmp_path / "blocks.csv"
    path.write_bytes((HEAD + "b0,,0\r\n" + WHOLE + "b2,,2\r\n").encode())
    mend(path, stays=lambda row: row["block"] != "b0")
    assert path.read_bytes() == (HEAD + WHOLE + "b2,,2\r\n").encode()


@pytest.mark.parametrize("text", ["", "block,wh"])
def test_a_table_without_a_whole_header_goes(text: str, tmp_path: Path) -> None:
    path = tmp_path / "blocks.csv"
    path.write_text(text)
    mend(path)
    assert not path.exists()


def test_a_table_that_is_not_there_is_not_made(tmp_path: Path) -> None:
    mend(tmp_path / "blocks.csv")
    assert list(tmp_path.iterdir()) == []
