//! Convolution of volumes: sums over the kernel's depth of convolutions of planes.
//!
//! A plane of outputs is, for every tap along depth that meets a plane of inputs, the convolution of
//! that plane with the tap's part of the kernel, added up in place. Planes outside of the volume are
//! left out, and nothing is copied along depth. An image is a volume of one plane.

use std::ops::Range;

use super::{Geometry, begin};
use crate::kernels::axis::Axis;
use crate::kernels::gemm::{Start, as_is};
use crate::kernels::par::Pool;
use crate::shape::Window;

/// Sizes of a convolution: volume `[depth, rows, columns, channels]`, kernel
/// `[depth, rows, columns, channels / groups, filters]`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Volume {
    pub depth: Axis,
    pub plane: Geometry,
}

impl Volume {
    /// For a volume of `size` planes, rows and columns.
    pub fn new(
        windows: &[Window; 3],
        size: [usize; 3],
        channels: usize,
        filters: usize,
        groups: usize,
    ) -> Volume {
        let [depth, rows, columns] = *windows;
        Volume {
            depth: Axis::new(&depth, size[0]),
            plane: Geometry::new(&[rows, columns], [size[1], size[2]], channels, filters, groups),
        }
    }

    pub fn input_len(&self) -> usize {
        self.depth.input * self.plane.image_len()
    }

    pub fn output_len(&self) -> usize {
        self.depth.output * self.plane.output_len()
    }

    pub fn kernel_len(&self) -> usize {
        self.depth.kernel * self.plane.kernel_len()
    }

    /// Taps of the kernel.
    pub fn taps(&self) -> usize {
        self.depth.kernel * self.plane.taps()
    }

    /// Multiplications of one volume.
    pub fn work(&self) -> usize {
        self.depth.output * self.depth.kernel * self.plane.work()
    }

    /// Computes some rows of one plane of outputs into `y`, beginning with `start`; `finish` gets each
    /// finished row. `scratch` has room for a padded plane.
    pub fn forward(
        &self,
        x: &[f32],
        kernel: &[f32],
        start: Start<'_>,
        (plane, rows): (usize, Range<usize>),
        (y, scratch): (&mut [f32], &mut [f32]),
        finish: &dyn Fn(&mut [f32]),
    ) {
        let taps = self.depth.inner(plane);
        let (image, part) = (self.plane.image_len(), self.plane.kernel_len());
        if taps.is_empty() {
            begin(y, start, self.plane.filters);
            y.chunks_exact_mut(self.plane.output_row()).for_each(finish);
        }
        for tap in taps.clone() {
            let from = plane * self.depth.stride + tap * self.depth.dilation - self.depth.before;
            let start = if tap == taps.start { start } else { Start::Add };
            let finish = if tap + 1 == taps.end { finish } else { &as_is };
            let (x, kernel) = (&x[from * image..][..image], &kernel[tap * part..][..part]);
            self.plane.forward_onto(x, kernel, start, rows.clone(), (&mut *y, &mut *scratch), finish);
        }
    }

    /// The kernel as the input's gradient needs it: taps in reverse order, each transposed.
    pub fn reverse_kernel(&self, pool: &Pool, kernel: &[f32], out: &mut [f32]) {
        let part = self.plane.kernel_len();
        for (out, kernel) in out.chunks_exact_mut(part).zip(kernel.chunks_exact(part).rev()) {
            self.plane.reverse_kernel(pool, kernel, out);
        }
    }

    /// The gradient of some rows of one plane of inputs, into `dx`, as [`Volume::forward`] computes
    /// outputs; `scratch` is that of a plane.
    pub fn input_gradient(
        &self,
        dy: &[f32],
        reversed: &[f32],
        start: Start<'_>,
        (plane, rows): (usize, Range<usize>),
        (dx, scratch): (&mut [f32], &mut [f32]),
        finish: &dyn Fn(&mut [f32]),
    ) {
        let taps = self.depth.inner_taps(plane);
        let (output, part) = (self.plane.output_len(), self.plane.kernel_len());
        if taps.count == 0 {
            begin(dx, start, self.plane.channels);
            dx.chunks_exact_mut(self.plane.columns.input * self.plane.channels).for_each(finish);
        }
        for j in 0..taps.count {
            let tap = taps.one(j);
            let start = if j == 0 { start } else { Start::Add };
            let finish = if j + 1 == taps.count { finish } else { &as_is };
            let (dy, kernel) = (&dy[tap.first * output..][..output], &reversed[tap.tap * part..][..part]);
            let to = (&mut *dx, &mut *scratch);
            self.plane.input_gradient_rows(dy, kernel, start, rows.clone(), to, finish);
        }
    }

    /// The kernel's gradient for `count` taps from `first` on, summed over the given volumes in order,
    /// into `out`.
    pub fn kernel_gradient(
        &self,
        x: &[f32],
        dy: &[f32],
        (first, count): (usize, usize),
        out: &mut [f32],
        scratch: &mut [f32],
    ) {
        let (taps, end) = (self.plane.taps(), first + count);
        let tap_len = self.plane.kernel_len() / taps;
        for depth in first / taps..end.div_ceil(taps) {
            let (from, to) = (first.max(depth * taps), end.min((depth + 1) * taps));
            let out = &mut out[(from - first) * tap_len..(to - first) * tap_len];
            self.depth_gradient(x, dy, (depth, from - depth * taps, to - from), out, scratch);
        }
    }

    /// The gradient of taps at one depth of the kernel.
    fn depth_gradient(
        &self,
        x: &[f32],
        dy: &[f32],
        (depth, first, count): (usize, usize, usize),
        out: &mut [f32],
        scratch: &mut [f32],
    ) {
        let outputs = self.depth.outputs_through(depth);
        if outputs.is_empty() {
            return out.fill(0.0);
        }
        let Axis { input, output, stride, dilation, before, .. } = self.depth;
        let (image, plane) = (self.plane.image_len(), self.plane.output_len());
        if input == 1 && output == 1 {
            // Planes of different samples are neighbours then.
            let to = (out, scratch);
            return self.plane.kernel_gradient_onto((x, image), dy, (first, count), Start::Zero, to);
        }
        let from = outputs.start * stride + depth * dilation - before;
        let volumes = x.chunks_exact(self.input_len()).zip(dy.chunks_exact(self.output_len()));
        for (i, (x, dy)) in volumes.enumerate() {
            let start = if i == 0 { Start::Zero } else { Start::Add };
            let (x, dy) = (&x[from * image..], &dy[outputs.start * plane..outputs.end * plane]);
            let to = (&mut *out, &mut *scratch);
            self.plane.kernel_gradient_onto((x, stride * image), dy, (first, count), start, to);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::tests::{close, for_products, numbers};
    use super::*;
    use crate::shape::Padding;

    /// Planes along depth, each with the products of the planar convolution.
    fn check(v: &Volume) {
        let (x, w, dy) = (numbers(v.input_len(), 1), numbers(v.kernel_len(), 2), numbers(v.output_len(), 3));
        let (bias, far) = (numbers(v.plane.filters, 4), numbers(v.plane.channels, 5));
        let of = |bias: &[f32], len: usize| -> Vec<f64> {
            (0..len).map(|i| f64::from(bias[i % bias.len()])).collect()
        };
        let (mut y_twin, mut dx_twin, mut dw_twin) =
            (of(&bias, dy.len()), of(&far, x.len()), vec![0.0; w.len()]);
        let (image, part, output) = (v.plane.image_len(), v.plane.kernel_len(), v.plane.output_len());
        for (o, tap) in (0..v.depth.output).flat_map(|o| (0..v.depth.kernel).map(move |tap| (o, tap))) {
            let at = (o * v.depth.stride + tap * v.depth.dilation).wrapping_sub(v.depth.before);
            if at < v.depth.input {
                for_products(&v.plane, |i, k, to| {
                    let (i, k, to) = (at * image + i, tap * part + k, o * output + to);
                    y_twin[to] += f64::from(x[i]) * f64::from(w[k]);
                    dx_twin[i] += f64::from(dy[to]) * f64::from(w[k]);
                    dw_twin[k] += f64::from(dy[to]) * f64::from(x[i]);
                });
            }
        }
        let g = &v.plane;
        let room = g.padded_len().max(g.input_gradient_scratch()).max(g.kernel_gradient_scratch());
        let mut scratch = vec![f32::NAN; room];
        let plus_one = |row: &mut [f32]| row.iter_mut().for_each(|y| *y += 1.0);
        y_twin.iter_mut().chain(&mut dx_twin).for_each(|y| *y += 1.0);

        let mut y = vec![f32::NAN; y_twin.len()];
        for (row, y) in y.chunks_mut(g.output_row()).enumerate() {
            let (plane, row) = (row / g.rows.output, row % g.rows.output);
            let to = (y, &mut scratch[..]);
            v.forward(&x, &w, Start::Bias(&bias), (plane, row..row + 1), to, &plus_one);
        }
        close(&y, &y_twin, &format!("rows of {v:?}"));

        let (mut reversed, mut dx) = (vec![0.0; w.len()], vec![f32::NAN; x.len()]);
        v.reverse_kernel(&Pool::new(2), &w, &mut reversed);
        for (row, dx) in dx.chunks_mut(g.columns.input * g.channels).enumerate() {
            let (plane, row) = (row / g.rows.input, row % g.rows.input);
            let to = (dx, &mut scratch[..]);
            v.input_gradient(&dy, &reversed, Start::Bias(&far), (plane, row..row + 1), to, &plus_one);
        }
        close(&dx, &dx_twin, &format!("input gradient of {v:?}"));
        let before = dx.clone();
        for (plane, dx) in dx.chunks_mut(image).enumerate() {
            let to = (dx, &mut scratch[..]);
            v.input_gradient(&dy, &reversed, Start::Add, (plane, 0..g.rows.input), to, &as_is);
        }
        let twice = dx_twin.iter().zip(before.iter().enumerate());
        let twice: Vec<f64> =
            twice.map(|(t, (i, b))| t + f64::from(*b) - 1.0 - f64::from(far[i % far.len()])).collect();
        close(&dx, &twice, &format!("added input gradient of {v:?}"));

        let mut dw = vec![f32::NAN; w.len()];
        v.kernel_gradient(&x, &dy, (0, v.taps()), &mut dw, &mut scratch);
        close(&dw, &dw_twin, &format!("kernel gradient of {v:?}"));
        for (tap, expected) in dw.chunks(w.len() / v.taps()).enumerate() {
            let mut one = vec![f32::NAN; expected.len()];
            v.kernel_gradient(&x, &dy, (tap, 1), &mut one, &mut scratch);
            assert_eq!(one, expected, "tap {tap} alone");
        }
        let twice = |v: &[f32]| [v, v].concat();
        v.kernel_gradient(&twice(&x), &twice(&dy), (0, v.taps()), &mut dw, &mut scratch);
        dw_twin.iter_mut().for_each(|w| *w *= 2.0);
        close(&dw, &dw_twin, &format!("kernel gradient of two volumes of {v:?}"));
    }

    #[test]
    fn every_kind_of_window_equals_the_definition() {
        let plain = Window { kernel: 1, stride: 1, dilation: 1, padding: Padding::Valid };
        for padding in [Padding::Valid, Padding::Same] {
            for (kernel, step) in [(1, 1), (1, 2), (2, 3), (3, 1), (3, 2)] {
                let strided = Window { kernel, stride: step, dilation: 1, padding };
                let dilated = Window { kernel, stride: 1, dilation: step, padding };
                check(&Volume::new(&[strided; 3], [5, 7, 6], 2, 3, 1));
                check(&Volume::new(&[dilated, strided, dilated], [6, 5, 7], 2, 4, 2));
                check(&Volume::new(&[strided, plain, strided], [3, 1, 40], 9, 10, 1));
                check(&Volume::new(&[plain, strided, strided], [1, 9, 8], 3, 17, 1));
            }
        }
        // Planes of outputs, and of inputs, that nothing reaches.
        let wide = Window { kernel: 2, dilation: 5, padding: Padding::Same, ..plain };
        check(&Volume::new(&[wide, plain, plain], [2, 2, 3], 2, 3, 1));
        check(&Volume::new(&[Window { stride: 3, ..plain }, plain, plain], [5, 2, 3], 2, 3, 1));
    }

    #[test]
    fn large_kernels_go_part_by_part() {
        let window = Window { kernel: 3, stride: 1, dilation: 1, padding: Padding::Same };
        check(&Volume::new(&[Window { kernel: 2, ..window }, window, window], [2, 3, 2], 256, 130, 1));
        check(&Volume::new(&[window, window, window], [1, 3, 2], 130, 256, 1));
        let strided = Window { kernel: 4, stride: 2, ..window };
        check(&Volume::new(&[Window { kernel: 1, ..window }, strided, strided], [1, 8, 6], 130, 70, 1));
    }
}
