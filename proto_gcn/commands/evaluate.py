"""`evaluate` measures the accuracy of one network on a split, and can write its scores."""

import argparse
import json
from pathlib import Path
from typing import Any

from proto_gcn.atomic_file import write_atomically
from proto_gcn.commands import network_options
from proto_gcn.engine.trained import Trained
from proto_gcn.errors import ConfigError
from proto_gcn.evaluation import score_file
from proto_gcn.evaluation.class_names import read_class_names
from proto_gcn.evaluation.metrics import confusion, measure_all
from proto_gcn.evaluation.score_file import ScoreFile

PICTURES = ".png", ".svg", ".pdf"
TEXT = (
    "Measures the top-k accuracies (evaluation.topk in the config) and the mean class accuracy "
    "of a network. The scores of a sample are the mean over its clips."
)


def add_to(commands: Any) -> None:
    """Add the command and its options to the parser."""
    parser = commands.add_parser(
        "evaluate", help="accuracy of a run or a checkpoint on a split", description=TEXT
    )
    network_options.add_network_options(parser)
    add = parser.add_argument
    add("--data", type=Path, help="data file (default: the config's ann_file)")
    add("--scores", type=Path, help="write the scores to this .npz file, for `fuse`")
    add("--confusion", type=Path, help="draw the confusion matrix (.png, .svg or .pdf)")
    add("--json", type=Path, help="write the numbers to this JSON file")
    parser.set_defaults(run=run)


def run(options: argparse.Namespace) -> None:
    """Evaluate, print and write; raises TrainerError."""
    # These checks come first, so that a wrong path does not waste an hour of evaluation.
    if options.confusion and options.confusion.suffix not in PICTURES:
        raise ConfigError(f"{options.confusion} must end with {', '.join(PICTURES)}")
    network_options.prepare_outputs(options.scores, options.confusion, options.json)
    trained = network_options.load_network(options)
    names = read_class_names(options.class_names, trained.config.model.cls_head.num_classes)
    file = _scored(trained, options)
    measured = measure_all(file.scores, file.labels, trained.config.evaluation.topk)
    print("\n".join(lines(file, measured)))
    _write(options, file, measured, names)


def _scored(trained: Trained, options: argparse.Namespace) -> ScoreFile:
    config = trained.config.data
    data = options.data or network_options.on_disk(config.ann_file)
    split = options.split or config.val_split
    return network_options.score_split(trained, data, split, options, labelled=True)


def _write(
    options: argparse.Namespace, file: ScoreFile, measured: dict[str, float], names: list[str]
) -> None:
    if options.scores:
        score_file.write(options.scores, file)
    if options.confusion:
        draw_confusion(file, names, options.confusion)
    if options.json:
        text = json.dumps(numbers(file, measured), indent=2) + "\n"
        write_atomically(options.json, text.encode())


def numbers(file: ScoreFile, measured: dict[str, float]) -> dict[str, Any]:
    """Return the content of the --json file."""
    about = file.about
    head = {"split": about.split, "clips": about.clips, "checkpoint": about.checkpoint}
    rounded = {name: round(value, 4) for name, value in measured.items()}
    return {**head, "modality": about.modality, "samples": len(file.names), **rounded}


def lines(file: ScoreFile, measured: dict[str, float]) -> list[str]:
    """Return the lines to print."""
    about = file.about
    samples = f"{len(file.names)} samples of {about.split}"
    head = f"{samples}, stream {about.modality}, clips: {about.clips}"
    return [head, *(f"{name:<10} {value:6.2f} %" for name, value in measured.items())]


def draw_confusion(file: ScoreFile, names: list[str], path: Path) -> None:
    from proto_gcn.report.confusion import confusion_figure  # importing matplotlib takes a second
    from proto_gcn.report.figure import save

    save(confusion_figure(confusion(file.scores, file.labels), names), path)
