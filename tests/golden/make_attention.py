"""attention.json: embeddings, attention, transformer blocks and normalizations in float64.

The blocks of keras_hub are put together here from Keras's layers, in the order that its documentation and
the paper give. A case of several layers in a row has them in one TOML text, an empty line between.
"""

import itertools

from common import Draw, keras, label, np, options, tensor, tf, toml, write
from make_layers import spec

layers = keras.layers


class Positions(layers.Layer):
    """Sines and cosines, added (Attention is all you need, section 3.5)."""

    def __init__(self, max_wavelength=10000):
        super().__init__()
        self.max_wavelength = max_wavelength

    def call(self, x):
        steps, width = x.shape[1:]
        table = np.zeros((steps, width))
        for t, i in itertools.product(range(steps), range(width)):
            angle = t / self.max_wavelength ** (2 * (i // 2) / width)
            table[t, i] = np.sin(angle) if i % 2 == 0 else np.cos(angle)
        return x + table


class Places(layers.Layer):
    """keras_hub's PositionEmbedding: the vectors of the first places, for every sample."""

    def __init__(self, sequence_length):
        super().__init__()
        self.sequence_length = sequence_length

    def build(self, shape):
        # An Embedding of the places' numbers.
        self.table = layers.Embedding(self.sequence_length, shape[-1], name="position_embedding")
        self.table.build(shape)

    def named(self):
        return {"embeddings": self.table.embeddings}

    def call(self, x):
        return self.table(tf.range(x.shape[1])) + 0 * x


class TokensAndPlaces(layers.Layer):
    """keras_hub's TokenAndPositionEmbedding."""

    def __init__(self, vocabulary_size, sequence_length, embedding_dim, mask_zero=False):
        super().__init__()
        self.tokens = layers.Embedding(vocabulary_size, embedding_dim, mask_zero=mask_zero, name="token_embedding")
        self.places = layers.Embedding(sequence_length, embedding_dim, name="position_embedding")

    def build(self, shape):
        self.tokens.build(shape)
        self.places.build(shape)

    def named(self):
        return {f"{part.name}/embeddings": part.embeddings for part in [self.tokens, self.places]}

    def call(self, x):
        return self.tokens(x) + self.places(tf.range(x.shape[1]))


class Transformer(layers.Layer):
    """keras_hub's encoder, or with `decoder` its decoder; parts have keras_hub's names."""

    decoder = False

    def __init__(self, intermediate_dim, num_heads, activation="relu", layer_norm_epsilon=1e-5,
                 normalize_first=False):
        super().__init__()
        self.intermediate_dim, self.num_heads, self.first = intermediate_dim, num_heads, normalize_first
        self.activation, self.epsilon = activation, layer_norm_epsilon

    def build(self, shape, *others):
        width = shape[-1]
        key_dim = width // self.num_heads
        sources = {"self_attention" if self.decoder else "self_attention_layer": shape}
        if others:
            sources["cross_attention"] = others[0]
        self.attentions, self.norms = {}, {}
        for name, source in sources.items():
            self.attentions[name] = layers.MultiHeadAttention(self.num_heads, key_dim, name=name)
            self.attentions[name].build(shape, source)
        for name in [*(n.removesuffix("_layer") + "_layer_norm" for n in sources), "feedforward_layer_norm"]:
            self.norms[name] = layers.LayerNormalization(epsilon=self.epsilon, name=name)
            self.norms[name].build(shape)
        self.inner = layers.Dense(self.intermediate_dim, self.activation, name="feedforward_intermediate_dense")
        self.outer = layers.Dense(width, name="feedforward_output_dense")
        self.inner.build(shape)
        self.outer.build((*shape[:-1], self.intermediate_dim))

    def named(self):
        """Variables by their names in a checkpoint."""
        parts = [*self.attentions.values(), *self.norms.values(), self.inner, self.outer]
        return {f"{part.name}/{name}": v for part in parts for name, v in named(part).items()}

    def residual(self, x, norm, part):
        y = part(norm(x) if self.first else x) + x
        return y if self.first else norm(y)

    def call(self, x, *others, mask=None):
        norms = list(self.norms.values())
        for (name, attention), norm in zip(self.attentions.items(), norms):
            cross = name == "cross_attention"

            def attend(x):
                value = others[0] if cross else x
                masks = {} if cross or mask is None else {"query_mask": mask, "value_mask": mask}
                if masks:
                    # A mask that is carried along, as Keras does between layers.
                    keras.src.backend.set_keras_mask(x, mask)
                return attention(x, value, use_causal_mask=self.decoder and not cross, **masks)

            x = self.residual(x, norm, attend)
        return self.residual(x, norms[-1], lambda x: self.outer(self.inner(x)))


class Decoder(Transformer):
    decoder = True


def named(layer):
    """A layer's variables by the names that a checkpoint has."""
    if hasattr(layer, "named"):
        return layer.named()
    if isinstance(layer, layers.TimeDistributed):
        return named(layer.layer)
    if isinstance(layer, layers.MultiHeadAttention):
        parts = [layer.query_dense, layer.key_dense, layer.value_dense, layer.output_dense]
        return {f"{part.name}/{v.name}": v for part in parts for v in part.weights}
    return {v.name: v for v in layer.weights}


def make(layer_spec):
    keys = options(layer_spec)
    kind = layer_spec["type"]
    if kind == "MultiHeadAttention":
        keys.pop("use_causal_mask", None)
    if kind == "TimeDistributed":
        keys["layer"] = make(keys["layer"])
    own = {"PositionalEncoding": Positions, "PositionEmbedding": Places, "TokenAndPositionEmbedding": TokensAndPlaces, "TransformerEncoder": Transformer, "TransformerDecoder": Decoder}
    return (own.get(kind) or getattr(layers, kind))(**keys)


def apply(layer, layer_spec, inputs, mask):
    kind = layer_spec["type"]
    if kind == "MultiHeadAttention":
        query, value = inputs[0], inputs[1] if len(inputs) > 1 else inputs[0]
        more = {"key": inputs[2]} if len(inputs) > 2 else {}
        if mask is not None:
            # The layer takes its query's mask from the tensor, and the others' as arguments.
            keras.src.backend.set_keras_mask(query, mask)
            more |= {"query_mask": mask, "value_mask": mask}
        return layer(query, value, use_causal_mask=layer_spec.get("use_causal_mask", False), **more)
    if kind.startswith("Transformer"):
        if not layer.built:
            layer.build(*(x.shape for x in inputs))
        return layer(*inputs, mask=mask) if mask is not None else layer(*inputs)
    if kind in ["GlobalAveragePooling1D", "TimeDistributed", "LSTM", "GRU"]:
        return layer(inputs[0], mask=mask)
    return layer(inputs[0])


def padded(draw, shape, value):
    """Steps of `value`: behind, before, and one with a single feature of it, which counts."""
    x = draw.normal(shape)
    x[-1, shape[1] // 2:] = value
    x[-2, 0] = value
    x[0, 1, 0] = value
    return x


def run(specs, shapes, seed, tokens=None):
    draw = Draw(seed)
    if specs[0]["type"] == "Masking":
        inputs = [tf.Variable(padded(draw, shape, specs[0].get("mask_value", 0.0))) for shape in shapes]
    elif tokens is None:
        inputs = [tf.Variable(draw.normal(shape)) for shape in shapes]
    else:
        inputs = [tf.constant(draw.integers(shape, tokens).astype("float64")) for shape in shapes]
    stack, weights, before = [make(s) for s in specs], {}, {}

    def forward():
        x, mask = [tf.identity(x) for x in inputs], None
        for layer, layer_spec in zip(stack, specs):
            given = x[0]
            y = apply(layer, layer_spec, x, mask)
            if layer_spec.get("mask_zero"):
                mask = tf.not_equal(given, 0)
            if layer_spec["type"] == "Masking":
                mask = layer.compute_mask(given)
            x = [tf.identity(y)]
        return x[0]

    forward()
    for layer in stack:
        for name, v in named(layer).items():
            assert name not in weights
            short = name.split("/")[-1]
            v.assign(draw.weight(short, v.shape))
            weights[name], before[name] = v, tensor(v.numpy())
    assert len(weights) == sum(len(layer.weights) for layer in stack)
    with tf.GradientTape() as tape:
        output = forward()
        cotangent = draw.normal(output.shape)
        total = tf.reduce_sum(output * cotangent)
    sources = [] if tokens else inputs
    grads = tape.gradient(total, [*sources, *[v.value for v in weights.values()]])
    names = [*(f"input {i}" for i in range(len(sources))), *weights]
    missing = [n for n, g in zip(names, grads) if g is None]
    assert not missing, f"{specs}: no gradient of {missing}"
    grads = [tf.convert_to_tensor(g) for g in grads]
    input_grads = grads[:len(sources)] or [np.zeros(x.shape) for x in inputs]
    return {
        "name": label(specs[0], *map(label, specs[1:]), "on " + " ".join("x".join(map(str, s)) for s in shapes)),
        "toml": "\n\n".join(map(toml, specs)),
        "training": False,
        "inputs": [tensor(x.numpy()) for x in inputs],
        "weights": before,
        "output": tensor(output),
        "output_grad": tensor(cotangent),
        "input_grads": [tensor(g) for g in input_grads],
        "weight_grads": {n: tensor(g) for n, g in zip(weights, grads[len(sources):])},
    }


def plain():
    """Yields (spec, shapes) of layers on numbers."""
    mha = lambda **keys: spec("MultiHeadAttention", **keys)
    for keys in [{}, {"use_causal_mask": True}, {"use_bias": False}, {"value_dim": 3},
                 {"value_dim": 1, "use_causal_mask": True}, {"output_shape": 5}]:
        yield mha(num_heads=2, key_dim=2, **keys), [(2, 5, 4)]
    yield mha(num_heads=3, key_dim=4), [(2, 19, 3)]
    yield mha(num_heads=1, key_dim=3), [(1, 70, 2)]
    yield mha(num_heads=1, key_dim=3, use_causal_mask=True), [(1, 70, 2)]
    for causal in [False, True]:
        yield mha(num_heads=2, key_dim=3, use_causal_mask=causal), [(2, 4, 4), (2, 6, 3)]
        yield mha(num_heads=2, key_dim=2, value_dim=3, use_causal_mask=causal), [(2, 5, 3), (2, 3, 4), (2, 3, 2)]
    for first, activation in [(False, "relu"), (True, "relu"), (True, "tanh")]:
        block = dict(intermediate_dim=6, num_heads=2, activation=activation, normalize_first=first)
        yield spec("TransformerEncoder", **block), [(2, 5, 4)]
        yield spec("TransformerDecoder", **block), [(2, 5, 4)]
        yield spec("TransformerDecoder", **block), [(2, 5, 4), (2, 3, 6)]
    yield spec("TransformerEncoder", intermediate_dim=3, num_heads=2, layer_norm_epsilon=0.1), [(2, 3, 5)]
    for keys, shape in [({}, (3, 5)), ({}, (2, 3, 4)), ({"epsilon": 0.1}, (3, 5)),
                        ({"axis": [1, 2]}, (2, 3, 4))]:
        yield spec("RMSNormalization", **keys), [shape]
    for keys, shape in [({"groups": 2}, (3, 4)), ({"groups": 3}, (2, 4, 6)), ({"groups": 2}, (2, 2, 3, 4)),
                        ({"groups": -1}, (2, 5, 3)), ({"groups": 1, "epsilon": 0.1}, (2, 3, 4)),
                        ({"groups": 2, "scale": False}, (2, 3, 4)), ({"groups": 2, "center": False}, (2, 3, 4)),
                        ({"groups": 3, "axis": 1}, (2, 6, 2)), ({}, (2, 2, 32))]:
        yield spec("GroupNormalization", **keys), [shape]
    yield spec("PositionalEncoding"), [(2, 7, 6)]
    yield spec("PositionalEncoding", max_wavelength=50), [(1, 4, 5)]


def masked():
    """Yields stacks on tokens, of which 0 is padding."""
    embed = lambda width, zero=True: spec("Embedding", input_dim=4, output_dim=width, mask_zero=zero)
    yield [embed(3, False)], (2, 5)
    yield [embed(3)], (3, 4)
    yield [embed(2, False)], (2, 3, 2)
    for width in [2, 4]:
        yield [embed(width), spec("GlobalAveragePooling1D")], (3, 6)
    yield [embed(3), spec("GlobalAveragePooling1D", keepdims=True)], (3, 5)
    for keys in [{}, {"use_causal_mask": True}]:
        yield [embed(4), spec("MultiHeadAttention", num_heads=2, key_dim=3, **keys)], (3, 6)
        yield [embed(3), spec("MultiHeadAttention", num_heads=1, key_dim=2, **keys),
               spec("GlobalAveragePooling1D")], (3, 7)
    for kind, first in itertools.product(["TransformerEncoder", "TransformerDecoder"], [False, True]):
        yield [embed(4), spec(kind, intermediate_dim=5, num_heads=2, normalize_first=first),
               spec("GlobalAveragePooling1D")], (3, 5)


def places():
    """Yields (spec, shape) of layers on numbers, or on tokens if `tokens` says how many."""
    yield [spec("PositionEmbedding", sequence_length=5)], (2, 5, 3), None
    yield [spec("PositionEmbedding", sequence_length=7)], (3, 4, 2), None
    both = lambda **keys: spec("TokenAndPositionEmbedding", vocabulary_size=4, embedding_dim=3, **keys)
    yield [both(sequence_length=5)], (2, 5), 4
    yield [both(sequence_length=6)], (3, 4), 4
    yield [both(sequence_length=6, mask_zero=True), spec("GlobalAveragePooling1D")], (3, 6), 4
    embed = spec("Embedding", input_dim=4, output_dim=3, mask_zero=True)
    dense = spec("TimeDistributed", layer=spec("Dense", units=2, activation="tanh"))
    yield [embed, dense, spec("GlobalAveragePooling1D")], (3, 6), 4
    yield [spec("Masking"), dense, spec("GlobalAveragePooling1D")], (3, 5, 2), None


def skipped():
    """Yields stacks behind a Masking."""
    yield [spec("Masking")], (3, 4, 2)
    yield [spec("Masking", mask_value=-1.0)], (2, 4, 3)
    yield [spec("Masking"), spec("LSTM", units=2)], (3, 5, 2)
    yield [spec("Masking", mask_value=-1.0), spec("LSTM", units=3, return_sequences=True)], (3, 6, 2)
    yield [spec("Masking"), spec("GRU", units=2, return_sequences=True, go_backwards=True)], (3, 4, 2)
    yield [spec("Masking", mask_value=0.5), spec("GlobalAveragePooling1D")], (3, 5, 2)


def attention():
    cases = [run([s], shapes, 3000 + i) for i, (s, shapes) in enumerate(plain())]
    cases += [run(stack, [shape], 4000 + i, tokens=4) for i, (stack, shape) in enumerate(masked())]
    cases += [run(stack, [shape], 8000 + i, tokens=n) for i, (stack, shape, n) in enumerate(places())]
    cases += [run(stack, [shape], 8100 + i) for i, (stack, shape) in enumerate(skipped())]
    write("attention.json", cases, precision="float64")
