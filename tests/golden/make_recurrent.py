"""recurrent.json: outputs and gradients of recurrent layers and their wrappers in float64.

As layers.json; a case with a "part" is about that one of the layer's several outputs, its weights named
as the part's own. A case may have a "mask" [N, T] of its first input. Weights of a wrapper's layers are
named below it, as in a checkpoint: "forward_lstm/kernel".
"""

import itertools

from common import Draw, keras, label, np, options, tensor, tf, toml, write

SHAPE = (3, 4, 3)
NAMES = {"SimpleRNN": "simple_rnn", "LSTM": "lstm", "GRU": "gru"}
CELLS = [("SimpleRNN", {}), ("LSTM", {}), ("GRU", {}), ("GRU", {"reset_after": False})]


def spec(type_, **keys):
    return {"type": type_, **keys}


def single():
    """Yields (spec, shape, masked)."""
    for kind, keys in CELLS:
        for sequences, backwards in itertools.product([False, True], repeat=2):
            yield spec(kind, units=2, return_sequences=sequences, go_backwards=backwards, **keys), SHAPE, False
            yield spec(kind, units=2, return_sequences=sequences, go_backwards=backwards, **keys), SHAPE, True
        yield spec(kind, units=2, activation="relu", **keys), SHAPE, False
        yield spec(kind, units=2, activation="linear", return_sequences=True, **keys), SHAPE, False
        yield spec(kind, units=2, activation="silu", return_sequences=True, **keys), SHAPE, False
        yield spec(kind, units=2, use_bias=False, return_sequences=True, **keys), SHAPE, False
        yield spec(kind, units=1, **keys), (2, 1, 2), False
        yield spec(kind, units=18, return_sequences=True, **keys), (2, 3, 2), False
        if kind != "SimpleRNN":
            for gate in ["hard_sigmoid", "tanh", "relu"]:
                yield spec(kind, units=2, recurrent_activation=gate, **keys), SHAPE, False
            yield spec(kind, units=3, activation="relu", recurrent_activation="hard_sigmoid", use_bias=False, **keys), SHAPE, True
    yield spec("LSTM", units=2, unit_forget_bias=False), SHAPE, False


def wrapped():
    for (kind, keys), merge in itertools.product(CELLS, ["concat", "sum", "mul", "ave"]):
        for sequences in [False, True]:
            layer = spec(kind, units=2, return_sequences=sequences, **keys)
            yield spec("Bidirectional", layer=layer, merge_mode=merge), SHAPE, False
    for (kind, keys), sequences in itertools.product(CELLS, [False, True]):
        layer = spec(kind, units=2, return_sequences=sequences, **keys)
        yield spec("Bidirectional", layer=layer), SHAPE, True
    yield spec("TimeDistributed", layer=spec("Dense", units=2, activation="tanh")), SHAPE, False
    yield spec("TimeDistributed", layer=spec("Dense", units=2, use_bias=False)), (2, 3, 2, 4), False
    yield spec("TimeDistributed", layer=spec("Conv1D", filters=2, kernel_size=2)), (2, 3, 5, 2), False
    yield spec("TimeDistributed", layer=spec("LSTM", units=2)), (2, 3, 4, 2), False
    yield spec("TimeDistributed", layer=spec("Flatten")), (2, 3, 4, 2), False
    yield spec("RepeatVector", n=3), (2, 4), False
    yield spec("RepeatVector", n=1), (3, 2), False


def directions():
    """Each output of a Bidirectional that does not merge them."""
    for kind, keys in CELLS:
        for sequences, masked in itertools.product([False, True], repeat=2):
            layer = spec(kind, units=2, return_sequences=sequences, **keys)
            for direction in ["forward", "backward"]:
                part = f"{direction}_{NAMES[kind]}"
                yield spec("Bidirectional", layer=layer, merge_mode="none"), SHAPE, masked, part


def make(layer_spec):
    keys = options(layer_spec)
    if keys.get("merge_mode") == "none":  # TOML has no null
        keys["merge_mode"] = None
    if "layer" in keys:
        keys["layer"] = make(keys["layer"])
        keys["layer"].name = NAMES.get(layer_spec["layer"]["type"], "inner")
    return getattr(keras.layers, layer_spec["type"])(**keys)


def weight_name(variable):
    """The variable's name below the direction that it belongs to."""
    parts = variable.path.split("/")
    direction = [p for p in parts if p.startswith(("forward_", "backward_"))]
    return "/".join([*direction, variable.name])


def masks(draw, steps, samples):
    """Padding behind, padding before, holes; the first sample is whole where there are three."""
    mask = np.ones((samples, steps), int)
    mask[-1, steps // 2:] = 0
    mask[-2, 0] = 0
    mask[-2, 2] = 0
    return mask


def run(layer_spec, shape, masked, part=None, *, seed):
    draw = Draw(seed)
    x = tf.Variable(draw.normal(shape))
    layer = make(layer_spec)
    layer.build(shape)
    for v in layer.weights:
        v.assign(draw.weight(v.name, v.shape))
    own = [v for v in layer.weights if part is None or weight_name(v).startswith(part)]
    name = lambda v: weight_name(v) if part is None else v.name
    before = {name(v): tensor(v.numpy()) for v in own}
    assert len(before) == len(own) and (own or part is None), before.keys()
    keys = {}
    if masked:
        mask = masks(draw, shape[1], shape[0])
        keys["mask"] = tf.constant(mask.astype(bool))
    trainable = [v for v in layer.trainable_variables if any(v is w for w in own)]
    with tf.GradientTape() as tape:
        output = layer(tf.identity(x), **keys)
        if part is not None:
            output = output[["forward", "backward"].index(part.split("_")[0])]
        cotangent = draw.normal(output.shape)
        total = tf.reduce_sum(output * cotangent)
    grads = tape.gradient(total, [x, *[v.value for v in trainable]])
    assert output.dtype == tf.float64
    # With one step the recurrent kernel meets a state of zeros alone.
    grads = [tf.zeros_like(v) if g is None else g for g, v in zip(grads, [x, *trainable])]
    named = dict(layer_spec)
    inner = label(named.pop("layer")) if "layer" in named else ""
    case = {
        "name": label(named, f"of {inner}" if inner else "", part or "", "masked" if masked else "",
                      "on " + "x".join(map(str, shape))),
        "toml": toml(layer_spec),
        "training": False,
        "inputs": [tensor(x.numpy())],
        "weights": before,
        "output": tensor(output),
        "output_grad": tensor(cotangent),
        "input_grads": [tensor(grads[0])],
        "weight_grads": {name(v): tensor(g) for v, g in zip(trainable, grads[1:])},
    }
    if masked:
        case["mask"] = tensor(mask)
    if part is not None:
        case["part"] = part
    return case


def recurrent():
    jobs = itertools.chain(single(), wrapped(), directions())
    cases = [run(*job, seed=5000 + i) for i, job in enumerate(jobs)]
    write("recurrent.json", cases, precision="float64")



def walk(layer_spec, shape, masked, seed):
    """The samples of a batch one after the other, each beginning with the state that the one before left."""
    draw = Draw(seed)
    x = draw.normal(shape)
    layer = make(layer_spec)
    layer.build((1, *shape[1:]))
    for v in layer.trainable_variables:
        v.assign(draw.weight(v.name, v.shape))
    # Not the first step: there Keras gives zeros, as it does not look at the state that goes on.
    mask = np.ones(shape[:2], int)
    mask[-1, shape[1] // 2:] = 0
    mask[-2, 1:3] = 0
    output = []
    for sample in range(shape[0]):
        keys = {"mask": tf.constant(mask[sample:sample + 1].astype(bool))} if masked else {}
        output.append(layer(x[sample:sample + 1], **keys)[0])
    case = {
        "name": label(layer_spec, "masked" if masked else "", "on " + "x".join(map(str, shape))),
        "toml": toml(layer_spec),
        "input": tensor(x),
        "weights": {weight_name(v): tensor(v.numpy()) for v in layer.trainable_variables},
        "output": tensor(tf.stack(output)),
    }
    if masked:
        case["mask"] = tensor(mask)
    return case


def stateful():
    jobs = []
    for kind, keys in CELLS:
        for sequences, masked in itertools.product([False, True], repeat=2):
            spec_ = spec(kind, units=2, return_sequences=sequences, stateful=True, **keys)
            jobs.append((spec_, SHAPE, masked))
    cases = [walk(*job, seed=7000 + i) for i, job in enumerate(jobs)]
    write("stateful.json", cases, precision="float64")
