//! Backward: both gradients from the live outputs.

use std::ops::Range;

use super::Pooled;
use super::live::BITS;
use super::walk::{ImageWalk, KernelWalk, Part, Walks, walks_of};
use crate::kernels::isa::{Isa, isa};
use crate::kernels::par::{Pool, for_chunks};
use crate::kernels::sum;

/// Numbers of the image that a walk for the kernel's gradient goes over before it comes to the
/// next filter: they stay in the first cache.
const UNIT: usize = 1 << 13;

/// Rows of the kernel that are turned and summed at once.
const TURNED: usize = 16;

/// Some images, and what their backward pass starts from.
#[derive(Clone, Copy)]
pub struct Images<'a> {
    pub x: &'a [f32],
    /// The pooled images' gradients.
    pub dy: &'a [f32],
    pub notes: &'a [f32],
    /// Words of `live_filters`; small convolutions do not look at them.
    pub live: &'a [u64],
}

impl Pooled {
    /// Images of one unit.
    fn unit_images(&self) -> usize {
        (UNIT / self.padded_image()).max(1)
    }

    /// Words of 64 outputs in an image, and those of one unit.
    fn unit_words(&self) -> (usize, usize) {
        let words = self.places.len() / BITS;
        (words, (words * UNIT / self.padded_image()).clamp(1, words))
    }

    /// Numbers of scratch that `kernel_gradient` and `input_gradient` need.
    pub fn gradient_scratch(&self) -> usize {
        match self.is_small() {
            true => self.border_scratch() + self.quads_len(),
            false => self.unit_images() * self.border_scratch(),
        }
    }

    /// Numbers of an image with its border; 0 if it needs none.
    pub(super) fn border_scratch(&self) -> usize {
        if self.has_border() { self.padded_image() } else { 0 }
    }

    /// The kernel's gradient for some filters, summed over the given images in order, in the order
    /// in which `fold_shards` takes it: `[filters, taps * channels]`, or turned round for small
    /// ones, of which all filters are wanted.
    pub fn kernel_gradient(
        &self,
        images: &Images<'_>,
        filters: Range<usize>,
        sums: &mut [f32],
        scratch: &mut [f32],
    ) {
        self.kernel_gradient_by(isa(), images, filters, sums, scratch);
    }

    pub(super) fn kernel_gradient_by(
        &self,
        isa: Isa,
        &Images { x, dy, notes, live }: &Images<'_>,
        filters: Range<usize>,
        sums: &mut [f32],
        scratch: &mut [f32],
    ) {
        let images = x.len() / self.conv.image_len();
        assert_eq!(x.len(), images * self.conv.image_len());
        assert_eq!(dy.len(), images * self.pooled_len());
        assert_eq!(sums.len(), filters.len() * self.filter_len());
        sums.fill(0.0);
        if self.is_small() {
            let (border, quads) = scratch.split_at_mut(self.border_scratch());
            let pooled = dy.chunks_exact(self.pooled_len()).zip(notes.chunks_exact(notes.len() / images));
            for (x, (dy, notes)) in x.chunks_exact(self.conv.image_len()).zip(pooled) {
                let x = self.padded_images(x, border);
                self.add_small_gradient(isa, x, (dy, notes), (sums, quads));
            }
            return;
        }
        assert_eq!(live.len(), images * self.words());
        let unit = self.unit_images();
        let pieces = dy.chunks(unit * self.pooled_len()).zip(live.chunks(unit * self.words()));
        for (x, (dy, live)) in x.chunks(unit * self.conv.image_len()).zip(pieces) {
            let x = self.padded_images(x, scratch);
            let (words, step) = self.unit_words();
            for from in (0..words).step_by(step) {
                let words = from..(from + step).min(words);
                self.unit_gradient(walks_of(isa), x, (dy, live), words, filters.clone(), sums);
            }
        }
    }

    /// Adds what some padded images give at the outputs of some words.
    fn unit_gradient(
        &self,
        walks: &Walks,
        x: &[f32],
        (dy, live): (&[f32], &[u64]),
        words: Range<usize>,
        wanted: Range<usize>,
        sums: &mut [f32],
    ) {
        let all_words = self.places.len() / BITS;
        self.for_parts(walks, &mut |part: &Part, filters| {
            for filters in word_blocks(filters.start.max(wanted.start)..filters.end.min(wanted.end)) {
                let first = filters.start / BITS * all_words + words.start;
                let walk = KernelWalk {
                    x: x.as_ptr(),
                    dy: dy[filters.start..].as_ptr(),
                    live: live[first * BITS + filters.start % BITS..].as_ptr(),
                    x_image: self.padded_image(),
                    dy_image: self.pooled_len(),
                    live_image: self.words(),
                    images: x.len() / self.padded_image(),
                    words: words.len(),
                    places: self.places[words.start * BITS..].as_ptr(),
                    sums: sums[(filters.start - wanted.start) * self.filter_len()..].as_mut_ptr(),
                    filter: self.filter_len(),
                    filters: filters.len(),
                };
                // SAFETY: lengths are checked by `kernel_gradient_by`, places lie inside the padded
                // image, and `walks_of` was asked for a set that the machine has.
                unsafe { (walks.kernel)(part, &walk) }
            }
        });
    }

    /// Images with zeros around, in `scratch`; the images themselves where they need none.
    pub(super) fn padded_images<'a>(&self, x: &'a [f32], scratch: &'a mut [f32]) -> &'a [f32] {
        if !self.has_border() {
            return x;
        }
        let images = x.len() / self.conv.image_len();
        let out = &mut scratch[..images * self.padded_image()];
        out.fill(0.0);
        let row = self.conv.columns.input * self.conv.channels;
        let images = out.chunks_exact_mut(self.padded_image()).zip(x.chunks_exact(self.conv.image_len()));
        for (out, x) in images {
            for (at, x) in self.inner_rows().zip(x.chunks_exact(row)) {
                out[at].copy_from_slice(x);
            }
        }
        out
    }

    /// The kernel with its filters one after the other: `[filters, taps * channels]`.
    pub fn kernel_by_filter(&self, pool: &Pool, kernel: &[f32], out: &mut [f32]) {
        crate::kernels::gemm::transpose(pool, kernel, self.filter_len(), self.conv.filters, out);
    }

    /// The image's gradient, stored or added to `dx`. `dy` is the pooled image's gradient, `live`
    /// are the words of `live_outputs`, `kernel` comes from `kernel_by_filter`.
    pub fn input_gradient(
        &self,
        dy: &[f32],
        live: &[u64],
        kernel: &[f32],
        (dx, add): (&mut [f32], bool),
        scratch: &mut [f32],
    ) {
        self.input_gradient_by(isa(), dy, live, kernel, (dx, add), scratch);
    }

    pub(super) fn input_gradient_by(
        &self,
        isa: Isa,
        dy: &[f32],
        live: &[u64],
        kernel: &[f32],
        (dx, add): (&mut [f32], bool),
        scratch: &mut [f32],
    ) {
        assert_eq!(dx.len(), self.conv.image_len());
        if !self.has_border() {
            if !add {
                dx.fill(0.0);
            }
            self.add_patches(walks_of(isa), dy, live, kernel, dx);
            return;
        }
        let padded = &mut scratch[..self.padded_image()];
        padded.fill(0.0);
        self.add_patches(walks_of(isa), dy, live, kernel, padded);
        let row = self.conv.columns.input * self.conv.channels;
        for (at, dx) in self.inner_rows().zip(dx.chunks_exact_mut(row)) {
            if add {
                dx.iter_mut().zip(&padded[at]).for_each(|(dx, d)| *dx += d);
            } else {
                dx.copy_from_slice(&padded[at]);
            }
        }
    }

    /// Adds all patches to a padded image.
    fn add_patches(&self, walks: &Walks, dy: &[f32], live: &[u64], kernel: &[f32], dx: &mut [f32]) {
        assert_eq!(dx.len(), self.padded_image());
        assert_eq!(dy.len(), self.pooled_len());
        assert_eq!(live.len(), self.words());
        assert_eq!(kernel.len(), self.kernel_len());
        self.for_parts(walks, &mut |part: &Part, filters| {
            for filters in word_blocks(filters) {
                let block = filters.start / BITS;
                let first = filters.start % BITS;
                let walk = ImageWalk {
                    dx: dx.as_mut_ptr(),
                    dy: dy[block * BITS..].as_ptr(),
                    weights: kernel[block * BITS * self.filter_len()..].as_ptr(),
                    filter: self.filter_len(),
                    live: live[block * self.places.len()..].as_ptr(),
                    mask: u64::MAX >> (BITS - filters.len()) << first,
                    places: self.places.as_ptr(),
                    outputs: self.outputs(),
                };
                // SAFETY: lengths are checked above, places lie inside the padded image, live bits
                // inside the filters, and `walks_of` was asked for a set that the machine has.
                unsafe { (walks.image)(part, &walk) }
            }
        });
    }

    /// The kernel's gradient `[taps * channels, filters]` from its sums by shard, shards added in
    /// order; stored, or added to `dw`.
    pub fn fold_shards(&self, pool: &Pool, sums: &[f32], dw: &mut [f32], add: bool) {
        if self.is_small() {
            sum::parts(pool, sums, dw, add);
            return;
        }
        let (filters, len) = (self.conv.filters, self.filter_len());
        for_chunks(pool, dw, TURNED * filters, |c, dw| {
            fold_rows(&sums[c * TURNED..], filters, len, dw, add);
        });
    }
}

simd! {
    /// At most `TURNED` rows of the kernel's gradient.
    fn fold_rows(sums: &[f32], filters: usize, len: usize, dw: &mut [f32], add: bool) {
        let rows = dw.len() / filters;
        for f in 0..filters {
            let mut total = [0.0; TURNED];
            for shard in (0..sums.len() - f * len).step_by(filters * len) {
                let sums = &sums[shard + f * len..];
                match sums.first_chunk::<TURNED>() {
                    Some(sums) if rows == TURNED => (0..TURNED).for_each(|k| total[k] += sums[k]),
                    _ => (0..rows).for_each(|k| total[k] += sums[k]),
                }
            }
            for (k, total) in total[..rows].iter().enumerate() {
                let dw = &mut dw[k * filters + f];
                *dw = if add { *dw + total } else { *total };
            }
        }
    }
}

/// Cuts a range of filters where a word of bits ends.
fn word_blocks(filters: Range<usize>) -> impl Iterator<Item = Range<usize>> {
    let mut from = filters.start;
    std::iter::from_fn(move || {
        (from < filters.end).then(|| {
            let end = (from / BITS * BITS + BITS).min(filters.end);
            std::mem::replace(&mut from, end)..end
        })
    })
}
