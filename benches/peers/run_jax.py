"""The workloads in JAX with optax, whole steps under `jit`; an epoch of the MLP under `scan`."""
import jax
import jax.numpy as jnp
import numpy as np
import optax
from jax import lax
import workloads
from workloads import EVAL_BATCH, Clock, arguments, epoch_orders, houses, report, samples

random = np.random.default_rng(0)


def glorot(*shape):
    field = int(np.prod(shape[:-2]))
    limit = np.sqrt(6 / (field * (shape[-2] + shape[-1])))
    return jnp.asarray(random.uniform(-limit, limit, shape), jnp.float32)


def convolve(x, kernel, stride=1, padding="VALID"):
    return lax.conv_general_dilated(
        x, kernel, (stride, stride), padding, dimension_numbers=("NHWC", "HWIO", "NHWC")
    )


def max_pool(x):
    return lax.reduce_window(x, -jnp.inf, lax.max, (1, 2, 2, 1), (1, 2, 2, 1), "VALID")


def dense(inputs, units):
    return [glorot(inputs, units), jnp.zeros(units)]


def mlp():
    weights = [dense(784, 128), dense(128, 10)]

    def forward(weights, x):
        (w1, b1), (w2, b2) = weights
        return jax.nn.relu(x.reshape(len(x), -1) @ w1 + b1) @ w2 + b2

    return weights, forward


def convolutional(units):
    kernels = [[glorot(3, 3, 1, 32), jnp.zeros(32)], [glorot(3, 3, 32, 64), jnp.zeros(64)]]
    weights = [*kernels, dense(1600, units), dense(units, 10)]

    def forward(weights, x):
        (w1, b1), (w2, b2), (w3, b3), (w4, b4) = weights
        x = max_pool(jax.nn.relu(convolve(x, w1) + b1))
        x = max_pool(jax.nn.relu(convolve(x, w2) + b2))
        return jax.nn.relu(x.reshape(len(x), -1) @ w3 + b3) @ w4 + b4

    return weights, forward


def resnet20():
    """Batch statistics in training; the moving ones are left out, to JAX's advantage."""
    layers = []

    def normalized(kernel, channels, filters):
        layers.append([glorot(kernel, kernel, channels, filters), jnp.ones(filters), jnp.zeros(filters)])

    normalized(3, 3, 16)
    plan, channels = [], 16
    for filters in (16, 32, 64):
        for block in range(3):
            stride = 2 if block == 0 and filters != 16 else 1
            normalized(3, channels, filters)
            normalized(3, filters, filters)
            if stride != 1:
                normalized(1, channels, filters)
            plan.append(stride)
            channels = filters

    def forward(weights, x):
        layers, head = weights
        layers = iter(layers)

        def apply(x, stride):
            kernel, gamma, beta = next(layers)
            y = convolve(x, kernel, stride, "SAME")
            mean, variance = y.mean((0, 1, 2)), y.var((0, 1, 2))
            return (y - mean) * (gamma * lax.rsqrt(variance + 1e-3)) + beta

        x = jax.nn.relu(apply(x, 1))
        for stride in plan:
            y = apply(jax.nn.relu(apply(x, stride)), 1)
            x = jax.nn.relu(y + (apply(x, stride) if stride != 1 else x))
        return x.mean((1, 2)) @ head[0] + head[1]

    return [layers, dense(64, 10)], forward


def recurrent():
    """All steps' input products at once, then a scan."""
    weights = [[glorot(28, 512), glorot(128, 512), jnp.zeros(512)], dense(128, 10)]

    def forward(weights, x):
        (kernel, recurrent_kernel, bias), (w, b) = weights
        products = x.reshape(-1, 28, 28) @ kernel + bias

        def step(state, z):
            h, c = state
            i, f, g, o = jnp.split(z + h @ recurrent_kernel, 4, axis=1)
            c = jax.nn.sigmoid(f) * c + jax.nn.sigmoid(i) * jnp.tanh(g)
            h = jax.nn.sigmoid(o) * jnp.tanh(c)
            return (h, c), None

        start = jnp.zeros((len(x), 128))
        (h, _), _ = lax.scan(step, (start, start), products.swapaxes(0, 1))
        return h @ w + b

    return weights, forward


def vision_transformer():
    def normalization():
        return [jnp.ones(64), jnp.zeros(64)]

    def normalized(x, weights):
        gamma, beta = weights
        mean, variance = x.mean(-1, keepdims=True), x.var(-1, keepdims=True)
        return (x - mean) * (gamma * lax.rsqrt(variance + 1e-5)) + beta

    def attention(x, weights):
        (w1, b1), (w2, b2) = weights
        q, k, v = jnp.moveaxis((x @ w1 + b1).reshape(*x.shape[:2], 3, 4, 16), 2, 0)
        return jax.nn.dot_product_attention(q, k, v).reshape(x.shape) @ w2 + b2

    blocks = [
        [normalization(), [dense(64, 192), dense(64, 64)], normalization(), dense(64, 128), dense(128, 64)]
        for _ in range(4)
    ]
    positions = jnp.asarray(random.normal(0, 0.05, (16, 64)), jnp.float32)
    weights = [dense(49, 64), positions, blocks, normalization(), dense(64, 10)]

    def forward(weights, x):
        (w, b), positions, blocks, last, head = weights
        x = x.reshape(-1, 4, 7, 4, 7).transpose(0, 1, 3, 2, 4).reshape(-1, 16, 49) @ w + b + positions
        for first, heads, second, (w1, b1), (w2, b2) in blocks:
            x = x + attention(normalized(x, first), heads)
            x = x + jax.nn.gelu(normalized(x, second) @ w1 + b1, approximate=False) @ w2 + b2
        return normalized(x, last).mean(1) @ head[0] + head[1]

    return weights, forward


def model(workload):
    if workload == "vit_mnist":
        return vision_transformer()
    if workload == "mlp_mnist":
        return mlp()
    if workload == "lstm_mnist":
        return recurrent()
    if workload == "resnet20_cifar10":
        return resnet20()
    return convolutional(64 if workload == "cnn_mnist" else 128)


def predict(options):
    weights, forward = model(options.workload)
    classes = jax.jit(lambda x: forward(weights, x).argmax(1))

    def judge(images):
        x = jnp.asarray(images)
        parts = [classes(x[start : start + EVAL_BATCH]) for start in range(0, len(x), EVAL_BATCH)]
        return np.concatenate(parts)

    workloads.predict(options, judge)


def train(options):
    x, y = map(jnp.asarray, samples(options.workload))
    weights, forward = model(options.workload)
    optimizer = optax.adam(1e-3)

    def loss(weights, x, y):
        return optax.softmax_cross_entropy_with_integer_labels(forward(weights, x), y).mean()

    def step(state, batch):
        weights, moments = state
        value, gradient = jax.value_and_grad(loss)(weights, x[batch], y[batch])
        update, moments = optimizer.update(gradient, moments)
        return (optax.apply_updates(weights, update), moments), value

    whole_epoch = jax.jit(lambda state, order: lax.scan(step, state, order))
    one_step = jax.jit(step)
    state = (weights, optimizer.init(weights))
    clock = Clock()

    def epoch(order):
        nonlocal state
        if options.workload == "mlp_mnist":
            state, values = whole_epoch(state, jnp.asarray(order))
        else:
            for batch in order:
                state, values = one_step(state, batch)
        values.block_until_ready()

    @jax.jit
    def right(x, y):
        return (forward(weights, x).argmax(1) == y).sum()

    def judge():
        parts = [slice(start, start + EVAL_BATCH) for start in range(0, len(x), EVAL_BATCH)]
        return sum(int(right(x[part], y[part])) for part in parts)

    if options.task == "eval":
        for _ in range(options.epochs):
            clock.epoch(len(x), judge)
    else:
        for order in epoch_orders(options.workload, len(x), options.epochs):
            clock.epoch(order.size, lambda: epoch(order))
    report(clock.rates)


def house_prices():
    x, y = map(jnp.asarray, houses())
    weights = [dense(2, 4), dense(4, 1)]

    def loss(weights):
        (w1, b1), (w2, b2) = weights
        return ((jax.nn.sigmoid(x @ w1 + b1) @ w2 + b2 - y) ** 2).mean()

    def step(weights, _):
        value, gradient = jax.value_and_grad(loss)(weights)
        return jax.tree.map(lambda w, g: w - 0.01 * g, weights, gradient), value

    weights, values = jax.jit(lambda weights: lax.scan(step, weights, length=2000))(weights)
    report(loss=float(values[-1]))


def first_step():
    weights = [glorot(3, 3, 1, 16), dense(1024, 10)]

    def loss(weights, x):
        hidden = jax.nn.relu(convolve(x, weights[0], padding="SAME")).reshape(len(x), -1)
        return (hidden @ weights[1][0] + weights[1][1]).mean()

    jax.block_until_ready(jax.jit(jax.grad(loss))(weights, jnp.ones((32, 8, 8, 1))))
    report()


if __name__ == "__main__":
    options = arguments()
    work = predict if options.task == "predict" else train
    {"house_prices": house_prices, "cnn_digits": first_step}.get(options.workload, lambda: work(options))()
