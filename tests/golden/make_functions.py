"""activations.json, losses.json and initializers.json."""

import math

from common import Draw, keras, label, np, numbers, options, scalar, tensor, tf, tolerance, toml, write

# --- activations ------------------------------------------------------------

ELEMENT_WISE = [
    "relu", "relu6", "leaky_relu", "elu", "selu", "celu", "gelu", "silu", "mish", "softplus",
    "softsign", "tanh", "sigmoid", "hard_sigmoid", "hard_silu", "hard_tanh", "hard_shrink",
    "soft_shrink", "tanh_shrink", "squareplus", "sparse_plus", "sparse_sigmoid", "exponential",
    "log_sigmoid", "linear",
]
OVER_LAST_AXIS = ["softmax", "log_softmax", "sparsemax", "glu"]
NEEDS_ARGUMENTS = ["threshold"]

POINTS = [0.0] + [sign * x for x in (0.01, 0.3, 0.5, 0.51, 0.9, 1.0, 1.1, 2.4, 2.5, 2.9, 3.0, 3.1, 5.9, 6.0, 6.1, 12.0)
                  for sign in (-1, 1)]


def accepted_names():
    """Name -> names of the same function, over all that Keras accepts."""
    table = keras.src.activations.ALL_OBJECTS_DICT
    assert all(keras.activations.get(name) is fn for name, fn in table.items())
    return {name: sorted(other for other in table if table[other] is fn and other != name)
            for name, fn in sorted(table.items())}


def value_and_slope(function, x, cotangent=None):
    x = tf.constant(x)
    with tf.GradientTape() as tape:
        tape.watch(x)
        y = tf.identity(function(x))
    return y.numpy(), tape.gradient(y, x, output_gradients=cotangent).numpy()


def kinks(function, points, step=1e-7):
    """The points at which the slopes to the left and right differ."""
    left = value_and_slope(function, points - step)[1]
    right = value_and_slope(function, points + step)[1]
    return points[np.abs(left - right) > 1e-3 * np.maximum(1.0, np.abs(left))]


def activations():
    names = accepted_names()
    assert set(ELEMENT_WISE + OVER_LAST_AXIS + NEEDS_ARGUMENTS) | {"swish", "hard_swish"} == set(names)
    points = np.sort(np.array(POINTS))
    cases = []
    for name in ELEMENT_WISE:
        function = keras.activations.get(name)
        y, dy = value_and_slope(function, points)
        cases.append({"name": name, "aliases": names[name], "x": numbers(points), "y": numbers(y),
                      "dy": numbers(dy), "kinks": numbers(kinks(function, points)),
                      **tolerance({"type": name})})
    draw = Draw(21)
    x = np.concatenate([draw.normal((3, 6), 1.5), [[40.0, -40.0, 0.0, 1.0, 1.0, -3.0]]])
    for name in OVER_LAST_AXIS:
        function = keras.activations.get(name)
        cotangent = draw.normal(function(tf.constant(x)).shape)
        y, dx = value_and_slope(function, x, tf.constant(cotangent))
        cases.append({"name": name, "aliases": names[name], "input": tensor(x), "output": tensor(y),
                      "output_grad": tensor(cotangent), "input_grad": tensor(dx)})
    write("activations.json", cases, precision="float64", accepted_names=sorted(names),
          needs_arguments=NEEDS_ARGUMENTS)


# --- losses -----------------------------------------------------------------

def loss_class(name):
    special = {"kl_divergence": "KLDivergence"}
    camel = special.get(name) or "".join(part.capitalize() for part in name.split("_"))
    return getattr(keras.losses, camel)


def regression_losses(draw):
    kinds = [{"type": "mean_squared_error"}, {"type": "mean_absolute_error"},
             {"type": "huber"}, {"type": "huber", "delta": 0.5},
             {"type": "log_cosh"}, {"type": "cosine_similarity"}]
    for kind in kinds:
        for shape in [(4, 3), (2, 3, 2), (3, 1)]:
            yield kind, draw.normal(shape), draw.normal(shape, 1.5)
    # A gap of exactly delta, and of exactly nothing.
    yield {"type": "huber"}, np.array([[0.0, 1.0, 2.0]]), np.array([[1.0, 1.0, 4.5]])
    yield {"type": "mean_absolute_error"}, np.array([[0.0, 1.0, 2.0]]), np.array([[1.0, 1.0, 4.5]])
    yield {"type": "log_cosh"}, np.array([[0.0, 0.0, 0.0]]), np.array([[50.0, -50.0, 0.0]])
    for kind in ["mean_squared_error", "mean_absolute_error", "huber"]:
        yield {"type": kind}, draw.normal((4,)), draw.normal((4, 1))  # ranks that differ by one
    for kind in ["mean_absolute_percentage_error", "mean_squared_logarithmic_error", "poisson"]:
        for shape in [(4, 3), (2, 3, 2)]:
            yield {"type": kind}, draw.uniform(shape, 0.1, 3.0), draw.uniform(shape, 0.1, 3.0)
    signed = np.array([[-1.5, 0.5, 2.0], [0.25, -0.75, 1.0]])
    yield {"type": "mean_absolute_percentage_error"}, signed, draw.normal((2, 3))
    yield {"type": "mean_absolute_percentage_error"}, np.array([[0.0, 1.0, 2.0]]), np.array([[0.5, 1.0, 0.0]])
    yield {"type": "mean_squared_logarithmic_error"}, signed, draw.normal((2, 3))
    yield {"type": "poisson"}, np.array([[0.0, 1.0, 4.0]]), np.array([[0.5, 0.0, 2.0]])
    for shape in [(4, 3), (2, 3, 4)]:
        yield {"type": "kl_divergence"}, draw.distribution(shape), draw.distribution(shape)
    yield {"type": "kl_divergence"}, np.array([[0.0, 1.0], [0.5, 0.5]]), np.array([[0.3, 0.7], [1.0, 0.0]])


def hinge_losses(draw):
    for kind in ["hinge", "squared_hinge"]:
        for shape in [(4, 3), (2, 3, 2)]:
            yield {"type": kind}, draw.integers(shape, 2), draw.normal(shape)  # 0/1 labels
            yield {"type": kind}, 2 * draw.integers(shape, 2) - 1, draw.normal(shape)  # -1/1 labels
    for shape in [(4,), (2, 3)]:
        yield {"type": "categorical_hinge"}, draw.one_hot(shape, 3), draw.normal((*shape, 3))


def binary_losses(draw):
    edge_true = np.array([[0, 1, 0, 1], [0, 1, 1, 0]])
    edge_prob = np.array([[0.0, 0.0, 1.0, 1.0], [1e-8, 1 - 1e-8, 1e-7, 0.5]])
    edge_logit = np.array([[-50.0, -50.0, 50.0, 50.0], [800.0, 800.0, -800.0, 0.0]])
    kinds = [{"type": "binary_crossentropy", **keys} for keys in ({}, {"label_smoothing": 0.1})]
    kinds += [{"type": "binary_focal_crossentropy", **keys} for keys in (
        {}, {"gamma": 1.5}, {"apply_class_balancing": True}, {"apply_class_balancing": True, "alpha": 0.7, "gamma": 3.0},
        {"label_smoothing": 0.2})]
    for kind in kinds:
        logits = {**kind, "from_logits": True}
        for shape in [(4, 3), (4, 1), (2, 3, 2)]:
            yield kind, draw.integers(shape, 2), draw.uniform(shape, 0.02, 0.98)
        yield logits, draw.integers((4, 3), 2), draw.normal((4, 3), 2.0)
        yield logits, draw.integers((2, 3, 2), 2), draw.normal((2, 3, 2), 2.0)
        # gamma 1.5 would need the slope of (1 - p) ** 0.5 at p = 1
        if kind.get("gamma") != 1.5:
            yield kind, edge_true, edge_prob
            yield logits, edge_true, edge_logit
    yield {"type": "binary_crossentropy"}, draw.integers((4,), 2), draw.uniform((4, 1), 0.02, 0.98)
    yield {"type": "binary_crossentropy"}, draw.uniform((3, 2)), draw.uniform((3, 2), 0.02, 0.98)  # soft labels


def categorical_losses(draw):
    edge_prob = np.array([[0.0, 1.0, 0.0], [1.0, 0.0, 0.0], [1e-9, 0.5, 0.5], [0.2, 0.3, 0.5]])
    edge_logit = np.array([[60.0, -60.0, 0.0], [900.0, 0.0, -900.0], [0.0, 0.0, 0.0], [-1.0, 2.0, 0.5]])
    edge_index = np.array([0, 0, 0, 2])
    kinds = [{"type": "categorical_crossentropy", **keys} for keys in ({}, {"label_smoothing": 0.1})]
    kinds += [{"type": "categorical_focal_crossentropy", **keys} for keys in (
        {}, {"alpha": 0.6, "gamma": 3.0}, {"gamma": 1.0}, {"label_smoothing": 0.2})]
    for kind in kinds:
        logits = {**kind, "from_logits": True}
        for shape in [(4,), (2, 3)]:
            yield kind, draw.one_hot(shape, 3), draw.distribution((*shape, 3))
            yield logits, draw.one_hot(shape, 3), draw.normal((*shape, 3), 2.0)
        yield kind, draw.one_hot((4,), 3), draw.uniform((4, 3), 0.1, 1.0)  # rows that do not sum to one
        yield kind, draw.distribution((3, 4)), draw.distribution((3, 4))  # soft labels
        yield kind, np.eye(3)[edge_index], edge_prob
        yield logits, np.eye(3)[edge_index], edge_logit
    for keys in ({}, {"ignore_class": 1}):
        kind = {"type": "sparse_categorical_crossentropy", **keys}
        logits = {**kind, "from_logits": True}
        for shape in [(5,), (5, 1), (2, 3)]:
            out = (*shape[:1], 4) if shape[-1] == 1 else (*shape, 4)
            yield kind, draw.integers(shape, 4), draw.distribution(out)
            yield logits, draw.integers(shape, 4), draw.normal(out, 2.0)
        yield kind, draw.integers((4,), 3), draw.uniform((4, 3), 0.1, 1.0)
        yield kind, edge_index, edge_prob
        yield logits, edge_index, edge_logit


def loss_case(spec, y_true, y_pred, weight):
    keras_loss = loss_class(spec["type"])(**options(spec))
    pred = tf.constant(np.asarray(y_pred, dtype="float64"))
    with tf.GradientTape() as tape:
        tape.watch(pred)
        value = keras_loss(y_true, pred, sample_weight=weight)
    shapes = "true {} pred {}".format(*("x".join(map(str, np.shape(v))) for v in (y_true, y_pred)))
    return {
        "name": label(spec, shapes, "weighted " + "x".join(map(str, weight.shape)) if weight is not None else ""),
        "toml": toml(spec),
        "y_true": tensor(y_true),
        "y_pred": tensor(y_pred),
        "sample_weight": None if weight is None else tensor(weight),
        "loss": scalar(value),
        "grad": tensor(tape.gradient(value, pred)),
    }


def losses():
    draw, weights = Draw(31), Draw(32)
    cases, seen = [], {}
    for family in (regression_losses, hinge_losses, binary_losses, categorical_losses):
        for spec, y_true, y_pred in family(draw):
            # One loss value per sample, or per step of a sequence. Keras wants
            # the weights in that shape; it does not stretch [batch] over steps.
            per_loss = np.shape(y_pred)[:-1]
            choices = [None, per_loss]
            if spec == {"type": "mean_squared_error"}:
                choices.append((*per_loss[:1], 1))
            for shape in choices:
                weight = None if shape is None else weights.uniform(shape, 0.0, 2.0, 2)
                case = loss_case(spec, y_true, y_pred, weight)
                # Same options and shapes again: a number tells them apart.
                seen[case["name"]] = seen.get(case["name"], 0) + 1
                if seen[case["name"]] > 1:
                    case["name"] += f" #{seen[case['name']]}"
                cases.append(case)
    write("losses.json", cases, precision="float64", reduction="sum_over_batch_size")


# --- initializers -----------------------------------------------------------

SHAPES = [(64, 48), (3, 3, 16, 32), (5, 7, 4), (32,)]
DRAWN = 200_000
# Standard deviation of a unit normal cut off at two standard deviations.
TRUNCATED = 0.87962566103423978


def initializer_specs():
    for name in ["GlorotUniform", "GlorotNormal", "HeUniform", "HeNormal", "LecunUniform", "LecunNormal",
                 "RandomUniform", "RandomNormal", "TruncatedNormal", "Zeros", "Ones", "Constant", "VarianceScaling"]:
        yield {"type": name}
    yield {"type": "RandomUniform", "minval": -0.2, "maxval": 0.7}
    yield {"type": "RandomNormal", "mean": 0.3, "stddev": 0.2}
    yield {"type": "TruncatedNormal", "mean": -0.1, "stddev": 0.5}
    yield {"type": "Constant", "value": 0.25}
    for mode in ["fan_in", "fan_out", "fan_avg"]:
        for distribution in ["truncated_normal", "untruncated_normal", "uniform"]:
            yield {"type": "VarianceScaling", "scale": 1.5, "mode": mode, "distribution": distribution}
    yield {"type": "Orthogonal"}
    yield {"type": "Orthogonal", "gain": 1.5}
    yield {"type": "Identity"}
    yield {"type": "Identity", "gain": 0.5}


def fans(shape):
    if len(shape) == 1:
        return shape[0], shape[0]
    field = math.prod(shape[:-2])
    return field * shape[-2], field * shape[-1]


def theory(initializer, shape):
    """Mean, standard deviation and bounds that the formula promises; None where there are none."""
    kind = type(initializer).__name__
    if isinstance(initializer, keras.initializers.VarianceScaling):
        fan_in, fan_out = fans(shape)
        fan = {"fan_in": fan_in, "fan_out": fan_out, "fan_avg": (fan_in + fan_out) / 2}[initializer.mode]
        std = math.sqrt(initializer.scale / max(1.0, fan))
        reach = {"uniform": math.sqrt(3) * std, "truncated_normal": 2 * std / TRUNCATED,
                 "untruncated_normal": None}[initializer.distribution]
        return {"mean": 0.0, "std": std, "limit": reach}
    if kind == "RandomUniform":
        low, high = initializer.minval, initializer.maxval
        return {"mean": (low + high) / 2, "std": (high - low) / math.sqrt(12), "limit": (high - low) / 2}
    if kind == "RandomNormal":
        return {"mean": initializer.mean, "std": initializer.stddev, "limit": None}
    if kind == "TruncatedNormal":
        return {"mean": initializer.mean, "std": initializer.stddev * TRUNCATED, "limit": 2 * initializer.stddev}
    return {"mean": None, "std": None, "limit": None}


def initializers():
    cases = []
    for i, spec in enumerate(initializer_specs()):
        kind = getattr(keras.initializers, spec["type"])
        shapes = SHAPES
        if spec["type"] == "Identity":
            shapes = [(6, 4), (5, 5)]  # matrices only
        elif spec["type"] == "Orthogonal":
            shapes = [s for s in SHAPES if len(s) > 1]
        random = spec["type"] not in ("Zeros", "Ones", "Constant", "Identity")
        for shape in shapes:
            most = 20 if spec["type"] == "Orthogonal" else 400
            repeats = min(most, max(1, DRAWN // math.prod(shape))) if random else 1
            seeds = [{"seed": 1000 * i + n} if random else {} for n in range(repeats)]
            many = [np.asarray(kind(**options(spec), **seed)(shape, dtype="float64")) for seed in seeds]
            flat = np.stack(many)
            initializer = kind(**options(spec))
            expected = theory(initializer, shape)
            case = {
                "name": label(spec, "x".join(map(str, shape))),
                "toml": toml(spec),
                "shape": list(shape),
                "drawn": int(flat.size),
                "mean": scalar(flat.mean()), "std": scalar(flat.std()),
                "min": scalar(flat.min()), "max": scalar(flat.max()),
                **{f"expected_{k}": v for k, v in expected.items()},
            }
            if expected["limit"] is not None:
                assert np.abs(flat - expected["mean"]).max() <= expected["limit"] * (1 + 1e-6)
            if expected["std"] is not None:
                assert abs(flat.std() / expected["std"] - 1) < 0.05
            if spec["type"] == "Orthogonal":
                rows = many[0].reshape(-1, shape[-1])
                gram = rows.T @ rows if rows.shape[0] >= rows.shape[1] else rows @ rows.T
                assert np.allclose(gram, initializer.gain ** 2 * np.eye(len(gram)), atol=1e-5)
            if spec["type"] == "Identity":
                case["values"] = numbers(flat)
            cases.append(case)
    write("initializers.json", cases, precision="float64 draws; statistics over 'drawn' numbers",
          note="limit is the greatest distance from the mean; Orthogonal: the matrix of shape "
               "[product of all but the last, last] has orthonormal columns (rows if it is wide) times gain")
