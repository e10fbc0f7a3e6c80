//! y = x + stddev z, z standard normal, drawn anew in every step: training only. x, y `[N, ...]`.

use crate::graph::{Backward, Ctx, Forward, Mismatch, Op, Signature};
use crate::kernels::par::{for_chunks, for_pieces};
use crate::ops::dropout::Draws;
use crate::shape::Shape;

/// Numbers per task; a multiple of 4, as a block of random numbers has.
const CHUNK: usize = 1 << 12;

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

/// Four normals of four draws: Box and Muller's transform, twice.
fn normals(draws: [u32; 4]) -> [f32; 4] {
    let pair = |a: u32, b: u32| {
        // (0, 1]: the logarithm of zero is never taken.
        let u = (f64::from(a) + 1.0) / 4_294_967_296.0;
        let radius = libm::sqrtf(-2.0 * libm::logf(u as f32));
        let (sin, cos) = libm::sincosf((f64::from(b) * (std::f64::consts::TAU / 4_294_967_296.0)) as f32);
        [radius * cos, radius * sin]
    };
    let ([a, b], [c, d]) = (pair(draws[0], draws[1]), pair(draws[2], draws[3]));
    [a, b, c, d]
}

impl Op for GaussianNoise {
    fn name(&self) -> &'static str {
        "gaussian_noise"
    }

    fn infer(&self, x: &[&Shape]) -> Result<Signature, Mismatch> {
        Ok(Signature::new(x[0].clone()).differentiable(&[0]))
    }

    fn forward(&self, io: &Forward<'_>, cx: &Ctx<'_>) {
        let x = io.x(0);
        for_chunks(cx.pool, io.y(0), CHUNK, |c, y| {
            let x = x[c * CHUNK..].chunks(4);
            for (b, (y, x)) in y.chunks_mut(4).zip(x).enumerate() {
                let noise = normals(self.draws.block(cx.step, c * CHUNK / 4 + b));
                for ((y, x), z) in y.iter_mut().zip(x).zip(noise) {
                    *y = x + self.stddev * z;
                }
            }
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
        let z: Vec<f64> = (0..25_000).flat_map(|b| normals(draws.block(0, b))).map(f64::from).collect();
        let count = z.len() as f64;
        let mean = z.iter().sum::<f64>() / count;
        let variance = z.iter().map(|z| z * z).sum::<f64>() / count;
        let neighbours = z.windows(2).map(|w| w[0] * w[1]).sum::<f64>() / count;
        assert!(mean.abs() < 0.016 && (variance - 1.0).abs() < 0.023, "{mean} {variance}");
        assert!(neighbours.abs() < 0.016, "{neighbours}");
    }
}
