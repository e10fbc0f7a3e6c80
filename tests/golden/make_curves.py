"""curves.json: the losses of ten training steps, for every optimizer and for a small CNN."""

from common import Draw, keras, label, np, options, scalar, tensor, toml, write
from make_optimizers import ALL, build_optimizer

STEPS = 10

MLP = {
    "input_shape": [8],
    "layers": [
        {"type": "Dense", "units": 16, "activation": "relu"},
        {"type": "Dense", "units": 3, "activation": "softmax"},
    ],
}
CNN = {
    "input_shape": [8, 8, 1],
    "layers": [
        {"type": "Conv2D", "filters": 4, "kernel_size": 3, "padding": "same", "activation": "relu"},
        {"type": "BatchNormalization"},
        {"type": "MaxPooling2D", "pool_size": 2},
        {"type": "Conv2D", "filters": 6, "kernel_size": 3, "padding": "same", "activation": "relu",
         "kernel_regularizer": {"type": "L2", "l2": 0.01}},
        {"type": "Flatten"},
        {"type": "Dense", "units": 5, "activation": "softmax"},
    ],
}
MODELS = {"mlp": (MLP, 16, 3), "cnn": (CNN, 8, 5)}  # model, batch size, classes


def build_layer(spec):
    keys = options(spec)
    if "kernel_regularizer" in keys:
        inner = keys["kernel_regularizer"]
        keys["kernel_regularizer"] = getattr(keras.regularizers, inner["type"])(**options(inner))
    return getattr(keras.layers, spec["type"])(**keys)


def build_model(description):
    keras.backend.clear_session()  # so that the layer names start afresh
    layers = [keras.Input(description["input_shape"])]
    return keras.Sequential(layers + [build_layer(spec) for spec in description["layers"]])


def weights(model):
    """{"<layer name>/<variable>": value} over all layers, in their order."""
    return {f"{layer.name}/{v.name}": v for layer in model.layers for v in layer.weights}


def initial_weights(model, draw):
    values = {}
    for name, v in weights(model).items():
        if name.endswith("/kernel"):
            reach = np.sqrt(3.0 / np.prod(v.shape[:-1]))
            values[name] = draw.uniform(v.shape, -reach, reach)
        elif name.endswith("/gamma") or name.endswith("/moving_variance"):
            values[name] = np.ones(v.shape)
        else:
            values[name] = np.zeros(v.shape)
    return values


def batches(description, size, classes, draw):
    """Samples that cluster by class, so that there is something to learn."""
    centres = draw.normal((classes, *description["input_shape"]), decimals=2)
    made = []
    for _ in range(STEPS):
        y = draw.integers((size,), classes)
        x = np.round(0.7 * centres[y] + draw.normal((size, *description["input_shape"]), 0.8), 2)
        made.append((x, y))
    return made


def train(name, spec, start, data):
    model = build_model(MODELS[name][0])
    for path, v in weights(model).items():
        v.assign(start[path])
    model.compile(optimizer=build_optimizer(spec), loss="sparse_categorical_crossentropy")
    losses = []
    for x, y in data:
        model.reset_metrics()  # otherwise Keras reports the mean so far
        losses.append(scalar(model.train_on_batch(x, y)))
    return {
        "name": f"{name} {label(spec)}",
        "model": name,
        "loss": toml({"type": "sparse_categorical_crossentropy"}),
        "optimizer": toml(spec),
        "losses": losses,
        "final_weights": {path: tensor(v.numpy()) for path, v in weights(model).items()},
        # inference on the first batch with the final weights
        "prediction": tensor(model(data[0][0], training=False)),
    }


def curves():
    models, data, start = {}, {}, {}
    for i, (name, (description, size, classes)) in enumerate(MODELS.items()):
        draw = Draw(7000 + i)
        start[name] = initial_weights(build_model(description), draw)
        data[name] = batches(description, size, classes, draw)
        models[name] = {
            "input_shape": description["input_shape"],
            "layers": [toml(spec) for spec in description["layers"]],
            "initial_weights": {path: tensor(v) for path, v in start[name].items()},
            "batches": [{"x": tensor(x), "y": tensor(y)} for x, y in data[name]],
        }
    jobs = [("mlp", {"type": kind}) for kind in ALL]
    jobs.append(("cnn", {"type": "Adam", "learning_rate": 0.01}))
    cases = [train(name, spec, start[name], data[name]) for name, spec in jobs]
    write("curves.json", cases, precision="float64", models=models)
