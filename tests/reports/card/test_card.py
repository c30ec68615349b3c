"""The card of a run, and what a link to the published page shows."""

from __future__ import annotations

import hashlib
from pathlib import Path

import pytest
from matplotlib.image import imread

from reports import card, write_card
from reports.__main__ import main
from reports.data.errors import RunError
from reports.data.run import read
from reports.pages import report
from reports.pages.links import Share, make_share
from reports.pages.sections import sections
from tests.reports.synthetic_run import manifest

ADDRESS = "https://example.org/runs/x/"


@pytest.fixture
def bare(tmp_path: Path) -> Path:
    """A run with a manifest and no table at all."""
    manifest(tmp_path)
    return tmp_path


def page(folder: Path, share: Share | None) -> str:
    run = read(folder)
    return report.html(run, sections(run), share=share)


def test_the_card_is_a_png_of_the_size_that_services_show(run: Path) -> None:
    target = run / "card.png"
    write_card(run, target)
    assert target.read_bytes().startswith(b"\x89PNG")
    assert imread(target).shape[:2] == (630, 1200)


def test_the_same_run_gives_the_same_card_and_another_run_another(run: Path, bare: Path) -> None:
    digests = [hashlib.sha256(card.png(read(folder))).hexdigest() for folder in (run, run, bare)]
    assert digests[0] == digests[1] != digests[2]


def test_a_task_in_another_script_does_not_stop_the_card(bare: Path) -> None:
    manifest(bare, own_app={"app": "x:y"}, scenarios=["задачи.письмо", "タスク.送信"])
    assert card.png(read(bare)).startswith(b"\x89PNG")


def test_with_an_address_the_page_names_itself_and_its_card(bare: Path) -> None:
    text = page(bare, make_share(Path("out/my card.png"), ADDRESS, form="html"))
    assert '<meta property="og:image" content="https://example.org/runs/x/my%20card.png">' in text
    assert '<meta property="og:url" content="https://example.org/runs/x/report.html">' in text


def test_without_a_card_there_is_no_image_and_without_an_address_nothing(bare: Path) -> None:
    assert "og:image" not in page(bare, make_share(None, ADDRESS, form="html"))
    assert "og:" not in page(bare, make_share(Path("card.png"), "", form="html"))


@pytest.mark.parametrize(
    ("card_file", "base_url", "form", "told"),
    [
        (Path("card.jpg"), "", "html", "name a file that ends with .png"),
        (None, "example.org", "html", "is no address"),
        (None, "javascript:alert(1)", "html", "is no address"),
        (Path("card.png"), "", "md", "leave out --format md"),
    ],
)
def test_what_cannot_be_shared_is_refused_in_one_line(
    card_file: Path | None, base_url: str, form: str, told: str
) -> None:
    with pytest.raises(RunError, match=told):
        make_share(card_file, base_url, form=form)


def test_a_card_that_cannot_be_written_is_one_line_and_exit_code_2(
    bare: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    target = bare / "nowhere" / "card.png"
    monkeypatch.setattr("sys.argv", ["reports", str(bare), "--card", str(target)])
    assert main() == 2
    assert capsys.readouterr().err.startswith(f"queue-or-task: {target} cannot be written")
