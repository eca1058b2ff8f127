"""The page of a run is complete, bounded and self-contained, also for a broken run folder."""

import re
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import pytest

from proto_gcn.__main__ import main
from proto_gcn.config.train import GraphConfig
from proto_gcn.engine.run_folder import RunFolder
from proto_gcn.report.run_data import scores_path, topology_path
from proto_gcn.report.topology import positions_of
from proto_gcn.report.writer import write_report
from tests.unit.proto_gcn.run_folders import make_run_folder

LIMIT_BYTES = 4_000_000


class Page(HTMLParser):
    """The page as a browser parses it: elements, ids and the addresses that it would request."""

    VOID = {"meta", "br", "link", "img", "input"}

    def __init__(self, text: str) -> None:
        super().__init__()
        self.open: list[str] = []
        self.tags: list[str] = []
        self.ids: list[str] = []
        self.addresses: list[str] = []
        self.feed(text)
        self.close()

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append(tag)
        if tag not in self.VOID:
            self.open.append(tag)
        self._note(attrs)

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append(tag)
        self._note(attrs)

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag

    def _note(self, attrs: list[tuple[str, str | None]]) -> None:
        for name, value in attrs:
            assert not name.startswith("on"), f"a script: {name}"
            if name == "id":
                self.ids.append(value or "")
            if name in ("src", "href", "xlink:href", "srcset", "action", "data"):
                self.addresses.append(value or "")


def page_of(folder: Path, **options: Any) -> str:
    write_report(folder, folder / "report.html", **options)
    return (folder / "report.html").read_text()


@pytest.fixture(scope="module")
def page_text(tmp_path_factory: pytest.TempPathFactory) -> str:
    """Return the page of a finished run with six classes."""
    folder = tmp_path_factory.mktemp("runs") / "run_1"
    return page_of(make_run_folder(folder, classes=6, epochs=4, samples=60))


def sections(text: str) -> list[str]:
    return re.findall(r"<h2>(.*?)</h2>", text)


def test_a_run_becomes_a_page(page_text: str) -> None:
    text = page_text
    assert sections(text) == [
        "Training",
        "Confusion matrix",
        "Classes",
        "Learned topology",
        "Machine use",
        "Numbers and settings",
    ]
    assert text.count("<svg ") == 3 + 1 + 1 + 3
    assert "best.pth on 60 samples of xsub_val, 10 clips each" in text
    assert "finished</span>" in text
    assert "4 of 4" in text


def test_the_page_makes_no_requests_and_runs_no_scripts(tmp_path: Path) -> None:
    text = page_of(make_run_folder(tmp_path / "r", classes=30, epochs=4, samples=60))
    page = Page(text)
    assert page.open == []
    assert page.addresses
    assert [
        a[:40] for a in page.addresses if not a.startswith(("#", "data:image/png;base64,"))
    ] == []
    assert re.findall(r"url\((?!#)|@import", text) == []
    assert not {"script", "link", "iframe", "object", "embed", "base"} & set(page.tags)
    assert "default-src 'none'" in text


def test_ids_are_unique_and_references_resolve(page_text: str) -> None:
    page = Page(page_text)
    assert len(page.ids) == len(set(page.ids))
    wanted = {a[1:] for a in page.addresses if a.startswith("#")} | set(
        re.findall(r"url\(#(.*?)\)", page_text)
    )
    assert wanted
    assert wanted <= set(page.ids)


def test_text_and_axes_use_the_text_colour_of_the_page(page_text: str) -> None:
    figures = "".join(re.findall(r"<svg .*?</svg>", page_text, re.DOTALL))
    assert "currentColor" in figures
    assert not re.findall(r"(?:fill|stroke): ?(?:#000000|black|#123457)", figures)


def test_the_page_of_a_long_training_stays_below_the_limit(tmp_path: Path) -> None:
    folder = make_run_folder(tmp_path / "r", classes=120, epochs=150, samples=2400, hours=60)
    assert len(page_of(folder).encode()) < LIMIT_BYTES


def test_class_names_are_escaped(tmp_path: Path) -> None:
    folder = make_run_folder(tmp_path / "r", classes=2, epochs=2, samples=4)
    names = tmp_path / "names.txt"
    names.write_text("<script>alert(1)</script>\n\"'&$x$\n")
    text = page_of(folder, class_names=names)
    assert Page(text).open == []
    assert "<script>" not in text
    assert "&lt;script&gt;" in text
    assert ">\"'&amp;$x$<" in text  # in a figure, as it is written


def test_an_unfinished_run_shows_what_exists(tmp_path: Path) -> None:
    folder = make_run_folder(tmp_path / "r", classes=6, epochs=3, samples=60)
    run = RunFolder(folder)
    for path in (run.result, scores_path(run, "test"), topology_path(run)):
        path.unlink()
    with run.metrics.open("a") as file:
        file.write('{"kind": "epoch", "at": "2026-01-0')  # killed in mid-write
    text = page_of(folder)
    assert sections(text) == ["Training", "Machine use", "Numbers and settings"]
    assert "not finished" in text
    assert "There are no scores yet" in text
    assert "last line &lt;script&gt;" in text


@pytest.mark.parametrize(
    "broken",
    ["config.yaml", "metrics.jsonl", "result.json", "scores/test.npz", "scores/topology.npy"],
)
@pytest.mark.parametrize("content", [b"", b"\xff\xfe{[", b"[1, 2]"])
def test_a_broken_file_is_left_out(tmp_path: Path, broken: str, content: bytes) -> None:
    folder = make_run_folder(tmp_path / "r", classes=2, epochs=2, samples=4, hours=0.01)
    (folder / broken).write_bytes(content)
    assert "Numbers and settings" in sections(page_of(folder))


def test_a_run_that_failed_at_once_has_a_page_and_an_empty_folder_has_none(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "r").mkdir()
    assert main(["report", str(tmp_path / "r")]) == 2
    assert (
        "is not a run folder: it has no config.yaml, metrics.jsonl or train.log"
        in capsys.readouterr().err
    )
    (tmp_path / "r" / "train.log").write_text("the split is empty\n")
    assert main(["report", str(tmp_path / "r"), "--out", str(tmp_path / "here.html")]) == 0
    assert "No epoch has finished yet" in (tmp_path / "here.html").read_text()
    assert "the split is empty" in (tmp_path / "here.html").read_text()


HAND = {"layout": "custom", "parents": [0, 0, 1, 0, 3, 4, 0, 6, 0]}


@pytest.mark.parametrize(
    "graph", [{"layout": "nturgb+d"}, {"layout": "coco_new"}, HAND], ids=lambda g: g["layout"]
)
def test_every_layout_is_drawn(tmp_path: Path, graph: dict[str, Any]) -> None:
    skeleton = GraphConfig.model_validate(graph).skeleton
    places = positions_of(skeleton)
    assert places.shape == (skeleton.joints, 2)
    assert len({tuple(place) for place in places.round(6).tolist()}) == skeleton.joints
    assert (abs(places) <= (0.72, 1.15)).all()  # of the axes
    text = page_of(make_run_folder(tmp_path / "r", classes=3, epochs=2, samples=9, graph=graph))
    assert "Learned topology" in sections(text)
