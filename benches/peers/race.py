#!/usr/bin/env python3
"""Races nntrain against the frameworks that a user would pick instead, on this machine.

    cargo build --release && python3 benches/peers/race.py --install --data DIR

DIR holds `mnist/` with its four files. `--install` makes one virtual environment per framework
under benches/peers/.env (one to two minutes each); without it, frameworks that are not there are
left out. Contestants run in turn, `--rounds` times over, and the best of each counts: what else a
shared machine does then hurts nobody in particular. Prints tables in Markdown.
"""
import argparse
import datetime
import json
import os
import pathlib
import platform
import subprocess
import sys
import tempfile
import time

HERE = pathlib.Path(__file__).resolve().parent
ROOT = HERE.parents[1]

# Name, environment, packages, script and its options.
PEERS = [
    ("PyTorch", "pytorch", ["torch", "numpy", "pandas"], ["run_pytorch.py"]),
    ("PyTorch, channels last", "pytorch", [], ["run_pytorch.py", "--channels-last"]),
    ("PyTorch, compiled", "pytorch", [], ["run_pytorch.py", "--compile"]),
    ("Keras, TensorFlow", "keras", ["tensorflow-cpu", "pandas"], ["run_keras.py"]),
    ("JAX, jit", "jax", ["jax[cpu]", "optax", "pandas"], ["run_jax.py"]),
]
NUMPY = ("NumPy by hand", "pytorch", [], ["run_numpy.py"])

# What nntrain must reach against the best peer.
TRAIN = {"mlp_mnist": 1.3, "cnn_mnist": 2.0, "cnn_mnist_onehot": 2.0, "resnet20_cifar10": 1.3,
         "lstm_mnist": 1.3, "vit_mnist": 1.5}

# Rows of the CSV that is predicted.
ROWS = 20_000


def environment(name):
    return HERE / ".env" / name / "bin" / "python"


def install():
    for _, name, packages, _ in PEERS:
        if packages and not environment(name).exists():
            print(f"installing {name} ...", file=sys.stderr)
            folder = HERE / ".env" / name
            subprocess.run([sys.executable, "-m", "venv", folder], check=True)
            subprocess.run([folder / "bin" / "pip", "install", "--quiet", *packages], check=True)


def on_cpus(threads):
    """All contestants, and whatever threads they start, share the same processors."""
    if hasattr(os, "sched_setaffinity"):
        os.sched_setaffinity(0, set(sorted(os.sched_getaffinity(0))[:threads]))


class Race:
    def __init__(self, options, scratch):
        self.options, self.scratch = options, scratch
        self.peers = [p for p in PEERS if environment(p[1]).exists() and not self.skipped(p[0])]
        self.make_images()
        self.rows = scratch / "rows.csv"

    def skipped(self, name):
        return any(word in name for word in self.options.without)

    def make_images(self):
        """Random images in CIFAR-10's format: the time of a step does not depend on what they show."""
        folder = self.scratch / "cifar10"
        folder.mkdir()
        for name, count in [*((f"data_batch_{i}", 512) for i in range(1, 6)), ("test_batch", 512)]:
            rows = bytearray(os.urandom(count * 3073))
            rows[::3073] = bytes(value % 10 for value in rows[::3073])
            (folder / f"{name}.bin").write_bytes(rows)

    def make_rows(self):
        """Random pixels in CSV, a row for each image of MNIST's size."""
        head = ",".join(f"pixel_{row}_{column}" for row in range(28) for column in range(28))
        with self.rows.open("w") as file:
            file.write(head + "\n")
            for _ in range(ROWS):
                file.write(",".join(map(str, os.urandom(784))) + "\n")

    def nntrain(self, *arguments):
        command = [self.options.nntrain, *arguments, "--threads", str(self.options.threads)]
        start = time.perf_counter()
        subprocess.run(command, check=True, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        return time.perf_counter() - start

    def data_of(self, config):
        return str(self.scratch if config.startswith("resnet") else self.options.data)

    def fit(self, config, *arguments):
        run = self.scratch / "run"
        places = ["--data-dir", self.data_of(config), "--run-dir", str(run), "--overwrite", "--verbose", "0"]
        seconds = self.nntrain("fit", str(ROOT / "configs" / f"{config}.toml"), *places, *arguments)
        return run, seconds

    def train_rate(self, config):
        """Samples per second of the best epoch after the first."""
        run, _ = self.fit(config, "--epochs", "3")
        rows = (run / "history.csv").read_text().split()[2:]
        return max(float(row.split(",")[-1]) for row in rows)

    def eval_rate(self, config):
        """One pass over the training part; reading files does not count."""
        run, _ = self.fit(config, "--epochs", "0")
        command = [self.options.nntrain, "eval", run, "--split", "train", "--time", "--json"]
        command += ["--data-dir", self.data_of(config), "--threads", str(self.options.threads)]
        said = subprocess.run(command, check=True, capture_output=True, text=True).stderr
        return float(said.split(" samples/s")[0].split()[-1])

    def predict_rate(self, config):
        """A CSV read, judged and written again, the start of the process included."""
        run, _ = self.fit(config, "--epochs", "0")
        return ROWS / self.nntrain("predict", str(run), str(self.rows))

    def peer(self, peer, config, task="train"):
        script, *flags = peer[3]
        command = [environment(peer[1]), HERE / script, config, "--task", task, *flags]
        command += ["--threads", str(self.options.threads)]
        environ = {**os.environ, "NNTRAIN_DATA": str(self.options.data), "RACE_ROWS": str(self.rows)}
        start = time.perf_counter()
        done = subprocess.run(command, env=environ, capture_output=True, text=True)
        seconds = time.perf_counter() - start
        if done.returncode != 0:
            print(f"{peer[0]} on {config}: {done.stderr.strip().splitlines()[-1]}", file=sys.stderr)
            return None, None, None
        result = json.loads(done.stdout.splitlines()[-1])
        return result["samples_per_second"], seconds, result["peak_mb"]

    def rates(self, config, task):
        """Best of all rounds by contestant."""
        best = {}
        own = {"train": self.train_rate, "eval": self.eval_rate, "predict": self.predict_rate}[task]
        for _ in range(self.options.rounds):
            contestants = [("nntrain", lambda: own(config))]
            for peer in self.peers:
                if not (config in ("mlp_mnist", "vit_mnist") and "channels" in peer[0]):
                    contestants.append((peer[0], lambda peer=peer: self.peer(peer, config, task)[0]))
            for name, run in contestants:
                rate = run()
                print(f"{config} {task} {name}: {rate and round(rate)}", file=sys.stderr)
                best[name] = max(best.get(name) or 0, rate or 0)
        return best

    def whole_process(self, config, *arguments):
        """Least seconds from start to exit by contestant."""
        best = {}
        peers = [*([NUMPY] if config == "house_prices" and environment("pytorch").exists() else []), *self.peers]
        peers = [p for p in peers if len(p[3]) == 1]
        for _ in range(self.options.rounds):
            contestants = [("nntrain", lambda: self.fit(config, *arguments)[1])]
            for peer in peers:
                slow = config == "house_prices" and "Keras" in peer[0]
                if not (slow and peer[0] in best):
                    contestants.append((peer[0], lambda peer=peer: self.peer(peer, config)[1]))
            for name, run in contestants:
                seconds = run()
                print(f"{config} process {name}: {seconds and round(seconds, 3)}", file=sys.stderr)
                if seconds:
                    best[name] = min(best.get(name, seconds), seconds)
        return best


def table(head, rows):
    print("| " + " | ".join(head) + " |\n|" + "---|" * len(head))
    for row in rows:
        print("| " + " | ".join(row) + " |")
    print()


WHAT = {
    "train": "training",
    "eval": "evaluation",
    "predict": "prediction: a CSV read, judged and written, with nntrain's start but not the others'",
}


def rate_table(race, task, configs):
    names = [peer[0] for peer in race.peers]
    rows = []
    for config in configs:
        best = race.rates(config, task)
        others = {name: best.get(name, 0) for name in names}
        strongest = max(others, key=others.get, default=None)
        ratio = f"{best['nntrain'] / others[strongest]:.2f}" if strongest and others[strongest] else "-"
        cells = [f"{others[name]:,.0f}" if others[name] else "-" for name in names]
        rows.append([config, f"**{best['nntrain']:,.0f}**", *cells, f"**{ratio}**", f"{TRAIN[config]}"])
    print(f"Samples per second, {WHAT[task]}:\n")
    table(["config", "nntrain", *names, "ratio to the best peer", "wanted"], rows)


def process_table(race):
    first_step = ["--epochs", "1", "--set", "training.batch_size=2000"]
    rows = []
    for config, what, arguments in [
        ("house_prices", "house_prices, 2,000 epochs", []),
        ("cnn_digits", "cnn_digits, up to the first step", first_step),
    ]:
        best = race.whole_process(config, *arguments)
        rows.append([what, *(f"{name} {seconds:.3f}" for name, seconds in best.items())])
    width = max(len(row) for row in rows)
    print("Seconds of the whole process:\n")
    table(["what", *[""] * (width - 1)], [row + [""] * (width - len(row)) for row in rows])


def memory(race):
    """Most resident memory of a training run, in MB."""
    command = [sys.executable, "-c", PEAK, race.options.nntrain, "fit", str(ROOT / "configs/cnn_mnist.toml")]
    command += ["--epochs", "1", "--data-dir", str(race.options.data), "--run-dir", str(race.scratch / "peak")]
    peak = subprocess.run([*command, "--verbose", "0"], check=True, capture_output=True, text=True).stdout
    cells = [f"nntrain {float(peak):.0f}"]
    cells += [f"{p[0]} {race.peer(p, 'cnn_mnist')[2] or 0:.0f}" for p in race.peers if len(p[3]) == 1]
    print("Peak memory of a cnn_mnist run, MB: " + ", ".join(cells) + "\n")


TASKS = [*WHAT, "process", "memory"]

PEAK = """
import resource, subprocess, sys
subprocess.run(sys.argv[1:], check=True, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
print(resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss / 1024)
"""


def versions(race):
    ask = "import importlib.metadata as m; print(' '.join(f'{p} {m.version(p)}' for p in %r))"
    for name, packages in {p[1]: [w.split("[")[0] for w in p[2]] for p in PEERS if p[2]}.items():
        if environment(name).exists():
            yield subprocess.run(
                [environment(name), "-c", ask % packages], capture_output=True, text=True
            ).stdout.strip()


def machine():
    try:
        lines = pathlib.Path("/proc/cpuinfo").read_text().splitlines()
        return next(line.split(":")[1].strip() for line in lines if line.startswith("model name"))
    except (OSError, StopIteration):
        return platform.processor() or platform.machine()


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=pathlib.Path, default=os.environ.get("NNTRAIN_DATA", ROOT / "data"))
    parser.add_argument("--nntrain", default=str(ROOT / "target/release/nntrain"))
    parser.add_argument("--install", action="store_true", help="install the frameworks first")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--configs", nargs="*", choices=list(TRAIN), default=list(TRAIN))
    parser.add_argument("--tasks", nargs="*", choices=TASKS, default=TASKS)
    parser.add_argument("--without", nargs="*", default=[], help="leave out peers whose name has this word")
    options = parser.parse_args()
    options.data = pathlib.Path(options.data).resolve()
    if options.install:
        install()
    on_cpus(options.threads)
    with tempfile.TemporaryDirectory() as scratch:
        race = Race(options, pathlib.Path(scratch))
        print(f"{machine()}, {options.threads} threads; {datetime.date.today()}; best of {options.rounds} in turn; "
              + ", ".join(versions(race)) + "\n")
        for task in (task for task in WHAT if task in options.tasks):
            if task == "predict":
                race.make_rows()
            # The rows of the table are images of MNIST.
            configs = [c for c in options.configs if task != "predict" or c.endswith(("mnist", "onehot"))]
            rate_table(race, task, configs)
        if "process" in options.tasks:
            process_table(race)
        if "memory" in options.tasks:
            memory(race)


if __name__ == "__main__":
    main()
