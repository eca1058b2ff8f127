"""Measure the samples per second of one loader worker in training, with every stream."""

import time

import numpy as np

from benchmarks.result import Result
from proto_gcn.config.train import TrainConfig
from proto_gcn.data.dataset import Loader, SkeletonDataset, make_loader
from proto_gcn.data.packed import PackedArrays
from proto_gcn.data.pipeline import make_pipeline
from proto_gcn.data.samples import Samples

STREAMS = "j", "b", "k", "jm", "bm", "km"
SAMPLES, ROUNDS, TARGET = 4096, 5, 2
#: Frames, about as NTU60's: log-normal, 85 in the mean.
MEAN, SPREAD, SHORTEST, LONGEST = 80, 0.4, 30, 300
TWO_PERSONS = 0.2


def rates() -> list[Result]:
    """Return the best of the rounds for each stream; all streams take turns in a round."""
    samples = ntu_like()
    loaders = {stream: loader(samples, stream) for stream in STREAMS}
    seen: dict[str, list[float]] = {stream: [] for stream in STREAMS}
    for _ in range(1 + ROUNDS):  # the first forks the workers
        for stream, batches in loaders.items():
            seen[stream].append(rate(batches))
    about = "loader, one worker, training, stream"
    best = {stream: max(found[1:]) / 1000 for stream, found in seen.items()}
    return [
        Result(f"{about} {stream}", value, "thousand samples/s", TARGET, "≥")
        for stream, value in best.items()
    ]


def ntu_like() -> Samples:
    """Return float16 samples with one person in four of five."""
    generator = np.random.default_rng(0)
    lengths = np.clip(generator.lognormal(np.log(MEAN), SPREAD, SAMPLES), SHORTEST, LONGEST).astype(
        int
    )
    persons = 1 + (generator.random(SAMPLES) < TWO_PERSONS)
    shapes = ((m, t, 25, 3) for m, t in zip(persons.tolist(), lengths.tolist(), strict=True))
    stored = make_pipeline(config("j"), None).stored
    keypoints = PackedArrays(
        stored(generator.normal(0, 1, shape).astype(np.float16)) for shape in shapes
    )
    none = np.zeros(SAMPLES, np.int64)
    return Samples([str(number) for number in range(SAMPLES)], none, none, keypoints)


def config(stream: str) -> TrainConfig:
    """Return the published config for NTU60 X-Sub, with one worker."""
    return TrainConfig.model_validate(
        {"modality": stream, "data": {"ann_file": "ntu.pkl", "workers_per_gpu": 1}}
    )


def loader(samples: Samples, stream: str) -> Loader:
    chosen = config(stream)
    return make_loader(SkeletonDataset(samples, chosen), chosen.data, seed=0)


def rate(batches: Loader) -> float:
    begin = time.perf_counter()
    count = sum(len(labels) for _, labels in batches)
    return count / (time.perf_counter() - begin)


if __name__ == "__main__":
    for result in rates():
        print(f"{result.name}: {result.value:.2f} {result.unit}")
