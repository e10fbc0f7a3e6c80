//! Layers that are fitted to the training part before training: `Normalization` without numbers of its own.
//!
//! Mean and population variance of each channel over all samples, in f64 and two passes. Keras:
//! `Normalization.adapt` on the training data.

use crate::data::Part;
use crate::diag::{Diag, Failure, Result};
use crate::exec::Session;
use crate::model::Experiment;
use crate::model::layers::{LayerNode, Network};
use crate::model::scope::Feed;

fn adapting(network: &Network) -> impl Iterator<Item = &LayerNode> {
    network.layers.iter().filter(|node| node.layer.adapts())
}

/// What is fitted must see the data as it is: behind other layers its statistics would be theirs.
pub fn check(experiment: &Experiment) -> Result<()> {
    let task = &experiment.task;
    // Of several inputs each is a part of the row.
    let whole = |network: &Network| std::ptr::eq(network, task.reader()) && experiment.inputs.is_empty();
    let fits = |network: &Network, node: &LayerNode| node.from == [Feed::Input(0)] && whole(network);
    let wrong = task
        .networks()
        .into_iter()
        .flat_map(|network| adapting(network).filter(move |node| !fits(network, node)));
    let diags: Vec<Diag> = wrong
        .map(|node| {
            let message =
                format!("`{}` is fitted to the dataset's input, but reads something else", node.name);
            let hint = "let it be the first layer (or from = \"input\"), or give it `mean` and `variance`";
            node.context.explain(Diag::new(message).at(&node.at).hint(hint))
        })
        .collect();
    if diags.is_empty() { Ok(()) } else { Err(Failure::Input(diags)) }
}

/// Takes the statistics of all layers that are fitted.
pub fn adapt(experiment: &Experiment, part: &Part, session: &mut Session) {
    let params = session.params().clone();
    for node in adapting(experiment.task.reader()) {
        let find = |weight: &str| params.find(&format!("{}/{weight}", node.name));
        // A layer that its `when` left out has none.
        let (Some(mean), Some(variance)) = (find("mean"), find("variance")) else { continue };
        let (means, variances) = statistics(part, params.decls[mean].size());
        session.param_mut(mean).copy_from_slice(&means);
        session.param_mut(variance).copy_from_slice(&variances);
    }
}

/// Mean and variance of each channel.
fn statistics(part: &Part, channels: usize) -> (Vec<f32>, Vec<f32>) {
    let inputs = &part.table.inputs;
    let mut row = vec![0.0; inputs.width()];
    let mut mean_of = |term: &dyn Fn(usize, f64) -> f64| -> Vec<f64> {
        let mut sums = vec![0.0; channels];
        for sample in &part.rows {
            inputs.copy_row(*sample as usize, &mut row);
            for numbers in row.chunks_exact(channels) {
                for ((channel, sum), x) in sums.iter_mut().enumerate().zip(numbers) {
                    *sum += term(channel, f64::from(*x));
                }
            }
        }
        let count = (part.len() * inputs.width() / channels) as f64;
        sums.into_iter().map(|sum| sum / count).collect()
    };
    let means = mean_of(&|_, x| x);
    let variances = mean_of(&|channel, x| (x - means[channel]).powi(2));
    let narrow = |numbers: Vec<f64>| numbers.into_iter().map(|x| x as f32).collect();
    (narrow(means.clone()), narrow(variances))
}

#[cfg(test)]
mod tests {
    use std::path::Path;
    use std::sync::Arc;

    use super::*;
    use crate::data::{Rows, Table};
    use crate::kernels::par::Pool;
    use crate::model::lower::{EVAL, Model};
    use crate::train::setup::fill;
    use crate::train::trainer::Trainer;
    use crate::train::{Options, Prepared};

    fn prepare(layers: &str) -> Result<(Prepared, Model)> {
        let toml = format!(
            "[dataset]\ntype = \"digits\"\nvalidation = 0.5\n{layers}[training]\noptimizer = \"sgd\"\n\
             loss = {{ type = \"sparse_categorical_crossentropy\", from_logits = true }}\n"
        );
        Prepared::new(Experiment::parse("c.toml", &toml, &[], Path::new("."), "c")?, &Options::default())
    }

    /// The example of Keras's documentation: two of four rows each are 1 below and above the mean.
    #[test]
    fn statistics_are_the_population_s() {
        let data = vec![0.0, 7.0, 4.0, 2.0, 9.0, 6.0, 0.0, 7.0, 4.0, 2.0, 9.0, 6.0];
        let table = |rows: Vec<u32>, width| {
            let targets = Rows::F32 { data: vec![0.0; 4], width: 1 };
            let table = Table { inputs: Rows::F32 { data: data.clone(), width }, targets, weights: None };
            Part { table: Arc::new(table), rows }
        };
        assert_eq!(statistics(&table(vec![0, 1, 2, 3], 3), 3), (vec![1.0, 8.0, 5.0], vec![1.0; 3]));
        // Only the part's own samples, and all their pixels.
        assert_eq!(statistics(&table(vec![2], 3), 3), (vec![0.0, 7.0, 4.0], vec![0.0; 3]));
        assert_eq!(statistics(&table(vec![0, 1], 6), 3), (vec![1.0, 8.0, 5.0], vec![1.0; 3]));
        assert_eq!(statistics(&table(vec![1], 3), 1), (vec![17.0 / 3.0], vec![74.0 / 9.0]));
    }

    #[test]
    fn the_training_part_comes_out_standardized() {
        let layers = "[[layers]]\ntype = \"Normalization\"\n[[layers]]\ntype = \"Flatten\"\n\
                      [[layers]]\ntype = \"Dense\"\nunits = 10\n";
        let (prepared, model) = prepare(layers).unwrap_or_else(|f| panic!("{}", f.diags()[0]));
        let mut trainer = Trainer::new(&prepared, &model, Arc::new(Pool::new(2))).unwrap();
        assert_eq!(model.params.counts().1, 2, "mean and variance are not trained");
        let (mut sum, mut squares, mut count) = (0.0, 0.0, 0.0);
        let order: Vec<u32> = (0..prepared.dataset.train.len() as u32).collect();
        for rows in order.chunks(32) {
            fill(&mut trainer.session, EVAL, &prepared.dataset.train, rows, None);
            trainer.session.replay(EVAL, rows.len(), 0, |layer, outputs| {
                for y in outputs[0].iter().filter(|_| layer == "normalization") {
                    sum += f64::from(*y);
                    squares += f64::from(*y).powi(2);
                    count += 1.0;
                }
            });
        }
        assert_eq!(count as usize, order.len() * 64);
        assert!((sum / count).abs() < 1e-5 && (squares / count - 1.0).abs() < 1e-5, "{sum} {squares}");
    }

    #[test]
    fn what_reads_a_layer_cannot_be_fitted() {
        let flatten = "[[layers]]\ntype = \"Flatten\"\n";
        let dense = "[[layers]]\ntype = \"Dense\"\nunits = 10\n";
        let behind = prepare(&format!("{flatten}[[layers]]\ntype = \"Normalization\"\n{dense}"));
        let said = behind.map(|_| ()).unwrap_err().diags()[0].clone();
        assert_eq!(said.message, "`normalization` is fitted to the dataset's input, but reads a layer");
        assert_eq!(said.at.unwrap().line_column().0, 7);
        let given = "[[layers]]\ntype = \"Normalization\"\nmean = 0.3\nvariance = 0.1\n";
        assert!(prepare(&format!("{flatten}{given}{dense}")).is_ok());
    }
}
