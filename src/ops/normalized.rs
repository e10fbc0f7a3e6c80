//! `y = f((x - mean) a + b + s)` by channel, and its gradient: what both forms of batch normalization
//! do once the statistics are known, with what was fused behind them.
//!
//! All of it is bound by memory, so each pass does as much as it can with what it reads. Rectified
//! linear units are part of the loops; other functions are done on a block that is in cache. The
//! backward pass finds f's input again from x, unless s went into it.

use std::any::Any;
use std::ops::Range;
use std::sync::Arc;

use crate::graph::{Grad, Op};
use crate::kernels::number::Number;
use crate::kernels::par::Pool;
use crate::ops::channel_sums::{BLOCK, ChannelSums, Walk};
use crate::ops::function::{Function, slope_in_place};
use crate::ops::map::Map;
use crate::ops::merge::Merge;

/// What follows a normalization: another tensor s that is added, then a function.
#[derive(Clone, Debug, Default)]
pub struct Tail {
    pub addend: bool,
    pub f: Option<Arc<dyn Function>>,
}

/// Where the gradient of f's input comes from.
enum Slope<'a> {
    /// It is dy, or has been stored there.
    Stored,
    /// Rectified linear, of an input that x gives.
    Relu,
    Of(&'a dyn Function),
}

/// The tensors that a gradient is made from, whole ones, and factors by channel as long rows.
#[derive(Clone, Copy)]
pub struct Known<'a, T> {
    pub x: &'a [T],
    pub mean: &'a [f32],
    pub a: &'a [f32],
    pub b: &'a [f32],
}

impl<T: Number> Known<'_, T> {
    fn part(&self, range: Range<usize>) -> Self {
        Known { x: &self.x[range], ..*self }
    }
}

impl Tail {
    /// With the op behind it, where that can be done along. `channels` per row.
    pub fn absorb(&self, next: &dyn Op, channels: usize) -> Option<Tail> {
        if self.f.is_some() || channels > BLOCK {
            return None;
        }
        let next = next as &dyn Any;
        if let Some(map) = next.downcast_ref::<Map>() {
            let known = map.f.slope_from_output() || !self.addend;
            return known.then(|| Tail { f: Some(map.f.clone()), ..*self });
        }
        let adds = next.downcast_ref::<Merge>() == Some(&Merge::Add);
        (adds && !self.addend).then_some(Tail { addend: true, f: None })
    }

    /// Whether the backward pass reads the output.
    pub fn keeps_output(&self) -> bool {
        self.addend && self.f.is_some()
    }

    fn slope(&self) -> Slope<'_> {
        match &self.f {
            Some(f) if !self.addend && f.is_relu() => Slope::Relu,
            Some(f) if !self.addend => Slope::Of(&**f),
            _ => Slope::Stored,
        }
    }

    pub fn forward<T: Number>(
        &self,
        walk: Walk,
        pool: &Pool,
        known: Known<'_, T>,
        addend: Option<&[T]>,
        y: &mut [T],
    ) {
        let relu = self.f.as_ref().is_some_and(|f| f.is_relu());
        let floor = if relu { 0.0 } else { f32::NEG_INFINITY };
        walk.for_blocks(pool, y, |range, y| {
            normalize(known.part(range.clone()), addend.map(|s| &s[range]), floor, y);
            if let Some(f) = self.f.as_ref().filter(|_| !relu) {
                T::change::<BLOCK>(y, |y| f.apply_in_place(y));
            }
        });
    }

    /// Leaves the gradient of f's input in `dy`, if it is to be there.
    pub fn store_slope<T: Number>(&self, walk: Walk, pool: &Pool, y: Option<&[T]>, dy: &mut [T]) {
        if let (Some(f), Some(y)) = (&self.f, y) {
            walk.for_blocks(pool, dy, |range, dy| slope_in_place(&**f, &y[range], dy));
        }
    }

    /// With dz the gradient of f's input: sums of dz and of `dz (x - mean)` by channel. Does what
    /// [`Tail::store_slope`] does in the same pass.
    pub fn sums<'a, T: Number>(
        &self,
        walk: Walk,
        pool: &Pool,
        known: Known<'_, T>,
        y: Option<&[T]>,
        dy: &mut [T],
        scratch: &'a mut [f32],
    ) -> ChannelSums<'a> {
        if let (Some(f), Some(y)) = (&self.f, y) {
            return ChannelSums::of_changed(walk, pool, dy, scratch, |range, dy, first, second| {
                let (known, y) = (known.part(range.clone()), &y[range]);
                if f.is_relu() {
                    return rectified_products(known, y, dy, first, second);
                }
                slope_in_place(&**f, y, dy);
                products(Done, known, dy, first, second);
            });
        }
        let dy = &*dy;
        ChannelSums::of(walk, pool, dy.len(), scratch, |range, first, second| {
            let (known, dy) = (known.part(range.clone()), &dy[range]);
            match self.slope() {
                Slope::Stored => products(Done, known, dy, first, second),
                Slope::Relu => products(Rectified, known, dy, first, second),
                Slope::Of(f) => with_slopes(f, known, dy, |dz| products(Done, known, dz, first, second)),
            }
        })
    }

    /// `dx = dz a + (x - mean) p + q`.
    pub fn backward<T: Number>(
        &self,
        walk: Walk,
        pool: &Pool,
        known: Known<'_, T>,
        dy: &[T],
        (p, q): (&[f32], &[f32]),
        dx: Grad<'_, T>,
    ) {
        let add = dx.add;
        walk.for_blocks(pool, dx.buf, |range, dx| {
            let (known, dy) = (known.part(range.clone()), &dy[range]);
            match self.slope() {
                Slope::Stored => gradient(Done, known, dy, (p, q), dx, add),
                Slope::Relu => gradient(Rectified, known, dy, (p, q), dx, add),
                Slope::Of(f) => with_slopes(f, known, dy, |dz| gradient(Done, known, dz, (p, q), dx, add)),
            }
        });
    }
}

/// Calls `then` with `dy` times f's slope.
fn with_slopes<T: Number>(f: &dyn Function, known: Known<'_, T>, dy: &[T], then: impl FnOnce(&[f32])) {
    let mut space = [0.0; BLOCK];
    let dz = &mut space[..dy.len()];
    normalize(known, None, f32::NEG_INFINITY, dz);
    T::look::<BLOCK>(dy, |dy| f.gradient_at(dy, dz));
    then(dz);
}

simd! {
    /// `y = (x - mean) a + b`, the addend added, but at least `floor`, over a block. The mean is taken
    /// off first: `x a` and `mean a` may both be large. NaN stays NaN.
    fn normalize<T: Number, Y: Number>(by: Known<'_, T>, addend: Option<&[T]>, floor: f32, y: &mut [Y]) {
        let long = by.mean.len();
        let rows = by.x.chunks(long).zip(y.chunks_mut(long));
        if let Some(addend) = addend {
            for ((x, y), addend) in rows.zip(addend.chunks(long)) {
                for (((((y, x), mean), a), b), s) in
                    y.iter_mut().zip(x).zip(by.mean).zip(by.a).zip(by.b).zip(addend)
                {
                    let v = (x.get() - mean) * a + b + s.get();
                    *y = Y::nearest(if v < floor { floor } else { v });
                }
            }
        } else {
            for (x, y) in rows {
                for ((((y, x), mean), a), b) in y.iter_mut().zip(x).zip(by.mean).zip(by.a).zip(by.b) {
                    let v = (x.get() - mean) * a + b;
                    *y = Y::nearest(if v < floor { floor } else { v });
                }
            }
        }
    }
}

/// Gradient of what f gets, given f's output's and `x - mean`: one that is there already, or that of a
/// rectified linear unit.
trait Chain: Copy + Send + Sync + 'static {
    fn dz(self, dy: f32, u: f32, a: f32, b: f32) -> f32;
}

#[derive(Clone, Copy)]
struct Done;

impl Chain for Done {
    #[inline(always)]
    fn dz(self, dy: f32, _: f32, _: f32, _: f32) -> f32 {
        dy
    }
}

#[derive(Clone, Copy)]
struct Rectified;

impl Chain for Rectified {
    #[inline(always)]
    fn dz(self, dy: f32, u: f32, a: f32, b: f32) -> f32 {
        dy * if u * a + b > 0.0 { 1.0 } else { 0.0 }
    }
}

simd! {
    /// Adds the sums of dz and of `dz (x - mean)` over a block.
    fn products<C: Chain, T: Number, D: Number>(
        chain: C,
        by: Known<'_, T>,
        dy: &[D],
        first: &mut [f32],
        second: &mut [f32],
    ) {
        let long = by.mean.len();
        for (x, dy) in by.x.chunks(long).zip(dy.chunks(long)) {
            let sums = first.iter_mut().zip(&mut *second);
            for (((((x, dy), mean), a), b), (first, second)) in
                x.iter().zip(dy).zip(by.mean).zip(by.a).zip(by.b).zip(sums)
            {
                let u = x.get() - mean;
                let dz = chain.dz(dy.get(), u, *a, *b);
                *first += dz;
                *second += dz * u;
            }
        }
    }
}

simd! {
    /// The same where dz is dy as far as a rectified linear unit gave y; leaves it in dy.
    fn rectified_products<T: Number>(
        by: Known<'_, T>,
        y: &[T],
        dy: &mut [T],
        first: &mut [f32],
        second: &mut [f32],
    ) {
        let long = by.mean.len();
        for ((x, y), dy) in by.x.chunks(long).zip(y.chunks(long)).zip(dy.chunks_mut(long)) {
            let sums = first.iter_mut().zip(&mut *second);
            for ((((x, y), dy), mean), (first, second)) in x.iter().zip(y).zip(dy).zip(by.mean).zip(sums) {
                let dz = dy.get() * if y.get() > 0.0 { 1.0 } else { 0.0 };
                *dy = T::nearest(dz);
                *first += dz;
                *second += dz * (x.get() - mean);
            }
        }
    }
}

simd! {
    /// `dx = dz a + (x - mean) p + q` over a block, or added to it.
    fn gradient<C: Chain, T: Number, D: Number>(
        chain: C,
        by: Known<'_, T>,
        dy: &[D],
        pq: (&[f32], &[f32]),
        dx: &mut [T],
        add: bool,
    ) {
        let long = by.mean.len();
        for ((x, dy), dx) in by.x.chunks(long).zip(dy.chunks(long)).zip(dx.chunks_mut(long)) {
            let terms = x.iter().zip(dy).zip(by.mean).zip(by.a).zip(by.b).zip(pq.0).zip(pq.1);
            let slopes = terms.map(|((((((x, dy), mean), a), b), p), q)| {
                let u = x.get() - mean;
                chain.dz(dy.get(), u, *a, *b) * a + u * p + q
            });
            if add {
                dx.iter_mut().zip(slopes).for_each(|(dx, slope)| *dx = T::nearest(dx.get() + slope));
            } else {
                dx.iter_mut().zip(slopes).for_each(|(dx, slope)| *dx = T::nearest(slope));
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::BLOCK;
    use crate::graph::Mode;
    use crate::testing::battery::LayerCase;

    const NORM: &str = "type = \"BatchNormalization\"\nepsilon = 0.1";
    const ADD: &str = "type = \"Add\"";
    const RELU: &str = "type = \"ReLU\"";

    fn activation(name: &str) -> String {
        format!("type = \"Activation\"\nactivation = \"{name}\"")
    }

    /// Checks the stack in both modes, and that it compiles to so many steps.
    fn check(tomls: &[&str], inputs: &[&[usize]], steps: usize) {
        for mode in [Mode::Train, Mode::Eval] {
            let mut case = LayerCase::stack(tomls, inputs);
            case.mode = mode;
            case.check();
            assert_eq!(case.ops().len(), steps, "{tomls:?} {mode:?}: {:?}", case.ops());
            case.check_fused_bits(5);
        }
    }

    #[test]
    fn functions_are_done_along() {
        for shape in [&[3, 5, 16][..], &[7, 6], &[4, 33]] {
            check(&[NORM, RELU], &[shape], 1);
        }
        for name in ["elu", "silu", "gelu", "sigmoid"] {
            check(&[NORM, &activation(name)], &[&[5, 3, 8]], 1);
        }
        check(&["type = \"BatchNormalization\"\nscale = false\ncenter = false", RELU], &[&[4, 5]], 1);
    }

    #[test]
    fn sums_are_done_along() {
        let shape: &[usize] = &[3, 5, 16];
        check(&[NORM, ADD], &[shape; 2], 1);
        check(&[NORM, ADD, RELU], &[shape; 2], 1);
        check(&[NORM, ADD, &activation("tanh")], &[&[7, 6], &[7, 6]], 1);
    }

    #[test]
    fn what_cannot_be_done_along_stays_apart() {
        // Two sums, and a slope that follows from an input that is gone.
        check(&[NORM, ADD, ADD], &[&[7, 6], &[7, 6], &[7, 6]], 2);
        check(&[NORM, ADD, &activation("silu")], &[&[7, 6], &[7, 6]], 2);
        assert_eq!(LayerCase::stack(&[NORM, RELU], &[&[BLOCK + 1]]).ops().len(), 2, "rows that are too long");
    }

    #[test]
    fn many_blocks_have_the_bits_of_separate_passes() {
        for (tomls, inputs) in
            [(&[NORM, RELU][..], 1), (&[NORM, ADD, RELU], 2), (&[NORM, &activation("silu")], 1)]
        {
            for shape in [&[40, 41, 16][..], &[70, 70, 3], &[30, 130]] {
                LayerCase::stack(tomls, &vec![shape; inputs]).check_fused_bits(7);
            }
        }
    }
}
