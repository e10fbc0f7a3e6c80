//! Layers to ops, one after the other. What is to stand only on a condition is decided on the way:
//! it is lowered for a trial, in a graph of its own, and the shapes are compared.

use std::ops::Range;

use crate::diag::{At, Diag};
use crate::graph::{Builder, Mismatch, Params, Var};
use crate::layers;
use crate::model::layers::{LayerNode, Network};
use crate::model::scope::Feed;

/// What the layers of a network gave.
#[derive(Debug)]
pub struct Placed {
    /// Each layer's output, or what is read in its place; none after a mismatch.
    pub outputs: Vec<Option<Var>>,
    /// Positions of the conditionals that do not stand.
    pub left_out: Vec<usize>,
}

/// A layer that does not fit its inputs.
#[derive(Debug)]
pub struct Misfit<'n> {
    pub node: &'n LayerNode,
    pub inputs: Vec<Var>,
    pub mismatch: Mismatch,
}

impl Misfit<'_> {
    /// What to say of it. `giver` says where an input of the network comes from.
    pub fn explain(self, network: &Network, g: &Builder<'_>, giver: impl Fn(usize) -> (At, String)) -> Diag {
        let hint = self.to_a_sequence(network, g).filter(|_| self.mismatch.hint.is_none());
        let Misfit { node, inputs, mismatch } = self;
        let mut diag = Diag::new(format!("layer `{}` ({}): {}", node.name, node.kind, mismatch.message))
            .at(&node.at)
            .maybe_hint(mismatch.hint.or(hint));
        for (feed, var) in node.from.iter().zip(inputs) {
            let (at, name) = match feed {
                Feed::Input(i) => giver(*i),
                Feed::Layer(i) => {
                    let from = &network.layers[*i];
                    (from.at.clone(), format!("`{}`", from.name))
                }
            };
            diag = diag.also(&at, format!("{name} gives {}", g.shape(var)));
        }
        node.context.explain(diag)
    }

    /// How what is read becomes the sequence that it should be.
    fn to_a_sequence(&self, network: &Network, g: &Builder<'_>) -> Option<String> {
        let mut read = self.node.from.iter().zip(&self.inputs).filter(|_| self.mismatch.no_sequence);
        let (feed, var) = read.find(|(_, var)| g.shape(**var).dims.len() != 2)?;
        if g.vocabulary(*var).is_some() {
            return Some("put `Embedding` before it: a vector for each token".into());
        }
        Some(match g.shape(*var).dims[..] {
            [numbers] => match ending(network, *feed) {
                Some(node) => format!(
                    "`return_sequences = true` in `{}` ({}) gives all its steps, not the last alone",
                    node.name, node.kind
                ),
                None => format!("`Reshape` with target_shape = [T, C] makes {numbers} numbers a sequence"),
            },
            [steps, ref rest @ ..] => {
                let channels: usize = rest.iter().product();
                format!("`Reshape` with target_shape = [{steps}, {channels}] makes the rows steps")
            }
            [] => return None,
        })
    }
}

/// The layer that gives the last of its steps, in front of layers that take each step by itself.
fn ending(network: &Network, feed: Feed) -> Option<&LayerNode> {
    let Feed::Layer(index) = feed else { return None };
    let node = &network.layers[index];
    match node.layer.ends_sequence() {
        true => Some(node),
        false if node.layer.passes_mask() => ending(network, *node.from.first()?),
        false => None,
    }
}

/// Lowers all layers; `complain` is told of those that do not fit. What depends on them has no
/// output; other branches are still checked.
pub fn place<'n>(
    network: &'n Network,
    seed: u64,
    g: &mut Builder<'_>,
    inputs: &[Var],
    complain: &mut dyn FnMut(&Builder<'_>, Misfit<'n>),
) -> Placed {
    let count = network.layers.len();
    let mut vars = Vars { inputs: inputs.to_vec(), outputs: vec![None; count] };
    let mut placing = Placing { network, seed, stands: vec![None; network.conditionals.len()] };
    let left_out = placing.range(0..count, network.conditionals.len(), g, &mut vars, complain);
    Placed { outputs: vars.outputs, left_out }
}

/// What layers read in one graph.
struct Vars {
    inputs: Vec<Var>,
    outputs: Vec<Option<Var>>,
}

impl Vars {
    fn get(&self, feed: Feed) -> Option<Var> {
        match feed {
            Feed::Input(i) => Some(self.inputs[i]),
            Feed::Layer(i) => self.outputs[i],
        }
    }
}

struct Placing<'n> {
    network: &'n Network,
    seed: u64,
    /// Whether each conditional stands, once that is known.
    stands: Vec<Option<bool>>,
}

impl<'n> Placing<'n> {
    /// Lowers some layers, of whose conditionals only the first `known` count: those around them are
    /// decided. Gives the conditionals that do not stand.
    fn range(
        &mut self,
        layers: Range<usize>,
        known: usize,
        g: &mut Builder<'_>,
        vars: &mut Vars,
        complain: &mut dyn FnMut(&Builder<'_>, Misfit<'n>),
    ) -> Vec<usize> {
        let (network, mut left_out, mut position) = (self.network, vec![], layers.start);
        while position < layers.end {
            if let Some(index) = self.left_out_at(position, known, g, vars) {
                let conditional = &network.conditionals[index];
                let passed_on = vars.get(conditional.input);
                vars.outputs[conditional.first..conditional.end].fill(passed_on);
                left_out.push(index);
                position = conditional.end;
                continue;
            }
            let node = &network.layers[position];
            if let Some(inputs) = node.from.iter().map(|f| vars.get(*f)).collect::<Option<Vec<Var>>>() {
                g.enter_shared(&node.name, &node.owner, node.trainable);
                let output = layers::lower(&*node.layer, g, &inputs);
                vars.outputs[position] =
                    output.map_err(|mismatch| complain(g, Misfit { node, inputs, mismatch })).ok();
            }
            position += 1;
        }
        left_out
    }

    /// The outermost conditional that starts at a layer and does not stand.
    fn left_out_at(&mut self, layer: usize, known: usize, g: &Builder<'_>, vars: &Vars) -> Option<usize> {
        (0..known).rev().filter(|i| self.network.conditionals[*i].first == layer).find(|i| {
            // Known from the trial of one around it, or found out now.
            let stands = self.stands[*i].unwrap_or_else(|| self.changes_shape(*i, g, vars));
            self.stands[*i] = Some(stands);
            !stands
        })
    }

    /// Whether the layers of a conditional would give another shape than that of its input. If they
    /// do not fit they stand, and are complained about.
    fn changes_shape(&mut self, index: usize, g: &Builder<'_>, vars: &Vars) -> bool {
        let conditional = &self.network.conditionals[index];
        let Some(input) = vars.get(conditional.input) else { return true };
        let mut params = Params::default();
        let mut trial = Builder::new(&mut params, g.mode(), self.seed);
        let layers = conditional.first..conditional.end;
        let mut inside = Vars {
            inputs: vars.inputs.iter().map(|input| trial.input(g.shape(*input).clone())).collect(),
            outputs: vec![None; self.network.layers.len()],
        };
        for feed in self.network.layers[layers.clone()].iter().flat_map(|node| &node.from) {
            if let (Feed::Layer(i), Some(var)) = (*feed, vars.get(*feed))
                && i < layers.start
            {
                inside.outputs[i] = Some(trial.input(g.shape(var).clone()));
            }
        }
        self.range(layers.clone(), index, &mut trial, &mut inside, &mut |_, _| {});
        inside.outputs[layers.end - 1].is_none_or(|output| trial.shape(output) != g.shape(input))
    }
}
