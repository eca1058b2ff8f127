"""`predict` writes the classes of the samples in a file, which needs no labels."""

import argparse
import csv
import io
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from proto_gcn.atomic_file import write_atomically
from proto_gcn.commands import network_options
from proto_gcn.evaluation import score_file
from proto_gcn.evaluation.class_names import read_class_names
from proto_gcn.evaluation.score_file import ScoreFile

TEXT = (
    "Writes the most likely classes of every sample as CSV. "
    "docs/trainer-data.md describes the format of the data file."
)


def add_to(commands: Any) -> None:
    """Add the command and its options to the parser."""
    parser = commands.add_parser(
        "predict", help="classes of the samples in a file, as CSV", description=TEXT
    )
    network_options.add_network_options(parser)
    add = parser.add_argument
    add("--data", type=Path, required=True, help="data file (pickle); it needs no labels")
    add("--out", type=Path, required=True, help="CSV file to write")
    top = "classes to list for each sample (default: 5)"
    add("--top", type=network_options.positive, default=5, help=top)
    add("--scores", type=Path, help="write all scores to this .npz file")
    parser.set_defaults(run=run)


def run(options: argparse.Namespace) -> None:
    """Predict and write, without --split for all samples of the file; raises TrainerError."""
    network_options.prepare_outputs(options.out, options.scores)
    trained = network_options.load_network(options)
    names = read_class_names(options.class_names, trained.config.model.cls_head.num_classes)
    file = network_options.score_split(
        trained, options.data, options.split, options, labelled=False
    )
    write_atomically(options.out, as_csv(file, names, options.top).encode())
    if options.scores:
        score_file.write(options.scores, file)
    print(f"wrote {options.out}: {len(file.names)} samples")


def as_csv(file: ScoreFile, names: list[str], top: int) -> str:
    """Return one line per sample: its name, then class, class name and score of the top classes."""
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
