"""`fuse` measures the accuracy of several networks together, from their score files."""

import argparse
import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from proto_gcn.atomic_file import write_atomically
from proto_gcn.commands import network_options
from proto_gcn.errors import ConfigError, DataError
from proto_gcn.evaluation import fusion, score_file
from proto_gcn.evaluation.metrics import measure_all
from proto_gcn.evaluation.score_file import ScoreFile

TEXT = """\
Adds the scores of several networks, each multiplied by a weight, and measures the sum.

Weights are `published` (j b: 1 1; j b jm bm: 2 2 1 1; j b k jm bm km: 2 2 2 1 1 1),
numbers (2,2,1,1) or `fitted`: the weights that make the true labels most likely.
Fitted weights are never evaluated on the samples that they were fitted to. Either fit
them on other score files (--fit-on, of another split, in the same order), or on a share
of the samples (--fit-share 0.5); then only the other samples are reported.
"""


def add_to(commands: Any) -> None:
    """Add the command and its options to the parser."""
    raw = argparse.RawDescriptionHelpFormatter
    parser = commands.add_parser(
        "fuse", help="accuracy of several networks together", description=TEXT, formatter_class=raw
    )
    add = parser.add_argument
    add("files", type=Path, nargs="+", help="score files made with `evaluate --scores`")
    add("--weights", default="published", help="published, fitted, or numbers such as 2,2,1,1")
    add("--fit-on", type=Path, nargs="+", help="score files of other samples to fit weights on")
    add("--fit-share", type=float, help="share of the samples to fit weights on, 0 to 1")
    add("--json", type=Path, help="write the numbers to this JSON file")
    parser.set_defaults(run=run)


def run(options: argparse.Namespace) -> None:
    """Fuse, print and write; raises TrainerError."""
    check(options)
    network_options.prepare_outputs(options.json)
    files, weights = weighted(options)
    rows = table(files, weights)
    print("\n".join(lines(rows)))
    if options.json:
        content = {"samples": len(files[0].names), "weights": options.weights, "rows": rows}
        write_atomically(options.json, (json.dumps(content, indent=2) + "\n").encode())


def check(options: argparse.Namespace) -> None:
    """Raise ConfigError for options that contradict each other."""
    sources = [name for name in ("fit_on", "fit_share") if getattr(options, name) is not None]
    if options.weights == "fitted" and len(sources) != 1:
        raise ConfigError("--weights fitted needs either --fit-on FILES or --fit-share SHARE")
    if options.weights != "fitted" and sources:
        raise ConfigError("--fit-on and --fit-share need --weights fitted")
    if options.fit_share is not None and not 0 < options.fit_share < 1:
        raise ConfigError(f"--fit-share must be between 0 and 1, not {options.fit_share:g}")


def weighted(options: argparse.Namespace) -> tuple[list[ScoreFile], list[float]]:
    """Return the aligned files to report, and a weight for each."""
    files = labelled(options.files)
    if options.weights == "published":
        return files, fusion.published_weights([file.about.modality for file in files])
    if options.weights != "fitted":
        return files, given_weights(options.weights, len(files))
    if options.fit_share is not None:
        sides = [fusion.halves(file, options.fit_share) for file in files]
        return [report for _, report in sides], fusion.fitted_weights([fit for fit, _ in sides])
    return files, _fitted_on(labelled(options.fit_on), files)


def _fitted_on(fit: list[ScoreFile], files: list[ScoreFile]) -> list[float]:
    """Fit weights on one set of files for another; raises TrainerError if they do not match."""
    streams, fit_streams = ([file.about.modality for file in both] for both in (files, fit))
    if streams != fit_streams:
        raise ConfigError(
            f"--fit-on has the streams {' '.join(fit_streams)}; it must have {' '.join(streams)}"
        )
    fusion.check_apart(fit[0], files[0])
    return fusion.fitted_weights(fit)


def labelled(paths: Sequence[Path]) -> list[ScoreFile]:
    """Read and align score files; raises DataError."""
    files = [score_file.read(path) for path in paths]
    for path, file in zip(paths, files, strict=True):
        if not file.is_labelled:
            raise DataError(f"{path} has no labels; make it with `evaluate`, not with `predict`")
    return fusion.aligned(files)


def given_weights(text: str, count: int) -> list[float]:
    """Read the weights that the user wrote; raises ConfigError."""
    try:
        weights = [float(part) for part in text.split(",")]
    except ValueError as error:
        raise ConfigError(
            f"--weights must be published, fitted or numbers such as 2,2,1,1, not {text!r}"
        ) from error
    if len(weights) != count:
        raise ConfigError(
            f"--weights has {len(weights)} numbers for {count} files; give one for each"
        )
    if not all(0 <= weight < float("inf") for weight in weights) or sum(weights) == 0:
        raise ConfigError(f"--weights must be numbers from 0 upwards, not all 0, but is {text}")
    return weights


def table(files: list[ScoreFile], weights: list[float]) -> list[dict[str, Any]]:
    """Return a row for each network, and one for all together."""
    rows: list[dict[str, Any]] = [
        {"stream": file.about.modality, "clips": file.about.clips, "weight": round(weight, 4)}
        | _measured(file.scores, file)
        for file, weight in zip(files, weights, strict=True)
    ]
    fused = _measured(fusion.fused(files, weights), files[0])
    return [*rows, {"stream": "fused", "clips": None, "weight": None} | fused]


def _measured(scores: Any, file: ScoreFile) -> dict[str, float]:
    return {name: round(value, 4) for name, value in measure_all(scores, file.labels).items()}


def lines(rows: list[dict[str, Any]]) -> list[str]:
    """Return the table for a terminal."""
    head = f"{'stream':<8}{'clips':>5}{'weight':>9}{'top1':>8}{'top5':>8}{'mean class':>12}"
    return [head, *map(_line, rows)]


def _line(row: dict[str, Any]) -> str:
    clips, weight = ("" if row[key] is None else f"{row[key]:g}" for key in ("clips", "weight"))
    numbers = f"{row['top1']:>8.2f}{row['top5']:>8.2f}{row['mean_class']:>12.2f}"
    return f"{row['stream']:<8}{clips:>5}{weight:>9}{numbers}"
