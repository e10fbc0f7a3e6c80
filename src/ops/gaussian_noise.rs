//! y = x + stddev z, z standard normal, drawn anew in every step: training only. x, y `[N, ...]`.

use crate::graph::{Backward, Bits, Ctx, Forward, Mismatch, Op, Signature};
use crate::kernels::math::{ln, sin_cos};
use crate::kernels::par::{for_chunks, for_pieces};
use crate::ops::dropout::{BLOCKS, DRAWS, Draws};
use crate::shape::Shape;

/// Numbers per task, in whole blocks of random numbers; they stay in the first-level cache.
const CHUNK: usize = 1 << 13;

/// Noise of one standard deviation.
#[derive(Clone, Debug)]
pub struct GaussianNoise {
    draws: Draws,
    stddev: f32,
}

impl GaussianNoise {
    pub fn new(stddev: f64, draws: Draws) -> GaussianNoise {
        GaussianNoise { draws, stddev: stddev as f32 }
    }
}

/// Two normals of two draws: Box and Muller's transform.
#[inline(always)]
fn normals(a: u32, b: u32) -> [f32; 2] {
    // (0, 1]: the logarithm of zero is never taken.
    let u = (a as f32 + 1.0) * (1.0 / 4_294_967_296.0);
    let radius = (-2.0 * ln(u)).sqrt();
    let (sin, cos) = sin_cos(b);
    [radius * cos, radius * sin]
}

simd! {
    /// Adds noise of the draws from block `first` on.
    pub fn add_noise(draws: Draws, stddev: f32, step: u32, first: usize, y: &mut [f32]) {
        for (i, y) in y.chunks_mut(DRAWS).enumerate() {
            let [a, b, c, d] = draws.words::<BLOCKS>(step, first + i * BLOCKS);
            let mut noise = [0.0; DRAWS];
            let (blocks, _) = noise.as_chunks_mut();
            for ((((block, a), b), c), d) in blocks.iter_mut().zip(&a).zip(&b).zip(&c).zip(&d) {
                let ([x, y], [z, w]) = (normals(*a, *b), normals(*c, *d));
                *block = [x, y, z, w];
            }
            y.iter_mut().zip(&noise).for_each(|(y, z)| *y += stddev * z);
        }
    }
}

impl Op for GaussianNoise {
    fn name(&self) -> &'static str {
        "gaussian_noise"
    }

    fn infer(&self, x: &[&Shape]) -> Result<Signature, Mismatch> {
        let signature = Signature::new(x[0].clone()).differentiable(&[0]);
        Ok(Signature { left_in_dy: Bits::first(1), ..signature })
    }

    fn forward(&self, io: &Forward<'_>, cx: &Ctx<'_>) {
        let x = io.x(0);
        for_chunks(cx.pool, io.y(0), CHUNK, |c, y| {
            y.copy_from_slice(&x[c * CHUNK..][..y.len()]);
            add_noise(self.draws, self.stddev, cx.step, c * CHUNK / 4, y);
        });
    }

    fn backward(&self, io: &Backward<'_>, cx: &Ctx<'_>) {
        let Some(dx) = io.dx(0) else { return };
        let dy = &*io.dy0();
        for_pieces(cx.pool, dx.buf, |range, dx| dx.copy_from_slice(&dy[range]));
    }

    fn flops(&self, x: &[&Shape], _: &[&Shape]) -> f64 {
        20.0 * x[0].size() as f64
    }

    #[cfg(test)]
    fn twin(
        &self,
        x: &[ndarray::ArrayD<f64>],
        cx: &crate::graph::twin::TwinCtx,
    ) -> Vec<ndarray::ArrayD<f64>> {
        let mut y = x[0].as_standard_layout().into_owned();
        for (i, y) in y.iter_mut().enumerate() {
            let draws = self.draws.block(cx.step, i / 4).map(f64::from);
            let (u, v) = if i % 4 < 2 { (draws[0], draws[1]) } else { (draws[2], draws[3]) };
            let radius = (-2.0 * ((u + 1.0) / 4_294_967_296.0).ln()).sqrt();
            let angle = v * std::f64::consts::TAU / 4_294_967_296.0;
            let z = radius * if i % 2 == 0 { angle.cos() } else { angle.sin() };
            *y += f64::from(self.stddev) * z;
        }
        vec![y]
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::rng::Stream;

    #[test]
    fn normals_have_mean_zero_and_variance_one_and_do_not_depend_on_their_neighbours() {
        let draws = Draws::new(Stream::new(5, "noise"), None);
        let mut z = vec![0.0; 100_000];
        add_noise(draws, 1.0, 0, 0, &mut z);
        let z: Vec<f64> = z.iter().map(|z| f64::from(*z)).collect();
        let count = z.len() as f64;
        let mean = z.iter().sum::<f64>() / count;
        let variance = z.iter().map(|z| z * z).sum::<f64>() / count;
        let neighbours = z.windows(2).map(|w| w[0] * w[1]).sum::<f64>() / count;
        assert!(mean.abs() < 0.016 && (variance - 1.0).abs() < 0.023, "{mean} {variance}");
        assert!(neighbours.abs() < 0.016, "{neighbours}");
    }
}
