"""Shared helpers: specifications as dicts, their TOML text, tensors as JSON."""

import json
import os

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
os.environ.setdefault("KERAS_BACKEND", "tensorflow")
os.environ.setdefault("CUDA_VISIBLE_DEVICES", "-1")
os.environ.setdefault("TF_ENABLE_ONEDNN_OPTS", "0")

import keras
import numpy as np
import tensorflow as tf

keras.config.set_floatx("float64")



def exact(function):
    """Wraps a TensorFlow conversion so that a bare Python float stays a float64.

    TensorFlow makes it a float32 first, whatever floatx is. Keras sends its
    hyper-parameters (beta_2, epsilon, a learning rate, ...) through these
    conversions, so that even in a float64 model they would be good to seven
    digits only: 1 - beta_2 = 0.001 would be off by 1e-5 of itself.
    """
    def wrapped(value, *args, **kwargs):
        return function(np.float64(value) if isinstance(value, float) else value, *args, **kwargs)

    return wrapped


tf.convert_to_tensor = exact(tf.convert_to_tensor)
tf.cast = exact(tf.cast)

HERE = os.path.dirname(os.path.abspath(__file__))
VERSIONS = {
    "keras": keras.__version__,
    "tensorflow": tf.__version__,
    "numpy": np.__version__,
}


# --- specifications ---------------------------------------------------------
#
# A specification is a plain dict {"type": ..., option: value, ...}. It is both
# written out as TOML and turned into the Keras object, so that the two cannot
# drift apart. An option that is None is left out of the TOML, which has no
# null; None is passed on to Keras, of whose options it is the default.

def toml_value(value):
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, str):
        return json.dumps(value)
    if isinstance(value, (int, float)):
        return repr(value)
    if isinstance(value, (list, tuple)):
        return "[" + ", ".join(toml_value(item) for item in value) + "]"
    if isinstance(value, dict):
        pairs = (f"{k} = {toml_value(v)}" for k, v in value.items() if v is not None)
        return "{ " + ", ".join(pairs) + " }"
    raise TypeError(f"no TOML for {value!r}")


def toml(spec):
    """The dict as TOML text, one key per line; inner dicts as inline tables."""
    return "\n".join(f"{k} = {toml_value(v)}" for k, v in spec.items() if v is not None)


def label(spec, *extra):
    """A short readable case name made of the specification's options."""
    def short(value):
        if isinstance(value, (list, tuple)):
            return "[" + ",".join(short(item) for item in value) + "]"
        if isinstance(value, dict):
            return value["type"]
        return str(value)

    parts = [spec["type"]]
    parts += [f"{k}={short(v)}" for k, v in spec.items() if k != "type"]
    return " ".join(parts + [str(item) for item in extra if item])


def options(spec):
    """The keyword arguments for Keras: everything except the type."""
    return {k: v for k, v in spec.items() if k != "type"}


# TensorFlow keeps a float32 constant inside these two functions even for float64
# inputs (the slope of leaky_relu, the root of two of gelu). Cases that use them
# say so by an absolute "tolerance"; all others are good to the digits written.
SINGLE_INSIDE = {"leaky_relu", "gelu"}
SINGLE_TOLERANCE = 1e-6


def tolerance(spec):
    """{"tolerance": ...} for the cases that are not exact, else nothing."""
    leaky = spec["type"] == "LeakyReLU" or (spec["type"] == "ReLU" and spec.get("negative_slope"))
    single = leaky or not SINGLE_INSIDE.isdisjoint([spec["type"], spec.get("activation")])
    return {"tolerance": SINGLE_TOLERANCE} if single else {}


# --- numbers ----------------------------------------------------------------

def tensor(value):
    """{"shape", "data"} of an array, row-major; integers stay integers."""
    array = np.asarray(value)
    return {"shape": list(array.shape), "data": numbers(array)}


DIGITS = 12


def numbers(value):
    """Flat list of Python numbers, rounded to DIGITS significant digits.

    Inputs are drawn with few decimals (see Draw), so that rounding leaves them
    exactly as Keras saw them.
    """
    flat = np.asarray(value).reshape(-1)
    if flat.dtype.kind in "bui":
        return [int(v) for v in flat]
    flat = [float(v) for v in flat]
    # JSON has no infinities; none of the stored values should be one.
    assert all(np.isfinite(v) for v in flat), "not finite"
    flat = [float(f"{v:.{DIGITS}g}") for v in flat]
    return [int(v) if v == int(v) and abs(v) < 1e6 else v for v in flat]


def scalar(value):
    return numbers(value)[0]


class Draw:
    """Seeded random inputs with few decimals, which keeps the JSON short."""

    def __init__(self, seed):
        self.rng = np.random.default_rng(seed)

    def normal(self, shape, scale=1.0, decimals=3):
        return np.round(self.rng.normal(0.0, scale, shape), decimals)

    def uniform(self, shape, low=0.0, high=1.0, decimals=3):
        return np.round(self.rng.uniform(low, high, shape), decimals)

    def integers(self, shape, high):
        return self.rng.integers(0, high, shape)

    def one_hot(self, shape, classes):
        return np.eye(classes)[self.integers(shape, classes)]

    def distribution(self, shape, decimals=3):
        """Rows over the last axis that are positive and sum to one."""
        raw = self.rng.uniform(0.05, 1.0, shape)
        rows = np.round(raw / raw.sum(-1, keepdims=True), decimals)
        rows[..., -1] = np.round(1.0 - rows[..., :-1].sum(-1), decimals)
        return rows

    def weight(self, name, shape):
        """A value for the Keras variable of this name."""
        if name == "moving_variance":
            return self.uniform(shape, 0.4, 1.6)
        if name == "gamma":
            return self.uniform(shape, 0.5, 1.5)
        if name == "alpha":
            return self.uniform(shape, 0.05, 0.5)
        return self.normal(shape, 0.5)


# --- files ------------------------------------------------------------------

def write(name, cases, **head):
    """Writes HERE/name: the head fields, then one case per line."""
    names = [case["name"] for case in cases if "name" in case]
    doubles = {n for n in names if names.count(n) > 1}
    assert not doubles, f"{name}: case names used twice: {doubles}"

    def line(value):
        return json.dumps(value, separators=(",", ":"), allow_nan=False)

    with open(os.path.join(HERE, name), "w", encoding="utf-8") as out:
        out.write("{\n")
        for key, value in {**VERSIONS, **head}.items():
            out.write(f"{line(key)}: {line(value)},\n")
        out.write('"cases": [\n')
        out.write(",\n".join(line(case) for case in cases))
        out.write("\n]\n}\n")
    print(f"{name}: {len(cases)} cases, {os.path.getsize(os.path.join(HERE, name))} bytes", flush=True)
