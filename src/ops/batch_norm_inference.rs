//! Batch normalization by the moving statistics: in inference, and in training of a frozen layer.
//!
//! `y = (x - moving_mean) / sqrt(moving_variance + epsilon) * gamma + beta`. x `[N, ..., C]`, all
//! else `[C]`. The statistics are constants: no gradient goes through them.

use crate::graph::{Backward, Bits, Ctx, Forward, Mismatch, Op, Scratch, Signature};
use crate::kernels::number::{Bf16, Number, Storage};
use crate::ops::batch_norm::Form;
use crate::ops::channel_sums::Walk;
use crate::shape::Shape;

/// Normalization by the moving statistics.
#[derive(Clone, Debug)]
pub struct BatchNormInference {
    pub form: Form,
}

impl BatchNormInference {
    /// 1 / sqrt(variance + epsilon), into the head of `out`.
    fn inverse<'a>(&self, variance: &[f32], out: &'a mut [f32]) -> &'a [f32] {
        let out = &mut out[..variance.len()];
        for (out, variance) in out.iter_mut().zip(variance) {
            *out = (1.0 / (f64::from(*variance) + self.form.epsilon).sqrt()) as f32;
        }
        out
    }

    fn forward_as<T: Number>(&self, io: &Forward<'_>, cx: &Ctx<'_>) {
        let walk = Walk::new(self.form.channels);
        let ([mean, a, b, inverse], _) = walk.carve(io.scratch());
        let x_of = |i| io.x(i);
        let inverse = self.inverse(x_of(self.form.moving() + 1), inverse);
        let known =
            self.form.known(walk, io.x_as::<T>(0), x_of, (x_of(self.form.moving()), inverse), [mean, a, b]);
        let addend = self.form.addend().map(|i| io.x_as::<T>(i));
        self.form.tail.forward(walk, cx.pool, known, addend, io.y_as(0));
    }

    fn backward_as<T: Number>(&self, io: &Backward<'_>, cx: &Ctx<'_>) {
        let Some(dy) = io.dy_as::<T>(0) else { return };
        let (form, tail, walk) = (&self.form, &self.form.tail, Walk::new(self.form.channels));
        let ([mean, a, b, inverse, zero], sums) = walk.carve(io.scratch());
        let x_of = |i| io.x(i);
        let inverse = self.inverse(x_of(form.moving() + 1), inverse);
        let known = form.known(walk, io.x_as::<T>(0), x_of, (x_of(form.moving()), inverse), [mean, a, b]);
        let y = tail.keeps_output().then(|| io.y_as(0));
        let wants_sums = [form.gamma(), form.beta()].into_iter().flatten().any(|i| io.dx.has(i));
        if wants_sums {
            let sums = tail.sums(walk, cx.pool, known, y, dy, sums);
            form.weight_gradients(io, &sums, inverse);
        } else {
            tail.store_slope(walk, cx.pool, y, dy);
        }
        form.addend_gradient(io, walk, cx.pool, dy);
        let Some(dx) = io.dx_as(0) else { return };
        zero.fill(0.0);
        tail.backward(walk, cx.pool, known, dy, (zero, zero), dx);
    }
}

impl Op for BatchNormInference {
    fn name(&self) -> &'static str {
        "batch_norm_inference"
    }

    fn infer(&self, x: &[&Shape]) -> Result<Signature, Mismatch> {
        let mut signature = self.form.signature(x)?;
        signature.keep_x = Bits::first(self.form.moving() + 2);
        if self.form.tail.keeps_output() {
            signature = signature.keep_y(&[0]);
        }
        let walk = Walk::new(self.form.channels);
        signature.forward_scratch = Scratch { fixed: 4 * walk.period, ..Scratch::default() };
        let fixed = walk.sums_scratch() + 5 * walk.period;
        signature.backward_scratch = Scratch { fixed, ..Scratch::default() };
        Ok(signature)
    }

    fn forward(&self, io: &Forward<'_>, cx: &Ctx<'_>) {
        match io.x.storage(0) {
            Storage::F32 => self.forward_as::<f32>(io, cx),
            Storage::Bf16 => self.forward_as::<Bf16>(io, cx),
        }
    }

    fn backward(&self, io: &Backward<'_>, cx: &Ctx<'_>) {
        match io.x.storage(0) {
            Storage::F32 => self.backward_as::<f32>(io, cx),
            Storage::Bf16 => self.backward_as::<Bf16>(io, cx),
        }
    }
    fn flops(&self, x: &[&Shape], _: &[&Shape]) -> f64 {
        3.0 * x[0].size() as f64
    }

    #[cfg(test)]
    fn twin(&self, x: &[ndarray::ArrayD<f64>], _: &crate::graph::twin::TwinCtx) -> Vec<ndarray::ArrayD<f64>> {
        let moving = self.form.moving();
        vec![self.form.twin(x, |c, _| [x[moving][c], x[moving + 1][c]])]
    }

    fn absorb(&self, next: &dyn Op) -> Option<Box<dyn Op>> {
        Some(Box::new(BatchNormInference { form: self.form.absorb(next)? }))
    }
}
