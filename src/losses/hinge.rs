//! Margins. t is 1 or -1; targets of 0 and 1 are taken as -1 and 1, if all of the batch are such.
//!
//! `hinge` max(1 - t p, 0), `squared_hinge` its square, `categorical_hinge` over one-hot rows
//! max(1 + highest output of the other classes - output of the true class, 0).
//! Keras: `losses.Hinge`, `SquaredHinge`, `CategoricalHinge`.

use crate::config::registry::Entry;
use crate::graph::{Builder, Mismatch, Var};
use crate::losses::pair::{Pair, Reduce};
use crate::losses::rows::{RowLoss, Rows};
use crate::losses::{Loss, LossInputs, Target, fits};
use crate::shape::Shape;
use crate::target::Scores;

pub const HINGE: Entry<dyn Loss> = Entry {
    name: "hinge",
    aliases: &["Hinge"],
    about: "max(1 - t p, 0), t = 1 or -1",
    parse: |_| Box::new(Hinge { labels: Labels::PlusMinus }),
};

pub const SQUARED_HINGE: Entry<dyn Loss> = Entry {
    name: "squared_hinge",
    aliases: &["SquaredHinge"],
    about: "max(1 - t p, 0)^2, t = 1 or -1",
    parse: |_| Box::new(SquaredHinge { labels: Labels::PlusMinus }),
};

pub const CATEGORICAL_HINGE: Entry<dyn Loss> = Entry {
    name: "categorical_hinge",
    aliases: &["CategoricalHinge"],
    about: "max(1 + best wrong class - true class, 0)",
    parse: |_| Box::new(CategoricalHinge),
};

/// How this batch writes its labels.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Labels {
    PlusMinus,
    ZeroOne,
}

impl Labels {
    fn of(targets: &[f32]) -> Labels {
        let zero_one = targets.iter().all(|t| *t == 0.0 || *t == 1.0);
        if zero_one { Labels::ZeroOne } else { Labels::PlusMinus }
    }

    #[inline(always)]
    fn sign(self, t: f32) -> f32 {
        if self == Labels::ZeroOne { 2.0 * t - 1.0 } else { t }
    }
}

#[derive(Clone, Copy, Debug)]
struct Hinge {
    labels: Labels,
}

#[derive(Clone, Copy, Debug)]
struct SquaredHinge {
    labels: Labels,
}

/// 1 - t p where positive. NaN stays.
#[inline(always)]
fn margin(p: f32, t: f32) -> f32 {
    let m = 1.0 - t * p;
    if m < 0.0 { 0.0 } else { m }
}

#[cfg(test)]
fn margin_twin(labels: Labels, p: f64, t: f64) -> f64 {
    (1.0 - f64::from(labels.sign(t as f32)) * p).max(0.0)
}

impl Pair for Hinge {
    const NAME: &'static str = "hinge";
    const REDUCE: Reduce = Reduce::Mean;
    const SCORES: Scores = Scores::Margin;
    #[inline(always)]
    fn value(self, p: f32, t: f32) -> f32 {
        margin(p, self.labels.sign(t))
    }
    #[inline(always)]
    fn slope(self, p: f32, t: f32) -> f32 {
        let t = self.labels.sign(t);
        if 1.0 - t * p < 0.0 { 0.0 } else { -t }
    }
    #[cfg(test)]
    fn twin(self, p: f64, t: f64) -> f64 {
        margin_twin(self.labels, p, t)
    }
    fn for_batch(self, targets: &[f32]) -> Hinge {
        Hinge { labels: Labels::of(targets) }
    }
}

impl Pair for SquaredHinge {
    const NAME: &'static str = "squared_hinge";
    const REDUCE: Reduce = Reduce::Mean;
    const SCORES: Scores = Scores::Margin;
    #[inline(always)]
    fn value(self, p: f32, t: f32) -> f32 {
        let m = margin(p, self.labels.sign(t));
        m * m
    }
    #[inline(always)]
    fn slope(self, p: f32, t: f32) -> f32 {
        let t = self.labels.sign(t);
        -2.0 * t * margin(p, t)
    }
    #[cfg(test)]
    fn twin(self, p: f64, t: f64) -> f64 {
        margin_twin(self.labels, p, t).powi(2)
    }
    fn for_batch(self, targets: &[f32]) -> SquaredHinge {
        SquaredHinge { labels: Labels::of(targets) }
    }
}

#[derive(Clone, Copy, Debug)]
struct CategoricalHinge;

impl Loss for CategoricalHinge {
    fn lower(&self, g: &mut Builder<'_>, l: LossInputs) -> Result<Var, Mismatch> {
        let op = Rows::new(*self, g.shape(l.output));
        g.push(op, &[l.output, l.target, l.weight])
    }

    fn fits(&self, output: &Shape, target: &Target) -> Result<(), Mismatch> {
        fits::one_hot_rows(Self::NAME, output, target)
    }
}

/// The output of the true class, the highest of (1 - t) p, and how many reach that.
fn sides(p: &[f32], t: &[f32]) -> (f32, f32, f32) {
    let own = p.iter().zip(t).map(|(p, t)| p * t).sum();
    let others = || p.iter().zip(t).map(|(p, t)| (1.0 - t) * p);
    let best = others().fold(f32::NEG_INFINITY, |best, v| if v > best { v } else { best });
    (own, best, others().filter(|v| *v == best).count() as f32)
}

impl RowLoss for CategoricalHinge {
    const NAME: &'static str = "categorical_hinge";

    fn value(&self, p: &[f32], t: &[f32]) -> f32 {
        let (own, best, _) = sides(p, t);
        let m = best - own + 1.0;
        if m < 0.0 { 0.0 } else { m }
    }

    /// Classes that tie for the best wrong one share its gradient.
    fn gradient(&self, p: &[f32], t: &[f32], scale: f32, dp: &mut [f32]) {
        let (own, best, ties) = sides(p, t);
        let scale = if best - own + 1.0 < 0.0 { 0.0 } else { scale };
        for ((dp, p), t) in dp.iter_mut().zip(p).zip(t) {
            let wrong = 1.0 - t;
            let pushed = if wrong * p == best { wrong / ties } else { 0.0 };
            *dp = scale * (pushed - t);
        }
    }

    #[cfg(test)]
    fn twin(&self, p: &[f64], t: &[f64]) -> f64 {
        let own: f64 = p.iter().zip(t).map(|(p, t)| p * t).sum();
        let best = p.iter().zip(t).map(|(p, t)| (1.0 - t) * p).fold(f64::NEG_INFINITY, f64::max);
        (best - own + 1.0).max(0.0)
    }
}
