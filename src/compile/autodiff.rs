//! The order of steps, and the backward pass derived from the graph.
//!
//! Works on buffers without places: `memory` gives them offsets afterwards.

use std::collections::HashMap;

use crate::compile::Want;
use crate::compile::program::Role;
use crate::graph::node::Origin;
use crate::graph::{Bits, Graph, Params, Scratch, Value, Var};
use crate::kernels::number::Storage;

/// A buffer of the arena, before it has a place.
#[derive(Clone, Debug)]
pub struct Draft {
    pub role: Role,
    /// Words for each sample, and in all.
    pub per_sample: usize,
    pub fixed: usize,
    pub storage: Storage,
}

/// Where a step finds something: in the arena, or at a parameter's place.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Place {
    Buffer(usize),
    Param(usize),
    ParamGrad(usize),
}

/// A step whose buffers have no offsets yet.
#[derive(Debug)]
pub enum DraftStep {
    Forward {
        node: usize,
        x: Vec<Option<Place>>,
        y: Vec<Option<Place>>,
        updates: Vec<Option<Place>>,
        scratch: Option<Place>,
        notes: Option<Place>,
    },
    Seed {
        into: Place,
        weight: f32,
    },
    Backward {
        node: usize,
        x: Vec<Option<Place>>,
        y: Vec<Option<Place>>,
        dy: Vec<Option<Place>>,
        dx: Vec<Option<Place>>,
        add: Bits,
        scratch: Option<Place>,
        notes: Option<Place>,
    },
    Accumulate {
        into: Place,
        from: Place,
    },
}

#[derive(Debug)]
pub struct Plan {
    pub steps: Vec<DraftStep>,
    pub backward_start: usize,
    pub buffers: Vec<Draft>,
    pub inputs: Vec<usize>,
    pub outputs: Vec<usize>,
}

/// Orders forward and backward steps and names the buffers between them.
pub fn schedule(graph: &Graph, params: &Params, want: &Want) -> Plan {
    let mut planner = Planner {
        graph,
        params,
        threads: want.threads,
        steps: vec![],
        buffers: vec![],
        values: HashMap::new(),
        gradients: HashMap::new(),
    };
    let inputs = want.inputs.iter().map(|v| planner.value_buffer(*v)).collect();
    let needed = planner.needed_nodes(want);
    for node in (0..graph.nodes.len()).filter(|n| needed[*n]) {
        planner.forward(node);
    }
    let backward_start = planner.steps.len();
    let wants_grad = planner.wants_grad(&want.fixed);
    for (loss, weight) in &want.losses {
        let into = planner.gradient_of(graph.root(*loss));
        planner.steps.push(DraftStep::Seed { into, weight: *weight });
        planner.gradients.insert(graph.root(*loss), into);
    }
    if !want.losses.is_empty() {
        for node in (0..graph.nodes.len()).rev().filter(|n| needed[*n]) {
            planner.backward(node, &wants_grad);
        }
    }
    let outputs = want.outputs.iter().map(|v| planner.value_buffer(*v)).collect();
    let Planner { steps, buffers, .. } = planner;
    Plan { steps, backward_start, buffers, inputs, outputs }
}

struct Planner<'a> {
    graph: &'a Graph,
    params: &'a Params,
    threads: usize,
    steps: Vec<DraftStep>,
    buffers: Vec<Draft>,
    /// Buffer of each root value.
    values: HashMap<Var, usize>,
    /// Gradient of each root value, once something has been written to it.
    gradients: HashMap<Var, Place>,
}

impl Planner<'_> {
    /// Nodes that a wanted value depends on.
    fn needed_nodes(&self, want: &Want) -> Vec<bool> {
        let mut needed = vec![false; self.graph.nodes.len()];
        let mut open: Vec<Var> = want.outputs.clone();
        open.extend(want.losses.iter().map(|(v, _)| *v));
        while let Some(var) = open.pop() {
            if let Origin::Node { node, .. } = self.graph.values[self.graph.root(var).0].origin
                && !std::mem::replace(&mut needed[node], true)
            {
                open.extend(&self.graph.nodes[node].inputs);
            }
        }
        needed
    }

    /// Root values through which a trainable parameter is reached.
    fn wants_grad(&self, fixed: &[usize]) -> Vec<bool> {
        let mut wants = vec![false; self.graph.values.len()];
        for index in 0..wants.len() {
            wants[index] = match self.graph.values[index].origin {
                Origin::Input => false,
                Origin::Param(p) => self.params.decls[p].trainable && !fixed.contains(&p),
                Origin::Alias(of) => wants[of.0],
                Origin::Node { node, .. } => {
                    let node = &self.graph.nodes[node];
                    let through = |(i, v): (usize, &Var)| {
                        node.signature.differentiable.has(i) && wants[self.graph.root(*v).0]
                    };
                    node.inputs.iter().enumerate().any(through)
                }
            };
        }
        wants
    }

    fn new_buffer(&mut self, role: Role, per_sample: usize, fixed: usize) -> usize {
        self.buffers.push(Draft { role, per_sample, fixed, storage: Storage::F32 });
        self.buffers.len() - 1
    }

    /// A buffer for a root value's numbers or their gradient.
    fn buffer_of(&mut self, role: Role, root: Var) -> usize {
        let (shape, storage) = (self.graph.shape(root), self.graph.values[root.0].storage);
        let words = storage.words(shape.size());
        let (per_sample, fixed) = if shape.batched { (words, 0) } else { (0, words) };
        self.buffers.push(Draft { role, per_sample, fixed, storage });
        self.buffers.len() - 1
    }

    fn value_buffer(&mut self, var: Var) -> usize {
        let root = self.graph.root(var);
        if let Some(buffer) = self.values.get(&root) {
            return *buffer;
        }
        let buffer = self.buffer_of(Role::Value(root), root);
        self.values.insert(root, buffer);
        buffer
    }

    fn place(&mut self, var: Var) -> Place {
        match self.graph.values[self.graph.root(var).0].origin {
            Origin::Param(p) => Place::Param(p),
            _ => Place::Buffer(self.value_buffer(var)),
        }
    }

    /// The place for the first gradient of a root value.
    fn gradient_of(&mut self, root: Var) -> Place {
        match self.graph.values[root.0].origin {
            Origin::Param(p) => Place::ParamGrad(p),
            _ => Place::Buffer(self.buffer_of(Role::Gradient(root), root)),
        }
    }

    /// Whether a value's first gradient may be where `left` is: a parameter's has a place of its own.
    fn takes(&self, root: Var, left: Place) -> bool {
        let Value { origin, storage, .. } = &self.graph.values[root.0];
        let fits = |left: usize| self.buffers[left].storage == *storage;
        !matches!(origin, Origin::Param(_)) && matches!(left, Place::Buffer(left) if fits(left))
    }

    fn scratch(&mut self, need: Scratch) -> Option<Place> {
        let fixed = need.fixed + need.per_thread * self.threads;
        (need.per_sample + fixed > 0)
            .then(|| Place::Buffer(self.new_buffer(Role::Scratch, need.per_sample, fixed)))
    }

    fn forward(&mut self, index: usize) {
        let node = &self.graph.nodes[index];
        let updates_bits = node.signature.updates;
        let x: Vec<Place> = node.inputs.iter().map(|v| self.place(*v)).collect();
        let updates = x.iter().enumerate().map(|(i, p)| updates_bits.has(i).then_some(*p)).collect();
        let x = x.iter().enumerate().map(|(i, p)| (!updates_bits.has(i)).then_some(*p)).collect();
        let y = node.outputs.iter().map(|v| Some(self.place(*v))).collect();
        let scratch = self.scratch(node.signature.forward_scratch);
        self.steps.push(DraftStep::Forward { node: index, x, y, updates, scratch, notes: None });
    }

    fn backward(&mut self, index: usize, wants_grad: &[bool]) {
        let node = &self.graph.nodes[index];
        let dy: Vec<Option<Place>> = node.outputs.iter().map(|v| self.gradients.get(v).copied()).collect();
        if dy.iter().all(Option::is_none) {
            return;
        }
        let signature = &node.signature;
        let mut dx = vec![None; node.inputs.len()];
        let mut add = vec![];
        let mut later = vec![];
        let mut taken_over = false;
        for (i, input) in node.inputs.iter().enumerate() {
            let root = self.graph.root(*input);
            if !signature.differentiable.has(i) || !wants_grad[root.0] {
                continue;
            }
            dx[i] = Some(match (self.gradients.get(&root).copied(), dy[0]) {
                (None, Some(left))
                    if signature.left_in_dy.has(i) && !taken_over && self.takes(root, left) =>
                {
                    taken_over = true;
                    self.gradients.insert(root, left);
                    continue;
                }
                (None, _) => {
                    let place = self.gradient_of(root);
                    self.gradients.insert(root, place);
                    place
                }
                // An input that stands twice in one op gets two buffers: no two writers share one.
                (Some(place), left)
                    if signature.adds && !dx.contains(&Some(place)) && left != Some(place) =>
                {
                    add.push(i);
                    place
                }
                (Some(into), _) => {
                    let from = Place::Buffer(self.buffer_of(Role::Partial, root));
                    later.push(DraftStep::Accumulate { into, from });
                    from
                }
            });
        }
        if dx.iter().all(Option::is_none) && !taken_over {
            return;
        }
        let x = (0..node.inputs.len())
            .map(|i| signature.keep_x.has(i).then(|| self.place(node.inputs[i])))
            .collect();
        let y = (0..node.outputs.len())
            .map(|i| signature.keep_y.has(i).then(|| self.place(node.outputs[i])))
            .collect();
        let scratch = self.scratch(signature.backward_scratch);
        let notes = self.notes(index);
        self.steps.push(DraftStep::Backward {
            node: index,
            x,
            y,
            dy,
            dx,
            add: Bits::of(&add),
            scratch,
            notes,
        });
        self.steps.extend(later);
    }

    /// A buffer from a node's forward step, which stands already, to its backward step.
    fn notes(&mut self, index: usize) -> Option<Place> {
        let per_sample = self.graph.nodes[index].signature.notes;
        let place = (per_sample > 0).then(|| Place::Buffer(self.new_buffer(Role::Notes, per_sample, 0)));
        for step in &mut self.steps {
            if let DraftStep::Forward { node, notes, .. } = step
                && *node == index
            {
                *notes = place;
            }
        }
        place
    }
}
