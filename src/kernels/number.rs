//! How numbers are stored: in f32, or as bfloat16 in half the space.

use std::borrow::Cow;

/// What a buffer holds.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Storage {
    #[default]
    F32,
    /// Two numbers in the space of one.
    Bf16,
}

impl Storage {
    /// Words of an f32 that so many numbers take.
    pub fn words(self, numbers: usize) -> usize {
        match self {
            Storage::F32 => numbers,
            Storage::Bf16 => numbers.div_ceil(2),
        }
    }

    /// A buffer's numbers in f32.
    pub fn widened(self, words: &[f32]) -> Cow<'_, [f32]> {
        match self {
            Storage::F32 => Cow::Borrowed(words),
            Storage::Bf16 => Cow::Owned(Bf16::of(words).iter().map(|v| v.get()).collect()),
        }
    }
}

/// A bfloat16: the upper half of an f32, 8 bits of precision.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[repr(transparent)]
pub struct Bf16(pub u16);

/// A stored number, to compute with in f32.
pub trait Number: Copy + Default + Send + Sync + 'static {
    const STORAGE: Storage;

    fn get(self) -> f32;

    /// The nearest number to `x` that can be stored.
    fn nearest(x: f32) -> Self;

    /// A buffer as what it holds.
    fn of(words: &[f32]) -> &[Self];

    fn of_mut(words: &mut [f32]) -> &mut [Self];

    /// Runs `f` on a block of at most `N` numbers as f32, and stores what it leaves there.
    fn change<const N: usize>(block: &mut [Self], f: impl FnOnce(&mut [f32]));

    /// Runs `f` on a block of at most `N` numbers as f32.
    fn look<const N: usize>(block: &[Self], f: impl FnOnce(&[f32]));
}

impl Number for f32 {
    const STORAGE: Storage = Storage::F32;

    #[inline(always)]
    fn get(self) -> f32 {
        self
    }

    #[inline(always)]
    fn nearest(x: f32) -> f32 {
        x
    }

    fn of(words: &[f32]) -> &[f32] {
        words
    }

    fn of_mut(words: &mut [f32]) -> &mut [f32] {
        words
    }

    fn change<const N: usize>(block: &mut [f32], f: impl FnOnce(&mut [f32])) {
        f(block);
    }

    fn look<const N: usize>(block: &[f32], f: impl FnOnce(&[f32])) {
        f(block);
    }
}

impl Number for Bf16 {
    const STORAGE: Storage = Storage::Bf16;

    #[inline(always)]
    fn get(self) -> f32 {
        f32::from_bits(u32::from(self.0) << 16)
    }

    /// As `vcvtneps2bf16` rounds: to nearest, ties to even; what is below f32's normal range is zero.
    #[inline(always)]
    fn nearest(x: f32) -> Bf16 {
        let bits = x.to_bits();
        // Half a unit, less one where the last bit kept is even; a carry out of the mantissa is right.
        let rounded = bits.wrapping_add(0x7FFF + (bits >> 16 & 1));
        let magnitude = bits & 0x7FFF_FFFF;
        let kept = if magnitude < 0x0080_0000 { bits & 0x8000_0000 } else { rounded };
        let kept = if magnitude > 0x7F80_0000 { bits | 0x0040_0000 } else { kept };
        Bf16((kept >> 16) as u16)
    }

    fn of(words: &[f32]) -> &[Bf16] {
        // SAFETY: a word is as long as two of them and stricter aligned; every pattern of bits is valid.
        unsafe { std::slice::from_raw_parts(words.as_ptr().cast(), 2 * words.len()) }
    }

    fn of_mut(words: &mut [f32]) -> &mut [Bf16] {
        // SAFETY: as above, for both.
        unsafe { std::slice::from_raw_parts_mut(words.as_mut_ptr().cast(), 2 * words.len()) }
    }

    fn change<const N: usize>(block: &mut [Bf16], f: impl FnOnce(&mut [f32])) {
        let mut space = [0.0; N];
        let wide = &mut space[..block.len()];
        widen(block, wide);
        f(wide);
        narrow(wide, block);
    }

    fn look<const N: usize>(block: &[Bf16], f: impl FnOnce(&[f32])) {
        let mut space = [0.0; N];
        let wide = &mut space[..block.len()];
        widen(block, wide);
        f(wide);
    }
}

simd! {
    /// Stored numbers as f32.
    pub fn widen<T: Number>(from: &[T], into: &mut [f32]) {
        into.iter_mut().zip(from).for_each(|(into, from)| *into = from.get());
    }
}

simd! {
    /// Stores each f32's nearest number.
    pub fn narrow<T: Number>(from: &[f32], into: &mut [T]) {
        into.iter_mut().zip(from).for_each(|(into, from)| *into = T::nearest(*from));
    }
}

simd! {
    /// Adds to stored numbers.
    pub fn add<T: Number, U: Number>(from: &[T], into: &mut [U]) {
        into.iter_mut().zip(from).for_each(|(into, from)| *into = U::nearest(into.get() + from.get()));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rounding_is_to_the_nearest_even_number() {
        for (x, expected) in [
            (1.0, 1.0),
            (1.0 + 1.0 / 256.0, 1.0),
            (1.0 + 3.0 / 256.0, 1.0 + 1.0 / 64.0),
            (1.0 + 1.01 / 256.0, 1.0 + 1.0 / 128.0),
            (f32::MAX, f32::INFINITY),
            (f32::NEG_INFINITY, f32::NEG_INFINITY),
            (-1e-39, -0.0),
            (3.0e38, f32::from_bits(0x7F62 << 16)),
        ] {
            let rounded = Bf16::nearest(x).get();
            assert_eq!(rounded.to_bits(), f32::to_bits(expected), "{x}: {rounded} for {expected}");
        }
        assert!(Bf16::nearest(f32::NAN).get().is_nan() && Bf16::nearest(-f32::NAN).get().is_nan());
        assert!(Bf16::nearest(f32::from_bits(0x7F80_0001)).get().is_nan(), "its payload is cut off");
    }

    #[test]
    fn a_buffer_holds_twice_as_many() {
        let mut words = vec![0.0; 3];
        Bf16::of_mut(&mut words).copy_from_slice(&[1.0, 2.0, 3.0, 4.0, 5.0, 6.0].map(Bf16::nearest));
        let mut wide = [0.0; 6];
        widen(Bf16::of(&words), &mut wide);
        assert_eq!(wide, [1.0, 2.0, 3.0, 4.0, 5.0, 6.0]);
        Bf16::change::<8>(&mut Bf16::of_mut(&mut words)[1..], |block| {
            block.iter_mut().for_each(|v| *v *= 2.0)
        });
        add(&[0.5; 6], Bf16::of_mut(&mut words));
        widen(Bf16::of(&words), &mut wide);
        assert_eq!(wide, [1.5, 4.5, 6.5, 8.5, 10.5, 12.5]);
    }
}
