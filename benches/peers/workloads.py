"""What the peers' scripts share: data, sizes, and how a result is printed.

Every script is called `SCRIPT WORKLOAD [--task train|eval|predict] [--epochs N] [--threads N] [...]` and
prints one line of JSON: `{"samples_per_second": best epoch after the first, "peak_mb": ...}`.
The loops are as fast as a user would write them: data in memory, shuffled each epoch, no logging.
"""
import argparse
import gzip
import json
import os
import pathlib
import resource
import time

import numpy as np

# Batch size, and samples of an epoch: enough for a second or more on every peer.
SIZES = {
    "mlp_mnist": (32, 60_000),
    "cnn_mnist": (32, 12_800),
    "cnn_mnist_onehot": (200, 12_800),
    "resnet20_cifar10": (128, 2_560),
    "lstm_mnist": (128, 12_800),
    "vit_mnist": (128, 25_600),
}
EVAL_BATCH = 256


def arguments():
    parser = argparse.ArgumentParser()
    parser.add_argument("workload", choices=[*SIZES, "house_prices", "cnn_digits"])
    parser.add_argument("--task", choices=["train", "eval", "predict"], default="train")
    parser.add_argument("--epochs", type=int, default=3)
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--channels-last", action="store_true")
    parser.add_argument("--compile", action="store_true")
    return parser.parse_args()


def idx(path):
    """An IDX file of bytes, plain or .gz."""
    if path.exists():
        raw = path.read_bytes()
    else:
        raw = gzip.open(f"{path}.gz").read()
    dims = raw[3]
    shape = [int.from_bytes(raw[4 + 4 * i : 8 + 4 * i], "big") for i in range(dims)]
    return np.frombuffer(raw, np.uint8, offset=4 + 4 * dims).reshape(shape)


def samples(workload):
    """Images [N, H, W, C] of float32 in 0..1 and classes [N] of int64."""
    if workload == "resnet20_cifar10":
        random = np.random.default_rng(0)
        count = SIZES[workload][1]
        return random.random((count, 32, 32, 3), np.float32), random.integers(0, 10, count)
    folder = pathlib.Path(os.environ["NNTRAIN_DATA"]) / "mnist"
    images = idx(folder / "train-images-idx3-ubyte").astype(np.float32)[..., None] / 255
    return images, idx(folder / "train-labels-idx1-ubyte").astype(np.int64)


def houses():
    """Standardised size and age, and price."""
    path = pathlib.Path(__file__).parents[2] / "data/houses.csv"
    table = np.loadtxt(path, delimiter=",", skiprows=1, dtype=np.float32)
    table = (table - table.mean(0)) / table.std(0)
    return table[:, :-1], table[:, -1:]


def epoch_orders(workload, count, epochs):
    """Whole batches of a new shuffle for each epoch: [steps, batch]."""
    batch, length = SIZES[workload]
    random = np.random.default_rng(1)
    for _ in range(epochs):
        order = random.permutation(count)[: min(length, count)]
        yield order[: len(order) // batch * batch].reshape(-1, batch)


def report(rates=(), **more):
    """Prints the result: the best of the epochs after the first."""
    best = max(rates[1:] or rates, default=None)
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    print(json.dumps({"samples_per_second": best, "peak_mb": peak, **more}))


class Clock:
    """Samples per second of each epoch."""

    def __init__(self):
        self.rates = []

    def epoch(self, samples, run):
        start = time.perf_counter()
        run()
        self.rates.append(samples / (time.perf_counter() - start))


def predict(options, judge):
    """Reads the CSV that `RACE_ROWS` names, an image of bytes in each row, and writes a CSV of the classes that
    `judge` finds for images [N, 28, 28, 1] of float32 in 0..1."""
    # The other races count imports, and need none of this.
    import pandas

    file, clock = os.environ["RACE_ROWS"], Clock()

    def read():
        return pandas.read_csv(file, dtype=np.float32).to_numpy().reshape(-1, 28, 28, 1) / 255

    def whole_file():
        pandas.DataFrame({"prediction": judge(read())}).to_csv(file + ".predicted", index=False)

    count = len(read())
    for _ in range(options.epochs):
        clock.epoch(count, whole_file)
    report(clock.rates)
