"""A command reports wrong input in one sentence."""

import json
import pickle
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from proto_gcn.__main__ import main
from proto_gcn.commands import network_options
from proto_gcn.errors import BAD_INPUT, FAILED, INTERRUPTED
from proto_gcn.evaluation import fusion
from proto_gcn.evaluation.score_file import About, ScoreFile
from tests.unit.proto_gcn.trained_run import TrainedRun


@pytest.fixture
def trained(
    tmp_path: Path, raw_config: dict[str, Any], monkeypatch: pytest.MonkeyPatch
) -> TrainedRun:
    """Return a run in the current folder, which also contains some broken files."""
    made = TrainedRun(tmp_path, raw_config)
    monkeypatch.chdir(tmp_path)
    for name in ("empty", "empty.pth", "empty.pkl", "empty.npz"):
        Path(name).touch()
    Path("folder").mkdir()
    whole = made.best.read_bytes()
    Path("half.pth").write_bytes(whole[: len(whole) // 2])
    content = torch.load(made.best, weights_only=True)
    torch.save({"model": content["state_dict"]}, "unknown.pth")
    torch.save(content | {"meta": {"config": {"model": 3}}}, "meta.pth")
    Path("bad.yaml").write_text("model: 3\n")
    Path("text").write_bytes(b"\xff\n" * 4)
    write_data()
    write_scores()
    return made


def write_data() -> None:
    sample = {"keypoint": np.ones((1, 9, 25, 3), np.float16), "frame_dir": "s", "label": 0}
    nameless = {key: value for key, value in sample.items() if key != "frame_dir"}
    files = {"nameless": [nameless], "list": [3], "none": [], "label": [sample | {"label": 9}]}
    files["joints"] = [sample | {"keypoint": np.ones((1, 9, 17, 3), np.float16)}]
    for name, annotations in files.items():
        content = {"split": {"xsub_val": ["s"]}, "annotations": annotations}
        Path(f"{name}.pkl").write_bytes(pickle.dumps(content))
    Path("keys.pkl").write_bytes(pickle.dumps([1]))


def write_scores() -> None:
    about = {"modality": "j", "split": "v", "clips": 1, "checkpoint": "c", "data": "d"}
    good = {
        "scores": np.full((3, 4), 0.25, np.float32),
        "labels": np.arange(3),
        "names": list("abc"),
    }
    good["about"] = np.array(json.dumps(about))
    changes: dict[str, dict[str, Any]] = {
        "good": {},
        "label": {"labels": [0, 1, 4]},
        "flat": {"scores": np.ones(3)},
    }
    changes |= {
        "nan": {"scores": np.full((3, 4), np.nan)},
        "twice": {"names": list("aab")},
        "few": {"labels": [0]},
    }
    changes |= {"clips": {"about": json.dumps(about | {"clips": "ten"})}, "about": {"about": "{}"}}
    for name, changed in changes.items():
        np.savez(f"{name}.npz", **good | changed)


NETWORK = [
    ("evaluate", "name either a run folder or a --checkpoint"),
    ("evaluate RUN --checkpoint x.pth", "name either a run folder or a --checkpoint"),
    (
        "evaluate RUN --config c.yaml",
        "--config belongs to --checkpoint; a run folder has its own config",
    ),
    ("evaluate nowhere", "nowhere is not a run folder: it has no config.yaml"),
    ("evaluate empty", "empty is not a run folder: it has no config.yaml"),
    (
        "evaluate --checkpoint nowhere.pth",
        "cannot read the checkpoint nowhere.pth: No such file or directory; name",
    ),
    (
        "evaluate --checkpoint folder",
        "cannot read the checkpoint folder: Is a directory; name another file",
    ),
    (
        "evaluate --checkpoint empty.pth",
        "empty.pth is not a readable checkpoint (EOFError); name a checkpoint of ours",
    ),
    ("evaluate --checkpoint half.pth", "half.pth is not a readable checkpoint"),
    (
        "evaluate --checkpoint unknown.pth",
        "unknown.pth is not a checkpoint: it has no state_dict; name a checkpoint of",
    ),
    (
        "evaluate --checkpoint meta.pth",
        "meta.pth: the config in the checkpoint: model must be a mapping",
    ),
    (
        "evaluate --checkpoint BEST --config nowhere.yaml",
        "--config names nowhere.yaml, which does not exist",
    ),
    (
        "evaluate --checkpoint BEST --config bad.yaml",
        "bad.yaml: model must be a mapping of keys, not 3",
    ),
]
DATA = [
    ("evaluate RUN --split xsub_vel", "has no split xsub_vel; did you mean xsub_val?"),
    ("evaluate RUN --data nowhere.pkl", "there is no data file nowhere.pkl; name one with --data"),
    (
        "evaluate RUN --data label.pkl",
        "label.pkl: sample s has the label 9; it must be a whole number from 0 to 3",
    ),
    ("predict RUN --out p.csv --data folder", "there is no data file folder"),
    (
        "predict RUN --out p.csv --data empty.pkl",
        "the data file empty.pkl is damaged or not a pickle",
    ),
    (
        "predict RUN --out p.csv --data half.pth",
        "the data file half.pth is damaged or not a pickle",
    ),
    (
        "predict RUN --out p.csv --data keys.pkl",
        "keys.pkl must hold a dict with the keys split and annotations",
    ),
    ("predict RUN --out p.csv --data none.pkl", "none.pkl has no samples; name another file"),
    ("predict RUN --out p.csv --data nameless.pkl", "nameless.pkl: annotation 0"),
    ("predict RUN --out p.csv --data list.pkl", "list.pkl: annotation 0"),
    (
        "predict RUN --out p.csv --data joints.pkl",
        "sample s: keypoint has the shape (1, 9, 17, 3); it must be [1 or 2,",
    ),
    (
        "predict RUN --out p.csv --data DATA --class-names text",
        "cannot read the class names text: it is not UTF-8",
    ),
    (
        "predict RUN --out p.csv --data DATA --class-names c.yaml",
        "class names for 4 classes; write one name per line",
    ),
    (
        "predict RUN --out p.csv --data DATA --class-names folder",
        "cannot read the class names folder: Is a directory",
    ),
]
OUTPUTS = [
    ("predict RUN --data DATA --out folder", "cannot write folder: it is a folder; name a file"),
    (
        "predict RUN --data DATA --out empty/p.csv",
        "cannot write empty/p.csv: its folder is a file; name a file in an",
    ),
    (
        "predict RUN --data DATA --out /proc/x/p.csv",
        "cannot write /proc/x/p.csv: No such file or directory; name a file",
    ),
    ("evaluate RUN --scores folder", "cannot write folder: it is a folder; name a file"),
    ("evaluate RUN --json empty/a.json", "cannot write empty/a.json: its folder is a file"),
    ("evaluate RUN --confusion c.gif", "c.gif must end with .png, .svg, .pdf"),
    ("fuse good.npz --weights 1 --json folder", "cannot write folder: it is a folder; name a file"),
    ("report RUN --out folder", "cannot write folder: it is a folder; name a file"),
]
SCORES = [
    (
        "fuse nowhere.npz",
        "cannot read nowhere.npz: No such file or directory; name a file made with `python -m",
    ),
    ("fuse folder", "cannot read folder: Is a directory; name a file made with"),
    (
        "fuse empty.npz",
        "empty.npz is not a score file; make one with `python -m proto_gcn evaluate --scores`",
    ),
    ("fuse about.npz", "about.npz is not a score file; make one with"),
    (
        "fuse label.npz",
        "label.npz is damaged: its labels are not all whole numbers from -1 to 3; make it again",
    ),
    ("fuse nan.npz", "nan.npz is damaged: not all of its scores are finite numbers; make it again"),
    (
        "fuse flat.npz",
        "flat.npz is damaged: it has scores [3], labels [3] and 3 names; make it again",
    ),
    (
        "fuse few.npz",
        "few.npz is damaged: it has scores [3, 4], labels [1] and 3 names; make it again",
    ),
    (
        "fuse clips.npz",
        "clips.npz is damaged: its stream and number of clips are missing; make it again",
    ),
    (
        "fuse twice.npz --weights 1",
        "the stream j (c, split v) scores a twice; give each sample of the data file its own",
    ),
    (
        "report nowhere",
        "nowhere is not a run folder: it has no config.yaml, metrics.jsonl or train.log; name a",
    ),
    (
        "report RUN --evaluate --class-names nowhere",
        "cannot read the class names nowhere: No such file",
    ),
]


@pytest.mark.parametrize(("line", "sentence"), NETWORK + DATA + OUTPUTS + SCORES)
def test_bad_input_is_one_sentence(
    trained: TrainedRun, line: str, sentence: str, capsys: pytest.CaptureFixture[str]
) -> None:
    places = {"RUN": trained.run, "BEST": trained.best, "DATA": trained.data}
    assert main([str(places.get(word, word)) for word in line.split()]) == BAD_INPUT
    reported = capsys.readouterr().err
    assert sentence in reported
    assert reported.count("\n") == 1


def test_a_sample_that_is_scored_twice_is_never_fused_with_another() -> None:
    about = About("j", "v", 1, "c", "d")
    twice = ScoreFile(torch.eye(2), torch.tensor([0, 1]), ["a", "a"], about)
    with pytest.raises(fusion.DataError, match="scores a twice"):
        fusion.aligned([twice, twice])


@pytest.mark.parametrize(
    ("error", "code", "sentence"),
    [
        (MemoryError(), FAILED, "out of memory: halve --batch (6 -> 3)"),
        (
            torch.OutOfMemoryError("CUDA out of memory"),
            FAILED,
            "out of memory: halve --batch (6 -> 3)",
        ),
        (
            OSError(28, "No space left on device", "p"),
            FAILED,
            "cannot use p: No space left on device; free disk space",
        ),
        (KeyboardInterrupt(), INTERRUPTED, "interrupted"),
    ],
)
def test_an_error_of_the_machine_is_one_sentence(
    trained: TrainedRun,
    error: BaseException,
    code: int,
    sentence: str,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    def refused(*_: Any, **__: Any) -> None:
        raise error

    monkeypatch.setattr(network_options, "score", refused)
    assert main(["evaluate", str(trained.run), "--clips", "2", "--batch", "6"]) == code
    assert capsys.readouterr().err.startswith(sentence)


def test_the_advice_when_memory_runs_out() -> None:
    assert network_options.smaller(10, 40) == "halve --batch (40 -> 20)"
    assert network_options.smaller(10, 16) == "halve --clips (10 -> 5), or use --device cpu"
    assert network_options.smaller(1, 1).startswith("one clip does not fit; use --device cpu")


def test_a_report_without_enough_memory_names_the_key(
    trained: TrainedRun, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    from proto_gcn.report import writer

    def refused(*_: Any, **__: Any) -> None:
        raise MemoryError

    monkeypatch.setattr(writer, "score", refused)
    assert main(["report", str(trained.run), "--evaluate"]) == FAILED
    halve = "halve data.videos_per_gpu (16 -> 8), which evaluation uses too"
    assert capsys.readouterr().err == f"out of memory: {halve}, in {trained.run / 'config.yaml'}\n"


def test_a_full_disk_names_the_file(
    trained: TrainedRun, monkeypatch: pytest.MonkeyPatch, capsys: Any
) -> None:
    def full(_: int) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("os.fsync", full)
    assert (
        main(
            [
                "predict",
                str(trained.run),
                "--data",
                str(trained.data),
                "--clips",
                "1",
                "--out",
                "p.csv",
            ]
        )
        == FAILED
    )
    assert (
        capsys.readouterr().err == "cannot use p.csv: No space left on device;"
        " free disk space or change the permissions, then retry\n"
    )
    assert not [path.name for path in Path().iterdir() if "p.csv" in path.name]
