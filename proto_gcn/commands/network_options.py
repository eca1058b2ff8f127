"""This module holds the options that several commands share.

They name the network, the samples, the device and the files to write.
"""

import argparse
import itertools
import os
import sys
from collections.abc import Callable
from pathlib import Path

import torch

from proto_gcn.config.train import DataConfig
from proto_gcn.data.dataset import load_dataset, make_loader
from proto_gcn.engine.device import memory_advice
from proto_gcn.engine.trained import Trained, of_checkpoint, of_run
from proto_gcn.errors import ConfigError, DataError
from proto_gcn.evaluation.score_file import About, ScoreFile
from proto_gcn.evaluation.scoring import score

DEVICES = "auto", "cpu", "cuda"


def add_network_options(parser: argparse.ArgumentParser) -> None:
    """Add the options that name the network, the samples and the device."""
    add = parser.add_argument
    run_folder = "run folder (WORK_DIR/runs/JOB_ID), of which the best checkpoint is used"
    add("folder", type=Path, nargs="?", help=run_folder)
    add("--checkpoint", type=Path, help="a .pth file, ours or a published one, instead of a folder")
    add("--config", type=Path, help="config with which a published checkpoint was trained")
    add("--split", help="split to score (default: the config's val_split)")
    clips = "clips per sample (default: the config's test_clips, or 10)"
    add("--clips", type=positive, help=clips)
    add("--device", choices=DEVICES, default="auto", help="where to compute (default: auto)")
    add("--batch", type=positive, help="clips per batch (default: the config's videos_per_gpu)")
    add("--class-names", type=Path, help="text file with one class name per line")


def positive(text: str) -> int:
    """Read a whole number from 1 upwards."""
    if not text.isdecimal() or int(text) < 1:
        raise argparse.ArgumentTypeError(f"must be a whole number from 1 upwards, not {text!r}")
    return int(text)


def load_network(options: argparse.Namespace) -> Trained:
    """Load the network that the options name; prints remarks on its weights on stderr.

    Raises TrainerError.
    """
    found = _named_network(options)
    for remark in found.remarks:
        print(remark, file=sys.stderr)
    return found


def _named_network(options: argparse.Namespace) -> Trained:
    if (options.folder is None) == (options.checkpoint is None):
        raise ConfigError("name either a run folder or a --checkpoint")
    if options.folder is not None and options.config is not None:
        raise ConfigError("--config belongs to --checkpoint; a run folder has its own config")
    if options.folder is not None:
        return of_run(options.folder, choose_device(options.device))
    return of_checkpoint(options.checkpoint, options.config, choose_device(options.device))


def choose_device(name: str) -> torch.device:
    """Return the device; raises ConfigError if CUDA is requested but not available."""
    if name == "cuda" and not torch.cuda.is_available():
        raise ConfigError("no CUDA device is available; leave out --device or use --device cpu")
    return torch.device("cuda" if name != "cpu" and torch.cuda.is_available() else "cpu")


def on_disk(written: str) -> Path:
    """Return the path of a config's file: /data in a config means DATA_ROOT."""
    path, root = Path(written), Path(os.environ.get("DATA_ROOT") or "/data")
    return root / path.relative_to("/data") if path.is_relative_to("/data") else path


def prepare_outputs(*outputs: Path | None) -> None:
    """Make the folders of the files to write, before anything is computed; raises ConfigError."""
    for path in outputs:
        if path is not None:
            _prepare_output(path)


def _prepare_output(path: Path) -> None:
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        is_file = isinstance(error, FileExistsError)
        reason = "its folder is a file" if is_file else error.strerror
        raise ConfigError(
            f"cannot write {path}: {reason}; name a file in another folder"
        ) from error
    if path.is_dir():
        raise ConfigError(f"cannot write {path}: it is a folder; name a file")
    if not os.access(path.parent, os.W_OK):
        raise ConfigError(
            f"cannot write {path}: its folder is write-protected; name a file in another folder"
        )


def score_split(
    trained: Trained, data: Path, split: str | None, options: argparse.Namespace, labelled: bool
) -> ScoreFile:
    """Score a split, or all samples of the file for None; raises TrainerError."""
    config = trained.config
    if not data.is_file():
        raise DataError(f"there is no data file {data}; name one with --data")
    clips = options.clips or config.data.test_clips or 10
    batch = options.batch or config.data.videos_per_gpu
    samples = load_dataset(config, data, split, clips, labelled)
    if not len(samples):
        raise DataError(f"{data} has no samples; name another file")
    loader = make_loader(samples, _with_batch(config.data, batch), seed=None)
    with memory_advice(smaller(clips, batch), kept=""):
        result = score(trained.model, loader, between=progress_printer(len(loader)))
    about = About(config.modality, split, clips, str(trained.checkpoint), str(data))
    return ScoreFile(result.scores, result.labels, samples.samples.names, about)


def _with_batch(config: DataConfig, batch: int) -> DataConfig:
    return config.model_copy(update={"videos_per_gpu": batch})


def smaller(clips: int, batch: int) -> str:
    """Return what reduces the memory for scoring; a batch holds at most `batch` clips."""
    if batch // clips > 1:
        return f"halve --batch ({batch} -> {batch // 2})"
    if clips > 1:
        return f"halve --clips ({clips} -> {clips // 2}), or use --device cpu"
    return "one clip does not fit; use --device cpu, or a machine with more memory"


def progress_printer(batches: int) -> Callable[[], None]:
    """Return a function that prints on a terminal how many batches are done."""
    done = itertools.count(1)

    def show() -> None:
        number = next(done)
        if sys.stderr.isatty():
            end = "\n" if number == batches else ""
            print(f"\rbatch {number} of {batches}", end=end, file=sys.stderr, flush=True)

    return show
