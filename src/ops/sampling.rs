//! z = mean + exp(log_var / 2) e, e standard normal, drawn anew in every step: training only. All `[N, ...]`
//! of one shape. Kingma and Welling, Auto-encoding variational Bayes, 2014.

use crate::graph::{Backward, Ctx, Forward, Mismatch, Op, Signature};
use crate::kernels::math::exp;
use crate::kernels::par::for_chunks;
use crate::ops::dropout::Draws;
use crate::ops::gaussian_noise::add_noise;
use crate::shape::Shape;

/// Numbers per task, in whole blocks of random numbers.
const CHUNK: usize = 1 << 12;

#[derive(Clone, Debug)]
pub struct Sampling {
    draws: Draws,
}

impl Sampling {
    pub fn new(draws: Draws) -> Sampling {
        Sampling { draws }
    }
}

simd! {
    /// `z = mean + exp(log_var / 2) z`
    fn spread(mean: &[f32], log_var: &[f32], z: &mut [f32]) {
        for ((z, mean), log_var) in z.iter_mut().zip(mean).zip(log_var) {
            *z = mean + exp::<FUSED>(0.5 * log_var) * *z;
        }
    }
}

impl Op for Sampling {
    fn name(&self) -> &'static str {
        "sampling"
    }

    fn infer(&self, x: &[&Shape]) -> Result<Signature, Mismatch> {
        if x[0] != x[1] {
            return Err(Mismatch::new(format!("mean {} and log variance {} differ in shape", x[0], x[1])));
        }
        Ok(Signature::new(x[0].clone()).differentiable(&[0, 1]).keep_x(&[0]).keep_y(&[0]))
    }

    fn forward(&self, io: &Forward<'_>, cx: &Ctx<'_>) {
        let (mean, log_var) = (io.x(0), io.x(1));
        for_chunks(cx.pool, io.y(0), CHUNK, |c, z| {
            z.fill(0.0);
            add_noise(self.draws, 1.0, cx.step, c * CHUNK / 4, z);
            let range = c * CHUNK..c * CHUNK + z.len();
            spread(&mean[range.clone()], &log_var[range], z);
        });
    }

    fn backward(&self, io: &Backward<'_>, cx: &Ctx<'_>) {
        let (mean, z, dz) = (io.x(0), io.y(0), &*io.dy0());
        if let Some(dx) = io.dx(0) {
            for_chunks(cx.pool, dx.buf, CHUNK, |c, dx| dx.copy_from_slice(&dz[c * CHUNK..][..dx.len()]));
        }
        if let Some(dx) = io.dx(1) {
            // exp(log_var / 2) e is what z has above the mean.
            for_chunks(cx.pool, dx.buf, CHUNK, |c, dx| {
                let range = c * CHUNK..c * CHUNK + dx.len();
                let numbers = dz[range.clone()].iter().zip(&z[range.clone()]).zip(&mean[range]);
                dx.iter_mut().zip(numbers).for_each(|(dx, ((dz, z), mean))| *dx = 0.5 * dz * (z - mean));
            });
        }
    }

    fn flops(&self, x: &[&Shape], _: &[&Shape]) -> f64 {
        40.0 * x[0].size() as f64
    }

    #[cfg(test)]
    fn twin(
        &self,
        x: &[ndarray::ArrayD<f64>],
        cx: &crate::graph::twin::TwinCtx,
    ) -> Vec<ndarray::ArrayD<f64>> {
        let noise = crate::ops::gaussian_noise::GaussianNoise::new(1.0, self.draws);
        let e = noise.twin(&[ndarray::ArrayD::zeros(x[0].raw_dim())], cx).remove(0);
        vec![&x[0] + &(x[1].mapv(|v| (0.5 * v).exp()) * e)]
    }
}
