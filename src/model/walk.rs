//! Stateful layers: what a state that goes on from sample to sample demands of data and of the other layers.

use crate::data::preprocessing::{Preprocessing, TargetEncoding, Window};
use crate::diag::Diag;
use crate::layers::Reach;
use crate::model::Experiment;
use crate::model::layers::Network;

impl Experiment {
    /// Whether states go on from batch to batch in training.
    pub fn carries(&self) -> bool {
        !self.training.shuffle && self.task.reader().stateful().is_some()
    }
}

/// Data whose samples do not follow one another, and layers that would see the samples' ends: what they give
/// would depend on where the walk is cut, and what is gone on with step by step would have no sense.
pub fn mistakes(experiment: &Experiment, network: &Network, data: &Preprocessing) -> Vec<Diag> {
    let Some(stateful) = network.stateful() else { return vec![] };
    let named = format!("layer `{}` ({})", stateful.name, stateful.kind);
    let apart = match data.window {
        Some(window) if window.points == window.stride => None,
        Some(Window { points, stride, .. }) => Some((
            format!(
                "its windows show {points} points and start {stride} apart: they {}",
                if stride < points { "overlap" } else { "leave gaps" }
            ),
            format!("stride = {points} in [dataset]"),
        )),
        None if data.target == TargetEncoding::NextToken => None,
        None => Some((
            "each sample of this dataset stands for itself".into(),
            "leave it out, or go on with a `text` (without `column`) or a `series`".into(),
        )),
    };
    if let Some((what, hint)) = apart {
        let message = format!("{named}: `stateful` needs samples that follow one another");
        let diag = Diag::new(message).at(&stateful.at).also(&experiment.dataset_at, what);
        return vec![stateful.context.explain(diag.hint(hint))];
    }
    let blind = network.layers.iter().filter(|node| node.layer.reach() == Reach::Sample);
    let diag = blind.map(|node| {
        let message = format!(
            "layer `{}` ({}) looks at its own window alone, and the state of another goes on behind it",
            node.name, node.kind
        );
        let diag = Diag::new(message).at(&node.at).also(&stateful.at, format!("`{}` is stateful", stateful.name));
        let hint = "in a stateful network every recurrent layer is stateful, and the others take each step by itself";
        node.context.explain(diag.hint(hint))
    });
    diag.collect()
}
