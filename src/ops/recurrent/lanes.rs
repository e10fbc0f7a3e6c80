//! Sixteen numbers at a time: what the passes over gates are made of, and the functions they apply.

use std::fmt::Debug;

use crate::ops::function::{Function, Pointwise, Sigmoid, Tanh};

/// Numbers of the widest vector register.
pub const LANES: usize = 16;

pub type Lanes = [f32; LANES];

/// Runs a block over slices of one length, sixteen numbers of each at a time: `name in slice`, of those that it
/// reads, those that it updates, and those that it writes.
///
/// Written out in its place, for a closure would not be compiled for the vector instructions of the function
/// around it; and once more for the end, for numbers that may come from two places would not be in vectors.
macro_rules! over {
    (
        read [$($x:ident in $xs:ident),*], update [$($y:ident in $ys:ident),*], write [$($w:ident in $ws:ident),*],
        $body:block
    ) => {{
        use $crate::ops::recurrent::lanes::{LANES, Lanes, padded, unpad, whole, whole_mut};
        let len = [$($xs.len(),)* $($ys.len(),)* $($ws.len()),*][0];
        let end = len / LANES * LANES;
        for at in (0..end).step_by(LANES) {
            $(let $x: Lanes = *whole(&$xs[at..]);)*
            $(let mut $y: Lanes = *whole(&$ys[at..]);)*
            $(let $w: Lanes;)*
            $body
            $(*whole_mut(&mut $ys[at..]) = $y;)*
            $(*whole_mut(&mut $ws[at..]) = $w;)*
        }
        if end < len {
            $(let $x: Lanes = padded(&$xs[end..len]);)*
            $(let mut $y: Lanes = padded(&$ys[end..len]);)*
            $(let $w: Lanes;)*
            $body
            $(unpad($y, &mut $ys[end..len]);)*
            $(unpad($w, &mut $ws[end..len]);)*
        }
    }};
}

pub(super) use over;

#[inline(always)]
pub fn whole(x: &[f32]) -> &Lanes {
    x.first_chunk().expect("slices of one length")
}

#[inline(always)]
pub fn whole_mut(x: &mut [f32]) -> &mut Lanes {
    x.first_chunk_mut().expect("slices of one length")
}

/// Fewer numbers, and zeros behind them.
#[inline(always)]
pub fn padded(x: &[f32]) -> Lanes {
    let mut lanes = [0.0; LANES];
    lanes[..x.len()].copy_from_slice(x);
    lanes
}

#[inline(always)]
pub fn unpad(lanes: Lanes, x: &mut [f32]) {
    x.copy_from_slice(&lanes[..x.len()]);
}

/// Cuts a row in pieces of one length.
#[inline(always)]
pub fn cut<const N: usize>(mut rest: &mut [f32]) -> [&mut [f32]; N] {
    let len = rest.len() / N;
    std::array::from_fn(|_| {
        let (piece, others) = std::mem::take(&mut rest).split_at_mut(len);
        rest = others;
        piece
    })
}

/// As [`cut`], for reading.
#[inline(always)]
pub fn pieces<const N: usize>(row: &[f32]) -> [&[f32]; N] {
    let len = row.len() / N;
    std::array::from_fn(|i| &row[i * len..(i + 1) * len])
}

/// `f` of each number.
#[inline(always)]
pub fn each(mut x: Lanes, f: impl Fn(f32) -> f32) -> Lanes {
    for v in &mut x {
        *v = f(*v);
    }
    x
}

/// `f` of each pair.
#[inline(always)]
pub fn zip(mut x: Lanes, y: Lanes, f: impl Fn(f32, f32) -> f32) -> Lanes {
    for (v, y) in x.iter_mut().zip(&y) {
        *v = f(*v, *y);
    }
    x
}

#[inline(always)]
pub fn add(x: Lanes, y: Lanes) -> Lanes {
    zip(x, y, |x, y| x + y)
}

#[inline(always)]
pub fn times(x: Lanes, y: Lanes) -> Lanes {
    zip(x, y, |x, y| x * y)
}

/// A function of a gate. For its slope it keeps its value or, where the slope does not follow from that,
/// what it was applied to.
pub trait Gate: Copy {
    fn value<const FUSED: bool>(self, x: Lanes) -> Lanes;
    fn keeps_value(self) -> bool;
    fn slope<const FUSED: bool>(self, kept: Lanes) -> Lanes;

    /// Value, and what is kept.
    #[inline(always)]
    fn apply<const FUSED: bool>(self, x: Lanes) -> (Lanes, Lanes) {
        let value = self.value::<FUSED>(x);
        (value, if self.keeps_value() { value } else { x })
    }

    /// Value and slope where the function is applied to x.
    #[inline(always)]
    fn at<const FUSED: bool>(self, x: Lanes) -> (Lanes, Lanes) {
        let (value, kept) = self.apply::<FUSED>(x);
        (value, self.slope::<FUSED>(kept))
    }

    /// Value and slope from what was kept.
    #[inline(always)]
    fn again<const FUSED: bool>(self, kept: Lanes) -> (Lanes, Lanes) {
        (if self.keeps_value() { kept } else { self.value::<FUSED>(kept) }, self.slope::<FUSED>(kept))
    }
}

/// The two functions of a cell.
pub trait Functions: Copy {
    type Activation: Gate;
    type Recurrent: Gate;
    fn activation(self) -> Self::Activation;
    fn recurrent(self) -> Self::Recurrent;
}

/// A function that is compiled into the pass.
#[derive(Clone, Copy)]
pub struct Inlined<F>(F);

impl<F: Pointwise> Gate for Inlined<F> {
    #[inline(always)]
    fn value<const FUSED: bool>(self, x: Lanes) -> Lanes {
        each(x, |x| self.0.value::<FUSED>(x))
    }
    #[inline(always)]
    fn keeps_value(self) -> bool {
        F::FROM_OUTPUT
    }
    #[inline(always)]
    fn slope<const FUSED: bool>(self, kept: Lanes) -> Lanes {
        each(kept, |kept| self.0.slope::<FUSED>(kept))
    }
}

/// Any other one.
#[derive(Clone, Copy, Debug)]
pub struct Called<'a>(pub &'a dyn Function);

impl Gate for Called<'_> {
    #[inline(always)]
    fn value<const FUSED: bool>(self, mut x: Lanes) -> Lanes {
        self.0.apply_in_place(&mut x);
        x
    }
    #[inline(always)]
    fn keeps_value(self) -> bool {
        self.0.slope_from_output()
    }
    #[inline(always)]
    fn slope<const FUSED: bool>(self, kept: Lanes) -> Lanes {
        let mut slopes = [1.0; LANES];
        self.0.gradient_in_place(&kept, &mut slopes);
        slopes
    }
}

/// Keras's defaults.
#[derive(Clone, Copy)]
pub struct TanhSigmoid;

impl Functions for TanhSigmoid {
    type Activation = Inlined<Tanh>;
    type Recurrent = Inlined<Sigmoid>;
    #[inline(always)]
    fn activation(self) -> Inlined<Tanh> {
        Inlined(Tanh {})
    }
    #[inline(always)]
    fn recurrent(self) -> Inlined<Sigmoid> {
        Inlined(Sigmoid {})
    }
}

/// Any others: activation, recurrent activation.
impl<'a> Functions for [Called<'a>; 2] {
    type Activation = Called<'a>;
    type Recurrent = Called<'a>;
    #[inline(always)]
    fn activation(self) -> Called<'a> {
        self[0]
    }
    #[inline(always)]
    fn recurrent(self) -> Called<'a> {
        self[1]
    }
}
