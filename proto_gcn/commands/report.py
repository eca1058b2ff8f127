"""`report` writes the page of a run, also of one that is unfinished or broken."""

import argparse
from pathlib import Path
from typing import Any

from proto_gcn.commands import network_options
from proto_gcn.data.dataset import load_dataset
from proto_gcn.engine.device import memory_advice, smaller_evaluation
from proto_gcn.engine.run_folder import RunFolder
from proto_gcn.engine.trained import of_run

TEXT = (
    "Writes report.html into a run folder: curves, confusion matrix, classes, topology, "
    "use of the machine, settings."
)


def add_to(commands: Any) -> None:
    """Add the command and its options to the parser."""
    parser = commands.add_parser("report", help="the page of a run, report.html", description=TEXT)
    add = parser.add_argument
    add("folder", type=Path, help="run folder (WORK_DIR/runs/JOB_ID)")
    add("--out", type=Path, help="file to write (default: FOLDER/report.html)")
    evaluate = "score the best checkpoint first, on val_split with val_clips"
    add("--evaluate", action="store_true", help=evaluate)
    add("--class-names", type=Path, help="text file with one class name per line")
    devices = network_options.DEVICES
    add("--device", choices=devices, default="auto", help="where to evaluate (default: auto)")
    parser.set_defaults(run=run)


def run(options: argparse.Namespace) -> None:
    """Evaluate if requested, then write the page; raises TrainerError."""
    from proto_gcn.report.run_data import check_is_run  # importing matplotlib takes a second
    from proto_gcn.report.writer import write_report

    folder, out = RunFolder(options.folder), options.out or options.folder / "report.html"
    check_is_run(folder)
    network_options.prepare_outputs(out)
    if options.evaluate:
        _evaluate(folder, options.device)
    write_report(options.folder, out, options.class_names)
    print(f"wrote {out}")


def _evaluate(folder: RunFolder, device: str) -> None:
    from proto_gcn.report.writer import score_run

    trained = of_run(folder.path, network_options.choose_device(device))
    data = trained.config.data
    path = network_options.on_disk(data.ann_file)
    samples = load_dataset(trained.config, path, data.val_split, data.val_clips, labelled=True)
    smaller = smaller_evaluation("val_clips", data.val_clips, data.videos_per_gpu)
    with memory_advice(f"{smaller}, in {folder.config}", kept=""):
        score_run(folder, trained, samples)
