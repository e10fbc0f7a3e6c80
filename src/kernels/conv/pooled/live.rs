//! Which outputs have a gradient, as bits: 64 filters of an output in one word, or, turned round,
//! 64 outputs of a filter.

use super::Pooled;
use super::maximum::bytes_of;
use crate::kernels::isa::{Isa, isa};

/// Bits of a word.
pub(super) const BITS: usize = u64::BITS as usize;

/// Scratch space as words.
///
/// # Panics
/// If it does not begin on a word.
pub fn words_in(scratch: &mut [f32]) -> &mut [u64] {
    // SAFETY: the same memory; any bits are a word, and any are numbers.
    let (before, words, _) = unsafe { scratch.align_to_mut() };
    assert!(before.is_empty(), "scratch begins on a cache line");
    words
}

impl Pooled {
    /// Words of an image's bits, of either kind.
    pub fn words(&self) -> usize {
        self.conv.filters.div_ceil(BITS) * self.places.len()
    }

    /// Words of 64 filters: `[filters / 64][outputs]`, outputs window by window. `dy` is the pooled
    /// image's gradient.
    pub fn live_outputs(&self, dy: &[f32], notes: &[f32], words: &mut [u64]) {
        let (filters, cells) = (self.conv.filters, self.window_size());
        let rows = dy.chunks_exact(self.pooled_row()).zip(notes.chunks_exact(self.notes_row()));
        words.fill(0);
        for (row, (dy, notes)) in rows.enumerate() {
            let windows = dy.chunks_exact(filters).zip(bytes_of(notes).chunks_exact(filters));
            for (column, (dy, places)) in windows.enumerate() {
                let output = (row * self.windows[1] + column) * cells;
                let parts = dy.chunks(BITS).zip(places.chunks(BITS));
                for (words, (dy, places)) in words.chunks_exact_mut(self.places.len()).zip(parts) {
                    live_cells(isa(), dy, places, &mut words[output..output + cells]);
                }
            }
        }
    }

    /// The same turned round: words of 64 outputs, `[filters / 64][outputs / 64][64 filters]`.
    pub fn live_filters(&self, outputs: &[u64], filters: &mut [u64]) {
        for (from, to) in outputs.as_chunks::<BITS>().0.iter().zip(filters.as_chunks_mut::<BITS>().0) {
            *to = *from;
            turn(to);
        }
    }
}

/// For each cell of a window, which of up to 64 filters have a gradient and their maximum there.
fn live_cells(isa: Isa, dy: &[f32], places: &[u8], cells: &mut [u64]) {
    assert!(dy.len() == places.len() && dy.len() <= BITS);
    match isa {
        #[cfg(target_arch = "x86_64")]
        // SAFETY: `isa` names what the machine has, and the lengths are checked.
        Isa::Avx512 => unsafe { x86::live_cells_avx512(dy, places, cells) },
        #[cfg(target_arch = "x86_64")]
        // SAFETY: as above.
        Isa::Avx2 if dy.len() == BITS => unsafe { x86::live_cells_avx2(dy, places, cells) },
        _ => {
            for (f, (dy, place)) in dy.iter().zip(places).enumerate() {
                cells[usize::from(*place)] |= u64::from(*dy != 0.0) << f;
            }
        }
    }
}

simd! {
    /// Turns 64 x 64 bits: bit j of word i becomes bit i of word j, by halves, quarters, ...
    fn turn(words: &mut [u64; BITS]) {
        let (mut half, mut low) = (BITS / 2, u64::MAX >> (BITS / 2));
        while half > 0 {
            for block in words.chunks_exact_mut(2 * half) {
                let (a, b) = block.split_at_mut(half);
                for (a, b) in a.iter_mut().zip(b) {
                    let swap = (*a >> half ^ *b) & low;
                    *a ^= swap << half;
                    *b ^= swap;
                }
            }
            half /= 2;
            low ^= low << half;
        }
    }
}

#[cfg(target_arch = "x86_64")]
mod x86 {
    use std::arch::x86_64::*;

    use super::BITS;

    /// # Safety
    /// The machine has AVX-512 F and BW; both slices are of one length, 64 at most.
    #[target_feature(enable = "avx512f,avx512bw")]
    pub unsafe fn live_cells_avx512(dy: &[f32], places: &[u8], cells: &mut [u64]) {
        let some = u64::MAX >> (BITS - dy.len());
        let mut live = 0u64;
        for v in (0..dy.len()).step_by(16) {
            let mask = (some >> v) as __mmask16;
            // SAFETY: masked to the slice's length.
            let dy = unsafe { _mm512_maskz_loadu_ps(mask, dy.as_ptr().add(v)) };
            live |= u64::from(_mm512_cmp_ps_mask::<_CMP_NEQ_UQ>(dy, _mm512_setzero_ps())) << v;
        }
        // SAFETY: masked to the slice's length.
        let places = unsafe { _mm512_maskz_loadu_epi8(some, places.as_ptr().cast()) };
        for (c, cell) in cells.iter_mut().enumerate() {
            *cell = _mm512_mask_cmpeq_epi8_mask(live, places, _mm512_set1_epi8(c as i8));
        }
    }

    /// # Safety
    /// The machine has AVX2; both slices have 64 elements.
    #[target_feature(enable = "avx2")]
    pub unsafe fn live_cells_avx2(dy: &[f32], places: &[u8], cells: &mut [u64]) {
        let mut live = 0u64;
        for v in (0..BITS).step_by(8) {
            // SAFETY: inside the slice.
            let dy = unsafe { _mm256_loadu_ps(dy.as_ptr().add(v)) };
            let bits = _mm256_movemask_ps(_mm256_cmp_ps::<_CMP_NEQ_UQ>(dy, _mm256_setzero_ps()));
            live |= u64::from(bits as u32) << v;
        }
        // SAFETY: inside the slice.
        let half = |i: usize| unsafe { _mm256_loadu_si256(places.as_ptr().add(32 * i).cast()) };
        let places = [half(0), half(1)];
        for (c, cell) in cells.iter_mut().enumerate() {
            let here = _mm256_set1_epi8(c as i8);
            let [low, high] =
                places.map(|p| u64::from(_mm256_movemask_epi8(_mm256_cmpeq_epi8(p, here)) as u32));
            *cell = (low | high << 32) & live;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bits_are_turned() {
        let word = |i: usize| (i as u64 + 1).wrapping_mul(0x9E37_79B9_7F4A_7C15);
        let from: [u64; BITS] = std::array::from_fn(word);
        let mut to = from;
        turn(&mut to);
        assert!((0..BITS).all(|i| (0..BITS).all(|j| from[i] >> j & 1 == to[j] >> i & 1)));
    }

    #[test]
    fn live_cells_are_those_with_a_gradient_on_every_instruction_set() {
        for filters in [1, 5, 16, 31, 63, 64] {
            for count in [1, 2, 4, 9] {
                let dy: Vec<f32> =
                    (0..filters).map(|f| [0.0, 1.5, -0.0, f32::NAN, -2.0, 3.0][f * 7 % 6]).collect();
                let places: Vec<u8> = (0..filters).map(|f| (f * 5 % count) as u8).collect();
                let expected: Vec<u64> = (0..count)
                    .map(|c| {
                        let live = |f: &usize| dy[*f] != 0.0 && usize::from(places[*f]) == c;
                        (0..filters).filter(live).map(|f| 1 << f).sum()
                    })
                    .collect();
                for isa in Isa::ALL.into_iter().filter(|i| i.available()) {
                    let mut cells = vec![0; count];
                    live_cells(isa, &dy, &places, &mut cells);
                    assert_eq!(cells, expected, "{filters} filters, {count} cells on {isa:?}");
                }
            }
        }
    }
}
