#!/usr/bin/env python3
"""The networks of autoencoder_mnist.toml and vae_mnist.toml in Keras: the losses beside which ours stand.

    NNTRAIN_DATA=DIR python benches/peers/reference_autoencoders.py [autoencoder|vae] [epochs]
"""
import os
import pathlib
import sys

os.environ.setdefault("KERAS_BACKEND", "tensorflow")
os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
import keras
import numpy as np
from keras import layers, ops
from workloads import idx

BATCH = 128


def pictures(part):
    folder = pathlib.Path(os.environ["NNTRAIN_DATA"]) / "mnist"
    return idx(folder / f"{part}-images-idx3-ubyte").astype(np.float32)[..., None] / 255


def autoencoder():
    model = keras.Sequential([
        keras.Input([28, 28, 1]),
        layers.Conv2D(16, 3, 2, "same", activation="relu"),
        layers.Conv2D(32, 3, 2, "same", activation="relu"),
        layers.Flatten(),
        layers.Dense(32, name="code"),
        layers.Dense(1568, activation="relu"),
        layers.Reshape([7, 7, 32]),
        layers.Conv2DTranspose(16, 3, 2, "same", activation="relu"),
        layers.Conv2DTranspose(1, 3, 2, "same", activation="sigmoid"),
    ])
    model.compile("adam", "binary_crossentropy", metrics=["mse"])
    return model


class Sampling(layers.Layer):
    """Draws, and adds the distance from the standard normal distribution to the loss."""

    def __init__(self, **keys):
        super().__init__(**keys)
        self.seed = keras.random.SeedGenerator(0)

    def call(self, inputs, training=False):
        mean, log_var = inputs
        distance = -0.5 * ops.sum(1 + log_var - mean * mean - ops.exp(log_var), axis=1)
        self.add_loss(ops.mean(distance))
        if not training:
            return mean
        return mean + ops.exp(0.5 * log_var) * keras.random.normal(ops.shape(mean), seed=self.seed)


def variational():
    x = keras.Input([28, 28, 1])
    y = layers.Conv2D(32, 3, 2, "same", activation="relu")(x)
    y = layers.Conv2D(64, 3, 2, "same", activation="relu")(y)
    y = layers.Dense(16, activation="relu")(layers.Flatten()(y))
    y = Sampling()([layers.Dense(2)(y), layers.Dense(2)(y)])
    y = layers.Reshape([7, 7, 64])(layers.Dense(3136, activation="relu")(y))
    y = layers.Conv2DTranspose(64, 3, 2, "same", activation="relu")(y)
    y = layers.Conv2DTranspose(32, 3, 2, "same", activation="relu")(y)
    y = layers.Conv2DTranspose(1, 3, 1, "same", activation="sigmoid")(y)
    model = keras.Model(x, y)
    summed = lambda t, p: 784 * ops.mean(keras.losses.binary_crossentropy(t, p), axis=(1, 2))
    model.compile("adam", summed, metrics=["binary_crossentropy"])
    return model


def main():
    name = sys.argv[1] if len(sys.argv) > 1 else "autoencoder"
    epochs = int(sys.argv[2]) if len(sys.argv) > 2 else 5
    keras.utils.set_random_seed(0)
    train, test = pictures("train"), pictures("t10k")
    model = variational() if name == "vae" else autoencoder()
    model.fit(train, train, BATCH, epochs, validation_data=(test, test), verbose=2)


if __name__ == "__main__":
    main()
