//! `generator`: series that need no file.

use std::fmt::Debug;

use crate::config::fields::Fields;
use crate::config::registry::{Entry, Registry};
use crate::rng::Stream;

/// What a generated series is called.
pub const COLUMN: &str = "value";

/// A word of `generator` with its keys read.
pub trait Generator: Debug + Send + Sync {
    fn values(&self, seed: u64) -> Vec<f64>;

    /// The values as a CSV.
    fn text(&self, seed: u64) -> String {
        let lines = self.values(seed).into_iter().map(|v| format!("{v:?}\n"));
        std::iter::once(format!("{COLUMN}\n")).chain(lines).collect()
    }
}

pub static GENERATORS: Registry<dyn Generator> = Registry {
    kind: "generator",
    entries: &[Entry {
        name: "sine",
        aliases: &["sin"],
        about: "sin(x) at points evenly spaced from start to end, both included, with noise if asked",
        parse: |f| Box::new(Sine::read(f)),
    }],
};

/// `sin(x)` as NumPy's `sin(linspace(start, end, points))`.
#[derive(Debug)]
struct Sine {
    points: usize,
    start: f64,
    end: f64,
    noise: f64,
}

impl Sine {
    fn read(f: &mut Fields<'_>) -> Sine {
        Sine {
            points: f.key("points").at_least(2).or(100),
            start: f.key("start").or(0.0),
            end: f.key("end").or(100.0),
            noise: f.key("noise").at_least(0.0).or(0.0),
        }
    }
}

impl Generator for Sine {
    fn values(&self, seed: u64) -> Vec<f64> {
        let step = (self.end - self.start) / (self.points - 1) as f64;
        let drawn = Stream::new(seed, "generator");
        let value = |i: usize| {
            let noise = if self.noise > 0.0 { self.noise * drawn.normal(0, i as u64) } else { 0.0 };
            libm::sin(self.start + i as f64 * step) + noise
        };
        (0..self.points).map(value).collect()
    }
}
