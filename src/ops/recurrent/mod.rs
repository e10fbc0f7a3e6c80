//! A recurrent layer over a whole sequence: the state h goes from step to step through `h U`.
//!
//! z `[N, T, G u]` holds the inputs' products of all steps (and their bias), U `[u, G u]`; y `[N, T, u]` or,
//! of the last step alone, `[N, u]`. G gates, in Keras's order: 1 of SimpleRNN, i, f, c, o of LSTM, z, r, h
//! of GRU. A masked step leaves the state as it is. Hochreiter and Schmidhuber: Long Short-Term Memory,
//! 1997; Cho et al.: Learning Phrase Representations using RNN Encoder-Decoder, 2014.
//!
//! Samples do not meet before the weights' gradients: each task takes some through all steps. Backward
//! through time gives the gradients of z; from these U's is one product over all steps and samples.

mod gru;
mod lanes;
mod lstm;
mod run;
mod simple;
mod step;
#[cfg(test)]
mod twin;
mod walk;

pub use walk::Walk;

use std::ops::Range;
use std::sync::Arc;

use crate::graph::{Backward, Ctx, Forward, Mismatch, Op, Scratch, Signature};
use crate::kernels::aligned::round_up;
use crate::kernels::gemm::transpose;
use crate::kernels::pieces::for_chunks_with;
use crate::kernels::sum;
use crate::ops::function::Function;
use crate::shape::Shape;

/// Most samples that a task takes through the steps.
const MOST_ROWS: usize = 32;

/// What happens in a step.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Cell {
    Simple,
    Lstm,
    /// The reset gate works on the recurrent product, which then has a bias of its own; else on the state.
    Gru {
        reset_after: bool,
    },
}

impl Cell {
    /// Numbers of each unit that go from step to step.
    pub fn states(self) -> usize {
        if self == Cell::Lstm { 2 } else { 1 }
    }

    pub fn gates(self) -> usize {
        match self {
            Cell::Simple => 1,
            Cell::Lstm => 4,
            Cell::Gru { .. } => 3,
        }
    }

    /// Whether numbers besides the gates are kept: the cell's state, or the product in the candidate.
    fn keeps_more(self) -> bool {
        matches!(self, Cell::Lstm | Cell::Gru { reset_after: true })
    }

    /// Whether a gradient's column differs between z and the recurrent product.
    fn splits_candidate(self) -> bool {
        self == Cell::Gru { reset_after: true }
    }

    /// Whether the candidate's product waits for the reset gate.
    fn waits(self) -> bool {
        self == Cell::Gru { reset_after: false }
    }
}

/// Columns of the recurrent product that read the same.
#[derive(Clone, Debug)]
struct Part {
    columns: Range<usize>,
    /// Where in the numbers that are fed to the product; `None`: the state itself.
    fed: Option<usize>,
}

/// A recurrent cell along a sequence.
#[derive(Clone, Debug)]
pub struct Recurrent {
    cell: Cell,
    steps: usize,
    units: usize,
    activation: Arc<dyn Function>,
    recurrent_activation: Arc<dyn Function>,
    /// Gives all steps' states, not only the last.
    sequences: bool,
    /// Which inputs come behind z and U.
    has: Optional,
    parts: Vec<Part>,
}

/// Inputs that may be there, in this order.
#[derive(Clone, Copy, Debug, Default)]
pub struct Optional {
    /// `[2, 3 u]` of a GRU that resets after the product: of the input and of the recurrent product.
    pub bias: bool,
    /// `[N, T]`: 0 where a step does not count.
    pub mask: bool,
    /// `[N, G u]`: what the state is multiplied by before each gate's product.
    pub factors: bool,
    /// `[N, u]`: the states to begin with, else zeros, and of an LSTM behind them those of the cell. Where the
    /// samples end are outputs then, of these shapes. No gradient goes through them.
    pub begin: bool,
}

impl Recurrent {
    pub fn new(
        cell: Cell,
        [steps, units]: [usize; 2],
        [activation, recurrent_activation]: [Arc<dyn Function>; 2],
        sequences: bool,
        has: Optional,
    ) -> Recurrent {
        let gate = |g: Range<usize>, fed| Part { columns: g.start * units..g.end * units, fed };
        let gates = cell.gates();
        let parts = match cell {
            _ if has.factors => (0..gates).map(|g| gate(g..g + 1, Some(g * units))).collect(),
            Cell::Simple | Cell::Lstm => vec![gate(0..gates, None)],
            Cell::Gru { reset_after: true } => vec![gate(0..2, None), gate(2..3, None)],
            Cell::Gru { reset_after: false } => vec![gate(0..2, None), gate(2..3, Some(0))],
        };
        Recurrent { cell, steps, units, activation, recurrent_activation, sequences, has, parts }
    }

    /// Columns of z.
    fn width(&self) -> usize {
        self.cell.gates() * self.units
    }

    /// Numbers that are fed to the products of a step besides the state.
    fn fed_width(&self) -> usize {
        self.parts.iter().filter(|p| p.fed.is_some()).count() * self.units
    }

    fn positions(&self) -> [Option<usize>; 3] {
        let mut next = 2;
        [self.has.bias, self.has.mask, self.has.factors].map(|there| {
            next += usize::from(there);
            there.then_some(next - 1)
        })
    }

    /// The states to begin with.
    fn begins(&self) -> Range<usize> {
        let first = 2 + self.positions().iter().flatten().count();
        first..first + if self.has.begin { self.cell.states() } else { 0 }
    }

    fn inputs(&self) -> usize {
        self.begins().end
    }

    /// Whether the states are noted down, where y is not all of them.
    fn notes_states(&self) -> bool {
        let read = self.parts.iter().any(|p| p.fed.is_none()) || matches!(self.cell, Cell::Gru { .. });
        !self.sequences && read
    }

    /// Numbers per sample of each kind of note: gates, what else is kept, states, what was fed.
    fn notes(&self) -> [usize; 4] {
        let flag = |there, width| if there { self.steps * width } else { 0 };
        [
            self.steps * self.width(),
            flag(self.cell.keeps_more(), self.units),
            flag(self.notes_states(), self.units),
            self.steps * self.fed_width(),
        ]
    }

    /// Samples of a task: as many tasks for each thread. Samples do not meet, so this changes no bit.
    fn rows(&self, cx: &Ctx<'_>) -> usize {
        let tasks = cx.batch.div_ceil(MOST_ROWS).next_multiple_of(cx.pool.threads());
        cx.batch.div_ceil(tasks).max(1)
    }

    fn work(&self, batch: usize) -> usize {
        batch * self.steps * self.units * self.width()
    }

    /// Numbers of a thread: gates and what else a step keeps where nothing is noted, states, cells, what is fed.
    fn forward_space(&self) -> [usize; 5] {
        let u = self.units;
        [self.width(), u, u, u, self.fed_width()].map(|width| round_up(MOST_ROWS * width))
    }

    /// Numbers of a thread: gradients of states, of cells, of products; a row of zeros.
    fn backward_space(&self) -> [usize; 4] {
        let rows = round_up(MOST_ROWS * self.units);
        [rows, rows, rows, round_up(self.units)]
    }

    fn checked(&self, x: &[&Shape]) -> Result<(), Mismatch> {
        let &Recurrent { steps, units, .. } = self;
        let width = self.width();
        let [bias, mask, factors] = self.positions();
        let wrong = |i: Option<usize>, dims: &[usize]| i.is_some_and(|i| x[i].dims != dims);
        if x.len() != self.inputs()
            || wrong(Some(0), &[steps, width])
            || wrong(Some(1), &[units, width])
            || wrong(bias, &[2, width])
            || wrong(mask, &[steps])
            || wrong(factors, &[width])
            || self.begins().any(|i| wrong(Some(i), &[units]) || !x[i].batched)
        {
            let shapes: Vec<String> = x.iter().map(|s| s.to_string()).collect();
            let message = format!("{steps} steps of {units} units got {}", shapes.join(", "));
            return Err(Mismatch::new(message));
        }
        Ok(())
    }
}

impl Op for Recurrent {
    fn name(&self) -> &'static str {
        match self.cell {
            Cell::Simple => "simple_rnn",
            Cell::Lstm => "lstm",
            Cell::Gru { .. } => "gru",
        }
    }

    fn infer(&self, x: &[&Shape]) -> Result<Signature, Mismatch> {
        self.checked(x)?;
        let [bias, mask, factors] = self.positions();
        let y = if self.sequences { vec![self.steps, self.units] } else { vec![self.units] };
        let differentiable: Vec<usize> = [0, 1].into_iter().chain(bias).collect();
        let kept: Vec<usize> = [1].into_iter().chain(mask).chain(factors).chain(self.begins()).collect();
        let mut signature = Signature::new(Shape::batch(y)).differentiable(&differentiable).keep_x(&kept);
        signature.y.extend(self.begins().map(|_| Shape::batch([self.units])));
        if self.sequences {
            signature = signature.keep_y(&[0]);
        }
        signature.notes = self.notes().iter().sum();
        signature.forward_scratch =
            Scratch { per_thread: self.forward_space().iter().sum(), ..Scratch::default() };
        signature.backward_scratch = Scratch {
            // The candidate's part of the product's gradient, in all steps.
            per_sample: if self.cell.splits_candidate() { self.steps * self.units } else { 0 },
            // U transposed.
            fixed: round_up(self.units * self.width()),
            per_thread: self.backward_space().iter().sum(),
        };
        Ok(signature)
    }

    fn forward(&self, io: &Forward<'_>, cx: &Ctx<'_>) {
        let (z, kernel) = (io.x(0), io.x(1));
        let [bias, mask, factors] = self.positions().map(|i| i.map(|i| io.x(i)));
        let (y, notes) = (io.y(0), io.notes().unwrap_or_default());
        let rows = self.rows(cx);
        let per_sample = |data: &[f32]| data.len() / cx.batch.max(1) * rows;
        // What the samples begin with lies where they end.
        let [h, c]: [&mut [f32]; 2] = std::array::from_fn(|i| match self.begins().nth(i) {
            None => &mut [][..],
            Some(begin) => {
                let end = io.y(1 + i);
                end.copy_from_slice(io.x(begin));
                end
            }
        });
        let data = [y, notes, h, c].map(|data| (per_sample(data), data));
        let work = (cx.batch.div_ceil(rows), self.work(cx.batch));
        let per_thread = self.forward_space().iter().sum();
        for_chunks_with(cx.pool, work, data, io.scratch(), per_thread, |task, [y, notes, h, c], own| {
            let samples = run::Samples { op: self, first: task * rows, mask, factors };
            samples.forward(z, (kernel, bias), (y, notes), [h, c], own);
        });
    }

    fn backward(&self, io: &Backward<'_>, cx: &Ctx<'_>) {
        let Some(dz) = io.dx(0) else { return };
        let (kernel, dy, notes) = (io.x(1), &*io.dy0(), io.notes());
        let [_, mask, factors] = self.positions().map(|i| i.filter(|i| *i != 2 || !self.has.bias));
        let (mask, factors) = (mask.map(|i| io.x(i)), factors.map(|i| io.x(i)));
        let y = if self.sequences { io.y(0) } else { &[] };
        let begin: [&[f32]; 2] = std::array::from_fn(|i| self.begins().nth(i).map_or(&[][..], |i| io.x(i)));
        let &Recurrent { steps, units, .. } = self;
        let width = self.width();
        let (transposed, scratch) = io.scratch().split_at_mut(round_up(units * width));
        transpose(cx.pool, kernel, units, width, transposed);
        let split = if self.cell.splits_candidate() { cx.batch * steps * units } else { 0 };
        let (scratch, dq) = scratch.split_at_mut(scratch.len() - split);
        let (dq, transposed) = (&mut dq[..split], &transposed[..units * width]);

        let rows = self.rows(cx);
        let per_thread = self.backward_space().iter().sum();
        let data = [(rows * steps * width, &mut *dz.buf), (rows * steps * units, &mut *dq)];
        let work = (cx.batch.div_ceil(rows), self.work(cx.batch));
        for_chunks_with(cx.pool, work, data, scratch, per_thread, |task, [dz, dq], own| {
            let samples = run::Samples { op: self, first: task * rows, mask, factors };
            samples.backward(transposed, (y, notes, dy), begin, (dz, dq), own);
        });
        let (dz, dq) = (&*dz.buf, &*dq);
        if let Some(dw) = io.dx(1) {
            run::kernel_gradient(self, cx.pool, rows, (y, notes, begin[0]), (dz, dq), dw.buf);
        }
        if self.has.bias
            && let Some(db) = io.dx(2)
        {
            let (input, recurrent) = db.buf.split_at_mut(width);
            sum::columns(cx.pool, dz, input, false);
            recurrent[..2 * units].copy_from_slice(&input[..2 * units]);
            sum::columns(cx.pool, dq, &mut recurrent[2 * units..], false);
        }
    }

    fn flops(&self, _: &[&Shape], _: &[&Shape]) -> f64 {
        let (steps, units, width) = (self.steps as f64, self.units as f64, self.width() as f64);
        steps * (2.0 * units * width + 10.0 * width)
    }

    #[cfg(test)]
    fn twin(&self, x: &[ndarray::ArrayD<f64>], _: &crate::graph::twin::TwinCtx) -> Vec<ndarray::ArrayD<f64>> {
        twin::run(self, x, &[])
    }
}
