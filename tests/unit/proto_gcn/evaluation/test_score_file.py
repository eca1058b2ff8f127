"""Score files and class names: what comes back, and what is refused."""

import pickle
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from proto_gcn.errors import DataError
from proto_gcn.evaluation import score_file
from proto_gcn.evaluation.class_names import read_class_names
from proto_gcn.evaluation.score_file import About, ScoreFile


def test_scores_can_be_read_back(tmp_path: Path) -> None:
    file = ScoreFile(
        torch.rand(3, 4), torch.tensor([1, -1, 3]), ["a", "ä", "c"], About("jm", None, 10, "c", "d")
    )
    score_file.write(tmp_path / "new" / "s.npz", file)
    back = score_file.read(tmp_path / "new" / "s.npz")
    assert torch.equal(back.scores, file.scores)
    assert (back.labels.tolist(), back.names, back.about) == ([1, -1, 3], file.names, file.about)
    assert not back.is_labelled


class Evil:
    def __reduce__(self) -> tuple[Callable[..., Any], tuple[str]]:
        return print, ("this was run",)


def test_a_file_without_scores_is_refused_and_never_run(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = tmp_path / "s.npz"
    np.savez(path, scores=np.array([Evil()], dtype=object), labels=[1], names=["a"], about="{}")
    with pytest.raises(DataError, match="is not a score file; make one with"):
        score_file.read(path)
    path.write_bytes(pickle.dumps(Evil()))
    with pytest.raises(DataError, match="is not a score file"):
        score_file.read(path)
    with pytest.raises(DataError, match=r"cannot read .*missing\.npz: No such file"):
        score_file.read(tmp_path / "missing.npz")
    assert capsys.readouterr().out == ""


def test_there_must_be_one_name_per_class(tmp_path: Path) -> None:
    path = tmp_path / "names.txt"
    path.write_text("drink\n\n eat \n")
    assert read_class_names(path, 2) == ["drink", "eat"]
    assert read_class_names(None, 2) == ["class 0", "class 1"]
    with pytest.raises(DataError, match="has 2 class names for 3 classes; write one name per line"):
        read_class_names(path, 3)
    with pytest.raises(DataError, match=r"cannot read the class names .*: No such file"):
        read_class_names(tmp_path / "none", 3)
