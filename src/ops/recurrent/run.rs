//! The steps of some samples, one after the other and back, and the recurrent kernel's gradient.

use super::lanes::{Called, TanhSigmoid};
use super::step::{Backward, Forward, Inputs, Kept, Step};
use super::{Cell, Part, Recurrent, gru, lstm, simple};
use crate::kernels::gemm::{ONE_TAP, Product, Start, as_is};
use crate::kernels::par::Pool;

/// Steps of samples that one product of the kernel's gradient sums: they stay in the second-level cache.
const GRADIENT_STEPS: usize = 256;

/// The samples of a task: `mask` and `factors` are those of all samples.
pub struct Samples<'a> {
    pub op: &'a Recurrent,
    pub first: usize,
    pub mask: Option<&'a [f32]>,
    pub factors: Option<&'a [f32]>,
}

/// Calls a pass with the functions of the op.
macro_rules! pass {
    ($op:expr, $module:ident::$pass:ident($($arg:expr),*)) => {{
        let (activation, recurrent) = (&*$op.activation, &*$op.recurrent_activation);
        match (activation.name(), recurrent.name()) {
            ("tanh", "sigmoid") => $module::$pass(TanhSigmoid, $($arg),*),
            _ => $module::$pass([Called(activation), Called(recurrent)], $($arg),*),
        }
    }};
}

impl<'a> Samples<'a> {
    fn step(&self, t: usize) -> Step<'a> {
        let steps = self.op.steps;
        let mask = self.mask.map(|mask| &mask[self.first * steps + t..]);
        Step { units: self.op.units, mask, mask_stride: steps }
    }

    /// The factors of gate `gate`, and the distance of two samples'.
    fn factors(&self, gate: usize) -> Option<(&'a [f32], usize)> {
        let width = self.op.width();
        self.factors.map(|factors| (&factors[self.first * width + gate * self.op.units..], width))
    }

    /// All steps. `z` is that of all samples, `y` and `notes` (or nothing) of these. `carried`: the states to
    /// begin with and an LSTM's cells, and where the last ones go; or nothing, to begin with zeros.
    pub fn forward(
        &self,
        z: &[f32],
        (kernel, bias): (&[f32], Option<&[f32]>),
        (y, notes): (&mut [f32], &mut [f32]),
        [carried_h, carried_c]: [&mut [f32]; 2],
        own: &mut [f32],
    ) {
        let &Recurrent { cell, steps, units, .. } = self.op;
        let (width, fed_width) = (self.op.width(), self.op.fed_width());
        let rows = y.len() / if self.op.sequences { steps * units } else { units };
        let [gates_space, extra_space, h, c, fed] = split(own, self.op.forward_space());
        let (h, c, fed) = (&mut h[..rows * units], &mut c[..rows * units], &mut fed[..rows * fed_width]);
        h.fill(0.0);
        c.fill(0.0);
        h[..carried_h.len()].copy_from_slice(carried_h);
        c[..carried_c.len()].copy_from_slice(carried_c);
        let from_zeros = carried_h.is_empty();
        let noting = !notes.is_empty();
        let [gates_notes, extra_notes, h_notes, fed_notes] =
            split(notes, self.op.notes().map(|len| if noting { rows * len } else { 0 }));
        let (input_bias, bias) = bias.map_or((&[][..], None), |b| (&b[..width], Some(&b[width..])));
        for t in 0..steps {
            let gates = if noting { &mut gates_notes[t * rows * width..] } else { &mut *gates_space };
            let gates = &mut gates[..rows * width];
            let extra =
                if noting { extra_notes.get_mut(t * rows * units..) } else { Some(&mut *extra_space) };
            let extra = extra.unwrap_or_default();
            let inputs = Inputs {
                rows: &z[(self.first * steps + t) * width..],
                stride: steps * width,
                bias: input_bias,
            };
            let product =
                |part: &Part, h: &[f32], fed: &[f32], gates: &mut [f32]| {
                    let columns = part.columns.clone();
                    let (a, a_row) = part.fed.map_or((h, units), |from| (&fed[from..], fed_width));
                    let k = if t == 0 && from_zeros { 0 } else { units };
                    let start = bias.map_or(Start::Zero, |bias| Start::Bias(&bias[columns.clone()]));
                    Product { k, a_row, b_k: width, c_row: width, ..Product::dense(rows, columns.len(), k) }
                        .run(a, &kernel[columns.start..], &mut gates[columns.start..], start);
                };
            if self.factors.is_some() {
                self.feed(h, fed);
            }
            let (last, others) = self.op.parts.split_last().expect("a product has columns");
            others.iter().for_each(|part| product(part, h, fed, gates));
            if cell.waits() {
                let from = last.fed.expect("r h is fed to the candidate");
                let reset = (&mut fed[from..], fed_width);
                pass!(self.op, gru::forward_gates(self.step(t), inputs, gates, h, self.factors(2), reset));
                product(last, h, fed, gates);
                pass!(self.op, gru::forward_candidate(self.step(t), inputs, gates, h));
            } else {
                product(last, h, fed, gates);
                let to = Forward { gates, extra, h: &mut *h, c: &mut *c };
                match cell {
                    Cell::Simple => pass!(self.op, simple::forward(self.step(t), inputs, to)),
                    Cell::Lstm => pass!(self.op, lstm::forward(self.step(t), inputs, to)),
                    Cell::Gru { .. } => {
                        pass!(self.op, gru::forward_reset_after(self.step(t), inputs, to));
                    }
                }
            }
            if self.op.sequences {
                scatter(h, units, y, steps, t);
            }
            scatter(h, units, h_notes, steps, t);
            scatter(fed, fed_width, fed_notes, steps, t);
        }
        if !self.op.sequences {
            y.copy_from_slice(h);
        }
        carried_h.copy_from_slice(&h[..carried_h.len()]);
        carried_c.copy_from_slice(&c[..carried_c.len()]);
    }

    /// The state times the factors of each gate.
    fn feed(&self, h: &[f32], fed: &mut [f32]) {
        let units = self.op.units;
        let gates = self.op.cell.gates();
        for (r, (h, fed)) in h.chunks_exact(units).zip(fed.chunks_exact_mut(gates * units)).enumerate() {
            for (gate, fed) in fed.chunks_exact_mut(units).enumerate() {
                if let Some((factors, stride)) = self.factors(gate) {
                    multiply(h, &factors[r * stride..][..units], fed);
                }
            }
        }
    }

    /// All steps from the last to the first: the gradients of z, `dz`, and of the candidate's product, `dq`.
    /// `y`, `notes`, `dy` and the states to `begin` with are those of all samples, `dz` and `dq` of these.
    pub fn backward(
        &self,
        transposed: &[f32],
        (y, notes, dy): (&[f32], &[f32], &[f32]),
        begin: [&[f32]; 2],
        (dz, dq): (&mut [f32], &mut [f32]),
        own: &mut [f32],
    ) {
        let &Recurrent { cell, steps, units, .. } = self.op;
        let width = self.op.width();
        let rows = dz.len() / (steps * width);
        let [dh, dc, space, zeros] = split(own, self.op.backward_space());
        let [dh, dc, space] = [dh, dc, space].map(|s| &mut s[..rows * units]);
        dh.fill(0.0);
        dc.fill(0.0);
        zeros.fill(0.0);
        let zeros = &zeros[..units];
        let noted = Noted::new(self.op, (y, notes), self.first, rows);
        let begin = begin.map(|all| all.get(self.first * units..).unwrap_or_default());
        for t in (0..steps).rev() {
            if self.op.sequences {
                add_rows(dh, &dy[(self.first * steps + t) * units..], steps * units, units);
            } else if t + 1 == steps {
                dh.copy_from_slice(&dy[self.first * units..][..rows * units]);
            }
            let kept = match noted.step(t, zeros) {
                kept if t > 0 => kept,
                kept => Kept { h_before: begin[0], h_stride: units, extra_before: begin[1], ..kept },
            };
            let step = self.step(t);
            macro_rules! to {
                () => {
                    Backward {
                        dz: &mut dz[t * width..],
                        dz_stride: steps * width,
                        dq: dq.get_mut(t * units..).unwrap_or_default(),
                        dq_stride: steps * units,
                        dh: &mut *dh,
                        dc: &mut *dc,
                    }
                };
            }
            match cell {
                Cell::Simple => pass!(self.op, simple::backward(step, kept, to!())),
                Cell::Lstm => pass!(self.op, lstm::backward(step, kept, to!())),
                Cell::Gru { reset_after: true } => {
                    pass!(self.op, gru::backward_reset_after(step, kept, to!()));
                }
                Cell::Gru { reset_after: false } => {
                    pass!(self.op, gru::backward_candidate(step, kept, to!()));
                    let a = &dz[t * width + 2 * units..];
                    let product = Product { a_row: steps * width, ..Product::dense(rows, units, units) };
                    product.run(a, &transposed[2 * units * units..], space, Start::Zero);
                    pass!(self.op, gru::backward_reset(step, kept, to!(), space, self.factors(2)));
                }
            }
            if t > 0 {
                self.through_products(transposed, t, (dz, dq), dh, space);
            }
        }
    }

    /// Adds to the state's gradient what comes through the products of step `t`.
    fn through_products(
        &self,
        transposed: &[f32],
        t: usize,
        (dz, dq): (&[f32], &[f32]),
        dh: &mut [f32],
        space: &mut [f32],
    ) {
        let &Recurrent { cell, steps, units, .. } = self.op;
        let width = self.op.width();
        let parts = &self.op.parts[..self.op.parts.len() - usize::from(cell.waits())];
        for part in parts {
            let columns = part.columns.clone();
            let split = cell.splits_candidate() && columns.start == 2 * units;
            let (a, a_row) = match split {
                true => (&dq[t * units..], steps * units),
                false => (&dz[t * width + columns.start..], steps * width),
            };
            let product = Product { a_row, ..Product::dense(dh.len() / units, units, columns.len()) };
            let b = &transposed[columns.start * units..];
            match part.fed.and_then(|from| self.factors(from / units)) {
                None => product.run(a, b, dh, Start::Add),
                Some((factors, stride)) => {
                    product.run(a, b, space, Start::Zero);
                    let rows = dh.chunks_exact_mut(units).zip(space.chunks_exact(units));
                    for (r, (dh, d)) in rows.enumerate() {
                        add_products(dh, d, &factors[r * stride..][..units]);
                    }
                }
            }
        }
    }
}

/// What a task noted down.
struct Noted<'a> {
    op: &'a Recurrent,
    rows: usize,
    gates: &'a [f32],
    extra: &'a [f32],
    /// States of all steps: noted, or the output.
    h: &'a [f32],
    fed: &'a [f32],
}

impl<'a> Noted<'a> {
    fn new(op: &'a Recurrent, (y, notes): (&'a [f32], &'a [f32]), first: usize, rows: usize) -> Noted<'a> {
        let lens = op.notes();
        let mut rest = &notes[first * lens.iter().sum::<usize>()..];
        let [gates, extra, h, fed] = lens.map(|len| {
            let (part, others) = rest.split_at(rows * len);
            rest = others;
            part
        });
        let h =
            if op.sequences { &y[first * op.steps * op.units..][..rows * op.steps * op.units] } else { h };
        Noted { op, rows, gates, extra, h, fed }
    }

    fn step<'s>(&'s self, t: usize, zeros: &'s [f32]) -> Kept<'s> {
        let &Recurrent { steps, units, .. } = self.op;
        let (len, width) = (self.rows * units, self.op.width());
        let extra = |t: usize| self.extra.get(t * len..(t + 1) * len).unwrap_or_default();
        Kept {
            gates: &self.gates[t * self.rows * width..][..self.rows * width],
            extra: extra(t),
            extra_before: if t == 0 { &[] } else { extra(t - 1) },
            h_before: if t == 0 { &[] } else { self.h.get((t - 1) * units..).unwrap_or_default() },
            h_stride: steps * units,
            zeros,
        }
    }
}

/// `dU = sum over samples and steps of (what the product read)^T (the product's gradient)`, in their order; what
/// the first steps read of the states to `begin` with comes before.
pub fn kernel_gradient(
    op: &Recurrent,
    pool: &Pool,
    task_rows: usize,
    (y, notes, begin): (&[f32], &[f32], &[f32]),
    (dz, dq): (&[f32], &[f32]),
    dw: &mut [f32],
) {
    let &Recurrent { cell, steps, units, .. } = op;
    let (width, fed_width) = (op.width(), op.fed_width());
    // Without a state to begin with the first step reads zeros.
    if steps == 1 && begin.is_empty() {
        return dw.fill(0.0);
    }
    let samples = dz.len() / (steps * width);
    let most = (GRADIENT_STEPS / steps).max(1);
    for part in &op.parts {
        let columns = part.columns.clone();
        let split = cell.splits_candidate() && columns.start == 2 * units;
        let (gradients, b_k) = match split {
            true => (dq, units),
            false => (&dz[columns.start..], width),
        };
        let mut start = Start::Zero;
        // What is fed to the product was noted for all steps, of the state only those behind the first.
        let skipped = usize::from(begin.is_empty() || part.fed.is_none());
        if !begin.is_empty() && part.fed.is_none() {
            let product = Product {
                a_row: 1,
                a_k: units,
                b_k: steps * b_k,
                c_row: width,
                ..Product::dense(units, columns.len(), samples)
            };
            product.run_on(pool, begin, gradients, &mut dw[columns.start..], start, &as_is);
            start = Start::Add;
        }
        if steps == skipped {
            continue;
        }
        for first in (0..samples).step_by(task_rows) {
            let rows = task_rows.min(samples - first);
            let noted = Noted::new(op, (y, notes), first, rows);
            let (a, a_k) = match part.fed {
                None => (noted.h, units),
                Some(from) => (&noted.fed[skipped * fed_width + from..], fed_width),
            };
            let b = &gradients[(first * steps + skipped) * b_k..];
            for row in (0..rows).step_by(most) {
                let taps = [(most.min(rows - row), steps * a_k, steps * b_k), ONE_TAP[1]];
                let product = Product {
                    a_row: 1,
                    a_k,
                    b_k,
                    c_row: width,
                    taps,
                    ..Product::dense(units, columns.len(), steps - skipped)
                };
                let (a, b) = (&a[row * steps * a_k..], &b[row * steps * b_k..]);
                product.run_on(pool, a, b, &mut dw[columns.start..], start, &as_is);
                start = Start::Add;
            }
        }
    }
}

/// Cuts pieces of these lengths.
fn split<const N: usize>(mut rest: &mut [f32], lens: [usize; N]) -> [&mut [f32]; N] {
    lens.map(|len| {
        let (piece, others) = std::mem::take(&mut rest).split_at_mut(len);
        rest = others;
        piece
    })
}

/// Puts rows at place `t` of samples of `steps` rows; nothing, where there is no room.
fn scatter(rows: &[f32], width: usize, to: &mut [f32], steps: usize, t: usize) {
    if !to.is_empty() {
        for (row, sample) in rows.chunks_exact(width).zip(to.chunks_exact_mut(steps * width)) {
            sample[t * width..][..width].copy_from_slice(row);
        }
    }
}

simd! {
    fn multiply(x: &[f32], factors: &[f32], y: &mut [f32]) {
        for ((y, x), factor) in y.iter_mut().zip(x).zip(factors) {
            *y = x * factor;
        }
    }
}

simd! {
    fn add_products(y: &mut [f32], x: &[f32], factors: &[f32]) {
        for ((y, x), factor) in y.iter_mut().zip(x).zip(factors) {
            *y += x * factor;
        }
    }
}

simd! {
    /// Adds rows at a distance.
    fn add_rows(y: &mut [f32], x: &[f32], stride: usize, width: usize) {
        for (r, y) in y.chunks_exact_mut(width).enumerate() {
            for (y, x) in y.iter_mut().zip(&x[r * stride..][..width]) {
                *y += x;
            }
        }
    }
}
