//! What the summary and `nntrain time` list: one row for each layer that stands.

use crate::graph::{Graph, Params, Var};
use crate::model::layers::{LayerNode, Network};
use crate::model::place::Placed;
use crate::model::scope::Feed;
use crate::shape::Shape;

/// What the summary says of a layer.
#[derive(Clone, Debug)]
pub struct LayerRow {
    pub name: String,
    pub kind: &'static str,
    pub output: Shape,
    pub parameters: usize,
    /// Of these, trained.
    pub trained: usize,
    /// `trainable = false`, and it has weights.
    pub frozen: bool,
    /// Forward multiplications and additions per sample.
    pub flops: f64,
    /// Names of the layers it reads.
    pub from: Vec<String>,
}

/// The layers that stand.
pub fn rows(network: &Network, graph: &Graph, placed: &Placed, params: &Params) -> Vec<LayerRow> {
    // What is read in the place of layers that do not stand.
    let mut instead = vec![None; network.layers.len()];
    for conditional in placed.left_out.iter().map(|i| &network.conditionals[*i]) {
        instead[conditional.first..conditional.end].fill(Some(conditional.input));
    }
    let name = |feed: &Feed| {
        let mut feed = *feed;
        loop {
            match feed {
                Feed::Input(i) => return network.inputs[i].clone(),
                Feed::Layer(i) => match instead[i] {
                    Some(other) => feed = other,
                    None => return network.layers[i].name.clone(),
                },
            }
        }
    };
    let describe = |node: &LayerNode, output: Var| {
        let own = |path: &str| path.strip_prefix(&*node.name).is_some_and(|rest| rest.starts_with('/'));
        let sizes = || params.decls.iter().filter(|d| own(&d.path) && !d.carried);
        let ops = graph.nodes.iter().filter(|n| n.layer == node.name);
        let flops = ops.map(|n| {
            let shapes = |vars: &[Var]| vars.iter().map(|v| graph.shape(*v).clone()).collect::<Vec<_>>();
            let (x, y) = (shapes(&n.inputs), shapes(&n.outputs));
            n.op.flops(&x.iter().collect::<Vec<_>>(), &y.iter().collect::<Vec<_>>())
        });
        LayerRow {
            name: node.name.clone(),
            kind: node.kind,
            output: graph.shape(output).clone(),
            parameters: sizes().map(|d| d.size()).sum(),
            trained: sizes().filter(|d| d.trainable).map(|d| d.size()).sum(),
            frozen: !node.trainable && sizes().next().is_some(),
            flops: flops.sum(),
            from: node.from.iter().map(name).collect(),
        }
    };
    let standing = network.layers.iter().zip(&placed.outputs).zip(&instead).filter(|(_, i)| i.is_none());
    standing.filter_map(|((node, output), _)| Some(describe(node, (*output)?))).collect()
}
