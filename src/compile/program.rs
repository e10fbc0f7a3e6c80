//! What runs: steps over slots of three blocks. Device-free: offsets, no pointers.

use crate::graph::{Bits, Node, Value, Var};
use crate::kernels::views::Slot;

/// A compiled graph.
#[derive(Debug)]
pub struct Program {
    pub nodes: Vec<Node>,
    /// What the nodes' inputs and outputs are.
    pub values: Vec<Value>,
    pub steps: Vec<Step>,
    /// Forward steps come first; from here on the backward pass.
    pub backward_start: usize,
    /// Slots of the wanted values, in the order they were wanted.
    pub inputs: Vec<Slot>,
    pub outputs: Vec<Slot>,
    /// Length of the arena in numbers, for the full batch.
    pub arena_len: usize,
    pub batch: usize,
    pub threads: usize,
    /// Every buffer of the arena with the steps of its life: what `verify` checks.
    pub buffers: Vec<Buffer>,
}

/// A stretch of the arena and when it is in use.
#[derive(Clone, Debug)]
pub struct Buffer {
    pub slot: Slot,
    /// First and last step that touches it.
    pub life: std::ops::RangeInclusive<usize>,
    pub role: Role,
}

/// What a buffer holds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Role {
    Value(Var),
    Gradient(Var),
    Scratch,
    Partial,
    /// What a forward step leaves for its backward step.
    Notes,
}

#[derive(Debug)]
pub enum Step {
    Forward(ForwardStep),
    /// Fills the gradient of a loss: `weight / batch` for each sample.
    Seed {
        into: Slot,
        weight: f32,
    },
    Backward(BackwardStep),
    /// `into += from`: a value that is used twice gets its gradients one after the other.
    Accumulate {
        into: Slot,
        from: Slot,
    },
}

#[derive(Debug)]
pub struct ForwardStep {
    pub node: usize,
    /// `None` for inputs that the op updates in place.
    pub x: Vec<Option<Slot>>,
    pub y: Vec<Option<Slot>>,
    pub updates: Vec<Option<Slot>>,
    pub scratch: Vec<Option<Slot>>,
    pub notes: Vec<Option<Slot>>,
}

#[derive(Debug)]
pub struct BackwardStep {
    pub node: usize,
    /// Only what the op keeps.
    pub x: Vec<Option<Slot>>,
    pub y: Vec<Option<Slot>>,
    pub dy: Vec<Option<Slot>>,
    pub dx: Vec<Option<Slot>>,
    pub add: Bits,
    pub scratch: Vec<Option<Slot>>,
    pub notes: Vec<Option<Slot>>,
}

impl Step {
    /// Slots that the step reads, and slots that it writes. `dy` counts as written: an op may work
    /// on it in place.
    pub fn touches(&self) -> (Vec<Slot>, Vec<Slot>) {
        let some =
            |lists: &[&Vec<Option<Slot>>]| lists.iter().flat_map(|l| l.iter().flatten().copied()).collect();
        match self {
            Step::Forward(s) => (some(&[&s.x]), some(&[&s.y, &s.updates, &s.scratch, &s.notes])),
            Step::Seed { into, .. } => (vec![], vec![*into]),
            Step::Backward(s) => (some(&[&s.x, &s.y, &s.notes]), some(&[&s.dy, &s.dx, &s.scratch])),
            Step::Accumulate { into, from } => (vec![*from], vec![*into]),
        }
    }

    /// The same step on other slots.
    #[cfg(test)]
    pub fn with_slots(&self, place: &dyn Fn(&Slot) -> Slot) -> Step {
        let all = |slots: &[Option<Slot>]| slots.iter().map(|s| s.as_ref().map(place)).collect();
        match self {
            Step::Forward(s) => Step::Forward(ForwardStep {
                node: s.node,
                x: all(&s.x),
                y: all(&s.y),
                updates: all(&s.updates),
                scratch: all(&s.scratch),
                notes: all(&s.notes),
            }),
            Step::Seed { into, weight } => Step::Seed { into: place(into), weight: *weight },
            Step::Backward(s) => Step::Backward(BackwardStep {
                node: s.node,
                x: all(&s.x),
                y: all(&s.y),
                dy: all(&s.dy),
                dx: all(&s.dx),
                add: s.add,
                scratch: all(&s.scratch),
                notes: all(&s.notes),
            }),
            Step::Accumulate { into, from } => Step::Accumulate { into: place(into), from: place(from) },
        }
    }

    /// Working space: what it holds after the step is nobody's business.
    #[cfg(test)]
    pub fn scratch(&self) -> Vec<Slot> {
        match self {
            Step::Forward(s) => s.scratch.iter().flatten().copied().collect(),
            Step::Backward(s) => s.scratch.iter().flatten().copied().collect(),
            _ => vec![],
        }
    }
}
