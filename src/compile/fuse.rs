//! Joins an op with the one that consumes its only output, where the producing op knows how.

use std::sync::Arc;

use crate::compile::Want;
use crate::graph::build::Origin;
use crate::graph::{Graph, Var};
use crate::shape::Shape;

/// Asks every op whether it absorbs its single consumer; repeats until none does.
pub fn fuse(graph: &mut Graph, want: &Want) {
    while let Some((producer, consumer)) = find(graph, want) {
        join(graph, producer, consumer);
    }
}

fn find(graph: &Graph, want: &Want) -> Option<(usize, usize)> {
    (0..graph.nodes.len()).find_map(|producer| {
        let [y] = graph.nodes[producer].outputs[..] else { return None };
        let consumer = only_consumer(graph, want, y)?;
        graph.nodes[producer].op.absorb(&*graph.nodes[consumer].op).map(|_| (producer, consumer))
    })
}

/// The node that alone reads `y`, as its only input and in its own shape: pooling gives what it reads
/// a name of its own, which may be the same shape again.
fn only_consumer(graph: &Graph, want: &Want, y: Var) -> Option<usize> {
    let wanted = want.outputs.iter().chain(want.losses.iter().map(|(v, _)| v)).any(|v| graph.root(*v) == y);
    let reads = |n: &usize| graph.nodes[*n].inputs.iter().any(|v| graph.root(*v) == y);
    let mut readers = (0..graph.nodes.len()).filter(reads);
    let (reader, more) = (readers.next()?, readers.next());
    let [x] = graph.nodes[reader].inputs[..] else { return None };
    (!wanted && more.is_none() && graph.shape(x) == graph.shape(y)).then_some(reader)
}

/// Replaces the producer by the fused op; the consumer disappears, and so does the value between.
fn join(graph: &mut Graph, producer: usize, consumer: usize) {
    let gone = graph.nodes.remove(consumer);
    let node = &mut graph.nodes[producer];
    node.op = Arc::from(node.op.absorb(&*gone.op).expect("asked before"));
    node.outputs = gone.outputs;
    let shapes: Vec<&Shape> = node.inputs.iter().map(|v| &graph.values[v.0].shape).collect();
    let fused = node.op.infer(&shapes).expect("both ops fit before they were joined");
    node.signature = fused;
    for (index, node) in graph.nodes.iter().enumerate() {
        for (output, var) in node.outputs.iter().enumerate() {
            graph.values[var.0].origin = Origin::Node { node: index, output };
        }
    }
}
