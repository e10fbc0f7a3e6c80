//! Crossentropy of a softmax, computed from its input x and its output p.
//!
//! loss_n = weight_n * mean over rows of sum_c t_c (ln sum_k e^x_k - x_c); the gradient of a row is
//! p * sum_c t_c - t. With m = max x and the largest p, which belongs to it,
//! ln sum e^x = m - ln(max p): exact however large the x are, and no e^x is taken twice.
//!
//! Inputs: logits `[N, ..., C]`, probabilities of the same shape, target (class numbers `[N, ...]` or
//! rows `[N, ..., C]`), weight `[N]`. Only the logits get a gradient: the softmax's own backward pass
//! is not run.

use crate::graph::{Backward, Ctx, Forward, Mismatch, Op, Signature};
use crate::losses::fits;
use crate::losses::samples::{check_batched, for_samples, numbers};
use crate::shape::Shape;

/// Class numbers that do not count. Keras's `ignore_class`.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Ignore(pub Option<f32>);

impl Ignore {
    pub fn skips(self, target: f32) -> bool {
        self.0 == Some(target)
    }

    /// The batch's rows over those that count: makes the mean one over the latter.
    pub fn factor(self, targets: &[f32]) -> f32 {
        if self.0.is_none() {
            return 1.0;
        }
        let counted = targets.iter().filter(|t| !self.skips(**t)).count();
        targets.len() as f32 / (counted as f32 + super::EPSILON)
    }
}

/// What a row's target is.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Labels {
    ClassNumbers(Ignore),
    Rows,
}

/// The op for rows of `width` logits.
#[derive(Clone, Debug)]
pub struct SoftmaxCrossentropy {
    pub width: usize,
    pub labels: Labels,
    /// Keras's `label_smoothing`: this much of the target is spread over all classes.
    pub smoothing: f32,
}

simd! {
    /// `dx = scale * (p * total - t)`, where t is `target * keep + base`
    fn minus_rows(p: &[f32], target: &[f32], keep: f32, base: f32, total: f32, scale: f32, dx: &mut [f32]) {
        for ((dx, p), t) in dx.iter_mut().zip(p).zip(target) {
            *dx = scale * (p * total - (t * keep + base));
        }
    }
}

simd! {
    /// `dx = scale * (p - base)`
    fn minus_base(p: &[f32], base: f32, scale: f32, dx: &mut [f32]) {
        for (dx, p) in dx.iter_mut().zip(p) {
            *dx = scale * (p - base);
        }
    }
}

/// In lanes, since the order does not matter to a maximum.
fn max(x: &[f32]) -> f32 {
    let larger = |m: f32, v: f32| if v > m { v } else { m };
    let (chunks, rest) = x.as_chunks::<16>();
    let mut lanes = [x[0]; 16];
    for chunk in chunks {
        for (lane, v) in lanes.iter_mut().zip(chunk) {
            *lane = larger(*lane, *v);
        }
    }
    lanes.iter().chain(rest).fold(x[0], |m, v| larger(m, *v))
}

/// The class that a target number names, if there is one.
pub fn class(target: f32, classes: usize) -> Option<usize> {
    let named = target >= 0.0 && target < classes as f32;
    named.then_some(target as usize)
}

impl SoftmaxCrossentropy {
    /// What every class gets of the target.
    fn base(&self) -> f32 {
        self.smoothing / self.width as f32
    }

    fn target_width(&self) -> usize {
        if self.labels == Labels::Rows { self.width } else { 1 }
    }

    fn factor(&self, targets: &[f32], rows: usize) -> f32 {
        match self.labels {
            Labels::ClassNumbers(ignore) => ignore.factor(targets) / rows as f32,
            Labels::Rows => 1.0 / rows as f32,
        }
    }

    fn row_loss(&self, x: &[f32], p: &[f32], target: &[f32]) -> f32 {
        let (top, log_sum) = (max(x), -libm::logf(max(p)));
        let surprise = |x: f32| (top - x) + log_sum;
        let (keep, base) = (1.0 - self.smoothing, self.base());
        match self.labels {
            Labels::ClassNumbers(ignore) if ignore.skips(target[0]) => 0.0,
            Labels::ClassNumbers(_) => {
                let own = class(target[0], self.width).map_or(f32::NAN, |c| surprise(x[c]));
                if base == 0.0 {
                    return own;
                }
                keep * own + base * x.iter().map(|x| surprise(*x)).sum::<f32>()
            }
            Labels::Rows => x.iter().zip(target).map(|(x, t)| (t * keep + base) * surprise(*x)).sum(),
        }
    }

    fn row_gradient(&self, p: &[f32], target: &[f32], scale: f32, dx: &mut [f32]) {
        let (keep, base) = (1.0 - self.smoothing, self.base());
        match self.labels {
            Labels::ClassNumbers(ignore) if ignore.skips(target[0]) => dx.fill(0.0),
            Labels::ClassNumbers(_) => {
                minus_base(p, base, scale, dx);
                if let Some(c) = class(target[0], self.width) {
                    dx[c] -= scale * keep;
                }
            }
            Labels::Rows => {
                let total = target.iter().sum::<f32>() * keep + self.smoothing;
                minus_rows(p, target, keep, base, total, scale, dx);
            }
        }
    }
}

impl Op for SoftmaxCrossentropy {
    fn name(&self) -> &'static str {
        "softmax_crossentropy"
    }

    fn infer(&self, x: &[&Shape]) -> Result<Signature, Mismatch> {
        check_batched(self.name(), x[0], x[3])?;
        fits::same_size(self.name(), x[0], x[1])?;
        fits::same_rows(self.name(), x[0], x[2], self.labels != Labels::Rows)?;
        Ok(Signature::new(Shape::batch([])).differentiable(&[0]).keep_x(&[1, 2, 3]))
    }

    fn forward(&self, io: &Forward<'_>, cx: &Ctx<'_>) {
        let (x, p, t, w) = (io.x(0), io.x(1), io.x(2), io.x(3));
        let (size, target_width) = (x.len() / cx.batch, self.target_width());
        let rows = size / self.width;
        let factor = self.factor(t, rows);
        for_samples(cx.pool, size, 1, io.y(0), |samples, losses| {
            for (n, loss) in samples.zip(losses) {
                let part = numbers(&(n..n + 1), size);
                let logits = x[part.clone()].chunks_exact(self.width);
                let probabilities = p[part].chunks_exact(self.width);
                let targets = t[numbers(&(n..n + 1), rows * target_width)].chunks_exact(target_width);
                let each = logits.zip(probabilities).zip(targets);
                let sum: f32 = each.map(|((x, p), t)| self.row_loss(x, p, t)).sum();
                *loss = w[n] * (sum * factor);
            }
        });
    }

    fn backward(&self, io: &Backward<'_>, cx: &Ctx<'_>) {
        let Some(dx) = io.dx(0) else { return };
        let (p, t, w, dy) = (io.x(1), io.x(2), io.x(3), &*io.dy0());
        let (size, target_width) = (p.len() / cx.batch, self.target_width());
        let rows = size / self.width;
        let factor = self.factor(t, rows);
        for_samples(cx.pool, size, size, dx.buf, |samples, dx| {
            for (n, dx) in samples.zip(dx.chunks_exact_mut(size)) {
                let probabilities = p[numbers(&(n..n + 1), size)].chunks_exact(self.width);
                let targets = t[numbers(&(n..n + 1), rows * target_width)].chunks_exact(target_width);
                for ((dx, p), t) in dx.chunks_exact_mut(self.width).zip(probabilities).zip(targets) {
                    self.row_gradient(p, t, dy[n] * w[n] * factor, dx);
                }
            }
        });
    }

    fn flops(&self, x: &[&Shape], _: &[&Shape]) -> f64 {
        4.0 * x[0].size() as f64
    }

    #[cfg(test)]
    fn twin(&self, x: &[ndarray::ArrayD<f64>], _: &crate::graph::twin::TwinCtx) -> Vec<ndarray::ArrayD<f64>> {
        let flat = |x: &ndarray::ArrayD<f64>| x.iter().copied().collect::<Vec<f64>>();
        let (logits, targets) = (flat(&x[0]), flat(&x[2]));
        let narrow: Vec<f32> = targets.iter().map(|t| *t as f32).collect();
        let rows = logits.len() / self.width / x[3].len();
        let smoothing = f64::from(self.smoothing);
        let row_loss = |(x, t): (&[f64], &[f64])| {
            if matches!(self.labels, Labels::ClassNumbers(ignore) if ignore.skips(t[0] as f32)) {
                return 0.0;
            }
            let top = x.iter().copied().fold(f64::NEG_INFINITY, f64::max);
            let log_sum = top + x.iter().map(|v| (v - top).exp()).sum::<f64>().ln();
            let label = |c: usize| match self.labels {
                Labels::Rows => t[c],
                Labels::ClassNumbers(_) => f64::from(u8::from(t[0] == c as f64)),
            };
            let smooth = |c: usize| label(c) * (1.0 - smoothing) + smoothing / self.width as f64;
            (0..self.width).map(|c| smooth(c) * (log_sum - x[c])).sum()
        };
        let values: Vec<f64> =
            logits.chunks(self.width).zip(targets.chunks(self.target_width())).map(row_loss).collect();
        let factor = f64::from(self.factor(&narrow, rows));
        let loss = values.chunks(rows).zip(&x[3]).map(|(v, w)| w * factor * v.iter().sum::<f64>());
        vec![ndarray::Array1::from_iter(loss).into_dyn()]
    }
}
