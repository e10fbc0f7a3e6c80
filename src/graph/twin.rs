//! Running a graph by its ops' f64 twins: the oracle that kernels are checked against.

use ndarray::{ArrayD, IxDyn};

use crate::graph::node::{Graph, Origin, Var};

/// What a twin may depend on besides its inputs.
#[derive(Clone, Copy, Debug)]
pub struct TwinCtx {
    pub step: u32,
}

/// Values of all variables, given those of inputs and parameters (`given` returns them by variable).
pub fn run(
    graph: &Graph,
    batch: usize,
    cx: TwinCtx,
    mut given: impl FnMut(Var) -> ArrayD<f64>,
) -> Vec<ArrayD<f64>> {
    let mut values: Vec<Option<ArrayD<f64>>> = vec![None; graph.values.len()];
    let mut done = 0;
    for index in 0..graph.values.len() {
        let full = graph.values[index].shape.full(batch);
        let value = match graph.values[index].origin {
            Origin::Input | Origin::Param(_) => given(Var(index)),
            Origin::Alias(of) => {
                let flat: Vec<f64> =
                    values[of.0].as_ref().expect("computed before").iter().copied().collect();
                ArrayD::from_shape_vec(IxDyn(&full), flat).expect("an alias has the same size")
            }
            Origin::Node { node, output } => {
                if output == 0 {
                    assert_eq!(node, done, "nodes are in order");
                    done += 1;
                    let node = &graph.nodes[node];
                    let x: Vec<ArrayD<f64>> =
                        node.inputs.iter().map(|v| values[v.0].clone().expect("computed before")).collect();
                    for (var, y) in node.outputs.iter().zip(node.op.twin(&x, &cx)) {
                        values[var.0] = Some(y);
                    }
                }
                values[index].clone().expect("the node gave every output")
            }
        };
        assert_eq!(value.shape(), full, "value {index} has its inferred shape");
        values[index] = Some(value);
    }
    values.into_iter().map(|v| v.expect("every value is computed")).collect()
}
