"""optimizers.json and schedules.json."""

from common import Draw, keras, label, np, numbers, options, tensor, toml, write


# --- learning-rate schedules ------------------------------------------------

def build_schedule(spec):
    return getattr(keras.optimizers.schedules, spec["type"])(**options(spec))


def schedule_specs():
    for staircase in [False, True]:
        yield {"type": "ExponentialDecay", "initial_learning_rate": 0.1, "decay_steps": 10, "decay_rate": 0.5,
               "staircase": staircase}
        yield {"type": "InverseTimeDecay", "initial_learning_rate": 0.1, "decay_steps": 10, "decay_rate": 0.5,
               "staircase": staircase}
    yield {"type": "ExponentialDecay", "initial_learning_rate": 0.02, "decay_steps": 7, "decay_rate": 0.96}
    yield {"type": "PiecewiseConstantDecay", "boundaries": [10, 20, 35], "values": [0.1, 0.05, 0.01, 0.001]}
    yield {"type": "PiecewiseConstantDecay", "boundaries": [5], "values": [1.0, 0.5]}
    for power in [1.0, 2.0, 0.5]:
        for cycle in [False, True]:
            yield {"type": "PolynomialDecay", "initial_learning_rate": 0.1, "decay_steps": 15,
                   "end_learning_rate": 0.01, "power": power, "cycle": cycle}
    yield {"type": "PolynomialDecay", "initial_learning_rate": 0.1, "decay_steps": 20}
    yield {"type": "CosineDecay", "initial_learning_rate": 0.1, "decay_steps": 30}
    yield {"type": "CosineDecay", "initial_learning_rate": 0.1, "decay_steps": 30, "alpha": 0.2}
    yield {"type": "CosineDecay", "initial_learning_rate": 0.0, "decay_steps": 30, "warmup_target": 0.1, "warmup_steps": 8}
    yield {"type": "CosineDecay", "initial_learning_rate": 0.01, "decay_steps": 20, "alpha": 0.1, "warmup_target": 0.2,
           "warmup_steps": 5}
    yield {"type": "CosineDecayRestarts", "initial_learning_rate": 0.1, "first_decay_steps": 10}
    yield {"type": "CosineDecayRestarts", "initial_learning_rate": 0.1, "first_decay_steps": 10, "t_mul": 1.0, "m_mul": 0.8}
    yield {"type": "CosineDecayRestarts", "initial_learning_rate": 0.1, "first_decay_steps": 10, "t_mul": 1.5, "m_mul": 0.9,
           "alpha": 0.1}
    yield {"type": "CosineDecayRestarts", "initial_learning_rate": 0.1, "first_decay_steps": 10, "t_mul": 2.0, "alpha": 0.05}


def schedules():
    # Not step 25: there the restart of t_mul = 1.5 hangs on the last bit of a logarithm.
    steps = [0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 13, 14, 15, 16, 19, 20, 21, 28, 30, 31, 34, 35, 36, 45, 46, 60, 69, 70,
             71, 100, 1000]
    cases = []
    for spec in schedule_specs():
        schedule = build_schedule(spec)
        values = [schedule(np.int64(step)) for step in steps]
        assert all(v.dtype.name == "float64" for v in values), spec
        cases.append({"name": label(spec), "toml": toml(spec), "steps": steps,
                      "values": numbers([v.numpy() for v in values])})
    write("schedules.json", cases, precision="float64")


# --- optimizers -------------------------------------------------------------

ALL = ["SGD", "Adam", "AdamW", "RMSprop", "Adagrad", "Adadelta", "Adamax", "Nadam", "Lion"]
STEPS = 12


def optimizer_specs():
    def spec(type_, **keys):
        return {"type": type_, **keys}

    for name in ALL:
        yield spec(name)
        yield spec(name, learning_rate=0.05)
    yield spec("SGD", learning_rate=0.05, momentum=0.9)
    yield spec("SGD", learning_rate=0.05, momentum=0.8, nesterov=True)
    yield spec("Adam", learning_rate=0.05, amsgrad=True)
    yield spec("Adam", learning_rate=0.02, beta_1=0.8, beta_2=0.95, epsilon=0.01)
    yield spec("Adam", learning_rate=0.02, beta_1=0.7, beta_2=0.9, epsilon=1e-3, amsgrad=True)
    yield spec("AdamW", learning_rate=0.05, weight_decay=0.1)
    yield spec("AdamW", learning_rate=0.05, weight_decay=0.02, amsgrad=True)
    yield spec("RMSprop", learning_rate=0.02, rho=0.8, epsilon=0.01)
    yield spec("RMSprop", learning_rate=0.02, momentum=0.7)
    yield spec("RMSprop", learning_rate=0.02, centered=True)
    yield spec("RMSprop", learning_rate=0.02, momentum=0.5, centered=True, epsilon=1e-3)
    yield spec("Adagrad", learning_rate=0.05, initial_accumulator_value=0.5, epsilon=0.01)
    yield spec("Adadelta", learning_rate=1.0, rho=0.8, epsilon=1e-3)
    yield spec("Adamax", learning_rate=0.05, beta_1=0.8, beta_2=0.9, epsilon=0.01)
    yield spec("Nadam", learning_rate=0.05, beta_1=0.8, beta_2=0.9, epsilon=0.01)
    yield spec("Lion", learning_rate=0.02, beta_1=0.8, beta_2=0.9, weight_decay=0.1)
    for name in ["SGD", "Adam"]:
        base = {"type": name, "learning_rate": 0.05}
        yield {**base, "clipnorm": 1.0}  # some gradients are shorter, some longer
        yield {**base, "clipvalue": 0.3}
        yield {**base, "global_clipnorm": 1.5}
        yield {**base, "weight_decay": 0.1}
        yield {**base, "clipnorm": 0.5, "weight_decay": 0.05}
        yield {**base, "use_ema": True}
        yield {**base, "use_ema": True, "ema_momentum": 0.9, "ema_overwrite_frequency": 5}
        yield {**base, "gradient_accumulation_steps": 3}
        yield {**base, "gradient_accumulation_steps": 3, "clipnorm": 0.5, "weight_decay": 0.1}
        yield {**base, "gradient_accumulation_steps": 3, "use_ema": True, "ema_momentum": 0.9,
               "ema_overwrite_frequency": 2}
    yield spec("SGD", learning_rate=0.05, momentum=0.9, nesterov=True, weight_decay=0.1, global_clipnorm=1.0)
    yield spec("Nadam", learning_rate=0.05, gradient_accumulation_steps=3)
    yield spec("RMSprop", learning_rate=0.02, momentum=0.5, weight_decay=0.1, clipvalue=0.5)
    for schedule in [
        {"type": "ExponentialDecay", "initial_learning_rate": 0.1, "decay_steps": 4, "decay_rate": 0.5},
        {"type": "ExponentialDecay", "initial_learning_rate": 0.1, "decay_steps": 4, "decay_rate": 0.5, "staircase": True},
        {"type": "PiecewiseConstantDecay", "boundaries": [3, 8], "values": [0.1, 0.05, 0.01]},
        {"type": "PolynomialDecay", "initial_learning_rate": 0.1, "decay_steps": 5, "end_learning_rate": 0.01,
         "power": 2.0, "cycle": True},
        {"type": "InverseTimeDecay", "initial_learning_rate": 0.1, "decay_steps": 4, "decay_rate": 0.5},
        {"type": "CosineDecay", "initial_learning_rate": 0.1, "decay_steps": 10, "alpha": 0.1},
        {"type": "CosineDecay", "initial_learning_rate": 0.01, "decay_steps": 7, "warmup_target": 0.1, "warmup_steps": 3},
        {"type": "CosineDecayRestarts", "initial_learning_rate": 0.1, "first_decay_steps": 4, "m_mul": 0.8},
    ]:
        yield spec("SGD", learning_rate=schedule)
        yield spec("Adam", learning_rate=schedule)
    schedule = {"type": "InverseTimeDecay", "initial_learning_rate": 0.1, "decay_steps": 2, "decay_rate": 0.5}
    yield spec("SGD", learning_rate=schedule, weight_decay=0.1)
    yield spec("SGD", learning_rate=schedule, gradient_accumulation_steps=3)


def build_optimizer(spec):
    keys = options(spec)
    if isinstance(keys.get("learning_rate"), dict):
        keys["learning_rate"] = build_schedule(keys["learning_rate"])
    return getattr(keras.optimizers, spec["type"])(**keys)


def gradients(draw, shapes):
    """Random gradients of varying size, about every fourth entry zero."""
    steps = []
    for step in range(STEPS):
        scale = [0.2, 1.0, 2.0][step % 3]
        steps.append([draw.normal(s, scale) * (draw.uniform(s) > 0.25) + 0.0 for s in shapes])
    steps[0][0][0, 0] = 0.0
    steps[4][1][:] = 0.0  # a step on which the bias has no gradient at all
    return steps


def optimizer_case(spec, seed):
    draw = Draw(seed)
    initial = [draw.normal((3, 4)), draw.normal((4,))]
    grads = gradients(draw, [v.shape for v in initial])
    variables = [keras.Variable(value, name=name) for value, name in zip(initial, ["kernel", "bias"])]
    optimizer = build_optimizer(spec)
    optimizer.build(variables)
    after, ema = [], []
    for step in grads:
        optimizer.apply([keras.ops.convert_to_tensor(g) for g in step], variables)
        after.append([tensor(v.numpy()) for v in variables])
        if spec.get("use_ema"):
            ema.append([tensor(v.numpy()) for v in optimizer._model_variables_moving_average])
    schedule = spec.get("learning_rate")
    name = label(spec, "".join(f"{k}={v} " for k, v in schedule.items() if k != "type").strip()
                 if isinstance(schedule, dict) else "")
    case = {"name": name, "toml": toml(spec), "initial": [tensor(v) for v in initial],
            "grads": [[tensor(g) for g in step] for step in grads], "after": after}
    if ema:
        case["ema"] = ema
        optimizer.finalize_variable_values(variables)  # what fit() does at its end
        case["finalized"] = [tensor(v.numpy()) for v in variables]
    return case


def optimizers():
    cases = [optimizer_case(spec, seed=4000 + i) for i, spec in enumerate(optimizer_specs())]
    write("optimizers.json", cases, precision="float64")
