//! Joins an op with the one that alone consumes its first output, where the producing op knows how.

use std::sync::Arc;

use crate::compile::Want;
use crate::graph::node::Origin;
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

/// The node that alone reads `y`, once and in its own shape: pooling gives what it reads a name of its
/// own, which may be the same shape again.
fn only_consumer(graph: &Graph, want: &Want, y: Var) -> Option<usize> {
    let reads = |n: usize| graph.nodes[n].inputs.iter().filter(move |v| graph.root(**v) == y);
    let mut readers = (0..graph.nodes.len()).filter(|n| reads(*n).next().is_some());
    let (reader, more) = (readers.next()?, readers.next());
    let same_shape = reads(reader).all(|v| graph.shape(*v) == graph.shape(y));
    (!is_wanted(graph, want, y) && more.is_none() && reads(reader).count() == 1 && same_shape)
        .then_some(reader)
}

/// Whether the value is read after the run.
fn is_wanted(graph: &Graph, want: &Want, v: Var) -> bool {
    want.outputs.iter().chain(want.losses.iter().map(|(v, _)| v)).any(|w| graph.root(*w) == v)
}

fn is_used(graph: &Graph, want: &Want, v: Var) -> bool {
    is_wanted(graph, want, v) || graph.nodes.iter().flat_map(|n| &n.inputs).any(|i| graph.root(*i) == v)
}

/// The op that does both, with its inputs: the producer's, then the others of the consumer.
fn joined(graph: &Graph, producer: usize, consumer: usize) -> Option<(Box<dyn Op>, Vec<Var>, Signature)> {
    let (first, second) = (&graph.nodes[producer], &graph.nodes[consumer]);
    let op = first.op.absorb(&*second.op)?;
    let others = second.inputs.iter().filter(|v| graph.root(**v) != first.outputs[0]);
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
