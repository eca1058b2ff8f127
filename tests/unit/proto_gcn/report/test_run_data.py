"""The data that a report reads of a run, and the numbers behind its curves and pairs."""

import json
import math
from pathlib import Path

import numpy as np

from proto_gcn.report.curves import POINTS, thinned
from proto_gcn.report.run_data import read_run
from proto_gcn.report.topology import strongest_pairs
from tests.unit.proto_gcn.run_folders import at, make_run_folder


def test_an_epoch_that_was_trained_again_counts_once(tmp_path: Path) -> None:
    folder = make_run_folder(tmp_path / "r", classes=2, epochs=3, samples=4)
    with (folder / "metrics.jsonl").open("a") as file:
        file.write(json.dumps({"kind": "epoch", "at": at(9), "epoch": 3, "loss": 0.5}) + "\n")
    epochs = read_run(folder).epochs
    assert [epoch["epoch"] for epoch in epochs] == [1, 2, 3]
    assert epochs[-1]["loss"] == 0.5


def test_a_quantity_that_appears_later_was_unknown_before(tmp_path: Path) -> None:
    folder = make_run_folder(tmp_path / "r", classes=2, epochs=1, samples=4, hours=0)
    with (folder / "metrics.jsonl").open("a") as file:
        for seconds, cpu, gpus in (
            (0, None, []),
            (3600, 7.0, [{"index": 1, "utilization_percent": 50}]),
        ):
            file.write(
                json.dumps(
                    {"kind": "telemetry", "at": at(seconds), "cpu_percent": cpu, "gpus": gpus}
                )
                + "\n"
            )
    machine = read_run(folder).machine
    assert machine.hours == [0, 1]
    assert machine.curves["CPU %"][1] == machine.curves["GPU 1 %"][1] / 50 * 7 == 7
    assert math.isnan(machine.curves["CPU %"][0])
    assert math.isnan(machine.curves["GPU 1 %"][0])


def test_long_curves_are_means_over_equal_spans_with_gaps() -> None:
    hours = np.concatenate([np.arange(5000) / 1000, 95 + np.arange(5000) / 1000])
    values = np.where(np.arange(10000) % 2, 10.0, 20.0)
    values[:2500] = np.nan
    at_hours, means = thinned(hours, values)
    assert len(at_hours) == len(means) == POINTS
    assert np.isnan(means[: POINTS // 50]).all()
    assert np.isnan(means[POINTS // 10 : POINTS * 9 // 10]).all()
    np.testing.assert_allclose(means[-10:], 15, atol=0.5)


def test_the_strongest_pairs_average_both_directions() -> None:
    matrix = np.zeros((4, 4))
    matrix[0, 0], matrix[1, 2], matrix[2, 1], matrix[3, 0] = 99, 3, 1, -5
    assert strongest_pairs(matrix, 2) == [(0, 3, -2.5), (1, 2, 2.0)]
