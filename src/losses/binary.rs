//! Yes or no, for one output or for several independent ones; t is 0 or 1 (or between).
//!
//! `binary_crossentropy` -t ln p - (1 - t) ln(1 - p); `binary_focal_crossentropy` the same times
//! (1 - p_t)^gamma, where p_t = t p + (1 - t)(1 - p) (Lin et al., Focal loss for dense object
//! detection, 2017), and with `apply_class_balancing` times t alpha + (1 - t)(1 - alpha). From the
//! logit x the first is max(x, 0) - x t + ln(1 + e^-|x|). Keras: the classes of the same names.
//!
//! Keys: `from_logits` (the output is the input of a sigmoid), `label_smoothing` s (t becomes
//! t (1 - s) + s / 2), `alpha`, `gamma` and `apply_class_balancing` (focal).

use crate::config::registry::Entry;
use crate::graph::{Builder, Mismatch, Var};
use crate::kernels::math::{PLAIN, exp, sigmoid};
use crate::losses::categorical::{alpha_and_gamma, from_logits, smoothing};
use crate::losses::fits::{self, Activation};
use crate::losses::pair::{Pair, lower, pairs};
use crate::losses::{EPSILON, Loss, LossInputs, Target};
use crate::shape::Shape;
use crate::target::Scores;

pub const CROSSENTROPY: Entry<dyn Loss> = Entry {
    name: "binary_crossentropy",
    aliases: &["bce", "BCE", "BinaryCrossentropy"],
    about: "yes or no, for each output",
    parse: |f| {
        let (from_logits, smoothing) = (from_logits(f), smoothing(f));
        smoothed(from_logits, smoothing)
    },
};

/// `binary_crossentropy` without smoothing.
pub fn binary_crossentropy(from_logits: bool) -> Box<dyn Loss> {
    smoothed(from_logits, 0.0)
}

fn smoothed(from_logits: bool, smoothing: f32) -> Box<dyn Loss> {
    let (probability, logit) = (Crossentropy { smoothing }, CrossentropyOfLogit { smoothing });
    Box::new(Binary { from_logits, probability, logit })
}

pub const FOCAL: Entry<dyn Loss> = Entry {
    name: "binary_focal_crossentropy",
    aliases: &["BinaryFocalCrossentropy"],
    about: "yes or no, easy samples count less",
    parse: |f| {
        let balancing = f.key("apply_class_balancing").or(false);
        let (alpha, gamma) = alpha_and_gamma(f);
        let (from_logits, smoothing) = (from_logits(f), smoothing(f));
        // Balanced the weight is t alpha + (1 - t)(1 - alpha), else 1.
        let (yes, no) = if balancing { (alpha, 1.0 - alpha) } else { (1.0, 1.0) };
        Box::new(Binary {
            from_logits,
            probability: Focal { gamma, yes, no, smoothing },
            logit: FocalOfLogit { gamma, yes, no, smoothing },
        })
    },
};

/// A loss in two forms: of the probability and of the logit.
#[derive(Clone, Copy, Debug)]
struct Binary<P, L> {
    from_logits: bool,
    probability: P,
    logit: L,
}

impl<P: Pair, L: Pair> Loss for Binary<P, L> {
    fn scores(&self) -> Scores {
        if self.from_logits { Scores::Sigmoid } else { Scores::AsTheyAre }
    }

    fn target_bounds(&self) -> Option<(f32, f32)> {
        Some((0.0, 1.0))
    }

    fn lower(&self, g: &mut Builder<'_>, l: LossInputs) -> Result<Var, Mismatch> {
        fits::probabilities_or_logits(P::NAME, self.from_logits, g, l.output, Activation::Sigmoid)?;
        if self.from_logits {
            return lower(self.logit, g, l.output, l);
        }
        match fits::input_of(g, l.output, Activation::Sigmoid)? {
            Some(logits) => lower(self.logit, g, logits, l),
            None => lower(self.probability, g, l.output, l),
        }
    }

    fn fits(&self, output: &Shape, target: &Target) -> Result<(), Mismatch> {
        fits::yes_or_no(P::NAME, output, target)
    }
}

/// ln of `x` cut to [1e-7, 1 - 1e-7]; NaN stays.
#[inline(always)]
fn log_cut(x: f32) -> f32 {
    libm::logf(x.clamp(EPSILON, 1.0 - EPSILON))
}

/// Whether the probability lies within the bounds of the cut: else no gradient flows. 1 - p is exact
/// near 1, and so is the comparison.
#[inline(always)]
fn inside(p: f32) -> bool {
    p >= EPSILON && 1.0 - p >= EPSILON
}

/// 0 where the probability is cut, NaN where it is NaN.
#[inline(always)]
fn crossentropy_slope(p: f32, t: f32) -> f32 {
    if inside(p) { (1.0 - t) / (1.0 - p) - t / p } else { 0.0 * p }
}

#[inline(always)]
fn crossentropy(p: f32, t: f32) -> f32 {
    -(t * log_cut(p) + (1.0 - t) * log_cut(1.0 - p))
}

#[inline(always)]
fn crossentropy_of_logit(x: f32, t: f32) -> f32 {
    let above = if x < 0.0 { 0.0 } else { x };
    (above - x * t) + libm::log1pf(exp::<PLAIN>(-x.abs()))
}

#[inline(always)]
fn smooth(t: f32, s: f32) -> f32 {
    t * (1.0 - s) + 0.5 * s
}

/// gamma x^(gamma - 1), 0 where x is 0 and the power would be infinite.
#[inline(always)]
fn power_slope(x: f32, gamma: f32) -> f32 {
    if gamma < 1.0 && x == 0.0 { 0.0 } else { gamma * libm::powf(x, gamma - 1.0) }
}

#[cfg(test)]
fn smooth_twin(t: f64, s: f32) -> f64 {
    t * (1.0 - f64::from(s)) + 0.5 * f64::from(s)
}

#[cfg(test)]
fn crossentropy_twin(p: f64, t: f64) -> f64 {
    let p = p.clamp(1e-7, 1.0 - 1e-7);
    -t * p.ln() - (1.0 - t) * (1.0 - p).ln()
}

#[cfg(test)]
fn crossentropy_of_logit_twin(x: f64, t: f64) -> f64 {
    x.max(0.0) - x * t + (-x.abs()).exp().ln_1p()
}

pairs! {
    Crossentropy { smoothing } "binary_crossentropy" Mean
        value(self, p, t) crossentropy(p, smooth(t, self.smoothing)),
        slope(self, p, t) crossentropy_slope(p, smooth(t, self.smoothing)),
        twin(self, p, t) crossentropy_twin(p, smooth_twin(t, self.smoothing));
    CrossentropyOfLogit { smoothing } "binary_crossentropy" Mean
        value(self, x, t) crossentropy_of_logit(x, smooth(t, self.smoothing)),
        slope(self, x, t) sigmoid::<PLAIN>(x) - smooth(t, self.smoothing),
        twin(self, x, t) crossentropy_of_logit_twin(x, smooth_twin(t, self.smoothing));
    /// The factor sees the probability as it is, only the crossentropy sees it cut.
    Focal { gamma, yes, no, smoothing } "binary_focal_crossentropy" Mean
        value(self, p, t) {
            let t = smooth(t, self.smoothing);
            let wrong = t * (1.0 - p) + (1.0 - t) * p;
            (t * self.yes + (1.0 - t) * self.no) * libm::powf(wrong, self.gamma) * crossentropy(p, t)
        },
        slope(self, p, t) {
            let t = smooth(t, self.smoothing);
            let wrong = t * (1.0 - p) + (1.0 - t) * p;
            let by_factor = (1.0 - 2.0 * t) * power_slope(wrong, self.gamma) * crossentropy(p, t);
            let by_loss = libm::powf(wrong, self.gamma) * crossentropy_slope(p, t);
            (t * self.yes + (1.0 - t) * self.no) * (by_factor + by_loss)
        },
        twin(self, p, t) {
            let t = smooth_twin(t, self.smoothing);
            let wrong = 1.0 - (t * p + (1.0 - t) * (1.0 - p));
            let weight = t * f64::from(self.yes) + (1.0 - t) * f64::from(self.no);
            weight * wrong.powf(f64::from(self.gamma)) * crossentropy_twin(p, t)
        };
    FocalOfLogit { gamma, yes, no, smoothing } "binary_focal_crossentropy" Mean
        value(self, x, t) {
            let t = smooth(t, self.smoothing);
            let wrong = t * sigmoid::<PLAIN>(-x) + (1.0 - t) * sigmoid::<PLAIN>(x);
            (t * self.yes + (1.0 - t) * self.no) * libm::powf(wrong, self.gamma) * crossentropy_of_logit(x, t)
        },
        slope(self, x, t) {
            let t = smooth(t, self.smoothing);
            let (p, q) = (sigmoid::<PLAIN>(x), sigmoid::<PLAIN>(-x));
            let wrong = t * q + (1.0 - t) * p;
            let by_factor =
                (1.0 - 2.0 * t) * p * q * power_slope(wrong, self.gamma) * crossentropy_of_logit(x, t);
            let by_loss = libm::powf(wrong, self.gamma) * (p - t);
            (t * self.yes + (1.0 - t) * self.no) * (by_factor + by_loss)
        },
        twin(self, x, t) {
            let t = smooth_twin(t, self.smoothing);
            let (p, q) = (1.0 / (1.0 + (-x).exp()), 1.0 / (1.0 + x.exp()));
            let weight = t * f64::from(self.yes) + (1.0 - t) * f64::from(self.no);
            weight * (t * q + (1.0 - t) * p).powf(f64::from(self.gamma)) * crossentropy_of_logit_twin(x, t)
        };
}
