"""`report`: the page of a run, also of one that is unfinished or broken."""

import argparse
from pathlib import Path
from typing import Any

from proto_gcn.commands import network_options as asked
from proto_gcn.data.dataset import load_dataset
from proto_gcn.engine.device import memory_advice, smaller_evaluation
from proto_gcn.engine.run_folder import RunFolder
from proto_gcn.engine.trained import of_run


def add_to(commands: Any) -> None:
    text = "Writes report.html into a run folder: curves, confusion matrix, classes, topology, machine, settings."
    parser = commands.add_parser("report", help="the page of a run, report.html", description=text)
    parser.add_argument("folder", type=Path, help="the run folder, WORK_DIR/runs/JOB_ID")
    parser.add_argument("--out", type=Path, help="where to write it (FOLDER/report.html)")
    parser.add_argument(
        "--evaluate",
        action="store_true",
        help="score the best checkpoint first, on val_split with val_clips",
    )
    parser.add_argument(
        "--class-names", type=Path, help="a text file with the name of one class a line"
    )
    parser.add_argument(
        "--device", choices=("auto", "cpu", "cuda"), default="auto", help="where to evaluate (auto)"
    )
    parser.set_defaults(run=run)


def run(options: argparse.Namespace) -> None:
    """Evaluates where wanted, writes the page; raises TrainerError."""
    from proto_gcn.report.at_end import (  # matplotlib takes a second to import
        score_run,
        write_report,
    )
    from proto_gcn.report.run_data import check_is_run

    folder, out = RunFolder(options.folder), options.out or options.folder / "report.html"
    check_is_run(folder)
    asked.make_room(out)
    if options.evaluate:
        trained = of_run(folder.path, asked.device(options.device))
        data = trained.config.data
        samples = load_dataset(
            trained.config,
            asked.on_disk(data.ann_file),
            data.val_split,
            data.val_clips,
            labelled=True,
        )
        smaller = smaller_evaluation("val_clips", data.val_clips, data.videos_per_gpu)
        with memory_advice(f"{smaller}, in {folder.config}", kept=""):
            score_run(folder, trained, samples)
    write_report(options.folder, out, options.class_names)
    print(f"wrote {out}")
