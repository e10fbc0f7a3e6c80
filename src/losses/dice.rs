//! Overlap of what is said and what is true: 1 - 2 sum(t p) / (sum(t) + sum(p) + 1e-7).
//!
//! Sudre et al.: Generalised Dice overlap, 2017. Keras: `losses.Dice`. `axis` says over what the sums go,
//! as there: all (the default, also over the batch: every sample then gets the batch's number), or a
//! list of all axes of places, with or without 0 (the batch) and the last (the classes); what is not
//! summed over is averaged. t are class numbers, taken as if they were one-hot, or rows. Key of our own:
//! `ignore_class` (rows of this class do not count). Output `[N, ..., C]`, weight and loss `[N]`.

use crate::config::registry::Entry;
use crate::graph::{Backward, Builder, Ctx, Forward, Mismatch, Op, Scratch, Signature, Var};
use crate::losses::fits::{self, Activation};
use crate::losses::samples::{check_batched, for_samples, numbers};
use crate::losses::softmax_crossentropy::Ignore;
use crate::losses::{EPSILON, Loss, LossInputs, Target};
use crate::shape::Shape;
use crate::target::TargetKind;

pub const ENTRY: Entry<dyn Loss> = Entry {
    name: "dice",
    aliases: &["Dice"],
    about: "one minus the overlap of masks",
    parse: |f| {
        let axis = f.key("axis").optional();
        let ignore = f.key("ignore_class").optional::<i64>().map(|c| c as f32);
        Box::new(Dice { axis, ignore: Ignore(ignore) })
    },
};

#[derive(Clone, Debug)]
struct Dice {
    axis: Option<Vec<i64>>,
    ignore: Ignore,
}

impl Dice {
    /// Whether the sums go over the batch, and over the classes.
    fn over(&self, output: &Shape) -> Result<[bool; 2], Mismatch> {
        let Some(axis) = &self.axis else { return Ok([true; 2]) };
        let rank = output.rank() as i64;
        let mut summed = vec![false; output.rank()];
        for a in axis {
            let place = if *a < 0 { a + rank } else { *a };
            if !(0..rank).contains(&place) {
                return Err(Mismatch::new(format!(
                    "axis {a} of `dice` does not exist: the output is {output}"
                )));
            }
            summed[place as usize] = true;
        }
        let last = summed.len() - 1;
        if !summed[1..last].iter().all(|s| *s) {
            let message = format!("`dice` sums over all places, but axis = {axis:?} leaves some of {output}");
            let all: Vec<String> = (1..=last).map(|a| a.to_string()).collect();
            return Err(Mismatch::new(message)
                .hint(format!("for each sample by itself: axis = [{}]", all.join(", "))));
        }
        Ok([summed[0], summed[last]])
    }
}

impl Loss for Dice {
    fn lower(&self, g: &mut Builder<'_>, l: LossInputs) -> Result<Var, Mismatch> {
        fits::probabilities_or_logits("dice", false, g, l.output, Activation::Softmax)?;
        let (output, target) = (g.shape(l.output), g.shape(l.target));
        let width = output.last().max(1);
        let [over_batch, over_classes] = self.over(output)?;
        let class_numbers = width > 1 && target.size() != output.size();
        let rows = output.size() / width;
        let overlap = Overlap { width, rows, over_batch, over_classes, class_numbers, ignore: self.ignore };
        g.push(overlap, &[l.output, l.target, l.weight])
    }

    fn fits(&self, output: &Shape, target: &Target) -> Result<(), Mismatch> {
        match target.kind {
            TargetKind::ClassIndex { .. } if output.last() > 1 => fits::class_numbers("dice", output, target),
            TargetKind::ClassIndex { .. } => fits::yes_or_no("dice", output, target),
            _ => fits::number_by_number("dice", output, target),
        }
    }

    fn ignores(&self, class: f32) -> bool {
        self.ignore.skips(class)
    }
}

/// The op for outputs of one shape.
#[derive(Clone, Debug)]
struct Overlap {
    /// Classes, and rows of them in a sample.
    width: usize,
    rows: usize,
    over_batch: bool,
    over_classes: bool,
    class_numbers: bool,
    ignore: Ignore,
}

/// Of t p, of t and p together.
const SUMS: usize = 2;

impl Overlap {
    fn size(&self) -> usize {
        self.rows * self.width
    }

    fn target_size(&self) -> usize {
        self.rows * if self.class_numbers { 1 } else { self.width }
    }

    /// The target of a row's class; None where the row does not count.
    #[inline]
    fn target(&self, row: &[f32], class: usize) -> Option<f32> {
        match (self.class_numbers, row) {
            (true, [number]) => {
                (!self.ignore.skips(*number)).then_some(f32::from(u8::from(*number == class as f32)))
            }
            (_, [number]) => (!self.ignore.skips(*number)).then_some(*number),
            (_, row) => Some(row[class]),
        }
    }

    /// Each sample's sums for each class, and then in the first places those of what is summed over.
    fn sums(&self, p: &[f32], t: &[f32], cx: &Ctx<'_>, sums: &mut [f32]) {
        let (size, each) = (self.size(), SUMS * self.width);
        let sums = &mut sums[..cx.batch * each];
        for_samples(cx.pool, size, each, sums, |samples, sums| {
            for (n, sums) in samples.zip(sums.chunks_exact_mut(each)) {
                sums.fill(0.0);
                let rows = p[numbers(&(n..n + 1), size)].chunks_exact(self.width);
                let targets =
                    t[numbers(&(n..n + 1), self.target_size())].chunks_exact(self.target_size() / self.rows);
                for (p, t) in rows.zip(targets) {
                    for (c, p) in p.iter().enumerate() {
                        if let Some(t) = self.target(t, c) {
                            sums[SUMS * c] += t * p;
                            sums[SUMS * c + 1] += t + p;
                        }
                    }
                }
                if self.over_classes {
                    for c in 1..self.width {
                        (0..SUMS).for_each(|i| sums[i] += sums[SUMS * c + i]);
                    }
                }
            }
        });
        if self.over_batch {
            let (first, rest) = sums.split_at_mut(each);
            for sample in rest.chunks_exact(each) {
                first.iter_mut().zip(sample).for_each(|(sum, more)| *sum += more);
            }
        }
    }

    /// Groups of sums that a sample's loss is the mean of.
    fn groups(&self) -> usize {
        if self.over_classes { 1 } else { self.width }
    }

    /// Where the sums of a sample begin.
    fn place(&self, sample: usize) -> usize {
        if self.over_batch { 0 } else { sample * SUMS * self.width }
    }
}

impl Op for Overlap {
    fn name(&self) -> &'static str {
        "dice"
    }

    fn infer(&self, x: &[&Shape]) -> Result<Signature, Mismatch> {
        check_batched("dice", x[0], x[2])?;
        fits::same_rows("dice", x[0], x[1], self.class_numbers)?;
        let scratch = Scratch { per_sample: SUMS * self.width, ..Scratch::default() };
        let signature = Signature::new(Shape::batch([])).differentiable(&[0]).keep_x(&[0, 1, 2]);
        Ok(Signature { forward_scratch: scratch, backward_scratch: scratch, ..signature })
    }

    fn forward(&self, io: &Forward<'_>, cx: &Ctx<'_>) {
        let (w, sums, groups) = (io.x(2), io.scratch(), self.groups());
        self.sums(io.x(0), io.x(1), cx, sums);
        for (n, loss) in io.y(0).iter_mut().enumerate() {
            let sums = sums[self.place(n)..].chunks_exact(SUMS).take(groups);
            let overlaps: f32 = sums.map(|s| 2.0 * s[0] / (s[1] + EPSILON)).sum();
            *loss = w[n] * (1.0 - overlaps / groups as f32);
        }
    }

    fn backward(&self, io: &Backward<'_>, cx: &Ctx<'_>) {
        let Some(dp) = io.dx(0) else { return };
        let (t, w, dy, sums) = (io.x(1), io.x(2), &*io.dy0(), io.scratch());
        self.sums(io.x(0), t, cx, sums);
        let (sums, size, groups) = (&*sums, self.size(), self.groups());
        let shared: f32 = dy.iter().zip(w).map(|(dy, w)| dy * w).sum();
        for_samples(cx.pool, size, size, dp.buf, |samples, dp| {
            for (n, dp) in samples.zip(dp.chunks_exact_mut(size)) {
                let scale = if self.over_batch { shared } else { dy[n] * w[n] } / groups as f32;
                let sums = &sums[self.place(n)..];
                let targets =
                    t[numbers(&(n..n + 1), self.target_size())].chunks_exact(self.target_size() / self.rows);
                for (dp, t) in dp.chunks_exact_mut(self.width).zip(targets) {
                    for (c, dp) in dp.iter_mut().enumerate() {
                        let group = if self.over_classes { 0 } else { c };
                        let (both, all) = (sums[SUMS * group], sums[SUMS * group + 1] + EPSILON);
                        let slope = |t: f32| 2.0 * (both / all - t) / all;
                        *dp = self.target(t, c).map_or(0.0, |t| scale * slope(t));
                    }
                }
            }
        });
    }

    fn flops(&self, x: &[&Shape], _: &[&Shape]) -> f64 {
        4.0 * x[0].size() as f64
    }

    #[cfg(test)]
    fn twin(&self, x: &[ndarray::ArrayD<f64>], _: &crate::graph::twin::TwinCtx) -> Vec<ndarray::ArrayD<f64>> {
        let flat = |x: &ndarray::ArrayD<f64>| x.iter().copied().collect::<Vec<f64>>();
        let (p, t, w) = (flat(&x[0]), flat(&x[1]), flat(&x[2]));
        let target = |i: usize| {
            let at = if self.class_numbers { i / self.width } else { i };
            let skipped = (self.class_numbers || self.width == 1) && self.ignore.skips(t[at] as f32);
            let value = if self.class_numbers {
                f64::from(u8::from(t[at] == (i % self.width) as f64))
            } else {
                t[at]
            };
            (!skipped).then_some(value)
        };
        // Sums of what belongs together with number i.
        let overlap = |i: usize| {
            let together = |j: &usize| {
                (self.over_batch || i / self.size() == j / self.size())
                    && (self.over_classes || i % self.width == j % self.width)
            };
            let (mut both, mut all) = (0.0, 1e-7);
            for j in (0..p.len()).filter(together) {
                if let Some(t) = target(j) {
                    both += t * p[j];
                    all += t + p[j];
                }
            }
            2.0 * both / all
        };
        let loss = (0..w.len()).map(|n| {
            let mean = (0..self.width).map(|c| overlap(n * self.size() + c)).sum::<f64>() / self.width as f64;
            w[n] * (1.0 - mean)
        });
        vec![ndarray::Array1::from_iter(loss).into_dyn()]
    }
}

#[cfg(test)]
mod tests {
    use crate::losses::tests::Case;
    use crate::testing::golden::all_close;

    /// The example of `keras.losses.dice`.
    #[test]
    fn keras_s_values() {
        let t = [1.0, 1.0, 0.0, 0.0, 1.0, 1.0, 0.0, 0.0];
        let p = [0.0, 1.0, 0.0, 1.0, 0.4, 0.0, 0.0, 0.9];
        for (toml, expected) in [
            ("type = \"dice\"\naxis = [1, 2, 3]", [0.5, 0.757_575_75]),
            ("type = \"dice\"", [0.616_438_4; 2]),
        ] {
            let case = Case::new(toml, 2, &[2, 2, 1], &[2, 2, 1]);
            all_close(&case.run(&p, &t, &[1.0; 2], 2, 1).0, &expected, 1e-6, toml);
        }
    }

    #[test]
    fn gradients_threads_and_partial_batches() {
        let numbers: Vec<f64> = (0..18).map(|i| [0.0, 2.0, 1.0, 3.0, 2.0][i * 7 % 5]).collect();
        for keys in ["", "\naxis = [1, 2]", "\naxis = [0, 1, 2]\nignore_class = 2", "\naxis = [-1, 1, 2]"] {
            let toml = format!("type = \"dice\"{keys}");
            Case::new(&toml, 3, &[2, 3, 4], &[2, 3]).activation("softmax").check(&numbers);
        }
        let yes_no: Vec<f64> = (0..18).map(|i| f64::from(u8::from(i % 3 == 0))).collect();
        Case::new("type = \"dice\"", 3, &[2, 3, 1], &[2, 3]).activation("sigmoid").check(&yes_no);
        Case::new("type = \"dice\"\naxis = [1]", 3, &[3, 2], &[3, 2]).activation("sigmoid").check(&yes_no);
    }
}
