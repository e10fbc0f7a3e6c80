//! GRU: `h_t = z_t h_(t-1) + (1 - z_t) g_t`, y the last h or all of them, with `z, r =
//! recurrent_activation(x_t kernel + bias + h_(t-1) recurrent_kernel)` and `g = activation(...)` of
//!
//! - with `reset_after` (the default) `x_t kernel + bias_0 + r_t (h_(t-1) recurrent_kernel + bias_1)`: the
//!   bias is `[2, 3 units]`;
//! - without `x_t kernel + bias + (r_t h_(t-1)) recurrent_kernel`.
//!
//! Gates are in the order z, r, g. Shapes are in [`super::recurrent`]. Keras: `layers.GRU`. Cho et al.:
//! Learning Phrase Representations using RNN Encoder-Decoder for Statistical Machine Translation, 2014.

use crate::config::fields::Fields;
use crate::layers::LayerEntry;
use crate::layers::recurrent::Recurrence;
use crate::ops::recurrent::Cell;

pub const ENTRY: LayerEntry = LayerEntry {
    name: "GRU",
    aliases: &[],
    about: "gated recurrent unit: the state is mixed with a candidate",
    parse: |f| Box::new(read(f)),
};

pub fn read(f: &mut Fields<'_>) -> Recurrence {
    let reset_after = f.key("reset_after").or(true);
    Recurrence::read(f, Cell::Gru { reset_after })
}

#[cfg(test)]
crate::battery! {
    "type = \"GRU\"\nunits = 3" on [4, 2];
    "type = \"GRU\"\nunits = 2\nreturn_sequences = true\nactivation = \"silu\"" on [3, 2];
    "type = \"GRU\"\nunits = 2\nuse_bias = false\nrecurrent_activation = \"hard_sigmoid\"" on [3, 2];
    "type = \"GRU\"\nunits = 17\ngo_backwards = true" on [2, 3];
    "type = \"GRU\"\nunits = 2\nreturn_sequences = true\ndropout = 0.5\nrecurrent_dropout = 0.4" on [4, 2];
    "type = \"GRU\"\nunits = 3\nrecurrent_dropout = 0.5\nseed = 2" on [3, 2];
    "type = \"GRU\"\nunits = 3\nreset_after = false" on [4, 2];
    "type = \"GRU\"\nunits = 2\nreturn_sequences = true\nactivation = \"relu\"\nreset_after = false" on [3, 2];
    "type = \"GRU\"\nunits = 17\ngo_backwards = true\nuse_bias = false\nreset_after = false" on [2, 3];
    "type = \"GRU\"\nunits = 2\nrecurrent_activation = \"hard_sigmoid\"\nreset_after = false\nrecurrent_dropout = 0.4" on [3, 2];
    "type = \"GRU\"\nunits = 2\nreturn_sequences = true\nrecurrent_dropout = 0.4\nreset_after = false" on [3, 2];
    "type = \"GRU\"\nunits = 3\nstateful = true\nreturn_sequences = true" on [4, 2];
    "type = \"GRU\"\nunits = 2\nstateful = true\nreset_after = false" on [4, 2];
}
