//! One class of several: t is a class number, or a row of target probabilities.
//!
//! `categorical_crossentropy` -sum_c t_c ln p_c, `sparse_categorical_crossentropy` the same with the
//! class's number as target, `categorical_focal_crossentropy` -sum_c alpha (1 - p_c)^gamma t_c ln p_c
//! (Lin et al., Focal loss for dense object detection, 2017). Keras: the classes of the same names.
//!
//! From probabilities that no softmax gave, rows are divided by their sum first and p is cut to
//! [1e-7, 1 - 1e-7]; the sparse form cuts first, as in Keras. Keys: `from_logits` (the output is the
//! input of a softmax), `label_smoothing` s (t becomes t (1 - s) + s / C), `ignore_class` (sparse: rows
//! of this class do not count), `alpha` and `gamma` (focal).

use crate::config::fields::Fields;
use crate::config::registry::Entry;
use crate::graph::{Builder, Mismatch, Var};
use crate::losses::fits::{self, Activation};
use crate::losses::rows::{RowLoss, Rows};
use crate::losses::softmax_crossentropy::{Ignore, Labels, SoftmaxCrossentropy, class};
use crate::losses::{EPSILON, Loss, LossInputs, Target};
use crate::ops::softmax::Softmax;
use crate::shape::Shape;
use crate::target::Scores;

pub const CATEGORICAL: Entry<dyn Loss> = Entry {
    name: "categorical_crossentropy",
    aliases: &["CategoricalCrossentropy"],
    about: "one of several classes, targets one-hot",
    parse: |f| Box::new(Categorical { from_logits: from_logits(f), smoothing: smoothing(f) }),
};

pub const SPARSE: Entry<dyn Loss> = Entry {
    name: "sparse_categorical_crossentropy",
    aliases: &["SparseCategoricalCrossentropy"],
    about: "one of several classes, targets are class numbers",
    parse: |f| {
        let from_logits = from_logits(f);
        let ignore = f.key("ignore_class").optional::<i64>().map(|c| c as f32);
        Box::new(Sparse { from_logits, smoothing: smoothing(f), ignore: Ignore(ignore) })
    },
};

pub const FOCAL: Entry<dyn Loss> = Entry {
    name: "categorical_focal_crossentropy",
    aliases: &["CategoricalFocalCrossentropy"],
    about: "one of several classes, easy samples count less",
    parse: |f| {
        let (alpha, gamma) = alpha_and_gamma(f);
        Box::new(Focal { alpha, gamma, from_logits: from_logits(f), smoothing: smoothing(f) })
    },
};

pub fn from_logits(f: &mut Fields<'_>) -> bool {
    f.key("from_logits").or(false)
}

pub fn smoothing(f: &mut Fields<'_>) -> f32 {
    f.key("label_smoothing").within(0, 1).or(0.0) as f32
}

pub fn alpha_and_gamma(f: &mut Fields<'_>) -> (f32, f32) {
    let alpha = f.key("alpha").at_least(0).or(0.25) as f32;
    (alpha, f.key("gamma").at_least(0).or(2.0) as f32)
}

#[derive(Clone, Copy, Debug)]
struct Categorical {
    from_logits: bool,
    smoothing: f32,
}

#[derive(Clone, Copy, Debug)]
struct Sparse {
    from_logits: bool,
    smoothing: f32,
    ignore: Ignore,
}

#[derive(Clone, Copy, Debug)]
struct Focal {
    alpha: f32,
    gamma: f32,
    from_logits: bool,
    smoothing: f32,
}

/// Logits with their softmax, where the loss can be had from them.
fn logits_and_softmax(
    name: &str,
    from_logits: bool,
    g: &mut Builder<'_>,
    output: Var,
) -> Result<Option<(Var, Var)>, Mismatch> {
    let behind = fits::input_of(g, output, Activation::Softmax)?;
    fits::probabilities_or_logits(name, from_logits, g, output, Activation::Softmax)?;
    if from_logits {
        return softmax(g, output).map(|p| Some((output, p)));
    }
    Ok(behind.map(|logits| (logits, output)))
}

fn softmax(g: &mut Builder<'_>, logits: Var) -> Result<Var, Mismatch> {
    let width = g.shape(logits).last();
    g.push(Softmax::new(width), &[logits])
}

impl Loss for Categorical {
    fn scores(&self) -> Scores {
        if self.from_logits { Scores::Softmax } else { Scores::AsTheyAre }
    }

    fn lower(&self, g: &mut Builder<'_>, l: LossInputs) -> Result<Var, Mismatch> {
        let smoothing = self.smoothing;
        match logits_and_softmax(Self::NAME, self.from_logits, g, l.output)? {
            Some((logits, p)) => {
                let width = g.shape(logits).last();
                let op = SoftmaxCrossentropy { width, labels: Labels::Rows, smoothing };
                g.push(op, &[logits, p, l.target, l.weight])
            }
            None => g.push(Rows::new(*self, g.shape(l.output)), &[l.output, l.target, l.weight]),
        }
    }

    fn fits(&self, output: &Shape, target: &Target) -> Result<(), Mismatch> {
        fits::one_hot_rows(Self::NAME, output, target)
    }
}

impl Loss for Sparse {
    fn scores(&self) -> Scores {
        if self.from_logits { Scores::Softmax } else { Scores::AsTheyAre }
    }

    fn lower(&self, g: &mut Builder<'_>, l: LossInputs) -> Result<Var, Mismatch> {
        let &Sparse { smoothing, ignore, .. } = self;
        match logits_and_softmax(Self::NAME, self.from_logits, g, l.output)? {
            Some((logits, p)) => {
                let width = g.shape(logits).last();
                let op = SoftmaxCrossentropy { width, labels: Labels::ClassNumbers(ignore), smoothing };
                g.push(op, &[logits, p, l.target, l.weight])
            }
            None => g.push(Rows::new(*self, g.shape(l.output)), &[l.output, l.target, l.weight]),
        }
    }

    fn fits(&self, output: &Shape, target: &Target) -> Result<(), Mismatch> {
        fits::class_numbers(Self::NAME, output, target)
    }

    fn ignores(&self, class: f32) -> bool {
        self.ignore.skips(class)
    }
}

impl Loss for Focal {
    fn scores(&self) -> Scores {
        if self.from_logits { Scores::Softmax } else { Scores::AsTheyAre }
    }

    /// Keras takes the softmax's output as probabilities here, so that even then it is cut.
    fn lower(&self, g: &mut Builder<'_>, l: LossInputs) -> Result<Var, Mismatch> {
        fits::probabilities_or_logits(Self::NAME, self.from_logits, g, l.output, Activation::Softmax)?;
        let p = if self.from_logits { softmax(g, l.output)? } else { l.output };
        g.push(Rows::new(*self, g.shape(p)), &[p, l.target, l.weight])
    }

    fn fits(&self, output: &Shape, target: &Target) -> Result<(), Mismatch> {
        fits::one_hot_rows(Self::NAME, output, target)
    }
}

/// `x` cut to [1e-7, 1 - 1e-7]; NaN stays.
fn cut(x: f32) -> f32 {
    x.clamp(EPSILON, 1.0 - EPSILON)
}

/// Gradient of a sum over the classes of f(p_c / sum(p), cut); `slope(p_c / sum(p), c)` is f's derivative.
fn normalized_gradient(p: &[f32], scale: f32, dp: &mut [f32], slope: impl Fn(f32, usize) -> f32) {
    let sum: f32 = p.iter().sum();
    let mut along = 0.0;
    for (c, (dp, p)) in dp.iter_mut().zip(p).enumerate() {
        let share = p / sum;
        *dp = if cut(share) == share { slope(share, c) } else { 0.0 };
        along += *dp * share;
    }
    dp.iter_mut().for_each(|dp| *dp = scale * (*dp - along) / sum);
}

/// Sum over the classes of `term(p_c / sum(p), cut; t_c)`.
#[cfg(test)]
fn normalized_twin(p: &[f64], t: &[f64], smoothing: f32, term: impl Fn(f64, f64) -> f64) -> f64 {
    let (sum, s) = (p.iter().sum::<f64>(), f64::from(smoothing));
    let smooth = |t: f64| t * (1.0 - s) + s / p.len() as f64;
    p.iter().zip(t).map(|(p, t)| term((p / sum).clamp(1e-7, 1.0 - 1e-7), smooth(*t))).sum()
}

/// The target after smoothing over `classes`.
fn smooth(t: f32, smoothing: f32, classes: usize) -> f32 {
    t * (1.0 - smoothing) + smoothing / classes as f32
}

impl RowLoss for Categorical {
    const NAME: &'static str = "categorical_crossentropy";

    fn value(&self, p: &[f32], t: &[f32]) -> f32 {
        let sum: f32 = p.iter().sum();
        let term =
            |(p_c, t_c): (&f32, &f32)| -smooth(*t_c, self.smoothing, p.len()) * libm::logf(cut(p_c / sum));
        p.iter().zip(t).map(term).sum()
    }

    fn gradient(&self, p: &[f32], t: &[f32], scale: f32, dp: &mut [f32]) {
        normalized_gradient(p, scale, dp, |share, c| -smooth(t[c], self.smoothing, p.len()) / share);
    }

    #[cfg(test)]
    fn twin(&self, p: &[f64], t: &[f64]) -> f64 {
        normalized_twin(p, t, self.smoothing, |p, t| -t * p.ln())
    }
}

impl RowLoss for Focal {
    const NAME: &'static str = "categorical_focal_crossentropy";

    fn value(&self, p: &[f32], t: &[f32]) -> f32 {
        let sum: f32 = p.iter().sum();
        let term = |(p_c, t_c): (&f32, &f32)| {
            let q = cut(p_c / sum);
            let t_c = smooth(*t_c, self.smoothing, p.len());
            -self.alpha * libm::powf(1.0 - q, self.gamma) * t_c * libm::logf(q)
        };
        p.iter().zip(t).map(term).sum()
    }

    fn gradient(&self, p: &[f32], t: &[f32], scale: f32, dp: &mut [f32]) {
        normalized_gradient(p, scale, dp, |q, c| {
            let t_c = smooth(t[c], self.smoothing, p.len());
            let rest = 1.0 - q;
            let by_factor = self.gamma * libm::powf(rest, self.gamma - 1.0) * libm::logf(q);
            self.alpha * t_c * (by_factor - libm::powf(rest, self.gamma) / q)
        });
    }

    #[cfg(test)]
    fn twin(&self, p: &[f64], t: &[f64]) -> f64 {
        let (alpha, gamma) = (f64::from(self.alpha), f64::from(self.gamma));
        normalized_twin(p, t, self.smoothing, |p, t| -alpha * (1.0 - p).powf(gamma) * t * p.ln())
    }
}

/// Cut, then divided by the sum: Keras takes the logarithm and a softmax of that.
impl RowLoss for Sparse {
    const NAME: &'static str = "sparse_categorical_crossentropy";
    const CLASS_NUMBERS: bool = true;

    fn value(&self, p: &[f32], t: &[f32]) -> f32 {
        if self.ignore.skips(t[0]) {
            return 0.0;
        }
        let log_sum = libm::logf(p.iter().map(|p| cut(*p)).sum());
        let own = class(t[0], p.len()).map_or(f32::NAN, |c| libm::logf(cut(p[c])));
        if self.smoothing == 0.0 {
            return log_sum - own;
        }
        let all: f32 = p.iter().map(|p| libm::logf(cut(*p))).sum();
        log_sum - (1.0 - self.smoothing) * own - self.smoothing / p.len() as f32 * all
    }

    fn gradient(&self, p: &[f32], t: &[f32], scale: f32, dp: &mut [f32]) {
        if self.ignore.skips(t[0]) {
            dp.fill(0.0);
            return;
        }
        let sum: f32 = p.iter().map(|p| cut(*p)).sum();
        let own = class(t[0], p.len());
        for (c, (dp, p_c)) in dp.iter_mut().zip(p).enumerate() {
            let t_c = smooth(f32::from(u8::from(own == Some(c))), self.smoothing, p.len());
            *dp = if cut(*p_c) == *p_c { scale * (1.0 / sum - t_c / p_c) } else { 0.0 };
        }
    }

    fn batch_factor(&self, targets: &[f32]) -> f32 {
        self.ignore.factor(targets)
    }

    #[cfg(test)]
    fn twin(&self, p: &[f64], t: &[f64]) -> f64 {
        if self.ignore.skips(t[0] as f32) {
            return 0.0;
        }
        let s = f64::from(self.smoothing);
        let q: Vec<f64> = p.iter().map(|p| p.clamp(1e-7, 1.0 - 1e-7)).collect();
        let sum: f64 = q.iter().sum();
        let label = |c: usize| f64::from(u8::from(t[0] == c as f64)) * (1.0 - s) + s / p.len() as f64;
        q.iter().enumerate().map(|(c, q)| -label(c) * (q / sum).ln()).sum()
    }
}
