//! An op applied to each step of a sequence: the steps of all samples are samples to it.
//!
//! `[N, T, ...]` and `[N T, ...]` are the same numbers in the same places, so nothing is moved: the op within
//! is told of T times as many samples.

use std::any::Any;
use std::sync::Arc;

use crate::graph::op::{Backward, Bits, Ctx, Forward, Mismatch, Op, Scratch, Signature};
use crate::shape::Shape;

/// An op over samples as one over their steps.
#[derive(Clone, Debug)]
pub struct PerStep {
    op: Arc<dyn Op>,
    steps: usize,
    /// Which inputs are of samples.
    samples: Bits,
}

/// The shape with the steps as first dimension, if it is one of samples.
pub fn with_steps(shape: &Shape, steps: usize) -> Shape {
    let dims = if shape.batched { [&[steps], &*shape.dims].concat() } else { shape.dims.clone() };
    Shape { batched: shape.batched, dims }
}

impl PerStep {
    /// For inputs of which those in `samples` are of samples, with as many steps.
    pub fn new(op: Arc<dyn Op>, steps: usize, samples: Bits) -> PerStep {
        PerStep { op, steps, samples }
    }

    /// What the op within sees.
    fn inner(&self, shapes: &[&Shape]) -> Vec<Shape> {
        let inner = |s: &&Shape| match s.batched {
            true => Shape::batch(&s.dims[1..]),
            false => (*s).clone(),
        };
        shapes.iter().map(inner).collect()
    }

    fn scratch(&self, need: Scratch) -> Scratch {
        Scratch { per_sample: need.per_sample * self.steps, ..need }
    }

    fn cx<'a>(&self, cx: &Ctx<'a>) -> Ctx<'a> {
        Ctx { batch: cx.batch * self.steps, ..*cx }
    }
}

impl Op for PerStep {
    fn name(&self) -> &'static str {
        self.op.name()
    }

    fn infer(&self, x: &[&Shape]) -> Result<Signature, Mismatch> {
        let fits = |(i, s): (usize, &&Shape)| match self.samples.has(i) {
            true => s.batched && s.dims.first() == Some(&self.steps),
            false => !s.batched,
        };
        if !x.iter().enumerate().all(fits) {
            let shapes: Vec<String> = x.iter().map(|s| s.to_string()).collect();
            return Err(Mismatch::new(format!("{} steps got {}", self.steps, shapes.join(", "))));
        }
        let inner = self.inner(x);
        let signature = self.op.infer(&inner.iter().collect::<Vec<_>>())?;
        if signature.updates != Bits::NONE {
            return Err(Mismatch::new("a layer with moving statistics has none of its own for each step")
                .hint("without the wrapper it takes all steps of a batch together"));
        }
        Ok(Signature {
            y: signature.y.iter().map(|s| with_steps(s, self.steps)).collect(),
            forward_scratch: self.scratch(signature.forward_scratch),
            backward_scratch: self.scratch(signature.backward_scratch),
            notes: signature.notes * self.steps,
            ..signature
        })
    }

    fn forward(&self, io: &Forward<'_>, cx: &Ctx<'_>) {
        self.op.forward(io, &self.cx(cx));
    }

    fn backward(&self, io: &Backward<'_>, cx: &Ctx<'_>) {
        self.op.backward(io, &self.cx(cx));
    }

    fn absorb(&self, next: &dyn Op) -> Option<Box<dyn Op>> {
        let next = (next as &dyn Any).downcast_ref::<PerStep>()?;
        // What it reads besides is not of samples, as nothing is that stands behind this op's inputs.
        let fits = next.steps == self.steps && next.samples == Bits::first(1);
        let op = Arc::from(self.op.absorb(&*next.op).filter(|_| fits)?);
        Some(Box::new(PerStep { op, ..*self }))
    }

    fn flops(&self, x: &[&Shape], y: &[&Shape]) -> f64 {
        let (x, y) = (self.inner(x), self.inner(y));
        self.steps as f64 * self.op.flops(&x.iter().collect::<Vec<_>>(), &y.iter().collect::<Vec<_>>())
    }

    fn backward_flops(&self, x: &[&Shape], y: &[&Shape], made: Bits) -> f64 {
        let (x, y) = (self.inner(x), self.inner(y));
        let (x, y) = (x.iter().collect::<Vec<_>>(), y.iter().collect::<Vec<_>>());
        self.steps as f64 * self.op.backward_flops(&x, &y, made)
    }

    #[cfg(test)]
    fn twin(&self, x: &[ndarray::ArrayD<f64>], cx: &super::twin::TwinCtx) -> Vec<ndarray::ArrayD<f64>> {
        use ndarray::{ArrayD, IxDyn};
        let samples = x[0].shape()[0];
        let reshape = |a: &ArrayD<f64>, dims: Vec<usize>| {
            ArrayD::from_shape_vec(IxDyn(&dims), a.iter().copied().collect()).unwrap()
        };
        let folded = |a: &ArrayD<f64>| reshape(a, [&[samples * self.steps], &a.shape()[2..]].concat());
        let x = x.iter().enumerate().map(|(i, a)| if self.samples.has(i) { folded(a) } else { a.clone() });
        let x: Vec<_> = x.collect();
        let y = self.op.twin(&x, cx);
        y.iter().map(|a| reshape(a, [&[samples, self.steps], &a.shape()[1..]].concat())).collect()
    }
}
