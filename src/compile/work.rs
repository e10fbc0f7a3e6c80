//! What the steps of a program do at the least, for those who time them.

use crate::compile::program::{BackwardStep, ForwardStep, Program, Step};
use crate::graph::{Bits, Node};
use crate::kernels::views::Slot;
use crate::shape::Shape;

/// Arithmetic, and movement between an op's kernels and the memory around them.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Work {
    /// Multiplications and additions.
    pub flops: f64,
    /// What is read and what is written, each thing once; scratch space is the op's affair.
    pub moves: Vec<Move>,
}

/// Something that is read or written.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Move {
    pub bytes: usize,
    /// Bytes of memory that have been touched since this was touched last, itself among them: a cache
    /// of so many bytes would still have it.
    pub within: usize,
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

    /// The work of all steps on `n` samples, when the program runs again and again and `between` bytes
    /// of other memory are touched between two runs.
    pub fn work(&self, n: usize, between: usize) -> Vec<Work> {
        let parts: Vec<(f64, Vec<&Slot>)> = self.steps.iter().map(|s| self.parts(s, n)).collect();
        let mut recent = Recent { n, between, slots: vec![] };
        // The first run only fills the memory of what was touched when.
        for (_, slots) in &parts {
            recent.touch(slots);
        }
        recent.next_run();
        let work = |(flops, slots): (f64, Vec<&Slot>)| {
            let within: Vec<usize> = slots.iter().map(|s| recent.within(s)).collect();
            recent.touch(&slots);
            let moves = slots.iter().zip(within).map(|(s, within)| Move { bytes: bytes(s, n), within });
            Work { flops, moves: moves.collect() }
        };
        parts.into_iter().map(work).collect()
    }

    /// FLOPs of a step, and what it reads and writes; what is read and written stands there twice.
    fn parts<'a>(&'a self, step: &'a Step, n: usize) -> (f64, Vec<&'a Slot>) {
        match step {
            Step::Forward(s) => self.forward_parts(s, n),
            Step::Backward(s) => self.backward_parts(s, n),
            Step::Seed { into, .. } => (0.0, vec![into]),
            Step::Accumulate { into, from } => (into.len(n) as f64, vec![into, into, from]),
        }
    }

    fn forward_parts<'a>(&'a self, s: &'a ForwardStep, n: usize) -> (f64, Vec<&'a Slot>) {
        let node = &self.nodes[s.node];
        let (x, y) = self.shapes(node);
        let mut slots: Vec<&Slot> = vec![];
        for slot in s.x.iter().flatten() {
            if !slots.contains(&slot) {
                slots.push(slot);
            }
        }
        let updated = s.updates.iter().flatten();
        slots.extend(updated.clone().chain(updated).chain(s.y.iter().flatten()));
        (n as f64 * node.op.flops(&x, &y), slots)
    }

    fn backward_parts<'a>(&'a self, s: &'a BackwardStep, n: usize) -> (f64, Vec<&'a Slot>) {
        let node = &self.nodes[s.node];
        let (x, y) = self.shapes(node);
        let made: Vec<usize> = (0..s.dx.len()).filter(|i| s.dx[*i].is_some()).collect();
        // Weights serve to make the gradient of samples, and nothing else.
        let passes_on = made.iter().any(|i| x[*i].batched);
        let kept = s.x.iter().enumerate().filter(|(i, _)| passes_on || x[*i].batched);
        let kept = kept.filter_map(|(_, slot)| slot.as_ref());
        let added = made.iter().filter(|i| s.add.has(**i)).filter_map(|i| s.dx[*i].as_ref());
        let slots = kept.chain(added).chain([&s.y, &s.dy, &s.dx].into_iter().flatten().flatten());
        (n as f64 * node.op.backward_flops(&x, &y, Bits::of(&made)), slots.collect())
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

fn bytes(slot: &Slot, n: usize) -> usize {
    slot.len(n) * size_of::<f32>()
}

/// What was touched, the latest last, each place once; `None` is the memory between two runs.
struct Recent {
    n: usize,
    between: usize,
    slots: Vec<Option<Slot>>,
}

impl Recent {
    fn touch(&mut self, slots: &[&Slot]) {
        let n = self.n;
        for slot in slots.iter().filter(|s| !s.is_empty(n)) {
            self.slots.retain(|old| old.is_none_or(|old| !share(&old, slot, n)));
            self.slots.push(Some(**slot));
        }
    }

    fn next_run(&mut self) {
        self.slots.push(None);
    }

    /// Bytes since a slot's place was touched, and its own.
    fn within(&self, slot: &Slot) -> usize {
        let n = self.n;
        let since = self.slots.iter().rev().take_while(|old| old.is_none_or(|old| !share(&old, slot, n)));
        since.map(|old| old.map_or(self.between, |old| bytes(&old, n))).sum::<usize>() + bytes(slot, n)
    }
}

/// Whether two slots have memory in common.
fn share(a: &Slot, b: &Slot, n: usize) -> bool {
    a.space == b.space && a.offset < b.offset + b.len(n) && b.offset < a.offset + a.len(n)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::compile::{Want, compile};
    use crate::graph::{Builder, Mode, Params};
    use crate::initializers;
    use crate::kernels::number::Storage;
    use crate::kernels::views::Space;
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
        let want = Want {
            inputs: vec![x],
            outputs: vec![y],
            losses: vec![(loss, 1.0)],
            batch: 4,
            threads: 1,
            fixed: vec![],
        };
        compile(graph, &params, &want)
    }

    /// Of each step the layer, the FLOPs and the numbers moved, for 4 samples.
    fn steps(program: &Program) -> Vec<(&str, f64, usize)> {
        let work = program.work(4, 0);
        let step = |(i, work): (usize, &Work)| {
            let numbers = work.moves.iter().map(|m| m.bytes / 4).sum();
            (program.node_of(i).layer.as_str(), work.flops, numbers)
        };
        work.iter().enumerate().map(step).collect()
    }

    #[test]
    fn both_gradients_count_and_the_first_layers_input_has_none() {
        let expected = [
            ("first", 4.0 * 30.0, 20 + 15 + 12),
            ("second", 4.0 * 6.0, 12 + 3 + 4),
            ("second", 0.0, 4),
            // dy, the kernel and its gradient, the samples and theirs.
            ("second", 2.0 * 4.0 * 6.0, 4 + 3 + 3 + 12 + 12),
            // dy and y for relu's mask, the kernel's gradient from the samples; the kernel is not needed.
            ("first", 4.0 * 30.0, 12 + 12 + 15 + 20),
        ];
        assert_eq!(steps(&program("")), expected);
        let fused = &program("").nodes[0].fused;
        assert_eq!((fused.len(), fused[0].op, fused[0].layer.as_str()), (1, "relu", "activation"));
    }

    #[test]
    fn a_frozen_kernel_has_no_gradient() {
        let program = program("second");
        assert_eq!(steps(&program)[3], ("second", 4.0 * 6.0, 4 + 3 + 12 + 12));
    }

    #[test]
    fn what_was_touched_long_ago_is_far_away() {
        let slot = |offset, numbers| Slot {
            space: Space::Arena,
            offset,
            per_sample: 0,
            fixed: numbers,
            storage: Storage::F32,
        };
        let (a, b, c) = (slot(0, 10), slot(16, 20), slot(48, 30));
        let both = slot(0, 40);
        let mut recent = Recent { n: 1, between: 1000, slots: vec![] };
        recent.touch(&[&a, &b, &c, &b]);
        assert_eq!((recent.within(&b), recent.within(&c)), (4 * 20, 4 * (30 + 20)));
        assert_eq!(recent.within(&a), 4 * (10 + 20 + 30));
        recent.next_run();
        assert_eq!(recent.within(&b), 4 * 20 + 1000);
        // A value that takes the place of two.
        assert_eq!(recent.within(&both), 4 * 40 + 1000);
        recent.touch(&[&both]);
        assert_eq!((recent.within(&a), recent.within(&c)), (4 * 10, 4 * (30 + 40) + 1000));
    }

    #[test]
    fn the_program_comes_round_again() {
        let work = program("").work(4, 1 << 20);
        // The samples were read last by the end of the run before, then the weights were updated.
        assert!(work[0].moves[0].within > 1 << 20, "{:?}", work[0]);
        // The hidden values have just been written.
        assert_eq!(work[1].moves[0].within, work[1].moves[0].bytes);
    }
}
