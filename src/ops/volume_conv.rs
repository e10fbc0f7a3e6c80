//! y = f(conv(x, w) + b) over volumes, and the transposed convolution of one, two and three dimensions.
//!
//! A convolution takes `a = [depth, H, W, C]` to `z = [depth', H', W', F]` by a kernel
//! `[KD, KH, KW, C / groups, F]`. Here x = a and y = z; transposed, x = z and y = a: then the forward
//! pass is the gradient that the convolution gives its input, and the gradient of x is the
//! convolution of y's (Dumoulin and Visin, A guide to convolution arithmetic, 2016). The kernel's gradient is
//! in both cases the convolution's. Leading axes of one place may be missing from x, y and w.

use std::ops::Range;
use std::sync::Arc;

use crate::graph::{Backward, Ctx, Forward, Mismatch, Op, Scratch, Signature};
use crate::kernels::aligned::round_up;
use crate::kernels::conv::volume::Volume;
use crate::kernels::gemm::{Start, as_is};
use crate::kernels::pieces::for_pieces_with;
use crate::kernels::sum;
use crate::ops::conv::row_parts;
use crate::ops::function::Function;
use crate::ops::map::to_fuse;
use crate::shape::{Shape, Window};

/// Most shards of samples that sum a kernel's gradient.
const SHARDS: usize = 16;

/// Most numbers of all shards' sums.
const SHARD_NUMBERS: usize = 1 << 22;

/// A convolution of volumes, or a transposed one, with the function that was fused into it.
#[derive(Clone, Debug)]
pub struct VolumeConv {
    v: Volume,
    transposed: bool,
    /// Sizes of `a` and `z`, and of the kernel, as shapes have them.
    a: [usize; 4],
    z: [usize; 4],
    kernel: [usize; 5],
    f: Option<Arc<dyn Function>>,
}

/// Planes of a sample, rows of a plane, numbers of a row.
#[derive(Clone, Copy, Debug)]
struct Side {
    planes: usize,
    rows: usize,
    row: usize,
}

impl Side {
    fn plane_len(&self) -> usize {
        self.rows * self.row
    }

    fn len(&self) -> usize {
        self.planes * self.plane_len()
    }
}

/// `Volume::forward` or `Volume::input_gradient`.
type Pass = fn(
    &Volume,
    &[f32],
    &[f32],
    Start<'_>,
    (usize, Range<usize>),
    (&mut [f32], &mut [f32]),
    &dyn Fn(&mut [f32]),
);

impl VolumeConv {
    /// Over volumes of `size` planes, rows and columns with `channels`; `filters` and `channels` are
    /// multiples of `groups`, and the windows fit.
    pub fn new(
        windows: [Window; 3],
        size: [usize; 3],
        channels: usize,
        filters: usize,
        groups: usize,
    ) -> VolumeConv {
        let [d, h, w] = size;
        let [od, oh, ow] = [0, 1, 2].map(|i| windows[i].output(size[i]));
        let [kd, kh, kw] = windows.map(|w| w.kernel);
        VolumeConv {
            v: Volume::new(&windows, size, channels, filters, groups),
            transposed: false,
            a: [d, h, w, channels],
            z: [od, oh, ow, filters],
            kernel: [kd, kh, kw, channels / groups, filters],
            f: None,
        }
    }

    /// The transpose of the convolution that [`VolumeConv::new`] makes: from its outputs to its inputs.
    pub fn transposed(windows: [Window; 3], size: [usize; 3], channels: usize, filters: usize) -> VolumeConv {
        VolumeConv { transposed: true, ..VolumeConv::new(windows, size, channels, filters, 1) }
    }

    /// Sides of x and y.
    fn sides(&self) -> [Side; 2] {
        let (depth, plane) = (&self.v.depth, &self.v.plane);
        let row = plane.columns.input * plane.channels;
        let a = Side { planes: depth.input, rows: plane.rows.input, row };
        let z = Side { planes: depth.output, rows: plane.rows.output, row: plane.output_row() };
        if self.transposed { [z, a] } else { [a, z] }
    }

    /// From x to y, and from y's gradient to that of x; the gradient of `a` takes the reversed kernel.
    fn passes(&self) -> [Pass; 2] {
        let passes: [Pass; 2] = [Volume::forward, Volume::input_gradient];
        if self.transposed { [passes[1], passes[0]] } else { passes }
    }

    /// Numbers of scratch of each thread in the two passes.
    fn pass_scratch(&self) -> [usize; 2] {
        let scratch = [self.v.plane.padded_len(), self.v.plane.input_gradient_scratch()];
        if self.transposed { [scratch[1], scratch[0]] } else { scratch }
    }

    /// Filters, as the user of y counts them.
    fn width(&self) -> usize {
        if self.transposed { self.v.plane.channels } else { self.v.plane.filters }
    }

    /// Room for the reversed kernel in the forward and in the backward pass.
    fn reversed_len(&self) -> [usize; 2] {
        let len = round_up(self.v.kernel_len());
        if self.transposed { [len, 0] } else { [0, len] }
    }

    /// Shards that `n` samples are dealt to: depends on no number of threads, so the bits do not either.
    fn shards(&self, n: usize) -> usize {
        (SHARD_NUMBERS / self.v.kernel_len()).clamp(1, SHARDS).min(n)
    }

    /// Numbers of the kernel's sums by shard.
    fn shard_sums(&self, n: usize) -> usize {
        self.shards(n) * self.v.kernel_len()
    }

    fn thread_scratch(&self) -> usize {
        round_up(self.pass_scratch()[1].max(self.v.plane.kernel_gradient_scratch()))
    }

    fn forward_scratch(&self) -> Scratch {
        let per_thread = round_up(self.pass_scratch()[0]);
        Scratch { per_sample: 0, fixed: self.reversed_len()[0], per_thread }
    }

    fn backward_scratch(&self) -> Scratch {
        Scratch {
            // The bias's gradient by sample.
            per_sample: self.width(),
            // The kernel's gradient by shard, and the reversed kernel.
            fixed: round_up(self.shard_sums(SHARDS)) + self.reversed_len()[1],
            per_thread: self.thread_scratch(),
        }
    }
}

/// Whether these are the dimensions in full, or without leading ones.
fn fits(dims: &[usize], full: &[usize]) -> bool {
    full.ends_with(dims) && full[..full.len() - dims.len()].iter().all(|d| *d == 1)
}

impl Op for VolumeConv {
    fn name(&self) -> &'static str {
        if self.transposed { "conv_transpose" } else { "conv3d" }
    }

    fn infer(&self, x: &[&Shape]) -> Result<Signature, Mismatch> {
        let (from, to) = if self.transposed { (self.z, self.a) } else { (self.a, self.z) };
        let missing = from.len().saturating_sub(x[0].dims.len());
        if !fits(&x[0].dims, &from) || !fits(&x[1].dims, &self.kernel) || !fits(&to[missing..], &to) {
            let message = format!("cannot convolve {} with a kernel of shape {}", x[0], x[1]);
            return Err(Mismatch::new(message));
        }
        if let Some(bias) = x.get(2).filter(|b| b.dims != [self.width()]) {
            return Err(Mismatch::new(format!("bias {bias} does not fit {} filters", self.width())));
        }
        let y = Shape::batch(&to[missing..]);
        let mut signature = Signature::new(y).differentiable(&[0, 1, 2][..x.len()]).keep_x(&[0, 1]);
        if self.f.is_some() {
            signature = signature.keep_y(&[0]);
        }
        signature.forward_scratch = self.forward_scratch();
        signature.backward_scratch = self.backward_scratch();
        signature.adds = true;
        Ok(signature)
    }

    fn forward(&self, io: &Forward<'_>, cx: &Ctx<'_>) {
        let ([from, to], [pass, _]) = (self.sides(), self.passes());
        let Scratch { fixed, per_thread, .. } = self.forward_scratch();
        let scratch = if fixed + per_thread > 0 { io.scratch() } else { &mut [] };
        let (reversed, scratch) = scratch.split_at_mut(fixed);
        let (x, mut w) = (io.x(0), io.x(1));
        if self.transposed {
            self.v.reverse_kernel(cx.pool, w, &mut reversed[..self.v.kernel_len()]);
            w = &*reversed;
        }
        let start = if io.x.count() == 3 { Start::Bias(io.x(2)) } else { Start::Zero };
        let planes = cx.batch * to.planes;
        let parts = row_parts(to.rows, planes, cx.pool.threads());
        let rows = to.rows / parts;
        let work = (planes * parts, cx.batch * self.v.work());
        for_pieces_with(cx.pool, work, [io.y(0)], scratch, per_thread, |task, [y], own| {
            let (plane, first) = (task / parts, task % parts * rows);
            let x = &x[plane / to.planes * from.len()..][..from.len()];
            let activate = |row: &mut [f32]| match &self.f {
                Some(f) => f.apply_in_place(row),
                None => as_is(row),
            };
            pass(&self.v, x, w, start, (plane % to.planes, first..first + rows), (y, own), &activate);
        });
    }

    fn backward(&self, io: &Backward<'_>, cx: &Ctx<'_>) {
        let ([from, to], [_, pass], n) = (self.sides(), self.passes(), cx.batch);
        let (scratch, dy) = (io.scratch(), io.dy0());
        // On cache lines all but the last.
        let (reversed, scratch) = scratch.split_at_mut(self.reversed_len()[1]);
        let (shard_sums, scratch) = scratch.split_at_mut(round_up(self.shard_sums(SHARDS)));
        let (scratch, bias_sums) = scratch.split_at_mut(scratch.len() - n * self.width());
        let per_thread = self.thread_scratch();

        let (dx, db) = (io.dx(0), if io.dx.count() == 3 { io.dx(2) } else { None });
        let start = if dx.as_ref().is_some_and(|dx| dx.add) { Start::Add } else { Start::Zero };
        let dx = dx.map_or(&mut [][..], |dx| dx.buf);
        let mut w = io.x(1);
        if !self.transposed && !dx.is_empty() {
            self.v.reverse_kernel(cx.pool, w, &mut reversed[..self.v.kernel_len()]);
            w = &*reversed;
        }
        let sums = if db.is_some() { &mut *bias_sums } else { &mut [] };
        let y = self.f.as_ref().map(|f| (f, io.y(0)));
        let data = [&mut *dy, dx, sums];
        let work = (n, n * self.v.work());
        for_pieces_with(cx.pool, work, data, scratch, per_thread, |i, [dy, dx, sums], own| {
            if let Some((f, y)) = y {
                f.gradient_in_place(&y[i * to.len()..][..to.len()], dy);
            }
            if !sums.is_empty() {
                sum::rows(dy, sums);
            }
            for (plane, dx) in dx.chunks_exact_mut(from.plane_len()).enumerate() {
                pass(&self.v, dy, w, start, (plane, 0..from.rows), (dx, &mut *own), &as_is);
            }
        });
        if let Some(db) = db {
            sum::parts(cx.pool, bias_sums, db.buf, db.add);
        }
        if let Some(dw) = io.dx(1) {
            let sums = &mut shard_sums[..self.shard_sums(n)];
            let (x, dy) = (io.x(0), &*dy);
            let ends = if self.transposed { [dy, x] } else { [x, dy] };
            self.kernel_gradient(cx, ends, sums, (scratch, per_thread));
            sum::parts(cx.pool, sums, dw.buf, dw.add);
        }
    }

    fn absorb(&self, next: &dyn Op) -> Option<Box<dyn Op>> {
        let f = to_fuse(next).filter(|_| self.f.is_none())?;
        Some(Box::new(VolumeConv { f: Some(f), ..*self }))
    }

    fn flops(&self, _: &[&Shape], _: &[&Shape]) -> f64 {
        2.0 * self.v.work() as f64
    }

    #[cfg(test)]
    fn twin(&self, x: &[ndarray::ArrayD<f64>], _: &crate::graph::twin::TwinCtx) -> Vec<ndarray::ArrayD<f64>> {
        vec![tests::twin(self, x)]
    }
}

impl VolumeConv {
    /// The kernel's gradient by shard, into `sums`, from `a` or its gradient and from that of `z` or z.
    fn kernel_gradient(
        &self,
        cx: &Ctx<'_>,
        [a, z]: [&[f32]; 2],
        sums: &mut [f32],
        (scratch, per_thread): (&mut [f32], usize),
    ) {
        let (v, n) = (&self.v, cx.batch);
        let shards = self.shards(n);
        // Each tap is summed for itself, so how they are dealt to tasks changes no bit.
        let parts = if shards >= 4 * cx.pool.threads() { 1 } else { v.taps() };
        let taps = v.taps() / parts;
        let work = (shards * parts, n * v.work());
        for_pieces_with(cx.pool, work, [sums], scratch, per_thread, |task, [sums], own| {
            let (shard, first) = (task / parts, task % parts * taps);
            let samples = shard * n / shards..(shard + 1) * n / shards;
            let a = &a[samples.start * v.input_len()..samples.end * v.input_len()];
            let z = &z[samples.start * v.output_len()..samples.end * v.output_len()];
            v.kernel_gradient(a, z, (first, taps), sums, own);
        });
    }
}

#[cfg(test)]
mod tests {
    use ndarray::{ArrayD, Dimension, IxDyn};

    use super::*;

    /// Every pair of places and every tap between them, as the definition has it.
    pub fn twin(op: &VolumeConv, x: &[ArrayD<f64>]) -> ArrayD<f64> {
        let n = x[0].shape()[0];
        let (from, to) = if op.transposed { (op.z, op.a) } else { (op.a, op.z) };
        let full = |dims: [usize; 4]| IxDyn(&[&[n], &dims[..]].concat());
        let source = x[0].clone().into_shape_with_order(full(from)).unwrap();
        let w = x[1].clone().into_shape_with_order(IxDyn(&op.kernel)).unwrap();
        let mut y = ArrayD::from_shape_fn(full(to), |at| x.get(2).map_or(0.0, |b| b[at[4]]));
        let groups = op.a[3] / op.kernel[3];
        for (tap, weight) in w.indexed_iter() {
            let channel = tap[4] / (op.z[3] / groups) * op.kernel[3] + tap[3];
            for z in ndarray::indices(IxDyn(&[n, op.z[0], op.z[1], op.z[2]])) {
                let z = z.as_array_view().to_vec();
                let mut a = z.clone();
                // Where a plane is one long row, its windows are single places.
                for (i, axis) in [op.v.depth, op.v.plane.rows, op.v.plane.columns].iter().enumerate() {
                    let at = z[i + 1] * axis.stride + tap[i] * axis.dilation;
                    a[i + 1] = at.wrapping_sub(axis.before);
                }
                if (0..3).all(|axis| a[axis + 1] < op.a[axis]) {
                    let (a, z) = ([&a[..], &[channel]].concat(), [&z[..], &[tap[4]]].concat());
                    let (given, taken) = if op.transposed { (z, a) } else { (a, z) };
                    y[&taken[..]] += source[&given[..]] * weight;
                }
            }
        }
        let y = y.mapv(|v| op.f.as_ref().map_or(v, |f| f.twin(v)));
        let missing = 5 - x[0].ndim();
        y.into_shape_with_order([&[n], &to[missing..]].concat()).unwrap()
    }
}
