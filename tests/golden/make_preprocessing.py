"""preprocessing.json: Resizing, and Normalization with numbers given or fitted, in the layout of layers.json."""

import itertools

from common import Draw, keras, label, options, tensor, tf, toml, write
from make_layers import spec


def resizing():
    for size, name in itertools.product([(4, 3), (20, 20), (2, 7), (1, 1)], [None, "bilinear", "nearest"]):
        keys = {} if name is None else {"interpolation": name}
        for shape in [(2, 4, 3, 2), (1, 8, 8, 1), (1, 1, 5, 2)]:
            yield spec("Resizing", height=size[0], width=size[1], **keys), shape


def normalization():
    for invert, shape in itertools.product([False, True], [(5, 3), (2, 3, 4, 2), (3, 4, 1)]):
        yield spec("Normalization", invert=invert), shape
        yield spec("Normalization", mean=0.3, variance=2.5, invert=invert), shape
    yield spec("Normalization", mean=[0.3, -2.0], variance=[2.5, 1e-16]), (4, 2)


def run(layer_spec, shape, seed):
    draw = Draw(seed)
    x = tf.Variable(draw.normal(shape))
    layer = getattr(keras.layers, layer_spec["type"])(**options(layer_spec))
    weights = {}
    if layer_spec["type"] == "Normalization" and "mean" not in layer_spec:
        layer.adapt(draw.normal((7, *shape[1:])) * 3.0 + 1.0)
        weights = {"mean": layer.adapt_mean.numpy(), "variance": layer.adapt_variance.numpy()}
    with tf.GradientTape() as tape:
        output = layer(tf.identity(x))
        cotangent = draw.normal(output.shape)
        total = tf.reduce_sum(tf.cast(output, "float64") * cotangent)
    return {
        "name": label(layer_spec, "on " + "x".join(map(str, shape))),
        "toml": toml(layer_spec),
        "training": False,
        "inputs": [tensor(x.numpy())],
        "weights": {name: tensor(values) for name, values in weights.items()},
        "output": tensor(output),
        "output_grad": tensor(cotangent),
        "input_grads": [tensor(tape.gradient(total, x))],
        "weight_grads": {},
    }


def preprocessing():
    jobs = itertools.chain(resizing(), normalization())
    cases = [run(s, shape, seed=7000 + i) for i, (s, shape) in enumerate(jobs)]
    write("preprocessing.json", cases, precision="float64")

