//! Reshape: the same numbers under another shape. x `[N, ...]`, y `[N, target_shape]`, where one
//! entry may be -1: it takes what the others leave. Keras: `layers.Reshape`.

use crate::graph::{Builder, Mismatch, Var};
use crate::layers::{Layer, LayerEntry, one};
use crate::shape::Shape;

pub const ENTRY: LayerEntry = LayerEntry {
    name: "Reshape",
    aliases: &[],
    about: "the same numbers under another shape",
    parse: |f| {
        let target_shape: Vec<i64> = f.key("target_shape").required();
        if let Some(wrong) = target_shape.iter().find(|d| **d < -1 || **d == 0) {
            let message = format!("sizes are 1 or more, or -1 for what is left; got {wrong}");
            f.error("target_shape", message, None);
        }
        if target_shape.iter().filter(|d| **d == -1).count() > 1 {
            let message = format!("only one size may be -1, got {target_shape:?}");
            f.error("target_shape", message, None);
        }
        Box::new(Reshape { target_shape })
    },
};

#[derive(Debug)]
struct Reshape {
    target_shape: Vec<i64>,
}

impl Layer for Reshape {
    fn lower(&self, g: &mut Builder<'_>, x: &[Var]) -> Result<Var, Mismatch> {
        let x = one(x);
        let shape = g.shape(x).clone();
        // Saturating: what is too large fits no input.
        let known =
            self.target_shape.iter().filter(|d| **d > 0).fold(1, |n: usize, d| n.saturating_mul(*d as usize));
        let dims: Vec<usize> = self
            .target_shape
            .iter()
            .map(|d| if *d > 0 { *d as usize } else { (shape.size() / known).max(1) })
            .collect();
        if dims.iter().fold(1, |n: usize, d| n.saturating_mul(*d)) != shape.size() {
            let target = &self.target_shape;
            return Err(Mismatch::new(format!(
                "cannot reshape {shape} with {} numbers per sample to target_shape {target:?}: {known} {}",
                shape.size(),
                if target.contains(&-1) { "does not divide them" } else { "numbers" }
            ))
            .hint("-1 as one of the sizes takes what the others leave"));
        }
        g.reshape(x, Shape::batch(dims))
    }
}

#[cfg(test)]
crate::battery! {
    "type = \"Reshape\"\ntarget_shape = [3, -1]" on [5, 3];
    "type = \"Reshape\"\ntarget_shape = [1, 7, 1]" on [7];
}
