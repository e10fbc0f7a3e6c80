//! `cosine_similarity`: minus the cosine of the angle between output and target, over the last axis;
//! -1 is the best. Keras: `losses.CosineSimilarity`.
//!
//! Each side is divided by its length, or by 1e-7 where it is shorter than that.

use crate::config::registry::Entry;
use crate::graph::{Builder, Mismatch, Var};
use crate::losses::rows::{RowLoss, Rows};
use crate::losses::{EPSILON, Loss, LossInputs, Target, fits};
use crate::shape::Shape;

pub const ENTRY: Entry<dyn Loss> = Entry {
    name: "cosine_similarity",
    aliases: &["CosineSimilarity"],
    about: "minus the cosine of the angle between output and target",
    parse: |_| Box::new(CosineSimilarity),
};

#[derive(Clone, Copy, Debug)]
struct CosineSimilarity;

impl Loss for CosineSimilarity {
    fn lower(&self, g: &mut Builder<'_>, l: LossInputs) -> Result<Var, Mismatch> {
        let op = Rows::new(*self, g.shape(l.output));
        g.push(op, &[l.output, l.target, l.weight])
    }

    fn fits(&self, output: &Shape, target: &Target) -> Result<(), Mismatch> {
        fits::number_by_number(Self::NAME, output, target)
    }
}

/// 1 / length; and whether the length was too small to be taken as it is.
fn inverse_length(x: &[f32]) -> (f32, bool) {
    let length = x.iter().map(|v| v * v).sum::<f32>().sqrt();
    if length < EPSILON { (1.0 / EPSILON, true) } else { (1.0 / length, false) }
}

fn dot(a: &[f32], b: &[f32]) -> f32 {
    a.iter().zip(b).map(|(a, b)| a * b).sum()
}

impl RowLoss for CosineSimilarity {
    const NAME: &'static str = "cosine_similarity";

    fn value(&self, p: &[f32], t: &[f32]) -> f32 {
        -dot(p, t) * inverse_length(p).0 * inverse_length(t).0
    }

    /// -(t' - p' cos) / |p| with unit vectors t' and p'; a divisor that was cut is a constant.
    fn gradient(&self, p: &[f32], t: &[f32], scale: f32, dp: &mut [f32]) {
        let ((p_inverse, cut), (t_inverse, _)) = (inverse_length(p), inverse_length(t));
        let cosine = if cut { 0.0 } else { dot(p, t) * p_inverse * t_inverse };
        for ((dp, p), t) in dp.iter_mut().zip(p).zip(t) {
            *dp = -scale * p_inverse * (t * t_inverse - p * p_inverse * cosine);
        }
    }

    #[cfg(test)]
    fn twin(&self, p: &[f64], t: &[f64]) -> f64 {
        let length = |x: &[f64]| x.iter().map(|v| v * v).sum::<f64>().sqrt().max(1e-7);
        -p.iter().zip(t).map(|(p, t)| p * t).sum::<f64>() / length(p) / length(t)
    }
}
