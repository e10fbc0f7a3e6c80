//! Joins an op with the one that alone consumes its first output, where the producing op knows how.

use std::sync::Arc;

use crate::compile::Want;
use crate::graph::build::Origin;
use crate::graph::{Fused, Graph, Node, Op, Signature, Var};
use crate::shape::Shape;

/// Asks every op whether it absorbs its single consumer; repeats until none does.
pub fn fuse(graph: &mut Graph, want: &Want) {
    while let Some((producer, consumer)) = find(graph, want) {
        join(graph, producer, consumer);
    }
}

fn find(graph: &Graph, want: &Want) -> Option<(usize, usize)> {
    (0..graph.nodes.len()).find_map(|producer| {
        // What else it gives is for its own backward pass.
        let (y, others) = graph.nodes[producer].outputs.split_first()?;
        let consumer = only_consumer(graph, want, *y)?;
        let free = others.iter().all(|v| !is_used(graph, want, *v));
        (free && joined(graph, producer, consumer).is_some()).then_some((producer, consumer))
    })
}

/// The node that alone reads `y`, once.
fn only_consumer(graph: &Graph, want: &Want, y: Var) -> Option<usize> {
    let mut readers = (0..graph.nodes.len()).filter(|n| graph.nodes[*n].inputs.contains(&y));
    let (reader, more) = (readers.next()?, readers.next());
    let once = graph.nodes[reader].inputs.iter().filter(|v| **v == y).count() == 1;
    (!is_read_elsewhere(graph, want, y) && more.is_none() && once).then_some(reader)
}

/// Whether anything but a node's input needs the value.
fn is_read_elsewhere(graph: &Graph, want: &Want, v: Var) -> bool {
    let mut wanted = want.outputs.iter().chain(want.losses.iter().map(|(v, _)| v));
    wanted.any(|w| graph.root(*w) == v) || graph.values.iter().any(|other| other.origin == Origin::Alias(v))
}

fn is_used(graph: &Graph, want: &Want, v: Var) -> bool {
    is_read_elsewhere(graph, want, v) || graph.nodes.iter().any(|n| n.inputs.contains(&v))
}

/// The op that does both, with its inputs: the producer's, then the others of the consumer.
fn joined(graph: &Graph, producer: usize, consumer: usize) -> Option<(Box<dyn Op>, Vec<Var>, Signature)> {
    let (first, second) = (&graph.nodes[producer], &graph.nodes[consumer]);
    let op = first.op.absorb(&*second.op)?;
    let others = second.inputs.iter().filter(|v| **v != first.outputs[0]);
    let inputs: Vec<Var> = first.inputs.iter().chain(others).copied().collect();
    let shapes: Vec<&Shape> = inputs.iter().map(|v| graph.shape(*v)).collect();
    let signature = op.infer(&shapes).ok()?;
    Some((op, inputs, signature))
}

/// Puts the fused op in the consumer's place, where all its inputs are there; the producer disappears,
/// and so does the value between.
fn join(graph: &mut Graph, producer: usize, consumer: usize) {
    let (op, inputs, signature) = joined(graph, producer, consumer).expect("asked before");
    let outputs = [&graph.nodes[consumer].outputs[..], &graph.nodes[producer].outputs[1..]].concat();
    let (first, second) = (&graph.nodes[producer], &graph.nodes[consumer]);
    let layer = first.layer.clone();
    let gone = Fused { op: second.op.name(), layer: second.layer.clone() };
    let fused = [&first.fused[..], &[gone], &second.fused].concat();
    graph.nodes[consumer] = Node { op: Arc::from(op), inputs, outputs, signature, layer, fused };
    graph.nodes.remove(producer);
    for (index, node) in graph.nodes.iter().enumerate() {
        for (output, var) in node.outputs.iter().enumerate() {
            graph.values[var.0].origin = Origin::Node { node: index, output };
        }
    }
}
