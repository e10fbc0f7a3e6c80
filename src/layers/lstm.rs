//! LSTM: `c_t = f_t c_(t-1) + i_t g_t`, `h_t = o_t activation(c_t)`, y the last h or all of them, with
//! `i, f, o = recurrent_activation(...)` and `g = activation(...)` of `x_t kernel + bias + h_(t-1)
//! recurrent_kernel`, gates in the order i, f, g, o. Shapes are in [`super::recurrent`]. Keras: `layers.LSTM`.
//! Hochreiter and Schmidhuber: Long Short-Term Memory, 1997.
//!
//! `unit_forget_bias`: the bias of f begins at 1. Jozefowicz et al.: An Empirical Exploration of Recurrent
//! Network Architectures, 2015.

use std::sync::Arc;

use crate::config::fields::Fields;
use crate::graph::Init;
use crate::layers::LayerEntry;
use crate::layers::recurrent::Recurrence;
use crate::ops::recurrent::Cell;

pub const ENTRY: LayerEntry = LayerEntry {
    name: "LSTM",
    aliases: &[],
    about: "long short-term memory: a cell state behind gates",
    parse: |f| Box::new(read(f)),
};

pub fn read(f: &mut Fields<'_>) -> Recurrence {
    let mut layer = Recurrence::read(f, Cell::Lstm);
    if f.key("unit_forget_bias").or(true) {
        let rest = layer.bias_initializer;
        layer.bias_initializer = Arc::new(UnitForget { rest });
    }
    layer
}

/// 1 for the forget gate, the second quarter.
#[derive(Debug)]
struct UnitForget {
    rest: Arc<dyn Init>,
}

impl Init for UnitForget {
    fn fill(&self, shape: &[usize], seed: u64, path: &str, out: &mut [f32]) {
        self.rest.fill(shape, seed, path, out);
        let units = out.len() / 4;
        out[units..2 * units].fill(1.0);
    }

    fn check(&self, shape: &[usize]) -> Option<String> {
        self.rest.check(shape)
    }
}

#[cfg(test)]
crate::battery! {
    "type = \"LSTM\"\nunits = 3" on [4, 2];
    "type = \"LSTM\"\nunits = 2\nreturn_sequences = true\nactivation = \"relu\"\nuse_bias = false" on [3, 2];
    "type = \"LSTM\"\nunits = 2\nrecurrent_activation = \"hard_sigmoid\"\nactivation = \"gelu\"" on [3, 2];
    "type = \"LSTM\"\nunits = 17\ngo_backwards = true\nunit_forget_bias = false" on [2, 3];
    "type = \"LSTM\"\nunits = 2\nreturn_sequences = true\ndropout = 0.5\nrecurrent_dropout = 0.4" on [4, 2];
    "type = \"LSTM\"\nunits = 3\nrecurrent_dropout = 0.5\nseed = 2" on [3, 2];
    "type = \"LSTM\"\nunits = 2\nreturn_sequences = true" on [1, 2];
    "type = \"LSTM\"\nunits = 3\nstateful = true\nreturn_sequences = true\nrecurrent_dropout = 0.5" on [4, 2];
    "type = \"LSTM\"\nunits = 2\nstateful = true" on [4, 2];
}
