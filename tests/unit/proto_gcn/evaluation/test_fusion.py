"""Fusion of score files: published, given and fitted weights, and what it refuses."""

import itertools
import json
from pathlib import Path

import pytest
import torch
from torch import Tensor
from torchmetrics.functional.classification import multiclass_accuracy

from proto_gcn.__main__ import main
from proto_gcn.errors import DataError
from proto_gcn.evaluation import fusion, score_file
from proto_gcn.evaluation.score_file import About, ScoreFile

SAMPLES, CLASSES = 400, 5


def made(
    stream: str, right: float, seed: int, prefix: str = "s", samples: int = SAMPLES
) -> ScoreFile:
    """Make scores that favour the true class by `right`; labels depend on the prefix alone."""
    labels = torch.randint(
        0, CLASSES, (samples,), generator=torch.Generator().manual_seed(len(prefix))
    )
    noise = torch.randn(samples, CLASSES, generator=torch.Generator().manual_seed(seed))
    scores = torch.softmax(noise + right * torch.nn.functional.one_hot(labels, CLASSES), dim=1)
    return ScoreFile(
        scores,
        labels,
        [f"{prefix}{i}" for i in range(samples)],
        About(stream, "val", 10, "c.pth", "d.pkl"),
    )


def test_published_weights_follow_the_streams_in_any_order() -> None:
    assert fusion.published_weights(["j", "b"]) == [1, 1]
    assert fusion.published_weights(["jm", "b", "bm", "j"]) == [1, 2, 1, 2]
    assert fusion.published_weights(["j", "b", "k", "jm", "bm", "km"]) == [2, 2, 2, 1, 1, 1]
    with pytest.raises(
        DataError, match=r"no published weights for j k, only for j b; .*; set --weights"
    ):
        fusion.published_weights(["j", "k"])
    with pytest.raises(DataError, match="no published weights for j j"):
        fusion.published_weights(["j", "j"])


def test_scores_are_added_with_their_weights() -> None:
    files = [made("j", 1, 1), made("b", 1, 2)]
    wanted = (2 * files[0].scores.double() + files[1].scores.double()) / 3
    torch.testing.assert_close(fusion.fused(files, [2, 1]), wanted)


def test_files_are_aligned_to_the_order_of_the_first() -> None:
    first, other = made("j", 1, 1), made("b", 1, 2)
    turned = other.chosen(list(reversed(range(SAMPLES))))
    assert torch.equal(fusion.aligned([first, turned])[1].scores, other.scores)


def test_other_samples_or_labels_are_refused() -> None:
    first = made("j", 1, 1)
    with pytest.raises(
        DataError, match=r"stream b .* stream j .* different samples \(0 in common\)"
    ):
        fusion.aligned([first, made("b", 1, 2, prefix="tt")])
    other = made("b", 1, 2)
    wrong = ScoreFile(other.scores, (other.labels + 1) % CLASSES, other.names, other.about)
    with pytest.raises(DataError, match="other classes or labels"):
        fusion.aligned([first, wrong])


def likelihood(files: list[ScoreFile], weights: list[float]) -> Tensor:
    """Return the mean log likelihood of the labels under the weighted sum of the scores."""
    rows = torch.arange(SAMPLES)
    each = [
        weight * file.scores.double()[rows, file.labels]
        for file, weight in zip(files, weights, strict=True)
    ]
    return torch.stack(each).sum(dim=0).log().mean()


def one_stream_is_right(prefix: str) -> list[ScoreFile]:
    """Make two streams: the first alone is right in 30 samples, the other alone in 10.

    The likelihood is w^30 (1 - w)^10, so the best weight of the first stream is 3/4.
    """
    labels = torch.zeros(40, dtype=torch.long)
    right = torch.arange(40) < 30
    names = [f"{prefix}{number}" for number in range(40)]
    return [
        ScoreFile(
            torch.stack([first, 1 - first], dim=1),
            labels,
            names,
            About(stream, "val", 10, "c.pth", "d.pkl"),
        )
        for stream, first in (("j", right.float()), ("b", (~right).float()))
    ]


def test_fitted_weights_of_an_example_that_can_be_solved_by_hand() -> None:
    assert fusion.fitted_weights(one_stream_is_right("s")) == pytest.approx([0.75, 0.25])


def test_fitted_weights_maximise_the_likelihood() -> None:
    files = [made("j", 1.5, 1), made("b", 1.2, 2), made("k", 1, 3)]
    weights = fusion.fitted_weights(files)
    assert sum(weights) == pytest.approx(1)
    assert weights[0] > weights[1] > weights[2]
    best = likelihood(files, weights)
    for source, target in itertools.permutations(range(3), 2):
        moved = list(weights)
        moved[source] -= 0.01
        moved[target] += 0.01
        assert likelihood(files, moved) < best


def write_all(folder: Path, files: dict[str, ScoreFile]) -> list[str]:
    for name, file in files.items():
        score_file.write(folder / f"{name}.npz", file)
    return [str(folder / f"{name}.npz") for name in files]


def test_the_command_prints_a_table_and_writes_json(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    files = {"j": made("j", 1.5, 1), "b": made("b", 1.5, 2)}
    assert main(["fuse", *write_all(tmp_path, files), "--json", str(tmp_path / "f.json")]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert [line.split()[0] for line in lines] == ["stream", "j", "b", "fused"]
    content = json.loads((tmp_path / "f.json").read_text())
    total, labels = files["j"].scores + files["b"].scores, files["j"].labels
    wanted = 100 * float(multiclass_accuracy(total, labels, CLASSES, average="micro"))
    assert content["rows"][-1]["top1"] == pytest.approx(wanted, abs=1e-3)
    assert wanted > content["rows"][0]["top1"]
    assert [row["weight"] for row in content["rows"]] == [1, 1, None]


def test_weights_are_fitted_on_other_samples_only(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    reported = write_all(tmp_path, {"j": made("j", 2, 1), "b": made("b", 0, 2)})
    other = write_all(tmp_path, dict(zip(("fj", "fb"), one_stream_is_right("other"), strict=True)))
    assert (
        main(
            [
                "fuse",
                *reported,
                "--weights",
                "fitted",
                "--fit-on",
                *other,
                "--json",
                str(tmp_path / "f"),
            ]
        )
        == 0
    )
    rows = json.loads((tmp_path / "f").read_text())["rows"]
    assert [row["weight"] for row in rows[:2]] == [0.75, 0.25]
    capsys.readouterr()
    assert main(["fuse", *reported, "--weights", "fitted", "--fit-on", *reported]) == 2
    assert (
        f"{SAMPLES} of the {SAMPLES} samples to report are also used to fit weights"
        in capsys.readouterr().err
    )


def test_a_share_is_fitted_and_only_the_rest_reported(tmp_path: Path) -> None:
    files = {"j": made("j", 2, 1), "b": made("b", 0, 2)}
    paths = write_all(tmp_path, files)
    assert (
        main(
            [
                "fuse",
                *paths,
                "--weights",
                "fitted",
                "--fit-share",
                "0.25",
                "--json",
                str(tmp_path / "f"),
            ]
        )
        == 0
    )
    fit, rest = fusion.halves(files["j"], 0.25)
    assert json.loads((tmp_path / "f").read_text())["samples"] == len(rest.names)
    assert not set(fit.names) & set(rest.names)
    assert len(fit.names) + len(rest.names) == SAMPLES
    assert 0.15 < len(fit.names) / SAMPLES < 0.35


@pytest.mark.parametrize(
    ("options", "sentence"),
    [
        (
            ["--weights", "fitted"],
            "--weights fitted needs either --fit-on FILES or --fit-share SHARE",
        ),
        (["--fit-share", "0.5"], "--fit-on and --fit-share need --weights fitted"),
        (["--weights", "fitted", "--fit-share", "1"], "--fit-share must be between 0 and 1, not 1"),
        (["--weights", "1,2,3"], "--weights has 3 numbers for 2 files"),
        (
            ["--weights", "best"],
            "--weights must be published, fitted or numbers such as 2,2,1,1, not 'best'",
        ),
        (["--weights", "0,0"], "must be numbers from 0 upwards, not all 0"),
        (["--weights", "nan,1"], "must be numbers from 0 upwards, not all 0"),
    ],
)
def test_bad_options_are_one_sentence(
    options: list[str], sentence: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    files = write_all(tmp_path, {"j": made("j", 1, 1, samples=9), "b": made("b", 1, 2, samples=9)})
    assert main(["fuse", *files, *options]) == 2
    reported = capsys.readouterr().err
    assert sentence in reported
    assert reported.count("\n") == 1


def test_scores_without_labels_are_refused(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    file = made("j", 1, 1, samples=9)
    blind = ScoreFile(file.scores, torch.full((9,), -1), file.names, file.about)
    assert main(["fuse", *write_all(tmp_path, {"j": blind})]) == 2
    assert (
        "j.npz has no labels; make it with `evaluate`, not with `predict`"
        in capsys.readouterr().err
    )
