//! A recurrent cell along a walk: the samples of a batch are stretches of one long sequence, one behind the
//! other, and so are those of one run after another: the state at the end of each is what the next begins with.
//!
//! Inputs as [`Recurrent`]'s, and behind them what is carried: the state and, of an LSTM, that of the cell.

use super::{Recurrent, run};
use crate::graph::{Backward, Bits, Ctx, Forward, Mismatch, Op, Scratch, Signature};
use crate::shape::Shape;

/// For inference alone: no gradient goes back.
#[derive(Clone, Debug)]
pub struct Walk {
    op: Recurrent,
}

impl Walk {
    pub fn new(op: Recurrent) -> Walk {
        Walk { op }
    }

    /// Shape of what is carried.
    pub fn state(&self) -> [usize; 2] {
        [self.op.cell.states(), self.op.units]
    }
}

impl Op for Walk {
    fn name(&self) -> &'static str {
        self.op.name()
    }

    fn infer(&self, x: &[&Shape]) -> Result<Signature, Mismatch> {
        let Some((state, x)) = x.split_last().filter(|(state, _)| state.dims == self.state()) else {
            return Err(Mismatch::new(format!("a state of {:?} is carried", self.state())));
        };
        assert!(!state.batched, "one state for all samples");
        let y = self.op.infer(x)?.y.remove(0);
        let fixed = self.op.forward_space().iter().sum();
        let forward_scratch = Scratch { fixed, ..Scratch::default() };
        Ok(Signature { updates: Bits::of(&[x.len()]), forward_scratch, ..Signature::new(y) })
    }

    /// One sample after the other: each waits for the one before it.
    fn forward(&self, io: &Forward<'_>, cx: &Ctx<'_>) {
        let op = &self.op;
        let [bias, mask, factors] = op.positions().map(|i| i.map(|i| io.x(i)));
        let (y, state, own) = (io.y(0), io.update(op.inputs()), io.scratch());
        for (first, y) in y.chunks_exact_mut(y.len() / cx.batch.max(1)).enumerate() {
            let sample = run::Samples { op, first, mask, factors };
            let (h, c) = state.split_at_mut(op.units);
            sample.forward(io.x(0), (io.x(1), bias), (y, &mut []), [h, c], own);
        }
    }

    fn backward(&self, _: &Backward<'_>, _: &Ctx<'_>) {}

    fn flops(&self, x: &[&Shape], y: &[&Shape]) -> f64 {
        self.op.flops(x, y)
    }

    #[cfg(test)]
    fn twin(&self, x: &[ndarray::ArrayD<f64>], _: &crate::graph::twin::TwinCtx) -> Vec<ndarray::ArrayD<f64>> {
        use ndarray::{ArrayD, IxDyn};
        let (state, x) = x.split_last().expect("a state is carried");
        let (samples, steps) = (x[0].shape()[0], self.op.steps);
        // All samples as one of so many steps.
        let whole = |a: &ArrayD<f64>| {
            let dims = [&[1, samples * steps], &a.shape()[2..]].concat();
            ArrayD::from_shape_vec(IxDyn(&dims), a.iter().copied().collect()).unwrap()
        };
        let mut long = x.to_vec();
        long[0] = whole(&x[0]);
        if let Some(mask) = self.op.positions()[1] {
            long[mask] = whole(&x[mask]);
        }
        let op = Recurrent { steps: samples * steps, sequences: true, ..self.op.clone() };
        let carried: Vec<f64> = state.iter().copied().collect();
        let all = super::twin::run(&op, &long, &carried).remove(0);
        let rows: Vec<f64> = all.iter().copied().collect();
        let shown = |row: usize| self.op.sequences || row % steps == steps - 1;
        let rows = rows.chunks(self.op.units).enumerate().filter(|(row, _)| shown(*row));
        let y: Vec<f64> = rows.flat_map(|(_, h)| h.to_vec()).collect();
        let dims = if self.op.sequences {
            vec![samples, steps, self.op.units]
        } else {
            vec![samples, self.op.units]
        };
        vec![ArrayD::from_shape_vec(IxDyn(&dims), y).unwrap()]
    }
}
