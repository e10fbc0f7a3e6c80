"""callbacks.json: the real callbacks of Keras, driven by hand with a stand-in for the model."""

from common import keras, label, np, options, scalar, toml, write

# No step of these series is a min_delta long, so that no rounding decides.
FALLING = [1.0, 0.8, 0.6, 0.5, 0.45, 0.42, 0.41, 0.4]
PLATEAU = [1.0, 0.9, 0.85, 0.85, 0.86, 0.84, 0.845, 0.85, 0.86, 0.83, 0.84, 0.85, 0.86, 0.87]
SLOW = [1.0, 0.995, 0.99, 0.985, 0.98, 0.975, 0.97, 0.965, 0.96, 0.955]
RISING = [0.5, 0.6, 0.65, 0.64, 0.66, 0.66, 0.65, 0.655, 0.67, 0.66, 0.66, 0.66]
WORSE = [0.5, 0.6, 0.7, 0.8, 0.9, 1.0, 1.1]
BUMPY = [1.0, 1.2, 1.1, 0.9, 0.95, 0.97, 0.8, 0.9, 0.9, 0.9, 0.9]


class Model:
    """As much of a model as the callbacks look at. Its weight is the epoch number."""

    def __init__(self, learning_rate=0.1):
        self.stop_training = False
        self.optimizer = keras.optimizers.SGD(learning_rate=learning_rate)
        self.epoch = None

    def get_weights(self):
        return [self.epoch]

    def set_weights(self, values):
        self.epoch = values[0]


def early_stopping_specs():
    def spec(**keys):
        return {"type": "EarlyStopping", **keys}

    yield spec(), FALLING
    yield spec(), PLATEAU
    yield spec(patience=1), PLATEAU
    yield spec(patience=2), PLATEAU
    yield spec(patience=3), PLATEAU
    yield spec(patience=4), PLATEAU
    yield spec(patience=0), WORSE
    yield spec(patience=2), WORSE
    yield spec(patience=2, restore_best_weights=True), WORSE
    yield spec(patience=2, restore_best_weights=True), PLATEAU
    yield spec(patience=20, restore_best_weights=True), PLATEAU
    yield spec(patience=20), PLATEAU
    yield spec(monitor="loss", patience=2), BUMPY
    yield spec(monitor="loss", patience=3, restore_best_weights=True), BUMPY
    yield spec(patience=2, min_delta=0.012), SLOW
    yield spec(patience=2, min_delta=0.004), SLOW
    yield spec(patience=3, min_delta=0.012, restore_best_weights=True), SLOW
    yield spec(patience=2, start_from_epoch=4), PLATEAU
    yield spec(patience=0, start_from_epoch=3), WORSE
    yield spec(patience=2, start_from_epoch=3, restore_best_weights=True), WORSE
    yield spec(patience=2, baseline=0.7), FALLING
    yield spec(patience=3, baseline=0.7), FALLING
    yield spec(patience=2, baseline=0.2), FALLING
    yield spec(patience=3, baseline=0.2, restore_best_weights=True), FALLING
    yield spec(patience=3, baseline=0.2), WORSE
    yield spec(monitor="val_accuracy", mode="max", patience=2), RISING
    yield spec(monitor="val_accuracy", mode="max", patience=3, min_delta=0.015), RISING
    yield spec(monitor="val_accuracy", mode="max", patience=3, baseline=0.62), RISING
    yield spec(mode="min", patience=2), RISING


def early_stopping(spec, values):
    callback, model = keras.callbacks.EarlyStopping(**options(spec)), Model()
    callback.set_model(model)
    callback.on_train_begin()
    waits = []
    for epoch, value in enumerate(values):
        model.epoch = epoch
        callback.on_epoch_end(epoch, {callback.monitor: value})
        waits.append(callback.wait)
        if model.stop_training:
            break
    callback.on_train_end()
    return {
        "stopped_epoch": epoch if model.stop_training else None,  # epochs count from 0
        "best_epoch": callback.best_epoch,
        "best": callback.best,
        "waits": waits,
        "weights_of_epoch": model.epoch,  # which epoch's weights the model ends with
    }


def reduce_specs():
    def spec(**keys):
        return {"type": "ReduceLROnPlateau", **keys}

    yield spec(patience=2), FALLING
    yield spec(patience=1), PLATEAU
    yield spec(patience=2, factor=0.5), PLATEAU
    yield spec(patience=3, factor=0.5), PLATEAU
    yield spec(patience=1, factor=0.5, cooldown=2), PLATEAU
    yield spec(patience=1, factor=0.5, cooldown=1), WORSE
    yield spec(patience=2, factor=0.5, cooldown=1), WORSE
    yield spec(patience=1, factor=0.2, min_lr=0.003), WORSE
    yield spec(patience=0, factor=0.5), WORSE
    yield spec(patience=2, factor=0.5, min_delta=0.012), SLOW
    yield spec(patience=2, factor=0.5, min_delta=0.0), SLOW
    yield spec(patience=2, factor=0.5, cooldown=3, min_lr=0.03), BUMPY
    yield spec(monitor="val_accuracy", mode="max", patience=2, factor=0.5), RISING
    yield spec(monitor="val_accuracy", mode="max", patience=2, factor=0.5, min_delta=0.015, cooldown=1), RISING
    yield spec(monitor="loss", patience=2, factor=0.5), BUMPY
    yield spec(), PLATEAU + [0.9] * 8  # the default patience of ten


def reduce_on_plateau(spec, values):
    callback, model = keras.callbacks.ReduceLROnPlateau(**options(spec)), Model(0.1)
    callback.set_model(model)
    callback.on_train_begin()
    rates = []
    for epoch, value in enumerate(values):
        callback.on_epoch_end(epoch, {callback.monitor: value})
        rates.append(scalar(np.asarray(model.optimizer.learning_rate)))
    return {"initial_learning_rate": 0.1, "learning_rates": rates}


SERIES = {id(v): k for k, v in list(globals().items()) if k.isupper() and isinstance(v, list)}


def callbacks():
    cases = []
    for drive, specs in [(early_stopping, early_stopping_specs()), (reduce_on_plateau, reduce_specs())]:
        for spec, values in specs:
            cases.append({"name": label(spec, "on " + SERIES.get(id(values), "a longer series").lower()),
                          "toml": toml(spec), "values": values, **drive(spec, values)})
    write("callbacks.json", cases, precision="float64")
