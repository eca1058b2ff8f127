"""The options that several commands share: which network, which samples, where to compute, what to write."""

import argparse
import itertools
import os
import sys
from collections.abc import Callable
from pathlib import Path

import torch

from proto_gcn.data.dataset import load_dataset, make_loader
from proto_gcn.engine.device import memory_advice
from proto_gcn.engine.trained import Trained, of_checkpoint, of_run
from proto_gcn.errors import ConfigError, DataError
from proto_gcn.evaluation.score_file import About, ScoreFile
from proto_gcn.evaluation.scoring import score


def add_network_options(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "folder",
        type=Path,
        nargs="?",
        help="a run folder (WORK_DIR/runs/JOB_ID): its best checkpoint",
    )
    parser.add_argument(
        "--checkpoint",
        type=Path,
        help="instead of a run folder: a .pth file, ours or a published one",
    )
    parser.add_argument(
        "--config", type=Path, help="the config that a published checkpoint was trained with"
    )
    parser.add_argument("--split", help="the split to take (the config's val_split)")
    parser.add_argument(
        "--clips", type=positive, help="clips for each sample (the config's test_clips, else 10)"
    )
    parser.add_argument(
        "--device", choices=("auto", "cpu", "cuda"), default="auto", help="where to compute (auto)"
    )
    parser.add_argument(
        "--batch", type=positive, help="clips at once (the config's videos_per_gpu)"
    )
    parser.add_argument(
        "--class-names", type=Path, help="a text file with the name of one class a line"
    )


def positive(text: str) -> int:
    """A whole number from 1 up."""
    if not text.isdecimal() or int(text) < 1:
        raise argparse.ArgumentTypeError(f"must be a whole number from 1 up, not {text!r}")
    return int(text)


def network(options: argparse.Namespace) -> Trained:
    """The one that is named; says on stderr what is odd about its weights; raises TrainerError."""
    found = _named_network(options)
    for remark in found.remarks:
        print(remark, file=sys.stderr)
    return found


def _named_network(options: argparse.Namespace) -> Trained:
    if (options.folder is None) == (options.checkpoint is None):
        raise ConfigError("name a run folder or a --checkpoint, one of the two")
    if options.folder is not None and options.config is not None:
        raise ConfigError("--config is for --checkpoint; a run folder has its own config")
    if options.folder is not None:
        return of_run(options.folder, device(options.device))
    return of_checkpoint(options.checkpoint, options.config, device(options.device))


def device(name: str) -> torch.device:
    """Raises ConfigError where CUDA is wished for and absent."""
    if name == "cuda" and not torch.cuda.is_available():
        raise ConfigError("there is no CUDA device here; leave --device out, or take --device cpu")
    return torch.device("cuda" if name != "cpu" and torch.cuda.is_available() else "cpu")


def on_disk(written: str) -> Path:
    """A path as configs have it: below /data it means below DATA_ROOT."""
    path, root = Path(written), Path(os.environ.get("DATA_ROOT") or "/data")
    return root / path.relative_to("/data") if path.is_relative_to("/data") else path


def make_room(*outputs: Path | None) -> None:
    """Makes the folders of files to be written, before anything is computed; raises ConfigError."""
    for path in outputs:
        if path is None:
            continue
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            reason = (
                "its folder is a file" if isinstance(error, FileExistsError) else error.strerror
            )
            raise ConfigError(
                f"cannot write {path}: {reason}; name a file in another folder"
            ) from error
        if path.is_dir():
            raise ConfigError(f"cannot write {path}: it is a folder; name a file")
        if not os.access(path.parent, os.W_OK):
            raise ConfigError(
                f"cannot write {path}: its folder is write-protected; name a file in another one"
            )


def scored(
    trained: Trained, data: Path, split: str | None, options: argparse.Namespace, labelled: bool
) -> ScoreFile:
    """The network's scores on a split, None for all samples of the file; raises TrainerError."""
    config = trained.config
    clips, batch = (
        options.clips or config.data.test_clips or 10,
        options.batch or config.data.videos_per_gpu,
    )
    if not data.is_file():
        raise DataError(f"there is no data file {data}; name one with --data")
    samples = load_dataset(config, data, split, clips, labelled)
    if not len(samples):
        raise DataError(f"{data} has no samples; name another file")
    loader = make_loader(
        samples, config.data.model_copy(update={"videos_per_gpu": batch}), seed=None
    )
    with memory_advice(smaller(clips, batch), kept=""):
        result = score(trained.model, loader, between=counter(len(loader)))
    about = About(config.modality, split, clips, str(trained.checkpoint), str(data))
    return ScoreFile(result.scores, result.labels, samples.samples.names, about)


def smaller(clips: int, batch: int) -> str:
    """What makes scoring `clips` of each sample, `batch` clips at once at the most, need less memory."""
    if batch // clips > 1:
        return f"halve --batch ({batch} -> {batch // 2})"
    if clips > 1:
        return f"halve --clips ({clips} -> {clips // 2}), or take --device cpu"
    return "one clip does not fit; take --device cpu, or a machine with more memory"


def counter(batches: int) -> Callable[[], None]:
    """Says on a terminal how far it is: ten clips of a large split take their time."""
    done = itertools.count(1)

    def count() -> None:
        number = next(done)
        if sys.stderr.isatty():
            print(
                f"\rbatch {number} of {batches}",
                end="\n" if number == batches else "",
                file=sys.stderr,
                flush=True,
            )

    return count
