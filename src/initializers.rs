//! First values of weights, by Keras's names and formulas (`keras.initializers`).
//!
//! Fans: of a kernel `[..., in, out]` the receptive field times the channels; of a vector its length.
//! The values come from a stream named by the parameter's path, so that adding a layer does not
//! change the others' first weights.

use std::sync::Arc;

use crate::config::fields::Fields;
use crate::config::registry::{Entry, Registry};
use crate::graph::Init;
use crate::rng::Stream;

/// Standard deviation of a normal cut off at two standard deviations.
const TRUNCATED_STDDEV: f64 = 0.879_625_661_034_239_8;

/// Reads an initializer, or takes the default.
pub fn read(f: &mut Fields<'_>, key: &'static str, default: &str) -> Arc<dyn Init> {
    Arc::from(f.variant_or(key, &INITIALIZERS, default))
}

/// An initializer that the program itself names.
pub fn named(name: &str) -> Arc<dyn Init> {
    Arc::from(INITIALIZERS.make(name).0)
}

/// Every initializer there is.
pub static INITIALIZERS: Registry<dyn Init> = Registry {
    kind: "initializer",
    entries: &[
        scaled("GlorotUniform", &["glorot_uniform"], |_| scaling(1.0, FanMode::Avg, Shape::Uniform)),
        scaled("GlorotNormal", &["glorot_normal"], |_| scaling(1.0, FanMode::Avg, Shape::TruncatedNormal)),
        scaled("HeUniform", &["he_uniform"], |_| scaling(2.0, FanMode::In, Shape::Uniform)),
        scaled("HeNormal", &["he_normal"], |_| scaling(2.0, FanMode::In, Shape::TruncatedNormal)),
        scaled("LecunUniform", &["lecun_uniform"], |_| scaling(1.0, FanMode::In, Shape::Uniform)),
        scaled("LecunNormal", &["lecun_normal"], |_| scaling(1.0, FanMode::In, Shape::TruncatedNormal)),
        Entry {
            name: "VarianceScaling",
            aliases: &["variance_scaling"],
            about: "variance scale / fan",
            parse: |f| {
                scaling(
                    f.key("scale").above(0).or(1.0),
                    f.key("mode").or(FanMode::In),
                    f.key("distribution").or(Shape::TruncatedNormal),
                )
            },
        },
        Entry {
            name: "RandomUniform",
            aliases: &["random_uniform", "uniform"],
            about: "uniform in [minval, maxval)",
            parse: |f| {
                let uniform = Uniform { min: f.key("minval").or(-0.05), max: f.key("maxval").or(0.05) };
                if uniform.min >= uniform.max {
                    let message =
                        format!("must be less than `maxval`: {} against {}", uniform.min, uniform.max);
                    f.error("minval", message, None);
                }
                Box::new(uniform)
            },
        },
        Entry {
            name: "RandomNormal",
            aliases: &["random_normal", "normal"],
            about: "normal",
            parse: |f| {
                Box::new(Normal {
                    mean: f.key("mean").or(0.0),
                    stddev: f.key("stddev").at_least(0).or(0.05),
                    cut: false,
                })
            },
        },
        Entry {
            name: "TruncatedNormal",
            aliases: &["truncated_normal"],
            about: "normal, redrawn beyond two standard deviations",
            parse: |f| {
                Box::new(Normal {
                    mean: f.key("mean").or(0.0),
                    stddev: f.key("stddev").at_least(0).or(0.05),
                    cut: true,
                })
            },
        },
        Entry { name: "Zeros", aliases: &["zeros", "zero"], about: "0", parse: |_| Box::new(Constant(0.0)) },
        Entry { name: "Ones", aliases: &["ones", "one"], about: "1", parse: |_| Box::new(Constant(1.0)) },
        Entry {
            name: "Constant",
            aliases: &["constant"],
            about: "the given value",
            parse: |f| Box::new(Constant(f.key("value").or(0.0))),
        },
        Entry {
            name: "Orthogonal",
            aliases: &["orthogonal"],
            about: "orthogonal rows or columns, by QR of a normal matrix",
            parse: |f| Box::new(Orthogonal { gain: f.key("gain").or(1.0) }),
        },
        Entry {
            name: "Identity",
            aliases: &["identity", "IdentityInitializer"],
            about: "the identity matrix times gain",
            parse: |f| Box::new(Identity { gain: f.key("gain").or(1.0) }),
        },
    ],
};

const fn scaled(
    name: &'static str,
    aliases: &'static [&'static str],
    parse: fn(&mut Fields<'_>) -> Box<dyn Init>,
) -> Entry<dyn Init> {
    Entry { name, aliases, about: "variance by the fans", parse }
}

#[derive(Clone, Copy, Debug)]
enum FanMode {
    In,
    Out,
    Avg,
}
crate::words!(FanMode, In = "fan_in", Out = "fan_out", Avg = "fan_avg");

#[derive(Clone, Copy, Debug)]
enum Shape {
    TruncatedNormal,
    UntruncatedNormal,
    Uniform,
}
crate::words!(
    Shape,
    TruncatedNormal = "truncated_normal",
    UntruncatedNormal = "untruncated_normal",
    Uniform = "uniform"
);

fn scaling(scale: f64, mode: FanMode, shape: Shape) -> Box<dyn Init> {
    Box::new(VarianceScaling { scale, mode, shape })
}

/// Fan-in and fan-out as Keras's `compute_fans`.
pub fn fans(shape: &[usize]) -> (f64, f64) {
    match shape {
        [] => (1.0, 1.0),
        [n] => (*n as f64, *n as f64),
        [field @ .., input, output] => {
            let field = field.iter().product::<usize>() as f64;
            (field * *input as f64, field * *output as f64)
        }
    }
}

#[derive(Debug)]
struct VarianceScaling {
    scale: f64,
    mode: FanMode,
    shape: Shape,
}

impl Init for VarianceScaling {
    fn fill(&self, shape: &[usize], seed: u64, path: &str, out: &mut [f32]) {
        let (input, output) = fans(shape);
        let fan = match self.mode {
            FanMode::In => input,
            FanMode::Out => output,
            FanMode::Avg => (input + output) / 2.0,
        };
        let variance = self.scale / fan.max(1.0);
        match self.shape {
            Shape::Uniform => {
                let limit = (3.0 * variance).sqrt();
                Uniform { min: -limit, max: limit }.fill(shape, seed, path, out);
            }
            Shape::UntruncatedNormal => {
                Normal { mean: 0.0, stddev: variance.sqrt(), cut: false }.fill(shape, seed, path, out);
            }
            Shape::TruncatedNormal => {
                let stddev = variance.sqrt() / TRUNCATED_STDDEV;
                Normal { mean: 0.0, stddev, cut: true }.fill(shape, seed, path, out);
            }
        }
    }
}

#[derive(Debug)]
struct Uniform {
    min: f64,
    max: f64,
}

impl Init for Uniform {
    fn fill(&self, _: &[usize], seed: u64, path: &str, out: &mut [f32]) {
        let stream = Stream::new(seed, path);
        for (i, value) in out.iter_mut().enumerate() {
            *value = (self.min + (self.max - self.min) * f64::from(stream.uniform(0, i as u64))) as f32;
        }
    }
}

#[derive(Debug)]
struct Normal {
    mean: f64,
    stddev: f64,
    /// Redraw beyond two standard deviations.
    cut: bool,
}

impl Init for Normal {
    fn fill(&self, _: &[usize], seed: u64, path: &str, out: &mut [f32]) {
        let stream = Stream::new(seed, path);
        for (i, value) in out.iter_mut().enumerate() {
            // A redraw takes the same index of the next step: no other value's draw moves.
            let mut draws = (0..).map(|step| stream.normal(step, i as u64));
            let draw = draws.find(|d| !self.cut || d.abs() <= 2.0).expect("most draws lie within the cut");
            *value = (self.mean + self.stddev * draw) as f32;
        }
    }
}

#[derive(Debug)]
struct Constant(f64);

impl Init for Constant {
    fn fill(&self, _: &[usize], _: u64, _: &str, out: &mut [f32]) {
        out.fill(self.0 as f32);
    }
}

#[derive(Debug)]
struct Identity {
    gain: f64,
}

impl Init for Identity {
    fn fill(&self, shape: &[usize], _: u64, _: &str, out: &mut [f32]) {
        out.fill(0.0);
        for i in 0..shape[0].min(shape[1]) {
            out[i * shape[1] + i] = self.gain as f32;
        }
    }

    fn check(&self, shape: &[usize]) -> Option<String> {
        (shape.len() != 2).then(|| format!("`Identity` needs a matrix, got shape {shape:?}"))
    }
}

#[derive(Debug)]
struct Orthogonal {
    gain: f64,
}

impl Init for Orthogonal {
    /// Q of a normal matrix by modified Gram-Schmidt in f64, which makes R's diagonal positive: the
    /// same distribution as QR with the sign fix.
    fn fill(&self, shape: &[usize], seed: u64, path: &str, out: &mut [f32]) {
        let columns = *shape.last().expect("checked");
        let rows = out.len() / columns;
        // Work on vectors of the longer side, as many as the shorter side.
        let (count, len) = (rows.min(columns), rows.max(columns));
        let stream = Stream::new(seed, path);
        let mut q: Vec<Vec<f64>> =
            (0..count).map(|i| (0..len).map(|j| stream.normal(0, (i * len + j) as u64)).collect()).collect();
        for i in 0..count {
            let (done, rest) = q.split_at_mut(i);
            let vector = &mut rest[0];
            // Twice is enough: the second pass removes what rounding left in the first.
            for other in done.iter().chain(done.iter()) {
                let dot: f64 = vector.iter().zip(other).map(|(a, b)| a * b).sum();
                vector.iter_mut().zip(other).for_each(|(a, b)| *a -= dot * b);
            }
            let norm = vector.iter().map(|v| v * v).sum::<f64>().sqrt();
            vector.iter_mut().for_each(|v| *v /= norm);
        }
        for (index, value) in out.iter_mut().enumerate() {
            let (row, column) = (index / columns, index % columns);
            let entry = if rows <= columns { q[row][column] } else { q[column][row] };
            *value = (self.gain * entry) as f32;
        }
    }

    fn check(&self, shape: &[usize]) -> Option<String> {
        (shape.len() < 2).then(|| format!("`Orthogonal` needs two dimensions or more, got shape {shape:?}"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::tree;
    use crate::diag::Source;
    use crate::testing::golden;

    fn parse(toml: &str) -> Box<dyn Init> {
        let source = Source::new("t", format!("v = {{ {} }}", toml.trim().replace('\n', ", ")));
        let table = tree::parse(&source).unwrap_or_else(|e| panic!("{}", e[0]));
        let mut diags = vec![];
        let read = INITIALIZERS.read(&table.entries[0].value, &mut diags);
        read.unwrap_or_else(|| panic!("{}", diags[0])).0
    }

    #[test]
    fn distributions_are_keras_s() {
        let file = golden::load("initializers.json");
        for case in golden::cases(&file) {
            let name = golden::text(case, "name");
            let shape: Vec<usize> = golden::numbers(&case["shape"]).iter().map(|v| *v as usize).collect();
            let init = parse(golden::text(case, "toml"));
            let size: usize = shape.iter().product();
            // Many draws under different paths stand for one big draw.
            let repeats = (60_000 / size).max(1);
            let mut all = vec![];
            for r in 0..repeats {
                let mut out = vec![0.0; size];
                init.fill(&shape, 1, &format!("{name}{r}"), &mut out);
                all.extend(out.iter().map(|v| f64::from(*v)));
            }
            let n = all.len() as f64;
            let mean = all.iter().sum::<f64>() / n;
            let std = (all.iter().map(|v| (v - mean).powi(2)).sum::<f64>() / n).sqrt();
            if let Some(values) = case["values"].as_array() {
                let values: Vec<f64> = values.iter().map(|v| v.as_f64().unwrap()).collect();
                golden::all_close(&all[..size], &values, 0.0, name);
                continue;
            }
            // Where no theory is stated, one draw of Keras stands for it: exact for constants, and
            // for an orthogonal matrix as far off as its mean happens to be.
            let slack = if case["expected_mean"].is_null() { 0.1 } else { 0.03 };
            let expected =
                |theory: &str, drawn: &str| case[theory].as_f64().or(case[drawn].as_f64()).unwrap();
            let expected_mean = expected("expected_mean", "mean");
            let expected_std = expected("expected_std", "std");
            assert!(
                (mean - expected_mean).abs() < slack * expected_std.max(1e-9) + 1e-6,
                "{name}: mean {mean}"
            );
            assert!(
                (std - expected_std).abs() < 0.02 * expected_std + 1e-6,
                "{name}: std {std} for {expected_std}"
            );
            if let Some(limit) = case["expected_limit"].as_f64() {
                let reach = all.iter().map(|v| (v - expected_mean).abs()).fold(0.0, f64::max);
                assert!(
                    reach <= limit * (1.0 + 1e-6) && reach >= 0.9 * limit,
                    "{name}: reach {reach} for {limit}"
                );
            }
        }
    }

    #[test]
    fn orthogonal_is_orthogonal() {
        for shape in [[6, 4], [4, 6], [5, 5]] {
            let mut out = vec![0.0; shape[0] * shape[1]];
            Orthogonal { gain: 2.0 }.fill(&shape, 1, "p", &mut out);
            let at = |r: usize, c: usize| f64::from(out[r * shape[1] + c]);
            let (count, len) = (shape[0].min(shape[1]), shape[0].max(shape[1]));
            let entry = |v: usize, i: usize| if shape[0] <= shape[1] { at(v, i) } else { at(i, v) };
            for a in 0..count {
                for b in 0..count {
                    let dot: f64 = (0..len).map(|i| entry(a, i) * entry(b, i)).sum();
                    assert!((dot - if a == b { 4.0 } else { 0.0 }).abs() < 1e-5, "{shape:?} {a} {b} {dot}");
                }
            }
        }
    }
}
