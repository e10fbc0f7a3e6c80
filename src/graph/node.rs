//! A graph: values, and the ops that compute them, in the order of computation.

use std::sync::Arc;

use crate::graph::op::{Op, Signature};
use crate::kernels::number::Storage;
use crate::shape::Shape;

/// A value of the graph.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Var(pub usize);

/// Where a value comes from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Origin {
    /// Filled from outside before each run.
    Input,
    /// Parameter number.
    Param(usize),
    /// Output `output` of node `node`.
    Node { node: usize, output: usize },
    /// The same numbers under another shape.
    Alias(Var),
}

#[derive(Clone, Debug)]
pub struct Value {
    pub shape: Shape,
    pub origin: Origin,
    /// How it is stored, and its gradient: decided when the graph is compiled.
    pub storage: Storage,
}

#[derive(Clone, Debug)]
pub struct Node {
    pub op: Arc<dyn Op>,
    pub inputs: Vec<Var>,
    pub outputs: Vec<Var>,
    pub signature: Signature,
    /// Path of the layer that pushed it.
    pub layer: String,
    /// What was fused into the op, in the order in which it is done.
    pub fused: Vec<Fused>,
}

/// An op that another one does along with its own work.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Fused {
    pub op: &'static str,
    /// Path of the layer that pushed it.
    pub layer: String,
}

/// Values and nodes in the order of computation.
#[derive(Clone, Debug, Default)]
pub struct Graph {
    pub values: Vec<Value>,
    pub nodes: Vec<Node>,
}

impl Graph {
    pub fn shape(&self, var: Var) -> &Shape {
        &self.values[var.0].shape
    }

    /// The value that holds the numbers: aliases followed.
    pub fn root(&self, mut var: Var) -> Var {
        while let Origin::Alias(of) = self.values[var.0].origin {
            var = of;
        }
        var
    }

    /// Whether a value is computed from another one.
    pub fn depends(&self, value: Var, on: Var) -> bool {
        let (mut open, mut seen) = (vec![value], vec![false; self.values.len()]);
        while let Some(var) = open.pop() {
            let var = self.root(var);
            if var == on {
                return true;
            }
            if !std::mem::replace(&mut seen[var.0], true) {
                open.extend(self.producer(var).map_or(&[][..], |node| &node.inputs));
            }
        }
        false
    }

    /// The node that computes a value, if a node does.
    pub fn producer(&self, var: Var) -> Option<&Node> {
        match self.values[self.root(var).0].origin {
            Origin::Node { node, .. } => Some(&self.nodes[node]),
            _ => None,
        }
    }
}
