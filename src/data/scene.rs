//! Circles, squares and triangles on noise: what `shapes` and `moving_shapes` draw.
//!
//! Everything follows from a stream and the number of the picture or clip.

use crate::rng::Stream;

/// Draws from here on are noise, those before are of objects.
const NOISE: u64 = 1 << 20;

/// Numbers in [0, 1), one after the other, of one picture or clip.
pub struct Draws {
    stream: Stream,
    number: u32,
    index: u64,
}

impl Draws {
    pub fn new(stream: Stream, number: u32) -> Draws {
        Draws { stream, number, index: 0 }
    }

    pub fn next(&mut self) -> f64 {
        self.index += 1;
        f64::from(self.stream.uniform(self.number, self.index))
    }

    /// A colour for what is behind all objects, in shares of the brightest.
    pub fn background(&mut self) -> [f64; 3] {
        std::array::from_fn(|_| 0.25 + 0.5 * self.next())
    }
}

#[derive(Clone, Copy)]
pub enum Form {
    Circle,
    Square,
    Triangle,
}

pub struct Object {
    pub form: Form,
    /// Row and column of the middle, and the distance of corners or rim from it.
    pub middle: [f64; 2],
    pub radius: f64,
    /// Cosine and sine of its turn.
    pub turn: [f64; 2],
    pub colour: [u8; 3],
}

impl Object {
    /// An object in a picture of this height and width; `whole`: nothing of it lies outside.
    pub fn draw(draws: &mut Draws, size: [usize; 2], whole: bool, background: [f64; 3]) -> Object {
        let form = match (3.0 * draws.next()) as usize {
            0 => Form::Circle,
            1 => Form::Square,
            _ => Form::Triangle,
        };
        let radius = size[0].min(size[1]) as f64 * (0.12 + 0.13 * draws.next());
        let margin = if whole { radius } else { 0.0 };
        let middle = size.map(|n| margin + (n as f64 - 2.0 * margin) * draws.next());
        let angle = std::f64::consts::TAU * draws.next();
        // Each colour stands out from the background by a quarter or more.
        let colour = background.map(|b| {
            let by = 0.25 + 0.25 * draws.next();
            byte(if (draws.next() < 0.5 || b + by > 1.0) && b - by >= 0.0 { b - by } else { b + by })
        });
        Object { form, middle, radius, turn: [libm::cos(angle), libm::sin(angle)], colour }
    }

    /// Whether the point so far below and to the right of its middle belongs to it.
    pub fn covers(&self, y: f64, x: f64) -> bool {
        let [cos, sin] = self.turn;
        let (along, across) = (cos * x + sin * y, cos * y - sin * x);
        match self.form {
            Form::Circle => x * x + y * y <= self.radius * self.radius,
            Form::Square => along.abs().max(across.abs()) <= self.radius * std::f64::consts::FRAC_1_SQRT_2,
            // Three sides at half the radius from the middle.
            Form::Triangle => {
                let side = |c: f64, s: f64| c * along + s * across <= self.radius / 2.0;
                let s = 0.75f64.sqrt();
                side(-1.0, 0.0) && side(0.5, s) && side(0.5, -s)
            }
        }
    }
}

/// A share of the brightest as a byte.
pub fn byte(share: f64) -> u8 {
    (share * 255.0).round() as u8
}

/// Adds noise of this deviation (1: the brightest) to the pixels of picture or clip `number`.
pub fn add_noise(pixels: &mut [u8], stream: Stream, number: u32, deviation: f64) {
    for (i, pixel) in pixels.iter_mut().enumerate() {
        // The sum of four bytes is near enough to a normal number: deviation 147.8.
        let bits = stream.bits(number, NOISE + i as u64);
        let sum: u32 = bits.to_le_bytes().map(u32::from).iter().sum();
        let noise = (f64::from(sum) - 510.0) / 147.8 * 255.0 * deviation;
        *pixel = (f64::from(*pixel) + noise).round().clamp(0.0, 255.0) as u8;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn forms_have_their_areas() {
        let area = |form| {
            let object = Object { form, middle: [50.0; 2], radius: 40.0, turn: [0.8, 0.6], colour: [0; 3] };
            let points = (0..100).flat_map(|r| (0..100).map(move |c| (f64::from(r), f64::from(c))));
            points.filter(|(r, c)| object.covers(r - 49.5, c - 49.5)).count() as f64 / 1600.0
        };
        let close =
            |found: f64, expected: f64| assert!((found - expected).abs() < 0.02, "{found}, {expected}");
        close(area(Form::Circle), std::f64::consts::PI);
        close(area(Form::Square), 2.0);
        close(area(Form::Triangle), 0.75 * 3f64.sqrt());
    }

    #[test]
    fn noise_has_its_deviation_and_no_drift() {
        let mut pixels = vec![128u8; 20_000];
        add_noise(&mut pixels, Stream::new(3, "noise"), 7, 0.1);
        let mean = |f: &dyn Fn(f64) -> f64| pixels.iter().map(|p| f(f64::from(*p))).sum::<f64>() / 20_000.0;
        let (middle, deviation) = (mean(&|p| p), mean(&|p| (p - 128.0) * (p - 128.0)).sqrt());
        assert!((middle - 128.0).abs() < 1.0 && (deviation - 25.5).abs() < 1.0, "{middle} {deviation}");
    }
}
