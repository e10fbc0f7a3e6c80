//! Pictures seen through a map of places: y at (r, c) is x at A (r, c, 1), between pixels bilinear.
//!
//! x `[N, H, W, C]`, y `[N, H', W', C]`. Each sample has a map of its own, whose numbers are drawn from the
//! step and the sample's place in the batch, so that nothing depends on threads; the backward pass draws
//! them again. Places outside of x are filled: [`Fill`]. The maps are those of Keras's preprocessing layers
//! of the same names.

use crate::graph::{Backward, Ctx, Forward, Mismatch, Op, Signature};
use crate::kernels::par::for_chunks;
use crate::ops::dropout::Draws;
use crate::shape::Shape;

/// Output pixels per task, in whole samples.
const CHUNK: usize = 1 << 12;

/// What is seen outside of a picture; Keras's `fill_mode`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fill {
    /// `d c b a | a b c d | d c b a`
    Reflect,
    /// One value.
    Constant,
    /// `a b c d | a b c d | a b c d`
    Wrap,
    /// `a a a a | a b c d | d d d d`
    Nearest,
}

crate::words!(Fill, Reflect = "reflect", Constant = "constant", Wrap = "wrap", Nearest = "nearest");

impl Fill {
    /// The place among `0..size` whose number stands at `i`; None: the constant.
    #[inline]
    fn place(self, i: i64, size: usize) -> Option<usize> {
        let n = size as i64;
        if (0..n).contains(&i) {
            return Some(i as usize);
        }
        let at = match self {
            Fill::Constant => return None,
            Fill::Nearest => i.clamp(0, n - 1),
            Fill::Wrap => i.rem_euclid(n),
            Fill::Reflect => match i.rem_euclid(2 * n) {
                at if at < n => at,
                at => 2 * n - 1 - at,
            },
        };
        Some(at as usize)
    }
}

/// Between pixels; Keras's `interpolation`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Interpolation {
    Bilinear,
    Nearest,
}

crate::words!(Interpolation, Bilinear = "bilinear", Nearest = "nearest");

/// Numbers from the first to the second.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Span(pub f64, pub f64);

impl Span {
    /// The number of a draw.
    pub fn at(self, draw: u32) -> f64 {
        self.0 + (self.1 - self.0) * (f64::from(draw) / 4_294_967_296.0)
    }
}

/// How pictures are moved.
#[derive(Clone, Copy, Debug)]
pub enum Motion {
    /// Each that is allowed, for half of the samples.
    Flip { horizontal: bool, vertical: bool },
    /// Around the middle, counter-clockwise, in whole turns.
    Rotation(Span),
    /// Down and to the right, in heights and widths.
    Translation { height: Span, width: Span },
    /// 1 + the number is how much more is seen; without a width both sides are the same.
    Zoom { height: Span, width: Option<Span> },
    /// A window of the output's size, anywhere.
    Crop,
    /// The largest window in the middle with the output's shape, resized to it.
    Centre,
}

/// Row and column in x, each as factors of (row, column, 1) in y.
type Map = [[f64; 3]; 2];

/// The op for pictures of one size.
#[derive(Clone, Debug)]
pub struct Warp {
    pub motion: Motion,
    pub draws: Draws,
    /// H, W, C.
    pub from: [usize; 3],
    /// H', W'.
    pub to: [usize; 2],
    pub fill: Fill,
    pub fill_value: f32,
    pub interpolation: Interpolation,
}

impl Warp {
    fn map(&self, draws: [u32; 4]) -> Map {
        let [h, w] = [self.from[0], self.from[1]].map(|n| n as f64);
        let (middle_row, middle_column) = ((h - 1.0) / 2.0, (w - 1.0) / 2.0);
        match self.motion {
            Motion::Flip { horizontal, vertical } => {
                let flip = |allowed, draw: u32, size: f64| match allowed && draw >> 31 == 1 {
                    true => (-1.0, size - 1.0),
                    false => (1.0, 0.0),
                };
                let ((row, from_row), (column, from_column)) =
                    (flip(vertical, draws[0], h), flip(horizontal, draws[1], w));
                [[row, 0.0, from_row], [0.0, column, from_column]]
            }
            Motion::Rotation(turns) => {
                let angle = turns.at(draws[0]) * std::f64::consts::TAU;
                let (sin, cos) = (libm::sin(angle), libm::cos(angle));
                [
                    [cos, sin, middle_row - cos * middle_row - sin * middle_column],
                    [-sin, cos, middle_column + sin * middle_row - cos * middle_column],
                ]
            }
            Motion::Translation { height, width } => {
                [[1.0, 0.0, -h * height.at(draws[0])], [0.0, 1.0, -w * width.at(draws[1])]]
            }
            Motion::Zoom { height, width } => {
                let rows = 1.0 + height.at(draws[0]);
                let columns = width.map_or(rows, |width| 1.0 + width.at(draws[1]));
                [[rows, 0.0, (1.0 - rows) * middle_row], [0.0, columns, (1.0 - columns) * middle_column]]
            }
            Motion::Crop => {
                let start = |from: usize, to: usize, draw: u32| {
                    (((from - to + 1) as u64 * u64::from(draw)) >> 32) as f64
                };
                let (top, left) =
                    (start(self.from[0], self.to[0], draws[0]), start(self.from[1], self.to[1], draws[1]));
                [[1.0, 0.0, top], [0.0, 1.0, left]]
            }
            Motion::Centre => self.centre(),
        }
    }

    fn centre(&self) -> Map {
        let ([h, w, _], [rows, columns]) = (self.from, self.to);
        // Of x, as much as has the shape of y.
        let part = [(w * rows / columns).clamp(1, h), (h * columns / rows).clamp(1, w)];
        let [row, column] = [0, 1].map(|i| {
            let (start, step) = ((self.from[i] - part[i]) / 2, part[i] as f64 / self.to[i] as f64);
            (step, start as f64 + 0.5 * step - 0.5)
        });
        [[row.0, 0.0, row.1], [0.0, column.0, column.1]]
    }

    /// For every output pixel of a sample, in order, the input pixels that it is made of and their
    /// weights; a pixel that is not there is the fill value.
    #[inline(always)]
    fn each_tap(&self, step: u32, sample: usize, mut take: impl FnMut(usize, Option<usize>, f32)) {
        let map = self.map(self.draws.block(step, sample));
        let narrow = map.map(|row| row.map(|v| v as f32));
        let [h, w, _] = self.from;
        for y in 0..self.to[0] {
            for x in 0..self.to[1] {
                let [row, column] = narrow.map(|m| m[0] * y as f32 + m[1] * x as f32 + m[2]);
                let pixel = y * self.to[1] + x;
                let at = |r: i64, c: i64| Some(self.fill.place(r, h)? * w + self.fill.place(c, w)?);
                if self.interpolation == Interpolation::Nearest {
                    take(pixel, at((row + 0.5).floor() as i64, (column + 0.5).floor() as i64), 1.0);
                    continue;
                }
                let (top, left) = (row.floor(), column.floor());
                let (down, along) = (row - top, column - left);
                let (r, c) = (top as i64, left as i64);
                take(pixel, at(r, c), (1.0 - down) * (1.0 - along));
                if along > 0.0 {
                    take(pixel, at(r, c + 1), (1.0 - down) * along);
                }
                if down > 0.0 {
                    take(pixel, at(r + 1, c), down * (1.0 - along));
                    take(pixel, at(r + 1, c + 1), down * along);
                }
            }
        }
    }

    /// Numbers of a sample of x, and of y.
    fn sizes(&self) -> [usize; 2] {
        [self.from[0] * self.from[1] * self.from[2], self.to[0] * self.to[1] * self.from[2]]
    }
}

impl Op for Warp {
    fn name(&self) -> &'static str {
        "warp"
    }

    fn infer(&self, x: &[&Shape]) -> Result<Signature, Mismatch> {
        if x[0].dims != self.from {
            return Err(Mismatch::new(format!("pictures of {:?} got {}", self.from, x[0])));
        }
        let y = Shape::batch([self.to[0], self.to[1], self.from[2]]);
        Ok(Signature::new(y).differentiable(&[0]))
    }

    fn forward(&self, io: &Forward<'_>, cx: &Ctx<'_>) {
        let ([from, to], channels) = (self.sizes(), self.from[2]);
        let (x, samples) = (io.x(0), (CHUNK * channels / to).max(1));
        for_chunks(cx.pool, io.y(0), samples * to, |chunk, y| {
            for (n, y) in y.chunks_exact_mut(to).enumerate() {
                let n = chunk * samples + n;
                let x = &x[n * from..][..from];
                y.fill(0.0);
                self.each_tap(cx.step, n, |pixel, source, weight| {
                    let y = &mut y[pixel * channels..][..channels];
                    match source {
                        Some(at) => {
                            let x = &x[at * channels..][..channels];
                            y.iter_mut().zip(x).for_each(|(y, x)| *y += weight * x);
                        }
                        None => y.iter_mut().for_each(|y| *y += weight * self.fill_value),
                    }
                });
            }
        });
    }

    fn backward(&self, io: &Backward<'_>, cx: &Ctx<'_>) {
        let Some(dx) = io.dx(0) else { return };
        let ([from, to], channels) = (self.sizes(), self.from[2]);
        let (dy, samples) = (&*io.dy0(), (CHUNK * channels / to).max(1));
        for_chunks(cx.pool, dx.buf, samples * from, |chunk, dx| {
            for (n, dx) in dx.chunks_exact_mut(from).enumerate() {
                let n = chunk * samples + n;
                let dy = &dy[n * to..][..to];
                dx.fill(0.0);
                self.each_tap(cx.step, n, |pixel, source, weight| {
                    if let Some(at) = source {
                        let dy = &dy[pixel * channels..][..channels];
                        let dx = &mut dx[at * channels..][..channels];
                        dx.iter_mut().zip(dy).for_each(|(dx, dy)| *dx += weight * dy);
                    }
                });
            }
        });
    }

    fn flops(&self, _: &[&Shape], y: &[&Shape]) -> f64 {
        8.0 * y[0].size() as f64
    }

    #[cfg(test)]
    fn twin(
        &self,
        x: &[ndarray::ArrayD<f64>],
        cx: &crate::graph::twin::TwinCtx,
    ) -> Vec<ndarray::ArrayD<f64>> {
        let ([h, w, channels], [rows, columns]) = (self.from, self.to);
        let mut out = ndarray::ArrayD::zeros(vec![x[0].shape()[0], rows, columns, channels]);
        for (i, y) in out.indexed_iter_mut() {
            let (n, r, c) = (i[0], i[1] as f64, i[2] as f64);
            let [row, column] = self.map(self.draws.block(cx.step, n)).map(|m| m[0] * r + m[1] * c + m[2]);
            let pixel = |r: f64, c: f64| match (self.fill.place(r as i64, h), self.fill.place(c as i64, w)) {
                (Some(r), Some(c)) => x[0][[n, r, c, i[3]]],
                _ => f64::from(self.fill_value),
            };
            if self.interpolation == Interpolation::Nearest {
                *y = pixel((row + 0.5).floor(), (column + 0.5).floor());
                continue;
            }
            let (top, left) = (row.floor(), column.floor());
            let across = |r| pixel(r, left) + (column - left) * (pixel(r, left + 1.0) - pixel(r, left));
            *y = across(top) + (row - top) * (across(top + 1.0) - across(top));
        }
        vec![out]
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::rng::Stream;

    fn warp(motion: Motion, from: [usize; 3], to: [usize; 2], fill: Fill) -> Warp {
        let draws = Draws::new(Stream::new(3, "warp"), None);
        Warp { motion, draws, from, to, fill, fill_value: -1.0, interpolation: Interpolation::Bilinear }
    }

    /// The picture as it is seen with fixed numbers in place of draws.
    fn seen(warp: &Warp, x: &[f32]) -> Vec<f32> {
        let mut y = vec![0.0; warp.sizes()[1]];
        let channels = warp.from[2];
        warp.each_tap(0, 0, |pixel, source, weight| {
            for c in 0..channels {
                let value = source.map_or(warp.fill_value, |at| x[at * channels + c]);
                y[pixel * channels + c] += weight * value;
            }
        });
        y.iter().map(|v| (v * 1e4).round() / 1e4).collect()
    }

    const PICTURE: [f32; 9] = [1.0, 2.0, 3.0, 4.0, 5.0, 6.0, 7.0, 8.0, 9.0];

    #[test]
    fn a_quarter_turn_is_counter_clockwise() {
        let turned = warp(Motion::Rotation(Span(0.25, 0.25)), [3, 3, 1], [3, 3], Fill::Reflect);
        assert_eq!(seen(&turned, &PICTURE), [3.0, 6.0, 9.0, 2.0, 5.0, 8.0, 1.0, 4.0, 7.0]);
    }

    #[test]
    fn shifts_go_down_and_right_and_are_filled() {
        let third = 1.0 / 3.0;
        let shift = Motion::Translation { height: Span(third, third), width: Span(0.0, 0.0) };
        for (fill, first) in [
            (Fill::Reflect, [1.0, 2.0, 3.0]),
            (Fill::Constant, [-1.0; 3]),
            (Fill::Wrap, [7.0, 8.0, 9.0]),
            (Fill::Nearest, [1.0, 2.0, 3.0]),
        ] {
            let y = seen(&warp(shift, [3, 3, 1], [3, 3], fill), &PICTURE);
            assert_eq!(y, [first.to_vec(), PICTURE[..6].to_vec()].concat(), "{fill:?}");
        }
        assert_eq!([-4, -1, 3, 6].map(|i| Fill::Reflect.place(i, 3).unwrap()), [2, 0, 2, 0]);
    }

    #[test]
    fn more_is_seen_at_a_positive_zoom() {
        let zoom = Motion::Zoom { height: Span(1.0, 1.0), width: None };
        let y = seen(&warp(zoom, [3, 3, 1], [3, 3], Fill::Constant), &PICTURE);
        assert_eq!(y, [-1.0, -1.0, -1.0, -1.0, 5.0, -1.0, -1.0, -1.0, -1.0]);
    }

    #[test]
    fn the_middle_is_taken_with_the_shape_of_the_output() {
        let wide: Vec<f32> = (0..8).map(|i| i as f32).collect();
        let y = seen(&warp(Motion::Centre, [2, 4, 1], [1, 1], Fill::Nearest), &wide);
        assert_eq!(y, [(1.0 + 2.0 + 5.0 + 6.0) / 4.0]);
    }

    #[test]
    fn samples_and_steps_differ_and_repeat() {
        let crop = warp(Motion::Crop, [9, 9, 1], [4, 4], Fill::Nearest);
        let maps = |step| (0..50).map(|n| crop.map(crop.draws.block(step, n))).collect::<Vec<Map>>();
        assert_eq!(maps(1), maps(1));
        assert_ne!(maps(1), maps(2));
        for [[_, _, top], [_, _, left]] in maps(1) {
            assert!((0.0..=5.0).contains(&top) && top.fract() == 0.0 && (0.0..=5.0).contains(&left));
        }
        let tops: std::collections::BTreeSet<i64> = maps(1).iter().map(|m| m[0][2] as i64).collect();
        assert_eq!(tops.into_iter().collect::<Vec<_>>(), [0, 1, 2, 3, 4, 5]);
    }
}
