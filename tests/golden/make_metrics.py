"""metrics.json: Keras metrics fed in batches of unequal size, in float64."""

from common import Draw, keras, label, np, numbers, options, scalar, tensor, toml, write

SIZES = [5, 3, 7]


def metric_class(name):
    special = {
        "auc": "AUC", "r2_score": "R2Score", "f1_score": "F1Score", "kl_divergence": "KLDivergence",
        "log_cosh": "LogCoshError",
        "top_k_categorical_accuracy": "TopKCategoricalAccuracy",
        "sparse_top_k_categorical_accuracy": "SparseTopKCategoricalAccuracy",
    }
    camel = special.get(name) or "".join(part.capitalize() for part in name.split("_"))
    return getattr(keras.metrics, camel)


# Each source makes one batch (y_true, y_pred) of n samples.

def binary(width):
    return lambda draw, n: (draw.integers((n, width), 2), draw.uniform((n, width)))


def coarse_binary(width):
    """Predictions on a grid of tenths: ties, and values equal to thresholds."""
    return lambda draw, n: (draw.integers((n, width), 2), draw.uniform((n, width), decimals=1))


def one_hot(*steps, classes=4):
    return lambda draw, n: (draw.one_hot((n, *steps), classes), draw.distribution((n, *steps, classes)))


def sparse(*steps, classes=4):
    return lambda draw, n: (draw.integers((n, *steps), classes), draw.distribution((n, *steps, classes)))


def column(classes=4):
    return lambda draw, n: (draw.integers((n, 1), classes), draw.distribution((n, classes)))


def tied(draw, n):
    return draw.integers((n,), 4), draw.uniform((n, 4), decimals=1)


def real(*shape):
    def make(draw, n):
        true = draw.normal((n, *shape))
        return true, np.round(true + draw.normal((n, *shape), 0.6), 3)
    return make


def positive(*shape):
    return lambda draw, n: (draw.uniform((n, *shape), 0.1, 3.0), draw.uniform((n, *shape), 0.1, 3.0))


def signs(width):
    return lambda draw, n: (2 * draw.integers((n, width), 2) - 1, draw.normal((n, width)))


def metric_specs():
    """Yields (name that tells the data apart, specification, source)."""
    def m(type_, **keys):
        return {"type": type_, **keys}

    yield "", m("binary_accuracy"), binary(1)
    yield "3 wide", m("binary_accuracy"), binary(3)
    yield "ties", m("binary_accuracy"), coarse_binary(2)
    yield "", m("binary_accuracy", threshold=0.3), binary(2)
    yield "", m("categorical_accuracy"), one_hot()
    yield "sequence", m("categorical_accuracy"), one_hot(3)
    yield "", m("sparse_categorical_accuracy"), sparse()
    yield "column", m("sparse_categorical_accuracy"), column()
    yield "sequence", m("sparse_categorical_accuracy"), sparse(3)
    yield "ties", m("sparse_categorical_accuracy"), tied
    for k in [None, 1, 2, 3]:
        keys = {} if k is None else {"k": k}
        yield "", m("top_k_categorical_accuracy", **keys), one_hot(classes=7)
        yield "", m("sparse_top_k_categorical_accuracy", **keys), sparse(classes=7)
    yield "sequence", m("sparse_top_k_categorical_accuracy", k=2), sparse(3)
    yield "ties", m("sparse_top_k_categorical_accuracy", k=2), tied
    for kind in ["precision", "recall"]:
        yield "", m(kind), binary(1)
        yield "3 wide", m(kind), binary(3)
        yield "ties", m(kind), coarse_binary(2)
        yield "", m(kind, thresholds=0.3), binary(2)
        yield "", m(kind, thresholds=[0.2, 0.5, 0.9]), binary(2)
        yield "even thresholds", m(kind, thresholds=[0.0, 0.5, 1.0]), binary(2)
        yield "", m(kind, class_id=1), one_hot()
        yield "", m(kind, top_k=1), one_hot()
        yield "", m(kind, top_k=2), one_hot()
        yield "", m(kind, top_k=2, class_id=2), one_hot()
        yield "nothing predicted", m(kind, thresholds=0.9999), binary(1)
    for average in [None, "micro", "macro", "weighted"]:
        for threshold in [None, 0.5]:
            yield "", m("f1_score", average=average, threshold=threshold), one_hot(classes=3)
        yield "multi-label", m("f1_score", average=average, threshold=0.5), binary(3)
    for curve in ["ROC", "PR"]:
        yield "", m("auc", curve=curve), binary(1)
        yield "2 wide", m("auc", curve=curve), binary(2)
        yield "ties", m("auc", curve=curve, num_thresholds=11), coarse_binary(1)
        yield "", m("auc", curve=curve, num_thresholds=20), binary(1)
        yield "", m("auc", curve=curve, summation_method="minoring"), binary(1)
        yield "", m("auc", curve=curve, summation_method="majoring"), binary(1)
    yield "", m("auc"), binary(1)
    for kind in ["mean_squared_error", "mean_absolute_error", "root_mean_squared_error", "cosine_similarity", "log_cosh"]:
        yield "", m(kind), real(3)
        yield "sequence", m(kind), real(2, 3)
    for kind in ["mean_absolute_percentage_error", "mean_squared_logarithmic_error", "poisson"]:
        yield "", m(kind), positive(3)
    yield "one output", m("r2_score"), real(1)
    yield "", m("r2_score"), real(3)
    yield "", m("r2_score", class_aggregation="variance_weighted_average"), real(3)
    yield "", m("binary_crossentropy"), binary(2)
    yield "", m("binary_crossentropy", label_smoothing=0.1), binary(2)
    yield "", m("binary_crossentropy", from_logits=True), signs(2)
    yield "", m("categorical_crossentropy"), one_hot()
    yield "", m("categorical_crossentropy", label_smoothing=0.1), one_hot()
    yield "", m("sparse_categorical_crossentropy"), sparse()
    yield "", m("kl_divergence"), lambda draw, n: (draw.distribution((n, 4)), draw.distribution((n, 4)))
    for kind in ["hinge", "squared_hinge"]:
        yield "", m(kind), signs(2)
    yield "", m("categorical_hinge"), one_hot()


def run(metric, batches):
    for y_true, y_pred, weight in batches:
        if "TopK" in type(metric).__name__:
            y_pred = y_pred.astype("float32")  # TensorFlow ranks float32 only; the ranks stay the same
        metric.update_state(y_true, y_pred, sample_weight=weight)
    result = np.asarray(metric.result())
    return numbers(result) if result.ndim else scalar(result)


def case(note, spec, metric, batches, weighted):
    return {
        "name": label(spec, note, "weighted" if weighted else ""),
        "toml": toml(spec),
        "batches": [{"y_true": tensor(t), "y_pred": tensor(p), "sample_weight": None if w is None else tensor(w)}
                    for t, p, w in batches],
        "result": run(metric, batches),
    }


def draw_batches(source, draw, weighted, per_step=()):
    batches = []
    for n in SIZES:
        y_true, y_pred = source(draw, n)
        weight = draw.uniform((n, *per_step), 0.0, 2.0, 2) if weighted else None
        batches.append((np.asarray(y_true), y_pred, weight))
    return batches


def as_accuracy(source, draw, weighted):
    """What Keras makes of metrics=["accuracy"] for these shapes."""
    batches = draw_batches(source, draw, weighted)
    y_true, y_pred, _ = batches[0]
    metric = keras.src.trainers.compile_utils.get_metric("accuracy", y_true, y_pred)
    return type(metric).__name__, metric, batches


def metrics():
    cases = []
    specs = list(metric_specs())
    for i, (note, spec, source) in enumerate(specs):
        for weighted in [False, True]:
            draw = Draw(6000 + 2 * i + weighted)
            metric = metric_class(spec["type"])(**options(spec))
            cases.append(case(note, spec, metric, draw_batches(source, draw, weighted), weighted))
    sources = {"one column": binary(1), "two binary columns": binary(2), "one-hot": one_hot(), "sparse": sparse(),
               "sparse column": column(), "sequence": sparse(3), "one-hot sequence": one_hot(3)}
    for i, (note, source) in enumerate(sources.items()):
        for weighted in [False, True]:
            kind, metric, batches = as_accuracy(source, Draw(6500 + 2 * i + weighted), weighted)
            made = case(note, {"type": "accuracy"}, metric, batches, weighted)
            cases.append({**made, "resolves_to": kind})
    # Weights per step of a sequence rather than per sample.
    for i, (spec, source) in enumerate([
        ({"type": "sparse_categorical_accuracy"}, sparse(3)),
        ({"type": "mean_squared_error"}, real(3, 2)),
    ]):
        batches = draw_batches(source, Draw(6600 + i), True, per_step=(3,))
        cases.append(case("weight per step", spec, metric_class(spec["type"])(), batches, True))
    write("metrics.json", cases, precision="float64")
