//! Losses of numbers: the mean over the sample's numbers of f(p, t), p the output and t the target.
//!
//! Keras: `losses.MeanSquaredError` and its neighbours. In Keras the logarithmic and relative ones
//! keep 1e-7 away from 0; where `max(p, 1e-7)` cuts, no gradient flows.

use crate::config::registry::Entry;
use crate::kernels::math::{PLAIN, exp, tanh};
use crate::losses::pair::pairs;
use crate::losses::{EPSILON, Loss};

pub const MEAN_SQUARED_ERROR: Entry<dyn Loss> = Entry {
    name: "mean_squared_error",
    aliases: &["mse", "MSE", "MeanSquaredError"],
    about: "(p - t)^2",
    parse: |_| Box::new(SquaredError {}),
};

pub const MEAN_ABSOLUTE_ERROR: Entry<dyn Loss> = Entry {
    name: "mean_absolute_error",
    aliases: &["mae", "MAE", "MeanAbsoluteError"],
    about: "|p - t|",
    parse: |_| Box::new(AbsoluteError {}),
};

pub const MEAN_ABSOLUTE_PERCENTAGE_ERROR: Entry<dyn Loss> = Entry {
    name: "mean_absolute_percentage_error",
    aliases: &["mape", "MAPE", "MeanAbsolutePercentageError"],
    about: "100 |p - t| / |t|",
    parse: |_| Box::new(PercentageError {}),
};

pub const MEAN_SQUARED_LOGARITHMIC_ERROR: Entry<dyn Loss> = Entry {
    name: "mean_squared_logarithmic_error",
    aliases: &["msle", "MSLE", "MeanSquaredLogarithmicError"],
    about: "(ln(p + 1) - ln(t + 1))^2",
    parse: |_| Box::new(LogarithmicError {}),
};

pub const HUBER: Entry<dyn Loss> = Entry {
    name: "huber",
    aliases: &["Huber"],
    about: "(p - t)^2 / 2, a straight line beyond delta",
    parse: |f| Box::new(Huber { delta: f.key("delta").above(0).or(1.0) as f32 }),
};

pub const LOG_COSH: Entry<dyn Loss> = Entry {
    name: "log_cosh",
    aliases: &["logcosh", "LogCosh"],
    about: "ln cosh(p - t)",
    parse: |_| Box::new(LogCosh {}),
};

pub const POISSON: Entry<dyn Loss> = Entry {
    name: "poisson",
    aliases: &["Poisson"],
    about: "p - t ln p: counts",
    parse: |_| Box::new(Poisson {}),
};

pub const KL_DIVERGENCE: Entry<dyn Loss> = Entry {
    name: "kl_divergence",
    aliases: &["kld", "KLD", "KLDivergence"],
    about: "sum over the last axis of t ln(t / p)",
    parse: |_| Box::new(KlDivergence {}),
};

/// -1, 0 or 1. Written so that NaN comes out as NaN.
#[inline(always)]
fn sign(x: f32) -> f32 {
    if x > 0.0 {
        1.0
    } else if x < 0.0 {
        -1.0
    } else {
        0.0 * x
    }
}

/// The larger of `x` and 1e-7; NaN stays.
#[inline(always)]
fn floor(x: f32) -> f32 {
    if x < EPSILON { EPSILON } else { x }
}

/// `x` cut to [1e-7, 1]; NaN stays.
#[inline(always)]
fn cut(x: f32) -> f32 {
    x.clamp(EPSILON, 1.0)
}

pairs! {
    SquaredError {} "mean_squared_error" Mean
        value(self, p, t) (p - t) * (p - t),
        slope(self, p, t) 2.0 * (p - t),
        twin(self, p, t) (p - t).powi(2);
    /// Slope 0 where prediction and target are equal.
    AbsoluteError {} "mean_absolute_error" Mean
        value(self, p, t) (p - t).abs(),
        slope(self, p, t) sign(p - t),
        twin(self, p, t) (p - t).abs();
    PercentageError {} "mean_absolute_percentage_error" Mean
        value(self, p, t) 100.0 * ((p - t).abs() / floor(t.abs())),
        slope(self, p, t) 100.0 * sign(p - t) / floor(t.abs()),
        twin(self, p, t) 100.0 * (p - t).abs() / t.abs().max(1e-7);
    LogarithmicError {} "mean_squared_logarithmic_error" Mean
        value(self, p, t) {
            let d = libm::log1pf(floor(p)) - libm::log1pf(floor(t));
            d * d
        },
        slope(self, p, t) if p < EPSILON { 0.0 } else {
            2.0 * (libm::log1pf(floor(p)) - libm::log1pf(floor(t))) / (p + 1.0)
        },
        twin(self, p, t) ((p.max(1e-7) + 1.0).ln() - (t.max(1e-7) + 1.0).ln()).powi(2);
    /// Huber, Robust estimation of a location parameter, 1964.
    Huber { delta } "huber" Mean
        value(self, p, t) {
            let d = (p - t).abs();
            if d > self.delta { self.delta * d - 0.5 * self.delta * self.delta } else { 0.5 * d * d }
        },
        slope(self, p, t) {
            let d = p - t;
            if d.abs() > self.delta { self.delta * sign(d) } else { d }
        },
        twin(self, p, t) {
            let (d, delta) = ((p - t).abs(), f64::from(self.delta));
            if d <= delta { 0.5 * d * d } else { delta * d - 0.5 * delta * delta }
        };
    LogCosh {} "log_cosh" Mean
        value(self, p, t) {
            let d = (p - t).abs();
            d + libm::log1pf(exp::<PLAIN>(-2.0 * d)) - std::f32::consts::LN_2
        },
        slope(self, p, t) tanh::<PLAIN>(p - t),
        twin(self, p, t) {
            let d = (p - t).abs();
            d + (-2.0 * d).exp().ln_1p() - std::f64::consts::LN_2
        };
    Poisson {} "poisson" Mean
        value(self, p, t) p - t * libm::logf(p + EPSILON),
        slope(self, p, t) 1.0 - t / (p + EPSILON),
        twin(self, p, t) p - t * (p + 1e-7).ln();
    /// Both sides cut to [1e-7, 1].
    KlDivergence {} "kl_divergence" SumOfRows
        value(self, p, t) cut(t) * libm::logf(cut(t) / cut(p)),
        slope(self, p, t) if p == cut(p) { -cut(t) / p } else { 0.0 * p },
        twin(self, p, t) t.clamp(1e-7, 1.0) * (t.clamp(1e-7, 1.0) / p.clamp(1e-7, 1.0)).ln();
}
