"""`predict`: the classes of the samples in a file, which need no labels."""

import argparse
import csv
import io
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from proto_gcn.atomic_file import write_atomically
from proto_gcn.commands import network_options as asked
from proto_gcn.evaluation import score_file
from proto_gcn.evaluation.class_names import read_class_names
from proto_gcn.evaluation.score_file import ScoreFile


def add_to(commands: Any) -> None:
    text = "Names the likeliest classes of every sample of a pickle in the format of docs/trainer-data.md, as CSV."
    parser = commands.add_parser(
        "predict", help="classes of the samples in a file, as CSV", description=text
    )
    asked.add_network_options(parser)
    parser.add_argument("--data", type=Path, required=True, help="the pickle; labels may be absent")
    parser.add_argument("--out", type=Path, required=True, help="the CSV file to write")
    parser.add_argument(
        "--top", type=asked.positive, default=5, help="classes to name for each sample (5)"
    )
    parser.add_argument("--scores", type=Path, help="write all scores there too (.npz)")
    parser.set_defaults(run=run)


def run(options: argparse.Namespace) -> None:
    """Predicts and writes; without --split all samples of the file; raises TrainerError."""
    asked.make_room(options.out, options.scores)
    trained = asked.network(options)
    names = read_class_names(options.class_names, trained.config.model.cls_head.num_classes)
    file = asked.scored(trained, options.data, options.split, options, labelled=False)
    write_atomically(options.out, as_csv(file, names, options.top).encode())
    if options.scores:
        score_file.write(options.scores, file)
    print(f"wrote {options.out}: {len(file.names)} samples")


def as_csv(file: ScoreFile, names: list[str], top: int) -> str:
    """A line for each sample: its name, then (class, its name, score) of the `top` likeliest classes."""
    top = min(top, len(names))
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    columns = ((f"class_{rank}", f"name_{rank}", f"score_{rank}") for rank in range(1, top + 1))
    writer.writerow(["sample", *(column for three in columns for column in three)])
    writer.writerows(_rows(file, names, top))
    return text.getvalue()


def _rows(file: ScoreFile, names: list[str], top: int) -> Iterator[list[str | int]]:
    values, classes = file.scores.sort(dim=1, descending=True, stable=True)
    for sample, scores, ranked in zip(file.names, values.tolist(), classes.tolist(), strict=True):
        best = zip(ranked[:top], scores[:top], strict=True)
        yield [
            sample,
            *(cell for number, score in best for cell in (number, names[number], f"{score:.6f}")),
        ]
