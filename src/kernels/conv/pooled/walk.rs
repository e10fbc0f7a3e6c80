//! The walks over live outputs.
//!
//! A part of a patch (or of a filter's weights) that fits the registers is held there while all
//! products are added to it; the other factor is read once per live output, and multiplied by that
//! output's gradient. Nothing is stored until the end of a walk. Every sum is one chain of
//! multiply-adds in a fixed order. For the kernel's gradient it is the same for every instruction
//! set; for the image's it follows from how much of a patch the registers hold (one order for all
//! would cost AVX-512 a fifth of that walk).

use super::lanes::Lanes;
#[cfg(target_arch = "x86_64")]
use super::lanes::{Avx2, Avx512};
use super::live::BITS;
use super::small::{QuadWalk, walk_quads};
use super::{Place, Pooled};
use crate::kernels::isa::Isa;

/// Evenly spaced runs of numbers, as wide as registers allow.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Part {
    pub runs: usize,
    /// Registers of a run, and lanes of the last one that are used.
    pub vectors: usize,
    pub last: usize,
    /// Where the first run begins in the patch and in the filter's weights, and the distance to the
    /// next run.
    pub patch: usize,
    pub patch_run: usize,
    pub weights: usize,
    pub weights_run: usize,
}

/// What a walk for the kernel's gradient reads and adds to. Distances are in elements.
pub(super) struct KernelWalk {
    pub x: *const f32,
    pub dy: *const f32,
    /// Words of 64 outputs of the first filter.
    pub live: *const u64,
    /// From one image to the next.
    pub x_image: usize,
    pub dy_image: usize,
    pub live_image: usize,
    pub images: usize,
    /// Words of a filter, `BITS` apart, and the places of their outputs.
    pub words: usize,
    pub places: *const Place,
    /// Weights' sums of the first filter, and numbers of a filter.
    pub sums: *mut f32,
    pub filter: usize,
    pub filters: usize,
}

/// What a walk for the image's gradient reads and adds to.
pub(super) struct ImageWalk {
    pub dx: *mut f32,
    /// Gradients and weights of the first of 64 filters.
    pub dy: *const f32,
    pub weights: *const f32,
    pub filter: usize,
    /// Words of 64 filters, one for each place, of which those in the mask are meant.
    pub live: *const u64,
    pub mask: u64,
    pub places: *const Place,
    pub outputs: usize,
}

/// The walks of an instruction set.
pub(super) struct Walks {
    pub lanes: usize,
    /// `vectors[runs - 1]`: most registers of a run in a part of that many runs.
    vectors: &'static [usize],
    /// The same for quads, which take a register each.
    quads: &'static [usize],
    pub kernel: unsafe fn(&Part, &KernelWalk),
    pub image: unsafe fn(&Part, &ImageWalk),
    pub quad: unsafe fn(&Part, &QuadWalk),
}

pub(super) fn walks_of(isa: Isa) -> &'static Walks {
    match isa {
        #[cfg(target_arch = "x86_64")]
        Isa::Avx512 => &avx512::WALKS,
        #[cfg(target_arch = "x86_64")]
        Isa::Avx2 => &avx2::WALKS,
        _ => &portable::WALKS,
    }
}

/// Runs of numbers held in registers.
struct Held<V, const R: usize, const C: usize>([[V; C]; R]);

impl<V: Lanes, const R: usize, const C: usize> Held<V, R, C> {
    /// # Safety
    /// R runs of C registers, the last with the lanes in `last`, can be read.
    #[inline(always)]
    unsafe fn load(p: *const f32, run: usize, last: V::Mask) -> Self {
        // SAFETY: passed on from the caller.
        unsafe {
            let mut held = [[V::zero(); C]; R];
            for (r, held) in held.iter_mut().enumerate() {
                for (c, held) in held.iter_mut().enumerate() {
                    *held = read(p.add(r * run + c * V::COUNT), c + 1 == C, last);
                }
            }
            Held(held)
        }
    }

    /// # Safety
    /// As `load`, for writing.
    #[inline(always)]
    unsafe fn store(self, p: *mut f32, run: usize, last: V::Mask) {
        // SAFETY: passed on from the caller.
        unsafe {
            for (r, held) in self.0.iter().enumerate() {
                for (c, held) in held.iter().enumerate() {
                    let p = p.add(r * run + c * V::COUNT);
                    if c + 1 == C { held.store_some(p, last) } else { held.store(p) }
                }
            }
        }
    }

    /// Adds `factor` times the runs at `p`.
    ///
    /// # Safety
    /// As `load`.
    #[inline(always)]
    unsafe fn add(&mut self, p: *const f32, run: usize, last: V::Mask, factor: V) {
        // SAFETY: passed on from the caller.
        unsafe {
            for (r, held) in self.0.iter_mut().enumerate() {
                for (c, held) in held.iter_mut().enumerate() {
                    let x = read::<V>(p.add(r * run + c * V::COUNT), c + 1 == C, last);
                    *held = held.plus_product(x, factor);
                }
            }
        }
    }
}

/// # Safety
/// One register can be read, or, at the end of a run, the lanes in `last`.
#[inline(always)]
unsafe fn read<V: Lanes>(p: *const f32, end: bool, last: V::Mask) -> V {
    // SAFETY: passed on from the caller.
    unsafe { if end { V::load_some(p, last) } else { V::load(p) } }
}

/// Adds to the sums of each filter the patches of its live outputs, times their gradients.
///
/// # Safety
/// Places, patches, gradients, words and sums are valid memory, the sums ours alone.
#[inline(always)]
unsafe fn walk_kernel<V: Lanes, const R: usize, const C: usize>(part: &Part, walk: &KernelWalk) {
    // SAFETY: the caller vouches for all that is read and written.
    unsafe {
        let last = V::first(part.last);
        for filter in 0..walk.filters {
            let sums = walk.sums.add(filter * walk.filter + part.weights);
            let mut held = Held::<V, R, C>::load(sums, part.weights_run, last);
            for image in 0..walk.images {
                let x = walk.x.add(image * walk.x_image + part.patch);
                let dy = walk.dy.add(image * walk.dy_image + filter);
                let live = walk.live.add(image * walk.live_image + filter);
                for word in 0..walk.words {
                    let places = walk.places.add(word * BITS);
                    let mut bits = *live.add(word * BITS);
                    while bits != 0 {
                        let place = *places.add(bits.trailing_zeros() as usize);
                        bits &= bits - 1;
                        let factor = V::splat(dy.add(place.window as usize));
                        held.add(x.add(place.patch as usize), part.patch_run, last, factor);
                    }
                }
            }
            held.store(sums, part.weights_run, last);
        }
    }
}

/// Adds to the patch of each output the weights of the filters that are live there, times their
/// gradients.
///
/// # Safety
/// Places, patches, gradients, words and weights are valid memory, the patches ours alone.
#[inline(always)]
unsafe fn walk_image<V: Lanes, const R: usize, const C: usize>(part: &Part, walk: &ImageWalk) {
    // SAFETY: the caller vouches for all that is read and written.
    unsafe {
        let last = V::first(part.last);
        let weights = walk.weights.add(part.weights);
        for output in 0..walk.outputs {
            let mut bits = *walk.live.add(output) & walk.mask;
            if bits == 0 {
                continue;
            }
            let place = *walk.places.add(output);
            let patch = walk.dx.add(place.patch as usize + part.patch);
            let dy = walk.dy.add(place.window as usize);
            let mut held = Held::<V, R, C>::load(patch, part.patch_run, last);
            while bits != 0 {
                let filter = bits.trailing_zeros() as usize;
                bits &= bits - 1;
                let factor = V::splat(dy.add(filter));
                held.add(weights.add(filter * walk.filter), part.weights_run, last, factor);
            }
            held.store(patch, part.patch_run, last);
        }
    }
}

/// A walk for parts of every shape that an instruction set holds: `runs: [vectors]`.
macro_rules! walk_fn {
    ($name:ident($walk:ty) = $body:ident<$lanes:ty>, $(#[$feature:meta])*
     $($runs:literal: [$($vectors:literal)*]),*) => {
        unsafe fn $name(part: &Part, walk: &$walk) {
            $(#[$feature])*
            unsafe fn of<const R: usize, const C: usize>(part: &Part, walk: &$walk) {
                // SAFETY: passed on from the caller.
                unsafe { $body::<$lanes, R, C>(part, walk) }
            }
            // SAFETY: passed on from the caller, who has seen to the instruction set.
            unsafe {
                match (part.runs, part.vectors) {
                    $($( ($runs, $vectors) => of::<$runs, $vectors>(part, walk), )*)*
                    _ => unreachable!("no walk for {part:?}"),
                }
            }
        }
    };
}

#[cfg(target_arch = "x86_64")]
mod avx512 {
    use super::*;

    pub static WALKS: Walks =
        Walks { lanes: Avx512::COUNT, vectors: &[8, 8, 8], quads: &[9, 9, 9], kernel, image, quad };

    walk_fn! { kernel(KernelWalk) = walk_kernel<Avx512>,
    #[target_feature(enable = "avx512f,avx512bw,avx512dq,avx512vl,avx2,fma")]
    1: [1 2 3 4 5 6 7 8], 2: [1 2 3 4 5 6 7 8], 3: [1 2 3 4 5 6 7 8] }
    walk_fn! { image(ImageWalk) = walk_image<Avx512>,
    #[target_feature(enable = "avx512f,avx512bw,avx512dq,avx512vl,avx2,fma")]
    1: [1 2 3 4 5 6 7 8], 2: [1 2 3 4 5 6 7 8], 3: [1 2 3 4 5 6 7 8] }
    walk_fn! { quad(QuadWalk) = walk_quads<Avx512>,
    #[target_feature(enable = "avx512f,avx512bw,avx512dq,avx512vl,avx2,fma")]
    1: [1 2 3 4 5 6 7 8 9], 2: [1 2 3 4 5 6 7 8 9], 3: [1 2 3 4 5 6 7 8 9] }
}

#[cfg(target_arch = "x86_64")]
mod avx2 {
    use super::*;

    pub static WALKS: Walks =
        Walks { lanes: Avx2::COUNT, vectors: &[12, 6, 4], quads: &[12, 6, 4], kernel, image, quad };

    walk_fn! { kernel(KernelWalk) = walk_kernel<Avx2>,
    #[target_feature(enable = "avx2,fma")]
    1: [1 2 3 4 5 6 7 8 9 10 11 12], 2: [1 2 3 4 5 6], 3: [1 2 3 4] }
    walk_fn! { image(ImageWalk) = walk_image<Avx2>,
    #[target_feature(enable = "avx2,fma")]
    1: [1 2 3 4 5 6 7 8 9 10 11 12], 2: [1 2 3 4 5 6], 3: [1 2 3 4] }
    walk_fn! { quad(QuadWalk) = walk_quads<Avx2>,
    #[target_feature(enable = "avx2,fma")]
    1: [1 2 3 4 5 6 7 8 9 10 11 12], 2: [1 2 3 4 5 6], 3: [1 2 3 4] }
}

mod portable {
    use super::super::lanes::Portable;
    use super::*;

    pub static WALKS: Walks =
        Walks { lanes: Portable::COUNT, vectors: &[6, 3, 2], quads: &[6, 3, 2], kernel, image, quad };

    walk_fn! { kernel(KernelWalk) = walk_kernel<Portable>, 1: [1 2 3 4 5 6], 2: [1 2 3], 3: [1 2] }
    walk_fn! { image(ImageWalk) = walk_image<Portable>, 1: [1 2 3 4 5 6], 2: [1 2 3], 3: [1 2] }
    walk_fn! { quad(QuadWalk) = walk_quads<Portable>, 1: [1 2 3 4 5 6], 2: [1 2 3], 3: [1 2] }
}

impl Walks {
    /// Runs `f` on the parts that make up `runs` runs of `len` numbers; `at` holds the places of
    /// the first.
    fn parts(&self, runs: usize, len: usize, at: Part, f: &mut dyn FnMut(&Part)) {
        cut(self.lanes, self.vectors, (runs, len), at, f);
    }

    /// The same for quads.
    pub fn quad_parts(&self, runs: usize, len: usize, at: Part, f: &mut dyn FnMut(&Part)) {
        cut(1, self.quads, (runs, len), at, f);
    }
}

/// As `Walks::parts`, for registers of some lanes and the most that may be held of them.
fn cut(lanes: usize, most: &[usize], (runs, len): (usize, usize), at: Part, f: &mut dyn FnMut(&Part)) {
    for (from, vectors) in evenly(len.div_ceil(lanes), most[0]) {
        let end = ((from + vectors) * lanes).min(len);
        let last = end - (from + vectors - 1) * lanes;
        let most = most.iter().take_while(|most| vectors <= **most).count();
        for (run, runs) in evenly(runs, most) {
            let patch = at.patch + run * at.patch_run + from * lanes;
            let weights = at.weights + run * at.weights_run + from * lanes;
            f(&Part { runs, vectors, last, patch, weights, ..at });
        }
    }
}

/// Cuts `count` in as few parts of at most `most` as there must be, of nearly one size: start and
/// length of each.
fn evenly(count: usize, most: usize) -> impl Iterator<Item = (usize, usize)> {
    let parts = count.div_ceil(most);
    (0..parts).map(move |p| (p * count / parts, (p + 1) * count / parts - p * count / parts))
}

impl Pooled {
    /// Runs `f(part, filters)` on all parts of a patch, with the filters that have weights there.
    pub(super) fn for_parts(&self, walks: &Walks, f: &mut dyn FnMut(&Part, std::ops::Range<usize>)) {
        let (conv, rows, columns) = (&self.conv, &self.conv.rows, &self.conv.columns);
        let (channels, filters) = (conv.group_channels(), conv.group_filters());
        for group in 0..conv.groups {
            let filters = group * filters..(group + 1) * filters;
            let mut each = |part: &Part| f(part, filters.clone());
            let first = Part { patch: group * channels, ..Part::default() };
            if columns.dilation == 1 && conv.groups == 1 {
                // A kernel row reads neighbouring pixels: one run.
                let len = columns.kernel * channels;
                let at = Part { patch_run: rows.dilation * conv.padded_line(), weights_run: len, ..first };
                walks.parts(rows.kernel, len, at, &mut each);
                continue;
            }
            for row in 0..rows.kernel {
                let at = Part {
                    patch: first.patch + row * rows.dilation * conv.padded_line(),
                    patch_run: columns.dilation * conv.channels,
                    weights: row * columns.kernel * channels,
                    weights_run: channels,
                    ..first
                };
                walks.parts(columns.kernel, channels, at, &mut each);
            }
        }
    }
}
