//! loss_n = weight_n * mean over the sample's rows of f(output row, target): a loss over the last
//! axis as an op. Output `[N, ..., C]`, target `[N, ...]` (class numbers) or `[N, ..., C]`, weight and
//! loss `[N]`.

use std::fmt::Debug;

use crate::graph::{Backward, Ctx, Forward, Mismatch, Op, Signature};
use crate::losses::fits;
use crate::losses::samples::{check_batched, for_samples, numbers};
use crate::shape::Shape;

/// A loss of one row.
pub trait RowLoss: Debug + Send + Sync + 'static {
    /// Keras's name.
    const NAME: &'static str;
    /// Targets are class numbers, one per row; else they are rows.
    const CLASS_NUMBERS: bool = false;
    fn value(&self, p: &[f32], t: &[f32]) -> f32;
    /// `dp = scale *` derivative of the value by the row's numbers.
    fn gradient(&self, p: &[f32], t: &[f32], scale: f32, dp: &mut [f32]);
    /// What the mean is multiplied by, where that depends on all targets of the batch.
    fn batch_factor(&self, targets: &[f32]) -> f32 {
        let _ = targets;
        1.0
    }
    /// The definition of the value in f64.
    #[cfg(test)]
    fn twin(&self, p: &[f64], t: &[f64]) -> f64;
}

/// A [`RowLoss`] as an op.
#[derive(Clone, Debug)]
pub struct Rows<F> {
    f: F,
    /// Numbers per row.
    width: usize,
    /// Rows per sample.
    rows: usize,
}

impl<F: RowLoss> Rows<F> {
    /// For outputs of this shape.
    pub fn new(f: F, output: &Shape) -> Rows<F> {
        let width = output.last().max(1);
        Rows { f, width, rows: output.size() / width }
    }

    /// Target numbers per row.
    fn target_width(&self) -> usize {
        if F::CLASS_NUMBERS { 1 } else { self.width }
    }
}

impl<F: RowLoss> Op for Rows<F> {
    fn name(&self) -> &'static str {
        F::NAME
    }

    fn infer(&self, x: &[&Shape]) -> Result<Signature, Mismatch> {
        check_batched(F::NAME, x[0], x[2])?;
        fits::same_rows(F::NAME, x[0], x[1], F::CLASS_NUMBERS)?;
        Ok(Signature::new(Shape::batch([])).differentiable(&[0]).keep_x(&[0, 1, 2]))
    }

    fn forward(&self, io: &Forward<'_>, cx: &Ctx<'_>) {
        let (p, t, w) = (io.x(0), io.x(1), io.x(2));
        let (size, target_width) = (self.rows * self.width, self.target_width());
        let factor = self.f.batch_factor(t) / self.rows as f32;
        for_samples(cx.pool, size, 1, io.y(0), |samples, losses| {
            for (n, loss) in samples.zip(losses) {
                let one = n..n + 1;
                let rows = p[numbers(&one, size)].chunks_exact(self.width);
                let targets = t[numbers(&one, self.rows * target_width)].chunks_exact(target_width);
                let sum: f32 = rows.zip(targets).map(|(p, t)| self.f.value(p, t)).sum();
                *loss = w[n] * (sum * factor);
            }
        });
    }

    fn backward(&self, io: &Backward<'_>, cx: &Ctx<'_>) {
        let Some(dp) = io.dx(0) else { return };
        let (p, t, w, dy) = (io.x(0), io.x(1), io.x(2), &*io.dy0());
        let (size, target_width) = (self.rows * self.width, self.target_width());
        let factor = self.f.batch_factor(t) / self.rows as f32;
        for_samples(cx.pool, size, size, dp.buf, |samples, dp| {
            for (n, dp) in samples.zip(dp.chunks_exact_mut(size)) {
                let one = n..n + 1;
                let rows = p[numbers(&one, size)].chunks_exact(self.width);
                let targets = t[numbers(&one, self.rows * target_width)].chunks_exact(target_width);
                for ((dp, p), t) in dp.chunks_exact_mut(self.width).zip(rows).zip(targets) {
                    self.f.gradient(p, t, dy[n] * w[n] * factor, dp);
                }
            }
        });
    }

    fn flops(&self, x: &[&Shape], _: &[&Shape]) -> f64 {
        6.0 * x[0].size() as f64
    }

    #[cfg(test)]
    fn twin(&self, x: &[ndarray::ArrayD<f64>], _: &crate::graph::twin::TwinCtx) -> Vec<ndarray::ArrayD<f64>> {
        let flat = |x: &ndarray::ArrayD<f64>| x.iter().copied().collect::<Vec<f64>>();
        let (p, t) = (flat(&x[0]), flat(&x[1]));
        let narrow: Vec<f32> = t.iter().map(|t| *t as f32).collect();
        let factor = f64::from(self.f.batch_factor(&narrow)) / self.rows as f64;
        let values: Vec<f64> =
            p.chunks(self.width).zip(t.chunks(self.target_width())).map(|(p, t)| self.f.twin(p, t)).collect();
        let loss = values.chunks(self.rows).zip(&x[2]).map(|(v, w)| w * factor * v.iter().sum::<f64>());
        vec![ndarray::Array1::from_iter(loss).into_dyn()]
    }
}
