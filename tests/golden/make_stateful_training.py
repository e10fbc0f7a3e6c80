"""stateful_training.json: losses of training steps in which stateful layers go on from batch to batch.

A series is cut into windows that follow one another. Row r of a batch goes on from row r of the batch before;
at the start of an epoch all states are zeros.
"""

from common import Draw, keras, label, np, options, scalar, tensor, toml, write
from make_recurrent import CELLS, spec

BATCH, STEPS, WINDOW, FEATURES, EPOCHS = 2, 3, 4, 2, 2
RATE = 0.3


def run(kind, keys, seed):
    draw = Draw(seed)
    layers = [
        spec(kind, units=4, return_sequences=True, stateful=True, **keys),
        spec(kind, units=3, stateful=True, **keys),
        spec("Dense", units=1),
    ]
    keras.backend.clear_session()
    model = keras.Sequential([keras.Input(batch_shape=(BATCH, WINDOW, FEATURES))] +
                             [getattr(keras.layers, s["type"])(**options(s)) for s in layers])
    variables = {f"{layer.name}/{v.name}": v for layer in model.layers for v in layer.trainable_variables}
    for v in variables.values():
        v.assign(draw.weight(v.name, v.shape))
    start = {name: tensor(v.numpy()) for name, v in variables.items()}
    windows = BATCH * STEPS
    points = draw.normal((windows * WINDOW + 1, FEATURES))
    targets = draw.normal((windows * WINDOW + 1, 1))
    model.compile(optimizer=keras.optimizers.SGD(RATE), loss="mse")
    losses = []
    for _ in range(EPOCHS):
        for layer in model.layers[:2]:
            layer.reset_states()
        for step in range(STEPS):
            model.reset_metrics()
            chosen = [row * STEPS + step for row in range(BATCH)]
            x = np.stack([points[w * WINDOW:(w + 1) * WINDOW] for w in chosen])
            y = np.stack([targets[(w + 1) * WINDOW] for w in chosen])
            losses.append(scalar(model.train_on_batch(x, y)))
    return {
        "name": label(spec(kind, **keys)),
        "layers": [toml(s) for s in layers],
        "points": tensor(points),
        "targets": tensor(targets),
        "initial_weights": start,
        "losses": losses,
        "final_weights": {name: tensor(v.numpy()) for name, v in variables.items()},
    }


def stateful_training():
    cases = [run(kind, keys, seed=8000 + i) for i, (kind, keys) in enumerate(CELLS)]
    write("stateful_training.json", cases, precision="float64", batch=BATCH, window=WINDOW, epochs=EPOCHS,
          learning_rate=RATE)
