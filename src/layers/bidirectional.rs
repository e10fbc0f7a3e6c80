//! Bidirectional: a recurrent layer from the first step to the last and another from the last to the first,
//! with weights of their own; what they give is put side by side or combined. x `[N, T, I]`; y `[N, (T,) units]`,
//! twice the units with `merge_mode = "concat"`. With `return_sequences` both come out in the order of x, and
//! masked steps are zero. With `merge_mode = "none"` (Keras: None) they are two outputs, which a `from` names
//! `LAYER/forward_lstm` and `LAYER/backward_lstm`, as their weights are named in every mode. Keras: `layers.Bidirectional`. Schuster and Paliwal: Bidirectional Recurrent Neural
//! Networks, 1997.

use std::sync::Arc;

use crate::config::fields::Fields;
use crate::diag::Diag;
use crate::graph::{Builder, Mismatch, Var};
use crate::layers::recurrent::{RECURRENT, Recurrence, reversed};
use crate::layers::{Layer, LayerEntry, Part, one};
use crate::ops::concatenate::Concatenate;
use crate::ops::merge::Merge;
use crate::ops::recurrent::Cell;
use crate::ops::time::ZeroMasked;

pub const ENTRY: LayerEntry = LayerEntry {
    name: "Bidirectional",
    aliases: &[],
    about: "a recurrent layer in both directions",
    parse: read,
};

/// What becomes of the two directions.
#[derive(Clone, Copy, Debug, PartialEq)]
enum MergeMode {
    Concat,
    Sum,
    Mul,
    Ave,
    None,
}
crate::words!(MergeMode, Concat = "concat", Sum = "sum", Mul = "mul", Ave = "ave", None = "none");

#[derive(Debug)]
struct Bidirectional {
    layer: Arc<Recurrence>,
    merge_mode: MergeMode,
}

fn read(f: &mut Fields<'_>) -> Box<dyn Layer> {
    let layer = f.variant("layer", &RECURRENT);
    if !f.has("layer") {
        let hint = "for example layer = { type = \"LSTM\", units = 64 }";
        f.push(Diag::new("`Bidirectional` needs `layer`").at(&f.place("layer")).hint(hint));
    }
    let merge_mode = f.key("merge_mode").or(MergeMode::Concat);
    let Some(layer) = layer else {
        // A mistake was noted: nobody runs this.
        return Box::new(Nothing);
    };
    if layer.go_backwards {
        let message = "must not have `go_backwards`: one of both directions does";
        f.error("layer", message, Some("leave it out".into()));
    }
    if layer.stateful {
        let message =
            "must not have `stateful`: the way back begins at the end, where nothing has come from yet";
        f.error("layer", message, Some("leave it out".into()));
    }
    Box::new(Bidirectional { layer: Arc::from(layer), merge_mode })
}

/// Stands in for a layer that could not be read.
#[derive(Debug)]
struct Nothing;

impl Layer for Nothing {
    fn lower(&self, _: &mut Builder<'_>, x: &[Var]) -> Result<Var, Mismatch> {
        Ok(one(x))
    }
}

/// One direction by itself.
#[derive(Debug)]
struct Direction {
    layer: Arc<Recurrence>,
    backwards: bool,
}

impl Direction {
    fn name(&self) -> String {
        let cell = match self.layer.cell {
            Cell::Simple => "simple_rnn",
            Cell::Lstm => "lstm",
            Cell::Gru { .. } => "gru",
        };
        format!("{}_{cell}", if self.backwards { "backward" } else { "forward" })
    }

    /// Its steps in the order of x.
    fn steps(&self, g: &mut Builder<'_>, x: Var) -> Result<Var, Mismatch> {
        let y = self.layer.lower_in(g, x, self.backwards)?;
        if self.backwards && self.layer.return_sequences { reversed(g, y) } else { Ok(y) }
    }
}

impl Layer for Direction {
    fn lower(&self, g: &mut Builder<'_>, x: &[Var]) -> Result<Var, Mismatch> {
        let y = self.steps(g, one(x))?;
        without_masked(g, one(x), y, &self.layer)
    }
}

/// The output with zeros where steps of x do not count.
fn without_masked(g: &mut Builder<'_>, x: Var, y: Var, layer: &Recurrence) -> Result<Var, Mismatch> {
    let Some(mask) = g.mask(x).filter(|_| layer.return_sequences) else { return Ok(y) };
    let y = g.push(ZeroMasked, &[y, mask])?;
    g.set_mask(y, mask);
    Ok(y)
}

impl Bidirectional {
    fn directions(&self) -> [Direction; 2] {
        [false, true].map(|backwards| Direction { layer: self.layer.clone(), backwards })
    }
}

impl Layer for Bidirectional {
    fn lower(&self, g: &mut Builder<'_>, x: &[Var]) -> Result<Var, Mismatch> {
        let x = one(x);
        let [forward, backward] = self.directions();
        let mut steps = |d: &Direction| g.within(&d.name(), |g| d.steps(g, x));
        let both = [steps(&forward)?, steps(&backward)?];
        let shape = g.shape(both[0]).clone();
        let y = match self.merge_mode {
            MergeMode::Concat => g.push(Concatenate::new(&[&shape, &shape], shape.dims.len() - 1)?, &both)?,
            MergeMode::Sum => g.push(Merge::Add, &both)?,
            MergeMode::Mul => g.push(Merge::Multiply, &both)?,
            MergeMode::Ave => g.push(Merge::Average, &both)?,
            MergeMode::None => {
                let message = "gives two outputs with `merge_mode = \"none\"`, and here is room for one";
                return Err(Mismatch::new(message).hint("\"concat\" puts them side by side"));
            }
        };
        without_masked(g, x, y, &self.layer)
    }

    fn parts(&self) -> Vec<Part> {
        let part = |d: Direction| Part { name: d.name(), layer: Box::new(d) };
        match self.merge_mode {
            MergeMode::None => self.directions().map(part).into(),
            _ => vec![],
        }
    }
}

#[cfg(test)]
crate::battery! {
    "type = \"Bidirectional\"\nlayer = { type = \"LSTM\", units = 2 }" on [3, 2];
    "type = \"Bidirectional\"\nlayer = { type = \"GRU\", units = 2, return_sequences = true }\nmerge_mode = \"mul\"" on [3, 2];
    "type = \"Bidirectional\"\nlayer = { type = \"SimpleRNN\", units = 2, dropout = 0.5, recurrent_dropout = 0.5 }\nmerge_mode = \"ave\"" on [3, 2];
    "type = \"Bidirectional\"\nlayer = { type = \"SimpleRNN\", units = 2, return_sequences = true }\nmerge_mode = \"sum\"" on [3, 2];
    "type = \"Bidirectional\"\nlayer = { type = \"GRU\", units = 2, return_sequences = true, dropout = 0.5 }\nmerge_mode = \"none\"" on [3, 2];
    "type = \"Bidirectional\"\nlayer = { type = \"LSTM\", units = 2 }\nmerge_mode = \"none\"" on [3, 2];
}
