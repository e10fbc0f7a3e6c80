"""The workloads in Keras on TensorFlow, with `fit` and `evaluate`."""
import os

os.environ["TF_CPP_MIN_LOG_LEVEL"] = "3"
import numpy as np
import tensorflow as tf
from tensorflow.keras import Sequential, layers, models
import workloads
from workloads import EVAL_BATCH, SIZES, Clock, arguments, houses, report, samples


def convolutional(units):
    return Sequential([
        layers.Input((28, 28, 1)),
        layers.Conv2D(32, 3, activation="relu"), layers.MaxPooling2D(2),
        layers.Conv2D(64, 3, activation="relu"), layers.MaxPooling2D(2),
        layers.Flatten(), layers.Dense(units, activation="relu"), layers.Dense(10, activation="softmax"),
    ])


def resnet20():
    def normalized(x, filters, kernel, stride):
        x = layers.Conv2D(filters, kernel, stride, padding="same", use_bias=False)(x)
        return layers.BatchNormalization()(x)

    inputs = layers.Input((32, 32, 3))
    x = layers.ReLU()(normalized(inputs, 16, 3, 1))
    for filters in (16, 32, 64):
        for block in range(3):
            stride = 2 if block == 0 and filters != 16 else 1
            y = layers.ReLU()(normalized(x, filters, 3, stride))
            y = normalized(y, filters, 3, 1)
            shortcut = normalized(x, filters, 1, stride) if stride != 1 else x
            x = layers.ReLU()(layers.Add()([y, shortcut]))
    return models.Model(inputs, layers.Dense(10, activation="softmax")(layers.GlobalAveragePooling2D()(x)))


class Positions(layers.Layer):
    def build(self, shape):
        self.embeddings = self.add_weight(shape=shape[1:])

    def call(self, x):
        return x + self.embeddings


def vision_transformer():
    def normalized(x):
        return layers.LayerNormalization(epsilon=1e-5)(x)

    inputs = layers.Input((28, 28, 1))
    x = layers.Reshape((16, 64))(layers.Conv2D(64, 7, 7)(inputs))
    x = Positions()(x)
    for _ in range(4):
        y = normalized(x)
        x = layers.Add()([x, layers.MultiHeadAttention(4, 16)(y, y)])
        y = layers.Dense(128, activation="gelu")(normalized(x))
        x = layers.Add()([x, layers.Dense(64)(y)])
    x = layers.GlobalAveragePooling1D()(normalized(x))
    return models.Model(inputs, layers.Dense(10, activation="softmax")(x))


def model(workload):
    if workload == "vit_mnist":
        return vision_transformer()
    if workload == "mlp_mnist":
        return Sequential([
            layers.Input((28, 28, 1)), layers.Flatten(),
            layers.Dense(128, activation="relu"), layers.Dense(10, activation="softmax"),
        ])
    if workload == "resnet20_cifar10":
        return resnet20()
    if workload == "lstm_mnist":
        return Sequential([
            layers.Input((28, 28, 1)), layers.Reshape((28, 28)),
            layers.LSTM(128), layers.Dense(10, activation="softmax"),
        ])
    return convolutional(64 if workload == "cnn_mnist" else 128)


def predict(options):
    network = model(options.workload)
    workloads.predict(
        options, lambda images: network.predict(images, batch_size=EVAL_BATCH, verbose=0).argmax(1)
    )


def train(options):
    x, y = samples(options.workload)
    batch, length = SIZES[options.workload]
    network = model(options.workload)
    network.compile("adam", "sparse_categorical_crossentropy", metrics=["accuracy"])
    clock = Clock()
    for _ in range(options.epochs):
        if options.task == "eval":
            clock.epoch(len(x), lambda: network.evaluate(x, y, batch_size=EVAL_BATCH, verbose=0))
        else:
            part = x[:length], y[:length]
            clock.epoch(len(part[0]), lambda: network.fit(*part, batch_size=batch, verbose=0))
    report(clock.rates)


def house_prices():
    x, y = houses()
    network = Sequential([layers.Input((2,)), layers.Dense(4, activation="sigmoid"), layers.Dense(1)])
    network.compile(tf.keras.optimizers.SGD(0.01), "mse", metrics=["mae"])
    history = network.fit(x, y, batch_size=20, epochs=2000, shuffle=False, verbose=0)
    report(loss=history.history["loss"][-1])


def first_step():
    network = Sequential([
        layers.Input((8, 8, 1)), layers.Conv2D(16, 3, padding="same", activation="relu"),
        layers.Flatten(), layers.Dense(10, activation="softmax"),
    ])
    network.compile("adam", "sparse_categorical_crossentropy")
    network.train_on_batch(np.ones((32, 8, 8, 1), np.float32), np.zeros(32, np.int64))
    report()


if __name__ == "__main__":
    options = arguments()
    tf.config.threading.set_intra_op_parallelism_threads(options.threads)
    work = predict if options.task == "predict" else train
    {"house_prices": house_prices, "cnn_digits": first_step}.get(options.workload, lambda: work(options))()
