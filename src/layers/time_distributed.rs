//! TimeDistributed: a layer applied to each step by itself, with the same weights. x `[N, T, ...]`, y `[N, T,
//! ...]`; `layer` sees `[N, ...]`. Keras: `layers.TimeDistributed`.

use crate::config::fields::Fields;
use crate::diag::Diag;
use crate::graph::{Builder, Mismatch, Var};
use crate::layers::{Arity, LAYERS, Layer, LayerEntry, Reach, one};

pub const ENTRY: LayerEntry = LayerEntry {
    name: "TimeDistributed",
    aliases: &[],
    about: "a layer for each step of a sequence",
    parse: read,
};

#[derive(Debug)]
struct TimeDistributed {
    /// `None` after a mistake, which was noted.
    layer: Option<Box<dyn Layer>>,
}

fn read(f: &mut Fields<'_>) -> Box<dyn Layer> {
    let layer = f.variant("layer", &LAYERS);
    if !f.has("layer") {
        let hint = "for example layer = { type = \"Dense\", units = 10 }";
        f.push(Diag::new("`TimeDistributed` needs `layer`").at(&f.place("layer")).hint(hint));
    }
    if layer.as_ref().is_some_and(|layer| layer.arity() == Arity::Many) {
        f.error("layer", "must take one input", None);
    }
    if layer.as_ref().is_some_and(|layer| layer.adapts()) {
        let hint = "put it before this layer: it works on each step anyway".to_string();
        f.error("layer", "must not be one that is fitted to the data", Some(hint));
    }
    if layer.as_ref().is_some_and(|layer| layer.reach() == Reach::Walk) {
        let message = "must not have `stateful`: each step is a sample by itself";
        f.error("layer", message, Some("leave it out".into()));
    }
    Box::new(TimeDistributed { layer })
}

impl Layer for TimeDistributed {
    fn lower(&self, g: &mut Builder<'_>, x: &[Var]) -> Result<Var, Mismatch> {
        let shape = g.shape(one(x)).clone();
        if shape.dims.len() < 2 {
            return Err(Mismatch::no_sequence("[N,T,...]", &shape));
        }
        g.per_step(one(x), |g, x| match &self.layer {
            Some(layer) => layer.lower(g, &[x]),
            None => Ok(x),
        })
    }

    fn passes_mask(&self) -> bool {
        true
    }
}

#[cfg(test)]
crate::battery! {
    "type = \"TimeDistributed\"\nlayer = { type = \"Dense\", units = 3, activation = \"relu\" }" on [4, 2];
    "type = \"TimeDistributed\"\nlayer = { type = \"Conv2D\", filters = 2, kernel_size = 2, activation = \"relu\" }" on [3, 3, 4, 2];
    "type = \"TimeDistributed\"\nlayer = \"Flatten\"" on [3, 2, 2];
    "type = \"TimeDistributed\"\nlayer = { type = \"LSTM\", units = 2 }" on [3, 2, 2];
    "type = \"TimeDistributed\"\nlayer = { type = \"Dropout\", rate = 0.5 }" on [3, 5];
    "type = \"TimeDistributed\"\nlayer = \"LayerNormalization\"" on [3, 5];
    "type = \"TimeDistributed\"\nlayer = { type = \"TimeDistributed\", layer = { type = \"Dense\", units = 2 } }" on [2, 3, 2];
}
