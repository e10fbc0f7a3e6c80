"""functional.json: a model with two inputs, a shared layer and two outputs, trained for some steps."""

from common import keras, np, tensor, write

STEPS, BATCH = 6, 4


def model():
    left, right = keras.Input([3], name="left"), keras.Input([3], name="right")
    tower = keras.layers.Dense(5, activation="tanh", name="tower")
    joint = keras.layers.Concatenate(name="joint")([tower(left), tower(right)])
    kind = keras.layers.Dense(3, activation="softmax", name="kind")(joint)
    size = keras.layers.Dense(2, name="size")(joint)
    made = keras.Model([left, right], [kind, size])
    made.compile(
        optimizer=keras.optimizers.SGD(0.1, momentum=0.9),
        loss=["sparse_categorical_crossentropy", "mse"],
        loss_weights=[1.0, 0.25],
        metrics=[["accuracy"], ["mae"]],
    )
    return made


def weights(made):
    return {f"{layer.name}/{v.name}": tensor(np.array(v)) for layer in made.layers for v in layer.weights}


def functional():
    random = np.random.default_rng(7)
    made = model()
    for variable in made.weights:
        variable.assign(np.round(random.normal(size=variable.shape) * 0.5, 3))
    initial = weights(made)
    rows = np.round(random.normal(size=(STEPS * BATCH, 6)), 3)
    kinds = random.integers(0, 3, STEPS * BATCH)
    sizes = np.round(random.normal(size=(STEPS * BATCH, 2)), 3)
    steps = []
    for step in range(STEPS):
        at = slice(step * BATCH, (step + 1) * BATCH)
        made.reset_metrics()
        got = made.train_on_batch([rows[at, :3], rows[at, 3:]], [kinds[at], sizes[at]], return_dict=True)
        steps.append({name: float(value) for name, value in got.items()})
    judged = made.evaluate(
        [rows[:, :3], rows[:, 3:]], [kinds, sizes], batch_size=BATCH, verbose=0, return_dict=True
    )
    case = {
        "batch": BATCH,
        "initial_weights": initial,
        "rows": tensor(rows),
        "kinds": tensor(kinds.astype(float)),
        "sizes": tensor(sizes),
        "steps": steps,
        "final_weights": weights(made),
        "judged": {name: float(value) for name, value in judged.items()},
    }
    write("functional.json", [case], precision="float64")
