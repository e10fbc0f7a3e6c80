//! Permute: axes in another order. `dims[i]` is the input's axis that becomes axis `i + 1`; axes
//! count from 1, the batch stays first. Keras: `layers.Permute`.

use crate::graph::{Builder, Mismatch, Var};
use crate::layers::{Layer, LayerEntry, one};
use crate::ops::transpose::Transpose;

pub const ENTRY: LayerEntry = LayerEntry {
    name: "Permute",
    aliases: &[],
    about: "axes in another order",
    parse: |f| {
        let dims: Vec<usize> = f.key("dims").required();
        let mut sorted = dims.clone();
        sorted.sort_unstable();
        if !sorted.iter().copied().eq(1..=dims.len()) {
            let hint = Some("for example [2, 1] swaps the two axes of a sample".to_string());
            f.error("dims", format!("must name each axis from 1 on once, got {dims:?}"), hint);
        }
        Box::new(Permute { dims })
    },
};

#[derive(Debug)]
struct Permute {
    dims: Vec<usize>,
}

impl Layer for Permute {
    fn lower(&self, g: &mut Builder<'_>, x: &[Var]) -> Result<Var, Mismatch> {
        let x = one(x);
        let shape = g.shape(x).clone();
        if shape.dims.len() != self.dims.len() {
            return Err(Mismatch::new(format!(
                "dims {:?} orders {} axes, but the input {shape} has {} besides the batch",
                self.dims,
                self.dims.len(),
                shape.dims.len()
            )));
        }
        let order: Vec<usize> = self.dims.iter().map(|d| d - 1).collect();
        g.push(Transpose::new(&shape.dims, &order), &[x])
    }
}

#[cfg(test)]
crate::battery! {
    "type = \"Permute\"\ndims = [2, 1]" on [3, 5];
    "type = \"Permute\"\ndims = [3, 1, 2]" on [3, 2, 5];
    "type = \"Permute\"\ndims = [2, 1, 3]" on [3, 2, 5];
    "type = \"Permute\"\ndims = [4, 2, 3, 1]" on [3, 2, 5, 2];
    "type = \"Permute\"\ndims = [1]" on [3];
}
