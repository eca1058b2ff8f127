"""`evaluate`: accuracy of one network on a split, with its scores and confusion matrix where wanted."""

import argparse
import json
from pathlib import Path
from typing import Any

from proto_gcn.atomic_file import write_atomically
from proto_gcn.commands import network_options as asked
from proto_gcn.errors import ConfigError
from proto_gcn.evaluation import score_file
from proto_gcn.evaluation.class_names import read_class_names
from proto_gcn.evaluation.metrics import confusion, measure_all
from proto_gcn.evaluation.score_file import ScoreFile

PICTURES = ".png", ".svg", ".pdf"


def add_to(commands: Any) -> None:
    text = (
        "Top-k accuracies (the config's evaluation.topk) and mean class accuracy of a network. "
        "A sample's scores are the mean over its clips."
    )
    parser = commands.add_parser(
        "evaluate", help="accuracy of a run or a checkpoint on a split", description=text
    )
    asked.add_network_options(parser)
    parser.add_argument("--data", type=Path, help="the data file (the config's ann_file)")
    parser.add_argument("--scores", type=Path, help="write the scores there (.npz), for `fuse`")
    parser.add_argument(
        "--confusion", type=Path, help="draw the confusion matrix there (.png, .svg or .pdf)"
    )
    parser.add_argument("--json", type=Path, help="write the numbers there too")
    parser.set_defaults(run=run)


def run(options: argparse.Namespace) -> None:
    """Evaluates, prints, writes; raises TrainerError."""
    if (
        options.confusion and options.confusion.suffix not in PICTURES
    ):  # now, and not after an hour's evaluation
        raise ConfigError(f"{options.confusion} must end with {', '.join(PICTURES)}")
    asked.make_room(options.scores, options.confusion, options.json)
    trained = asked.network(options)
    names = read_class_names(options.class_names, trained.config.model.cls_head.num_classes)
    data = options.data or asked.on_disk(trained.config.data.ann_file)
    split = options.split or trained.config.data.val_split
    file = asked.scored(trained, data, split, options, labelled=True)
    measured = measure_all(file.scores, file.labels, trained.config.evaluation.topk)
    print("\n".join(lines(file, measured)))
    if options.scores:
        score_file.write(options.scores, file)
    if options.confusion:
        draw_confusion(file, names, options.confusion)
    if options.json:
        write_atomically(
            options.json, (json.dumps(numbers(file, measured), indent=2) + "\n").encode()
        )


def numbers(file: ScoreFile, measured: dict[str, float]) -> dict[str, Any]:
    """What --json holds."""
    about = {
        "split": file.about.split,
        "clips": file.about.clips,
        "checkpoint": file.about.checkpoint,
    }
    rounded = {name: round(value, 4) for name, value in measured.items()}
    return {**about, "modality": file.about.modality, "samples": len(file.names), **rounded}


def lines(file: ScoreFile, measured: dict[str, float]) -> list[str]:
    """What a person reads."""
    about = file.about
    head = (
        f"{len(file.names)} samples of {about.split}, stream {about.modality}, clips: {about.clips}"
    )
    return [head, *(f"{name:<10} {value:6.2f} %" for name, value in measured.items())]


def draw_confusion(file: ScoreFile, names: list[str], path: Path) -> None:
    from proto_gcn.report.confusion import confusion_figure  # matplotlib takes a second to import
    from proto_gcn.report.figure import save

    save(confusion_figure(confusion(file.scores, file.labels), names), path)
