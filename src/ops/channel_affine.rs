//! y = scale[c] x + offset[c] with fixed numbers for each channel; x, y `[N, ..., C]`.

use crate::graph::{Backward, Ctx, Forward, Mismatch, Op, Signature};
use crate::kernels::par::for_chunks;
use crate::shape::Shape;

/// Numbers per task, in whole rows of channels.
const CHUNK: usize = 1 << 13;

/// The op, with one number for each channel.
#[derive(Clone, Debug)]
pub struct ChannelAffine {
    pub scale: Vec<f32>,
    pub offset: Vec<f32>,
}

impl ChannelAffine {
    fn rows(&self) -> usize {
        (CHUNK / self.scale.len()).max(1)
    }
}

simd! {
    fn scaled(x: &[f32], scale: &[f32], offset: &[f32], y: &mut [f32]) {
        for (y, x) in y.chunks_exact_mut(scale.len()).zip(x.chunks_exact(scale.len())) {
            for (((y, x), scale), offset) in y.iter_mut().zip(x).zip(scale).zip(offset) {
                *y = x * scale + offset;
            }
        }
    }
}

simd! {
    fn scaled_gradient(dy: &[f32], scale: &[f32], dx: &mut [f32]) {
        for (dx, dy) in dx.chunks_exact_mut(scale.len()).zip(dy.chunks_exact(scale.len())) {
            for ((dx, dy), scale) in dx.iter_mut().zip(dy).zip(scale) {
                *dx = dy * scale;
            }
        }
    }
}

impl Op for ChannelAffine {
    fn name(&self) -> &'static str {
        "channel_affine"
    }

    fn infer(&self, x: &[&Shape]) -> Result<Signature, Mismatch> {
        if x[0].last() != self.scale.len() {
            return Err(Mismatch::new(format!("{} channels got {}", self.scale.len(), x[0])));
        }
        Ok(Signature::new(x[0].clone()).differentiable(&[0]))
    }

    fn forward(&self, io: &Forward<'_>, cx: &Ctx<'_>) {
        let (x, chunk) = (io.x(0), self.rows() * self.scale.len());
        for_chunks(cx.pool, io.y(0), chunk, |c, y| {
            scaled(&x[c * chunk..][..y.len()], &self.scale, &self.offset, y);
        });
    }

    fn backward(&self, io: &Backward<'_>, cx: &Ctx<'_>) {
        let Some(dx) = io.dx(0) else { return };
        let (dy, chunk) = (&*io.dy0(), self.rows() * self.scale.len());
        for_chunks(cx.pool, dx.buf, chunk, |c, dx| {
            scaled_gradient(&dy[c * chunk..][..dx.len()], &self.scale, dx);
        });
    }

    fn flops(&self, x: &[&Shape], _: &[&Shape]) -> f64 {
        2.0 * x[0].size() as f64
    }

    #[cfg(test)]
    fn twin(&self, x: &[ndarray::ArrayD<f64>], _: &crate::graph::twin::TwinCtx) -> Vec<ndarray::ArrayD<f64>> {
        let mut y = x[0].as_standard_layout().into_owned();
        for (i, y) in y.iter_mut().enumerate() {
            let channel = i % self.scale.len();
            *y = *y * f64::from(self.scale[channel]) + f64::from(self.offset[channel]);
        }
        vec![y]
    }
}
