//! A box inside a larger one: copying out of it, and putting zeros around it.

use crate::kernels::par::{Pool, for_chunks};

/// Numbers per task, in whole rows.
const CHUNK: usize = 1 << 13;

/// Boxes `[planes, rows, columns]` of pixels: the inner one lies in the outer one, with so many planes, rows
/// and columns before and after it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Frame {
    pub inner: [usize; 3],
    pub sides: [[usize; 2]; 3],
    /// Numbers of a pixel.
    pub channels: usize,
}

impl Frame {
    pub fn outer(&self) -> [usize; 3] {
        std::array::from_fn(|i| self.inner[i] + self.sides[i][0] + self.sides[i][1])
    }

    /// Copies the inner boxes from outer ones.
    pub fn take(&self, pool: &Pool, outer: &[f32], inner: &mut [f32]) {
        let ([_, rows, columns], [planes, height, _]) = (self.outer(), self.inner);
        let [before, above, left] = self.sides.map(|side| side[0]);
        let row = self.inner[2] * self.channels;
        let count = (CHUNK / row).max(1);
        for_chunks(pool, inner, count * row, |chunk, inner| {
            for (r, inner) in inner.chunks_exact_mut(row).enumerate() {
                let r = chunk * count + r;
                let (sample, plane, at) = (r / height / planes, r / height % planes, r % height);
                let plane = sample * self.outer()[0] + before + plane;
                let from = ((plane * rows + above + at) * columns + left) * self.channels;
                inner.copy_from_slice(&outer[from..from + row]);
            }
        });
    }

    /// Fills outer boxes: with inner ones, and zeros around them.
    pub fn surround(&self, pool: &Pool, inner: &[f32], outer: &mut [f32]) {
        let ([planes, rows, columns], [depth, height, width]) = (self.outer(), self.inner);
        let [before, above, left] = self.sides.map(|side| side[0]);
        let row = columns * self.channels;
        let (left, len) = (left * self.channels, width * self.channels);
        let count = (CHUNK / row).max(1);
        for_chunks(pool, outer, count * row, |chunk, outer| {
            for (r, outer) in outer.chunks_exact_mut(row).enumerate() {
                let r = chunk * count + r;
                let (sample, plane, at) = (r / rows / planes, r / rows % planes, r % rows);
                let place = plane.checked_sub(before).zip(at.checked_sub(above));
                let Some((plane, at)) = place.filter(|(plane, at)| *plane < depth && *at < height) else {
                    outer.fill(0.0);
                    continue;
                };
                let from = ((sample * depth + plane) * height + at) * len;
                outer[..left].fill(0.0);
                outer[left..left + len].copy_from_slice(&inner[from..from + len]);
                outer[left + len..].fill(0.0);
            }
        });
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn boxes_lie_where_their_sides_say() {
        let frame = Frame { inner: [2, 3, 2], sides: [[1, 0], [0, 2], [2, 1]], channels: 3 };
        let (inner, outer) = (2 * 2 * 3 * 2 * 3, 2 * 3 * 5 * 5 * 3);
        let x: Vec<f32> = (1..=inner).map(|v| v as f32).collect();
        let mut around = vec![f32::NAN; outer];
        frame.surround(&Pool::new(2), &x, &mut around);
        for (i, v) in around.iter().enumerate() {
            let (c, w, h) = (i % 3, i / 3 % 5, i / 15 % 5);
            let (d, n) = (i / 75 % 3, i / 225);
            let inside = d >= 1 && h < 3 && (2..4).contains(&w);
            let expected = if inside { x[(((n * 2 + d - 1) * 3 + h) * 2 + w - 2) * 3 + c] } else { 0.0 };
            assert_eq!(*v, expected, "{i}");
        }
        let mut back = vec![f32::NAN; inner];
        frame.take(&Pool::new(2), &around, &mut back);
        assert_eq!(back, x);
    }
}
