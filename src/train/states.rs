//! The states of stateful layers, from one training batch to the next.
//!
//! The training part is one sequence, cut into as many stretches as a batch has samples: each stretch is read
//! from batch to batch in its place, as Keras's stateful layers want it.

use crate::bits::{Bits64, from_bits, to_bits};
use crate::exec::Session;
use crate::model::lower::TRAIN;

/// Inputs of the training program before the states.
const BEFORE: usize = 3;

/// What the samples of the next batch begin with.
pub struct States {
    /// The first state's place among the program's outputs.
    first: usize,
    /// Of each state, for all samples of a batch.
    values: Vec<Vec<f32>>,
}

impl States {
    /// Zeros for each state of the training program, whose outputs they are from `first` on.
    pub fn new(session: &Session, first: usize) -> States {
        let program = session.program(TRAIN);
        let inputs = program.inputs.iter().skip(BEFORE);
        States { first, values: inputs.map(|slot| vec![0.0; slot.len(program.batch)]).collect() }
    }

    /// Nothing has come before.
    pub fn reset(&mut self) {
        self.values.iter_mut().for_each(|values| values.fill(0.0));
    }

    /// Fills the program's inputs.
    pub fn put(&self, session: &mut Session, n: usize) {
        for (i, values) in self.values.iter().enumerate() {
            let input = session.input(TRAIN, BEFORE + i, n);
            input.copy_from_slice(&values[..input.len()]);
        }
    }

    /// Takes what the program has given. A batch with fewer samples than those before is the last one.
    pub fn take(&mut self, session: &Session, n: usize) {
        for (i, values) in self.values.iter_mut().enumerate() {
            let output = session.output(TRAIN, self.first + i, n);
            values[..output.len()].copy_from_slice(output);
        }
    }

    /// What [`Self::restore`] needs to go on inside an epoch.
    pub fn bits(&self) -> Vec<Vec<Bits64>> {
        let wide = |values: &Vec<f32>| values.iter().map(|v| f64::from(*v)).collect::<Vec<f64>>();
        self.values.iter().map(|values| to_bits(&wide(values))).collect()
    }

    /// # Errors
    /// States of other layers or batches.
    pub fn restore(&mut self, bits: &[Vec<Bits64>]) -> Result<(), String> {
        let lens = |bits: &[Vec<Bits64>]| bits.iter().map(Vec::len).collect::<Vec<_>>();
        if lens(bits) != self.values.iter().map(Vec::len).collect::<Vec<_>>() {
            return Err("the checkpoint's states are not those of the config's layers and batches".into());
        }
        for (values, bits) in self.values.iter_mut().zip(bits) {
            values.iter_mut().zip(from_bits(bits)).for_each(|(value, stored)| *value = stored as f32);
        }
        Ok(())
    }
}

/// The order of the samples `0..order.len()` in batches of `batch`: those of each place in a batch follow one
/// another. Stretches are as long as each other, but for the first ones, which fill the last batch.
pub fn in_stretches(order: &mut [u32], batch: usize) {
    let (whole, longer) = (order.len() / batch, order.len() % batch);
    for (i, sample) in order.iter_mut().enumerate() {
        let (step, place) = (i / batch, i % batch);
        *sample = (place * whole + place.min(longer) + step) as u32;
    }
}

#[cfg(test)]
mod tests {
    use std::path::Path;
    use std::sync::Arc;

    use super::*;
    use crate::data::preprocessing::{
        Column, ColumnEncoding, InputEncoding, Preprocessing, TargetEncoding, ValueColumn, Window,
    };
    use crate::data::{Dataset, Part, Rows, Table};
    use crate::kernels::par::Pool;
    use crate::model::Experiment;
    use crate::model::lower::Model;
    use crate::shape::Shape;
    use crate::testing::golden;
    use crate::train::Prepared;
    use crate::train::trainer::Trainer;

    /// Windows that follow one another.
    fn dataset(case: &serde_json::Value, window: usize) -> Dataset {
        let rows = |key: &str, first, length| {
            let points = golden::tensor(&case[key]);
            let width = points.shape()[1];
            Rows::Windows { points: points.iter().map(|v| *v as f32).collect(), width, first, length }
        };
        let table =
            Table { inputs: rows("points", 0, window), targets: rows("targets", window, 1), weights: None };
        let starts = (0..table.targets.len() as u32).step_by(window).collect();
        let number = ColumnEncoding::Number { offset: 0.0, scale: 1.0, fill: None };
        let column = |name: &str| Column { name: name.into(), encoding: number.clone() };
        Dataset {
            input_shape: Shape::batch([window, 2]),
            train: Part { table: Arc::new(table), rows: starts },
            validation: None,
            test: None,
            preprocessing: Preprocessing {
                window: Some(Window { points: window, horizon: 1, stride: window }),
                input: InputEncoding::Columns {
                    columns: vec![column("a"), column("b")],
                    missing_values: vec![],
                    header: true,
                    delimiter: ',',
                },
                target: TargetEncoding::Values {
                    columns: vec![ValueColumn { name: "y".into(), offset: 0.0, scale: 1.0 }],
                },
            },
            fingerprint: String::new(),
            notes: vec![],
        }
    }

    #[test]
    fn training_goes_on_from_batch_to_batch_as_in_keras() {
        let file = golden::load("stateful_training.json");
        let [batch, window, epochs] =
            ["batch", "window", "epochs"].map(|key| file[key].as_u64().unwrap() as usize);
        for case in golden::cases(&file) {
            let name = golden::text(case, "name");
            let layers = case["layers"].as_array().unwrap().iter().map(|l| l.as_str().unwrap());
            let layers: String = layers.map(|layer| format!("[[layers]]\n{layer}\n")).collect();
            let toml = format!(
                "[dataset]\ntype = \"series\"\ngenerator = \"sine\"\nwindow = {window}\nstride = {window}\n{layers}\
                 [training]\nbatch_size = {batch}\nshuffle = false\nloss = \"mse\"\n\
                 optimizer = {{ type = \"SGD\", learning_rate = {} }}\n",
                file["learning_rate"]
            );
            let experiment = Experiment::parse("s", &toml, &[], Path::new("."), "s")
                .unwrap_or_else(|f| panic!("{}\n{toml}", f.diags()[0]));
            let dataset = dataset(case, window);
            let model = Model::lower(&experiment, &dataset.input_shape, &dataset.preprocessing)
                .unwrap_or_else(|f| panic!("{name}: {}", f.diags()[0]));
            let prepared = Prepared { experiment, dataset, class_weights: None, initial: Default::default() };
            let mut trainer = Trainer::new(&prepared, &model, Arc::new(Pool::new(2))).unwrap();
            let weights = model.params.decls.iter().enumerate().filter(|(_, decl)| decl.trainable);
            let weights: Vec<(usize, &str)> = weights.map(|(i, decl)| (i, decl.path.as_str())).collect();
            for (index, path) in &weights {
                let values = golden::tensor(&case["initial_weights"][path]);
                trainer.session.param_mut(*index).iter_mut().zip(&values).for_each(|(p, v)| *p = *v as f32);
            }
            let losses = golden::numbers(&case["losses"]);
            for (epoch, losses) in losses.chunks(losses.len() / epochs).enumerate() {
                trainer.begin_epoch(epoch);
                for (step, expected) in losses.iter().enumerate() {
                    if let Some(begun) = trainer.begun() {
                        // As it is written and read again.
                        let begun = serde_json::to_string(&begun).unwrap();
                        trainer.begin_epoch(epoch);
                        trainer.restore_begun(&serde_json::from_str(&begun).unwrap()).unwrap();
                    }
                    let loss = trainer.train_step(&prepared.dataset.train).unwrap();
                    golden::close(loss, *expected, 1e-5, &format!("{name}: epoch {epoch}, step {step}"));
                }
            }
            for (index, path) in &weights {
                let ours: Vec<f64> = trainer.session.param(*index).iter().map(|v| f64::from(*v)).collect();
                let expected: Vec<f64> =
                    golden::tensor(&case["final_weights"][path]).iter().copied().collect();
                golden::all_close(&ours, &expected, 1e-5, &format!("{name}: {path}"));
            }
        }
    }

    #[test]
    fn each_place_of_a_batch_has_a_stretch() {
        let order = |samples: usize, batch| {
            let mut order = vec![0; samples];
            in_stretches(&mut order, batch);
            order
        };
        assert_eq!(order(6, 2), [0, 3, 1, 4, 2, 5]);
        assert_eq!(order(8, 3), [0, 3, 6, 1, 4, 7, 2, 5]);
        assert_eq!(order(3, 1), [0, 1, 2]);
        assert_eq!(order(2, 2), [0, 1]);
    }
}
