//! y = the mean of the time steps that count. x `[N, T, C]`, mask `[N, T]` of 1 and 0, y `[N, C]`.
//! Where no step counts y is 0.

use crate::graph::{Backward, Ctx, Forward, Mismatch, Op, Signature};
use crate::kernels::par::for_chunks;
use crate::shape::Shape;

/// Mean over time under a mask.
#[derive(Clone, Copy, Debug)]
pub struct MaskedMean;

/// What a step counts in the mean.
fn share(mask: &[f32]) -> f32 {
    let steps = mask.iter().filter(|m| **m != 0.0).count();
    1.0 / steps.max(1) as f32
}

simd! {
    /// `sum += factor x`
    fn add(factor: f32, x: &[f32], sum: &mut [f32]) {
        for (sum, x) in sum.iter_mut().zip(x) {
            *sum += factor * x;
        }
    }
}

impl Op for MaskedMean {
    fn name(&self) -> &'static str {
        "masked_mean"
    }

    fn infer(&self, x: &[&Shape]) -> Result<Signature, Mismatch> {
        let (&[time, channels], true) = (&x[0].dims[..], x[1].dims.len() == 1) else {
            return Err(Mismatch::new(format!("a mean over time got {} and a mask {}", x[0], x[1])));
        };
        if x[1].dims != [time] {
            return Err(Mismatch::new(format!("a mask {} does not fit {}", x[1], x[0])));
        }
        Ok(Signature::new(Shape::batch([channels])).differentiable(&[0]).keep_x(&[1]))
    }

    fn forward(&self, io: &Forward<'_>, cx: &Ctx<'_>) {
        let (x, mask, y) = (io.x(0), io.x(1), io.y(0));
        let (time, channels) = (mask.len() / cx.batch.max(1), y.len() / cx.batch.max(1));
        for_chunks(cx.pool, y, channels, |n, y| {
            let mask = &mask[n * time..][..time];
            let share = share(mask);
            y.fill(0.0);
            let steps = x[n * time * channels..].chunks_exact(channels).zip(mask);
            steps.filter(|(_, m)| **m != 0.0).for_each(|(x, _)| add(share, x, y));
        });
    }

    fn backward(&self, io: &Backward<'_>, cx: &Ctx<'_>) {
        let Some(dx) = io.dx(0) else { return };
        let (mask, dy) = (io.x(1), &*io.dy0());
        let (time, channels) = (mask.len() / cx.batch.max(1), dy.len() / cx.batch.max(1));
        for_chunks(cx.pool, dx.buf, time * channels, |n, dx| {
            let mask = &mask[n * time..][..time];
            let share = share(mask);
            dx.fill(0.0);
            let steps = dx.chunks_exact_mut(channels).zip(mask).filter(|(_, m)| **m != 0.0);
            steps.for_each(|(dx, _)| add(share, &dy[n * channels..][..channels], dx));
        });
    }

    fn flops(&self, x: &[&Shape], _: &[&Shape]) -> f64 {
        x[0].size() as f64
    }

    #[cfg(test)]
    fn twin(&self, x: &[ndarray::ArrayD<f64>], _: &crate::graph::twin::TwinCtx) -> Vec<ndarray::ArrayD<f64>> {
        let (n, time, channels) = (x[0].shape()[0], x[0].shape()[1], x[0].shape()[2]);
        vec![ndarray::ArrayD::from_shape_fn(vec![n, channels], |at| {
            let steps: Vec<usize> = (0..time).filter(|t| x[1][[at[0], *t]] != 0.0).collect();
            steps.iter().map(|t| x[0][[at[0], *t, at[1]]]).sum::<f64>() / steps.len().max(1) as f64
        })]
    }
}
