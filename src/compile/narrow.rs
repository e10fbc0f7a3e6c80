//! Which values are stored as bfloat16: those that an op would round anyway when it reads them, or has made
//! from rounded numbers, where everybody else who touches them can do with that. Half the memory, and half
//! the way to it.

use crate::compile::Want;
use crate::graph::node::Origin;
use crate::graph::{Graph, Var};
use crate::kernels::number::Storage;

/// Decides it for every value of the graph.
pub fn narrow(graph: &mut Graph, want: &Want) {
    if !graph.nodes.iter().any(|n| n.signature.narrow.rounds) {
        return;
    }
    let groups = groups(graph);
    let can: Vec<bool> = (0..graph.values.len()).map(|v| can_be_narrow(graph, want, Var(v))).collect();
    let all = 0..graph.values.len();
    let is_chosen = |v: &usize| {
        let group = || all.clone().filter(|other| groups[*other] == groups[*v]);
        can[*v] && group().all(|v| can[v]) && group().any(|v| is_rounded(graph, Var(v)))
    };
    let chosen: Vec<usize> = all.clone().filter(is_chosen).collect();
    for v in chosen {
        graph.values[v].storage = Storage::Bf16;
    }
}

/// A number for each value: those with the same one are all stored in one way.
fn groups(graph: &Graph) -> Vec<usize> {
    let mut groups: Vec<usize> = (0..graph.values.len()).collect();
    for node in graph.nodes.iter().filter(|n| n.signature.narrow.together) {
        let narrow = node.signature.narrow;
        let x = node.inputs.iter().enumerate().filter(|(i, _)| narrow.x.has(*i));
        let y = node.outputs.iter().enumerate().filter(|(i, _)| narrow.y.has(*i));
        let joined: Vec<usize> = x.chain(y).map(|(_, v)| groups[graph.root(*v).0]).collect();
        let Some(first) = joined.first() else { continue };
        groups.iter_mut().filter(|g| joined.contains(g)).for_each(|g| *g = *first);
    }
    groups
}

/// Whether all who touch a value can do with it in bfloat16. Rows end with whole pairs.
fn can_be_narrow(graph: &Graph, want: &Want, v: Var) -> bool {
    let value = &graph.values[v.0];
    let even = value.shape.dims.last().is_some_and(|d| d.is_multiple_of(2));
    let Origin::Node { node, output } = value.origin else { return false };
    let mut outside = want.inputs.iter().chain(&want.outputs).chain(want.losses.iter().map(|(v, _)| v));
    let made = graph.nodes[node].signature.narrow.y.has(output);
    let read = graph.nodes.iter().all(|n| {
        let at = |(i, x): (usize, &Var)| graph.root(*x) != v || n.signature.narrow.x.has(i);
        n.inputs.iter().enumerate().all(at)
    });
    value.shape.batched && even && made && read && outside.all(|w| graph.root(*w) != v)
}

/// Whether somebody rounds it, or makes it of rounded numbers.
fn is_rounded(graph: &Graph, v: Var) -> bool {
    let touches = |vars: &[Var]| vars.iter().any(|x| graph.root(*x) == v);
    graph.nodes.iter().any(|n| n.signature.narrow.rounds && (touches(&n.inputs) || touches(&n.outputs)))
}
