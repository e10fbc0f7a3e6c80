//! What the steps of a program do at the least, for those who time them.

use crate::compile::program::{BackwardStep, ForwardStep, Program, Step};
use crate::graph::{Bits, Node};
use crate::kernels::views::Slot;
use crate::shape::Shape;

/// Arithmetic, and movement between an op's kernels and the memory around them.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Work {
    /// Multiplications and additions.
    pub flops: f64,
    /// Bytes of what is read and of what is written, each thing once; scratch space is the op's affair.
    pub bytes: f64,
}

impl std::ops::Add for Work {
    type Output = Work;
    fn add(self, other: Work) -> Work {
        Work { flops: self.flops + other.flops, bytes: self.bytes + other.bytes }
    }
}

impl Program {
    /// The node that a step is for: a loss's first gradient is made for the step behind it, and a partial
    /// gradient is added up for the step before it.
    pub fn node_of(&self, step: usize) -> &Node {
        let nearest = match &self.steps[step] {
            Step::Forward(s) => Some(s.node),
            Step::Backward(s) => Some(s.node),
            Step::Seed { .. } => self.steps[step..].iter().find_map(backward_node),
            Step::Accumulate { .. } => self.steps[..step].iter().rev().find_map(backward_node),
        };
        &self.nodes[nearest.expect("gradients are seeded and added up for backward steps")]
    }

    /// The work of a step on `n` samples.
    pub fn work(&self, step: usize, n: usize) -> Work {
        match &self.steps[step] {
            Step::Forward(s) => self.forward_work(s, n),
            Step::Backward(s) => self.backward_work(s, n),
            Step::Seed { into, .. } => Work { flops: 0.0, bytes: bytes([into], n) },
            Step::Accumulate { into, from } => {
                Work { flops: into.len(n) as f64, bytes: bytes([into, into, from], n) }
            }
        }
    }

    fn forward_work(&self, s: &ForwardStep, n: usize) -> Work {
        let node = &self.nodes[s.node];
        let (x, y) = self.shapes(node);
        let mut read: Vec<&Slot> = vec![];
        for slot in s.x.iter().flatten() {
            if !read.contains(&slot) {
                read.push(slot);
            }
        }
        let updated = s.updates.iter().flatten();
        let slots = read.into_iter().chain(updated.clone()).chain(updated).chain(s.y.iter().flatten());
        Work { flops: n as f64 * node.op.flops(&x, &y), bytes: bytes(slots, n) }
    }

    fn backward_work(&self, s: &BackwardStep, n: usize) -> Work {
        let node = &self.nodes[s.node];
        let (x, y) = self.shapes(node);
        let made: Vec<usize> = (0..s.dx.len()).filter(|i| s.dx[*i].is_some()).collect();
        // Weights serve to make the gradient of samples, and nothing else.
        let passes_on = made.iter().any(|i| x[*i].batched);
        let kept = s.x.iter().enumerate().filter(|(i, _)| passes_on || x[*i].batched);
        let kept = kept.filter_map(|(_, slot)| slot.as_ref());
        let added = made.iter().filter(|i| s.add.has(**i)).filter_map(|i| s.dx[*i].as_ref());
        let slots = kept.chain(added).chain([&s.y, &s.dy, &s.dx].into_iter().flatten().flatten());
        let flops = n as f64 * node.op.backward_flops(&x, &y, Bits::of(&made));
        Work { flops, bytes: bytes(slots, n) }
    }

    fn shapes<'a>(&'a self, node: &'a Node) -> (Vec<&'a Shape>, Vec<&'a Shape>) {
        let x = node.inputs.iter().map(|v| &self.values[v.0].shape).collect();
        (x, node.signature.y.iter().collect())
    }
}

fn backward_node(step: &Step) -> Option<usize> {
    match step {
        Step::Backward(s) => Some(s.node),
        _ => None,
    }
}

fn bytes<'a>(slots: impl IntoIterator<Item = &'a Slot>, n: usize) -> f64 {
    slots.into_iter().map(|s| (s.len(n) * size_of::<f32>()) as f64).sum()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::compile::{Want, compile};
    use crate::graph::{Builder, Mode, Params};
    use crate::initializers;
    use crate::ops::function::Relu;
    use crate::ops::map::Map;
    use crate::ops::matmul::MatMul;

    /// Two dense layers with a relu between; the sum over one output unit is the loss.
    fn program(frozen: &str) -> Program {
        let mut params = Params::default();
        let mut g = Builder::new(&mut params, Mode::Train, 0);
        let init = initializers::named("Zeros");
        let x = g.input(Shape::batch([5]));
        g.enter("first", frozen != "first");
        let w = g.weight("kernel", [5, 3], &init, None).unwrap();
        let hidden = g.push(MatMul::new(5, 3), &[x, w]).unwrap();
        g.enter("activation", true);
        let hidden = g.push(Map::new(Relu {}), &[hidden]).unwrap();
        g.enter("second", frozen != "second");
        let w = g.weight("kernel", [3, 1], &init, None).unwrap();
        let y = g.push(MatMul::new(3, 1), &[hidden, w]).unwrap();
        let loss = g.reshape(y, Shape::batch([])).unwrap();
        let graph = g.graph;
        let want =
            Want { inputs: vec![x], outputs: vec![y], losses: vec![(loss, 1.0)], batch: 4, threads: 1 };
        compile(graph, &params, &want)
    }

    /// Of each step the layer, the FLOPs and the numbers moved, for 4 samples.
    fn steps(program: &Program) -> Vec<(&str, f64, f64)> {
        let step = |i| {
            let work = program.work(i, 4);
            (program.node_of(i).layer.as_str(), work.flops, work.bytes / 4.0)
        };
        (0..program.steps.len()).map(step).collect()
    }

    #[test]
    fn both_gradients_count_and_the_first_layers_input_has_none() {
        let expected = [
            ("first", 4.0 * 30.0, 20.0 + 15.0 + 12.0),
            ("second", 4.0 * 6.0, 12.0 + 3.0 + 4.0),
            ("second", 0.0, 4.0),
            // dy, the kernel and its gradient, the samples and theirs.
            ("second", 2.0 * 4.0 * 6.0, 4.0 + 3.0 + 3.0 + 12.0 + 12.0),
            // dy and y for relu's mask, the kernel's gradient from the samples; the kernel is not needed.
            ("first", 4.0 * 30.0, 12.0 + 12.0 + 15.0 + 20.0),
        ];
        assert_eq!(steps(&program("")), expected);
        let fused = &program("").nodes[0].fused;
        assert_eq!((fused.len(), fused[0].op, fused[0].layer.as_str()), (1, "relu", "activation"));
    }

    #[test]
    fn a_frozen_kernel_has_no_gradient() {
        let program = program("second");
        assert_eq!(steps(&program)[3], ("second", 4.0 * 6.0, 4.0 + 3.0 + 12.0 + 12.0));
    }
}
