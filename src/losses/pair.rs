//! loss_n = weight_n * mean over the sample of f(prediction, target): an element-wise loss as an op.
//!
//! Prediction and target `[N, ...]` of one shape, weight `[N]`, loss `[N]`.

use std::fmt::Debug;

use crate::graph::{Backward, Builder, Ctx, Forward, Mismatch, Op, Signature, Var};
use crate::losses::samples::{check_batched, for_samples, numbers};
use crate::losses::{Loss, LossInputs, Target, fits};
use crate::shape::Shape;
use crate::target::Scores;

/// Sums run in this many lanes that are added up in order at the end: vectorised, and the same bits
/// with every instruction set.
const LANES: usize = 16;

/// What becomes of a sample's numbers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Reduce {
    Mean,
    /// Sum over the last axis, mean over the others.
    SumOfRows,
}

/// An element-wise loss: value and slope next to each other. Inlined into vectorised loops.
pub trait Pair: Debug + Copy + Send + Sync + 'static {
    /// Keras's name.
    const NAME: &'static str;
    const REDUCE: Reduce;
    /// How outputs trained with it become probabilities.
    const SCORES: Scores = Scores::AsTheyAre;
    fn value(self, prediction: f32, target: f32) -> f32;
    /// Derivative of the value by the prediction.
    fn slope(self, prediction: f32, target: f32) -> f32;
    /// The definition in f64.
    #[cfg(test)]
    fn twin(self, prediction: f64, target: f64) -> f64;
    /// What holds for this batch, where that depends on all of its targets.
    fn for_batch(self, targets: &[f32]) -> Self {
        let _ = targets;
        self
    }
}

/// Element-wise losses: `Name { fields } "keras_name" reduce, value, slope, twin`.
macro_rules! pairs {
    ($($(#[$meta:meta])* $type:ident { $($field:ident),* } $name:literal $reduce:ident
       value($vs:ident, $vp:ident, $vt:ident) $value:expr,
       slope($ss:ident, $sp:ident, $st:ident) $slope:expr,
       twin($ws:ident, $wp:ident, $wt:ident) $twin:expr;)*) => {
        $(
            $(#[$meta])*
            #[derive(Clone, Copy, Debug, PartialEq)]
            pub struct $type { $(pub $field: f32),* }

            impl $crate::losses::pair::Pair for $type {
                const NAME: &'static str = $name;
                const REDUCE: $crate::losses::pair::Reduce = $crate::losses::pair::Reduce::$reduce;
                #[inline(always)]
                fn value($vs, $vp: f32, $vt: f32) -> f32 {
                    $value
                }
                #[inline(always)]
                fn slope($ss, $sp: f32, $st: f32) -> f32 {
                    $slope
                }
                #[cfg(test)]
                fn twin($ws, $wp: f64, $wt: f64) -> f64 {
                    $twin
                }
            }
        )*
    };
}
pub(super) use pairs;

/// A [`Pair`] as an op.
#[derive(Clone, Debug)]
pub struct PairLoss<F> {
    f: F,
    /// Numbers per sample.
    size: usize,
    /// What the sum over a sample is multiplied by.
    factor: f32,
}

impl<F: Pair> PairLoss<F> {
    /// For outputs of this shape.
    pub fn new(f: F, output: &Shape) -> PairLoss<F> {
        let size = output.size();
        let terms = match F::REDUCE {
            Reduce::Mean => size,
            Reduce::SumOfRows => size / output.last().max(1),
        };
        PairLoss { f, size, factor: 1.0 / terms.max(1) as f32 }
    }
}

simd! {
    fn losses<F: Pair>(f: F, size: usize, factor: f32, p: &[f32], t: &[f32], w: &[f32], loss: &mut [f32]) {
        let rows = p.chunks_exact(size).zip(t.chunks_exact(size));
        for ((loss, w), (p, t)) in loss.iter_mut().zip(w).zip(rows) {
            let ((p, p_rest), (t, t_rest)) = (p.as_chunks::<LANES>(), t.as_chunks::<LANES>());
            let mut lanes = [0.0f32; LANES];
            for (p, t) in p.iter().zip(t) {
                for (lane, (p, t)) in lanes.iter_mut().zip(p.iter().zip(t)) {
                    *lane += f.value(*p, *t);
                }
            }
            let mut sum = 0.0;
            for lane in lanes {
                sum += lane;
            }
            for (p, t) in p_rest.iter().zip(t_rest) {
                sum += f.value(*p, *t);
            }
            *loss = w * (sum * factor);
        }
    }
}

simd! {
    fn gradients<F: Pair>(f: F, size: usize, p: &[f32], t: &[f32], scale: [&[f32]; 2], factor: f32, dp: &mut [f32]) {
        let [dy, w] = scale;
        let rows = p.chunks_exact(size).zip(t.chunks_exact(size));
        for ((dp, (p, t)), (dy, w)) in dp.chunks_exact_mut(size).zip(rows).zip(dy.iter().zip(w)) {
            let scale = dy * w * factor;
            for ((dp, p), t) in dp.iter_mut().zip(p).zip(t) {
                *dp = scale * f.slope(*p, *t);
            }
        }
    }
}

impl<F: Pair> Op for PairLoss<F> {
    fn name(&self) -> &'static str {
        F::NAME
    }

    fn infer(&self, x: &[&Shape]) -> Result<Signature, Mismatch> {
        check_batched(F::NAME, x[0], x[2])?;
        fits::same_size(F::NAME, x[0], x[1])?;
        Ok(Signature::new(Shape::batch([])).differentiable(&[0]).keep_x(&[0, 1, 2]))
    }

    fn forward(&self, io: &Forward<'_>, cx: &Ctx<'_>) {
        let (p, t, w) = (io.x(0), io.x(1), io.x(2));
        let f = self.f.for_batch(t);
        for_samples(cx.pool, self.size, 1, io.y(0), |samples, loss| {
            let part = numbers(&samples, self.size);
            losses(f, self.size, self.factor, &p[part.clone()], &t[part], &w[samples], loss);
        });
    }

    fn backward(&self, io: &Backward<'_>, cx: &Ctx<'_>) {
        let Some(dp) = io.dx(0) else { return };
        let (p, t, w, dy) = (io.x(0), io.x(1), io.x(2), &*io.dy0());
        let f = self.f.for_batch(t);
        for_samples(cx.pool, self.size, self.size, dp.buf, |samples, dp| {
            let part = numbers(&samples, self.size);
            let scale = [&dy[samples.clone()], &w[samples]];
            gradients(f, self.size, &p[part.clone()], &t[part], scale, self.factor, dp);
        });
    }

    fn flops(&self, x: &[&Shape], _: &[&Shape]) -> f64 {
        4.0 * x[0].size() as f64
    }

    #[cfg(test)]
    fn twin(&self, x: &[ndarray::ArrayD<f64>], _: &crate::graph::twin::TwinCtx) -> Vec<ndarray::ArrayD<f64>> {
        let narrow: Vec<f32> = x[1].iter().map(|t| *t as f32).collect();
        let f = self.f.for_batch(&narrow);
        let terms: Vec<f64> = x[0].iter().zip(&x[1]).map(|(p, t)| f.twin(*p, *t)).collect();
        let rows = if F::REDUCE == Reduce::Mean { 1 } else { x[0].shape().last().copied().unwrap_or(1) };
        let mean = |sample: &[f64]| sample.iter().sum::<f64>() * rows as f64 / self.size as f64;
        let loss = terms.chunks(self.size).zip(&x[2]).map(|(sample, w)| w * mean(sample));
        vec![ndarray::Array1::from_iter(loss).into_dyn()]
    }
}

/// A loss that compares output and target number by number.
impl<F: Pair> Loss for F {
    fn scores(&self) -> Scores {
        F::SCORES
    }

    /// Of the element-wise losses, the ones by margins.
    fn takes_labels(&self) -> bool {
        F::SCORES == Scores::Margin
    }

    fn lower(&self, g: &mut Builder<'_>, l: LossInputs) -> Result<Var, Mismatch> {
        lower(*self, g, l.output, l)
    }

    fn fits(&self, output: &Shape, target: &Target) -> Result<(), Mismatch> {
        fits::number_by_number(F::NAME, output, target)
    }
}

/// Adds the loss of `prediction`: the output itself, or the logits behind it.
pub fn lower<F: Pair>(f: F, g: &mut Builder<'_>, prediction: Var, l: LossInputs) -> Result<Var, Mismatch> {
    let op = PairLoss::new(f, g.shape(prediction));
    g.push(op, &[prediction, l.target, l.weight])
}
