"""families.json: transposed, volumetric and separable convolutions, pooling of volumes, upsampling,
cropping and zero padding in float64, in the layout of layers.json."""

import itertools

from common import Draw, keras, label, options, tensor, tf, toml, write
from make_layers import run, spec


def single_inside(function):
    """TensorFlow pools volumes in float32 only: maxima are exact, the rest is good to seven digits."""
    def wrapped(x, *args, **kwargs):
        volume = len(x.shape) == 5
        y = function(tf.cast(x, "float32") if volume else x, *args, **kwargs)
        return tf.cast(y, x.dtype)

    return wrapped


tf.nn.max_pool = single_inside(tf.nn.max_pool)
tf.nn.avg_pool = single_inside(tf.nn.avg_pool)


def transposed():
    for size, stride, padding in itertools.product([1, 2, 3, 4, 5], [1, 2, 3], ["valid", "same"]):
        yield spec("Conv1DTranspose", filters=2, kernel_size=size, strides=stride, padding=padding), (2, 5, 3)
    for size, stride, padding in itertools.product([1, 2, 3, 4], [2, 3], ["valid", "same"]):
        for extra in range(stride):
            if padding == "valid" or size % 2 == 1 or extra > 0:
                yield spec("Conv1DTranspose", filters=2, kernel_size=size, strides=stride, padding=padding,
                           output_padding=extra), (2, 4, 2)
    for size, strides, padding in itertools.product([2, 3, 4, [3, 2], [1, 5]], [1, 2, [2, 1], [1, 3]],
                                                    ["valid", "same"]):
        yield spec("Conv2DTranspose", filters=2, kernel_size=size, strides=strides, padding=padding), (2, 3, 4, 3)
    yield spec("Conv2DTranspose", filters=9, kernel_size=4, strides=2, padding="same"), (2, 3, 2, 11)
    yield spec("Conv2DTranspose", filters=18, kernel_size=2, strides=2), (2, 3, 5, 8)
    yield spec("Conv2DTranspose", filters=1, kernel_size=5, strides=2, padding="same", use_bias=False), (2, 4, 3, 2)
    yield spec("Conv2DTranspose", filters=2, kernel_size=3, strides=[2, 3], padding="same",
               output_padding=[1, 2]), (2, 3, 4, 2)
    yield spec("Conv2DTranspose", filters=2, kernel_size=3, strides=2, padding="same",
               output_padding=0), (2, 3, 4, 2)
    yield spec("Conv2DTranspose", filters=2, kernel_size=[2, 3], strides=[3, 2], output_padding=[2, 1]), (2, 3, 4, 1)
    for name in ["relu", "tanh", "softmax"]:
        yield spec("Conv2DTranspose", filters=3, kernel_size=4, strides=2, padding="same", activation=name), (2, 3, 2, 2)
    for size, strides, padding in [(2, 2, "valid"), (3, 2, "same"), ([1, 2, 3], 1, "same"), (2, [1, 3, 2], "valid"),
                                   (4, 2, "same"), (3, [2, 1, 1], "valid")]:
        yield spec("Conv3DTranspose", filters=2, kernel_size=size, strides=strides, padding=padding), (2, 2, 3, 2, 2)
    yield spec("Conv3DTranspose", filters=2, kernel_size=3, strides=2, padding="same", output_padding=[1, 0, 1],
               activation="tanh", use_bias=False), (2, 2, 1, 2, 3)


def dilated():
    for size, dilation, padding in itertools.product([2, 3], [2, 3], ["valid", "same"]):
        yield spec("Conv1DTranspose", filters=2, kernel_size=size, padding=padding, dilation_rate=dilation), (2, 5, 2)
        yield spec("Conv2DTranspose", filters=2, kernel_size=size, padding=padding, dilation_rate=dilation), (2, 4, 3, 2)


def volumes():
    for size, padding in itertools.product([1, 2, 3, [3, 1, 2]], ["valid", "same"]):
        yield spec("Conv3D", filters=2, kernel_size=size, padding=padding), (2, 3, 3, 4, 2)
    for strides, padding in itertools.product([2, [2, 1, 1], [1, 2, 3]], ["valid", "same"]):
        yield spec("Conv3D", filters=2, kernel_size=3, strides=strides, padding=padding), (1, 5, 4, 3, 1)
    yield spec("Conv3D", filters=3, kernel_size=2, strides=3, padding="same"), (2, 5, 4, 4, 2)
    yield spec("Conv3D", filters=2, kernel_size=2, dilation_rate=2), (2, 4, 3, 4, 2)
    yield spec("Conv3D", filters=2, kernel_size=[2, 3, 1], dilation_rate=[2, 1, 1], padding="same"), (2, 3, 3, 2, 2)
    yield spec("Conv3D", filters=17, kernel_size=2, activation="relu", use_bias=False), (2, 2, 3, 3, 9)
    for kind in ["MaxPooling3D", "AveragePooling3D"]:
        for padding in ["valid", "same"]:
            yield spec(kind, pool_size=2, padding=padding), (1, 3, 4, 5, 2)
            yield spec(kind, pool_size=3, strides=2, padding=padding), (1, 5, 4, 3, 1)
            yield spec(kind, pool_size=[1, 2, 3], strides=[2, 1, 2], padding=padding), (1, 3, 4, 5, 2)
            yield spec(kind, pool_size=3, strides=1, padding=padding), (1, 3, 4, 3, 2)
    yield spec("MaxPooling3D"), (2, 2, 4, 2, 3)
    for op, keep in itertools.product(["Max", "Average"], [None, True]):
        keys = {} if keep is None else {"keepdims": keep}
        yield spec(f"Global{op}Pooling3D", **keys), (2, 2, 3, 4, 3)


def separable():
    for multiplier, strides, padding in itertools.product([1, 2], [1, 2], ["valid", "same"]):
        yield spec("SeparableConv2D", filters=4, kernel_size=3, strides=strides, padding=padding,
                   depth_multiplier=multiplier), (2, 6, 5, 3)
        yield spec("SeparableConv1D", filters=4, kernel_size=3, strides=strides, padding=padding,
                   depth_multiplier=multiplier), (2, 7, 3)
    yield spec("SeparableConv2D", filters=2, kernel_size=[3, 2], padding="same", activation="tanh"), (2, 5, 5, 2)
    yield spec("SeparableConv2D", filters=2, kernel_size=2, dilation_rate=2, use_bias=False), (2, 5, 4, 2)
    yield spec("SeparableConv1D", filters=3, kernel_size=2, dilation_rate=3, activation="relu"), (2, 6, 2)


def resized():
    yield spec("UpSampling1D"), (2, 3, 2)
    yield spec("UpSampling1D", size=3), (2, 4, 1)
    yield spec("UpSampling2D"), (2, 3, 2, 3)
    yield spec("UpSampling2D", size=[3, 1]), (2, 2, 4, 1)
    for size, shape in itertools.product([2, 3, 4, [1, 2], [5, 3]], [(1, 3, 4, 2), (1, 1, 2, 1)]):
        yield spec("UpSampling2D", size=size, interpolation="bilinear"), shape
    yield spec("UpSampling3D"), (2, 2, 3, 2, 2)
    yield spec("UpSampling3D", size=[1, 3, 2]), (2, 2, 2, 3, 1)
    yield spec("Cropping1D"), (2, 5, 2)
    yield spec("Cropping1D", cropping=[0, 2]), (2, 5, 3)
    yield spec("Cropping2D"), (2, 3, 4, 2)
    yield spec("Cropping2D", cropping=1), (2, 4, 3, 2)
    yield spec("Cropping2D", cropping=[1, 0]), (2, 4, 3, 2)
    yield spec("Cropping2D", cropping=[[0, 2], [1, 1]]), (2, 4, 3, 2)
    yield spec("Cropping3D"), (2, 3, 4, 5, 2)
    yield spec("Cropping3D", cropping=[[1, 0], [0, 2], [1, 1]]), (2, 3, 4, 5, 1)
    yield spec("ZeroPadding1D"), (2, 3, 2)
    yield spec("ZeroPadding1D", padding=[0, 2]), (2, 3, 2)
    yield spec("ZeroPadding3D"), (2, 2, 1, 2, 2)
    yield spec("ZeroPadding3D", padding=[0, 2, 1]), (2, 2, 1, 2, 2)
    yield spec("ZeroPadding3D", padding=[[1, 0], [0, 2], [2, 1]]), (2, 2, 2, 1, 3)


def spread(kernel, rate):
    """The kernel [k.., a, b] with rate - 1 zeros between its taps."""
    for axis in range(len(kernel.shape) - 2):
        taps = tf.split(kernel, kernel.shape[axis], axis)
        gap = tf.repeat(tf.zeros_like(taps[0]), rate - 1, axis)
        kernel = tf.concat([part for tap in taps[:-1] for part in (tap, gap)] + taps[-1:], axis)
    return kernel


def run_dilated(layer_spec, shape, seed):
    """TensorFlow has no dilated transposed convolution of one dimension on the CPU; it is that of the
    kernel with zeros between its taps."""
    draw = Draw(seed)
    keys = options(layer_spec)
    rate, rank = keys.pop("dilation_rate"), len(shape) - 2
    x = tf.Variable(draw.normal(shape))
    kernel = tf.Variable(draw.normal((keys["kernel_size"],) * rank + (keys["filters"], shape[-1]), 0.5))
    bias = tf.Variable(draw.normal((keys["filters"],), 0.5))
    with tf.GradientTape() as tape:
        output = keras.ops.conv_transpose(tf.identity(x), spread(tf.identity(kernel), rate),
                                          padding=keys["padding"]) + bias
        cotangent = draw.normal(output.shape)
        total = tf.reduce_sum(output * cotangent)
    grads = tape.gradient(total, [x, kernel, bias])
    return {
        "name": label(layer_spec, "on " + "x".join(map(str, shape))),
        "toml": toml(layer_spec),
        "training": False,
        "inputs": [tensor(x.numpy())],
        "weights": {"kernel": tensor(kernel.numpy()), "bias": tensor(bias.numpy())},
        "output": tensor(output),
        "output_grad": tensor(cotangent),
        "input_grads": [tensor(grads[0])],
        "weight_grads": {"kernel": tensor(grads[1]), "bias": tensor(grads[2])},
    }


def families():
    jobs = itertools.chain(transposed(), volumes(), separable(), resized())
    cases = [run(s, [shape], False, seed=5000 + i) for i, (s, shape) in enumerate(jobs)]
    cases += [run_dilated(s, shape, seed=6000 + i) for i, (s, shape) in enumerate(dilated())]
    write("families.json", cases, precision="float64")
