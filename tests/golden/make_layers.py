"""layers.json: outputs and gradients of single layers in float64."""

import itertools

from common import Draw, keras, label, np, options, tensor, tf, tolerance, toml, write


def spec(type_, **keys):
    return {"type": type_, **keys}


def dense():
    flat, rows = (3, 4), (2, 3, 4)
    yield spec("Dense", units=5), flat
    yield spec("Dense", units=5, use_bias=False), flat
    yield spec("Dense", units=1), flat
    yield spec("Dense", units=2), (2, 1)
    for name in ["relu", "tanh", "sigmoid", "softmax", "gelu", "softplus", "silu"]:
        yield spec("Dense", units=5, activation=name), flat
    yield spec("Dense", units=5), rows
    yield spec("Dense", units=5, activation="softmax"), rows
    yield spec("Dense", units=3, use_bias=False, activation="elu"), rows
    yield spec("Dense", units=2, activation="tanh"), (2, 2, 3, 2)


def conv1d():
    shape = (2, 9, 3)
    for padding, size in itertools.product(["valid", "same", "causal"], [1, 2, 3]):
        yield spec("Conv1D", filters=2, kernel_size=size, padding=padding), shape
    for padding, size, stride in itertools.product(["valid", "same", "causal"], [3, 4], [2, 3]):
        yield spec("Conv1D", filters=2, kernel_size=size, strides=stride, padding=padding), shape
    for padding, dilation in itertools.product(["valid", "same", "causal"], [2, 3]):
        yield spec("Conv1D", filters=2, kernel_size=3, padding=padding, dilation_rate=dilation), shape
    yield spec("Conv1D", filters=3, kernel_size=3, use_bias=False), (2, 8, 1)
    yield spec("Conv1D", filters=2, kernel_size=3, padding="same", activation="relu"), (3, 8, 2)
    yield spec("Conv1D", filters=2, kernel_size=1, strides=2), (2, 7, 2)
    for padding in ["valid", "same", "causal"]:
        yield spec("Conv1D", filters=4, kernel_size=3, padding=padding, groups=2), (2, 7, 4)
    yield spec("Conv1D", filters=6, kernel_size=2, strides=2, padding="same", groups=3), (2, 7, 3)


def conv2d():
    for size, padding in itertools.product([1, 2, 3, [3, 2], [1, 5], 4], ["valid", "same"]):
        yield spec("Conv2D", filters=2, kernel_size=size, padding=padding), (2, 5, 6, 3)
    for size, strides, padding in itertools.product([1, 3, [3, 2], 4], [2, [2, 1]], ["valid", "same"]):
        yield spec("Conv2D", filters=2, kernel_size=size, strides=strides, padding=padding), (2, 7, 6, 1)
    yield spec("Conv2D", filters=3, kernel_size=3, strides=3, padding="same"), (2, 8, 7, 2)
    yield spec("Conv2D", filters=2, kernel_size=2, strides=3), (2, 8, 7, 2)
    yield spec("Conv2D", filters=2, kernel_size=[2, 3], strides=[3, 2], padding="same"), (2, 5, 5, 2)
    for dilation, padding in itertools.product([2, [1, 2], [2, 1]], ["valid", "same"]):
        yield spec("Conv2D", filters=2, kernel_size=3, padding=padding, dilation_rate=dilation), (2, 6, 7, 2)
    yield spec("Conv2D", filters=2, kernel_size=2, padding="same", dilation_rate=2), (2, 5, 6, 1)
    yield spec("Conv2D", filters=2, kernel_size=3, use_bias=False), (2, 5, 5, 3)
    for name in ["relu", "tanh", "softmax"]:
        yield spec("Conv2D", filters=3, kernel_size=[3, 2], strides=2, padding="same", activation=name), (2, 5, 6, 3)
    for padding, strides in itertools.product(["valid", "same"], [1, 2]):
        yield spec("Conv2D", filters=4, kernel_size=3, strides=strides, padding=padding, groups=2), (2, 5, 6, 4)
    yield spec("Conv2D", filters=6, kernel_size=[2, 3], padding="same", groups=3, use_bias=False), (2, 4, 5, 3)
    yield spec("Conv2D", filters=2, kernel_size=3, padding="same", dilation_rate=2, groups=2), (2, 6, 5, 2)


def depthwise():
    for multiplier, strides, padding in itertools.product([1, 2], [1, 2], ["valid", "same"]):
        yield spec("DepthwiseConv2D", kernel_size=3, strides=strides, padding=padding,
                   depth_multiplier=multiplier), (2, 6, 5, 3)
    yield spec("DepthwiseConv2D", kernel_size=[3, 2], padding="same"), (2, 5, 5, 2)
    yield spec("DepthwiseConv2D", kernel_size=[1, 4], padding="same", depth_multiplier=2), (2, 3, 5, 2)
    yield spec("DepthwiseConv2D", kernel_size=2, use_bias=False, activation="relu"), (2, 5, 4, 3)
    yield spec("DepthwiseConv2D", kernel_size=2, dilation_rate=2, padding="same"), (2, 5, 4, 2)


def pooling():
    for kind in ["MaxPooling1D", "AveragePooling1D"]:
        for padding in ["valid", "same"]:
            yield spec(kind, pool_size=2, padding=padding), (2, 7, 3)
            yield spec(kind, pool_size=3, strides=1, padding=padding), (2, 6, 2)
            yield spec(kind, pool_size=3, strides=2, padding=padding), (2, 8, 2)
            yield spec(kind, pool_size=2, strides=3, padding=padding), (2, 8, 2)
    yield spec("MaxPooling1D"), (2, 6, 2)  # AveragePooling1D has no default size
    for kind in ["MaxPooling2D", "AveragePooling2D"]:
        for padding in ["valid", "same"]:
            yield spec(kind, pool_size=2, padding=padding), (2, 5, 7, 3)
            yield spec(kind, pool_size=3, strides=1, padding=padding), (2, 5, 4, 2)
            yield spec(kind, pool_size=3, strides=2, padding=padding), (2, 6, 5, 2)
            yield spec(kind, pool_size=[3, 2], padding=padding), (2, 7, 5, 2)
            yield spec(kind, pool_size=[2, 3], strides=[1, 2], padding=padding), (2, 5, 6, 1)
            yield spec(kind, pool_size=4, strides=3, padding=padding), (2, 6, 8, 1)
            yield spec(kind, pool_size=[1, 2], strides=3, padding=padding), (2, 5, 6, 1)
    yield spec("MaxPooling2D"), (2, 4, 6, 2)
    for kind, shape in [("1D", (2, 5, 3)), ("2D", (2, 3, 4, 3))]:
        for op, keep in itertools.product(["Max", "Average"], [None, False, True]):
            keys = {} if keep is None else {"keepdims": keep}
            yield spec(f"Global{op}Pooling{kind}", **keys), shape


def shaping():
    yield spec("Flatten"), (2, 3, 4)
    yield spec("Flatten"), (2, 2, 3, 2)
    yield spec("Flatten"), (3, 4)
    yield spec("Reshape", target_shape=[4, 3]), (2, 12)
    yield spec("Reshape", target_shape=[-1]), (2, 3, 2)
    yield spec("Reshape", target_shape=[-1, 2]), (2, 3, 4)
    yield spec("Reshape", target_shape=[2, -1, 3]), (2, 12)
    yield spec("Permute", dims=[2, 1]), (2, 3, 4)
    yield spec("Permute", dims=[3, 1, 2]), (2, 2, 3, 4)
    yield spec("Permute", dims=[2, 3, 1]), (2, 2, 3, 4)
    yield spec("ZeroPadding2D"), (2, 2, 3, 2)
    yield spec("ZeroPadding2D", padding=2), (2, 2, 3, 1)
    yield spec("ZeroPadding2D", padding=[1, 2]), (2, 2, 3, 2)
    yield spec("ZeroPadding2D", padding=[[1, 0], [2, 3]]), (2, 2, 3, 2)
    yield spec("Rescaling", scale=0.5), (2, 3)
    yield spec("Rescaling", scale=1.0 / 255, offset=-0.25), (2, 2, 3)
    yield spec("Rescaling", scale=2, offset=1), (2, 3)


def activations():
    for name in ["relu", "softmax", "hard_sigmoid", "mish", "log_softmax"]:
        yield spec("Activation", activation=name), (2, 5)
    yield spec("Activation", activation="softmax"), (2, 3, 4)
    yield spec("Softmax"), (3, 5)
    yield spec("Softmax", axis=-1), (2, 3, 4)
    yield spec("Softmax", axis=1), (2, 3, 4)
    yield spec("ReLU"), (3, 6)
    yield spec("ReLU", max_value=1.0), (3, 6)
    yield spec("ReLU", negative_slope=0.2), (3, 6)
    yield spec("ReLU", threshold=0.5), (3, 6)
    yield spec("ReLU", max_value=1.0, negative_slope=0.1, threshold=0.3), (3, 6)
    yield spec("ReLU", max_value=6.0), (2, 2, 3, 2)
    yield spec("LeakyReLU"), (3, 6)
    yield spec("LeakyReLU", negative_slope=0.05), (2, 3, 4)
    yield spec("PReLU"), (3, 5)
    yield spec("PReLU"), (2, 2, 3, 2)
    yield spec("PReLU", shared_axes=[1, 2]), (2, 3, 2, 3)
    yield spec("PReLU", shared_axes=[1]), (2, 3, 4)
    yield spec("ELU"), (3, 6)
    yield spec("ELU", alpha=0.3), (2, 3, 4)


def normalization():
    """Yields (spec, shape, training)."""
    for training in [False, True]:
        for shape in [(3, 4), (2, 3, 3, 3), (2, 4, 3)]:
            yield spec("BatchNormalization"), shape, training
        yield spec("BatchNormalization", scale=False), (3, 4), training
        yield spec("BatchNormalization", center=False), (3, 4), training
        yield spec("BatchNormalization", scale=False, center=False), (2, 2, 3, 2), training
        yield spec("BatchNormalization", momentum=0.8, epsilon=0.01), (3, 4), training
        yield spec("BatchNormalization", momentum=0.5, epsilon=1e-5), (2, 2, 3, 2), training
        yield spec("BatchNormalization", axis=1), (2, 3, 4), training
    for shape in [(3, 5), (2, 3, 4), (2, 2, 3, 3)]:
        yield spec("LayerNormalization"), shape, False
    yield spec("LayerNormalization", epsilon=0.1), (3, 5), False
    yield spec("LayerNormalization", scale=False), (3, 5), False
    yield spec("LayerNormalization", center=False), (3, 5), False
    yield spec("LayerNormalization", axis=1), (2, 3, 4), False
    yield spec("LayerNormalization", axis=[1, 2]), (2, 3, 4), False
    yield spec("LayerNormalization", axis=[1, 2, 3]), (2, 2, 3, 2), False
    yield spec("LayerNormalization", axis=[2, 3], epsilon=1e-5), (2, 2, 3, 2), False
    yield spec("LayerNormalization"), (3, 5), True


def merging():
    """Yields (spec, shapes)."""
    for kind in ["Add", "Multiply", "Average", "Maximum", "Minimum"]:
        yield spec(kind), [(2, 3)] * 2
        yield spec(kind), [(2, 2, 3)] * 3
    yield spec("Subtract"), [(2, 3)] * 2
    yield spec("Subtract"), [(2, 2, 3)] * 2
    yield spec("Concatenate"), [(2, 3), (2, 2)]
    yield spec("Concatenate", axis=-1), [(2, 2, 3), (2, 2, 1), (2, 2, 2)]
    yield spec("Concatenate", axis=1), [(2, 3, 2), (2, 1, 2)]
    yield spec("Concatenate", axis=1), [(2, 1, 2, 3), (2, 3, 2, 3), (2, 2, 2, 3)]
    yield spec("Concatenate", axis=3), [(2, 2, 2, 1), (2, 2, 2, 3)]


def scaling():
    """Yields (spec, shapes): a factor for each channel of the other input."""
    yield spec("Multiply"), [(2, 3, 4, 5), (2, 1, 1, 5)]
    yield spec("Multiply"), [(2, 1, 1, 3), (2, 2, 3, 3)]
    yield spec("Multiply"), [(2, 3, 2, 4), (2, 4)]
    yield spec("Multiply"), [(3, 2), (3, 4, 2)]
    yield spec("Multiply"), [(2, 5, 3), (2, 1, 3)]
    yield spec("Multiply"), [(2, 2, 2, 2, 3), (2, 1, 1, 1, 3)]
    yield spec("Multiply"), [(2, 3, 17), (2, 1, 17)]


def run(layer_spec, shapes, training, seed):
    draw = Draw(seed)
    merge = len(shapes) > 1
    inputs = [tf.Variable(draw.normal(shape)) for shape in shapes]
    layer = getattr(keras.layers, layer_spec["type"])(**options(layer_spec))
    layer.build(shapes if merge else shapes[0])
    for v in layer.weights:
        v.assign(draw.weight(v.name, v.shape))
    before = {v.name: tensor(v.numpy()) for v in layer.weights}
    assert len(before) == len(layer.weights)

    trainable = layer.trainable_variables
    with tf.GradientTape() as tape:
        output = layer([tf.identity(x) for x in inputs] if merge else tf.identity(inputs[0]),
                       training=training)
        cotangent = draw.normal(output.shape)
        total = tf.reduce_sum(output * cotangent)
    grads = tape.gradient(total, [*inputs, *[v.value for v in trainable]])
    assert all(g is not None for g in grads)

    case = {
        "name": label(layer_spec, "training" if training else "",
                      "on " + " ".join("x".join(map(str, s)) for s in shapes)),
        "toml": toml(layer_spec),
        "training": training,
        "inputs": [tensor(x.numpy()) for x in inputs],
        "weights": before,
        "output": tensor(output),
        "output_grad": tensor(cotangent),
        "input_grads": [tensor(g) for g in grads[:len(inputs)]],
        "weight_grads": {v.name: tensor(g) for v, g in zip(trainable, grads[len(inputs):])},
    }
    case.update(tolerance(layer_spec))
    if training and layer.non_trainable_variables:
        case["weights_after"] = {v.name: tensor(v.numpy()) for v in layer.weights}
    return case


def layers():
    single = itertools.chain(dense(), conv1d(), conv2d(), depthwise(), pooling(), shaping(), activations())
    jobs = [(s, [shape], False) for s, shape in single]
    jobs += [(s, [shape], training) for s, shape, training in normalization()]
    jobs += [(s, shapes, False) for s, shapes in itertools.chain(merging(), scaling())]
    cases = [run(*job, seed=1000 + i) for i, job in enumerate(jobs)]
    write("layers.json", cases, precision="float64")
