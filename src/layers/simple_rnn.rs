//! SimpleRNN: `h_t = activation(x_t kernel + bias + h_(t-1) recurrent_kernel)`, y the last h or all of them.
//! Shapes are in [`super::recurrent`]; one gate. Keras: `layers.SimpleRNN`. Elman: Finding Structure in Time,
//! 1990.

use crate::config::fields::Fields;
use crate::layers::LayerEntry;
use crate::layers::recurrent::Recurrence;
use crate::ops::recurrent::Cell;

pub const ENTRY: LayerEntry = LayerEntry {
    name: "SimpleRNN",
    aliases: &[],
    about: "a fully connected recurrent layer: its output is fed back",
    parse: |f| Box::new(read(f)),
};

pub fn read(f: &mut Fields<'_>) -> Recurrence {
    Recurrence::read(f, Cell::Simple)
}

#[cfg(test)]
crate::battery! {
    "type = \"SimpleRNN\"\nunits = 3" on [4, 2];
    "type = \"SimpleRNN\"\nunits = 2\nreturn_sequences = true\nactivation = \"silu\"\nuse_bias = false" on [3, 2];
    "type = \"SimpleRNN\"\nunits = 17\ngo_backwards = true" on [2, 3];
    "type = \"SimpleRNN\"\nunits = 3\ndropout = 0.5\nrecurrent_dropout = 0.4\nseed = 3" on [4, 2];
    "type = \"SimpleRNN\"\nunits = 3\nreturn_sequences = true" on [1, 1];
    "type = \"SimpleRNN\"\nunits = 2\nstateful = true\nreturn_sequences = true" on [4, 2];
    "type = \"SimpleRNN\"\nunits = 3\nstateful = true" on [4, 2];
}
