//! The words of `[[layers]]`: each lowers to ops on the graph.
//!
//! A layer's file holds its formula, its shapes, its keys and `lower`. [`LAYERS`] is the table of
//! all of them; parser, messages and tests iterate over it.

use std::fmt::Debug;

use crate::config::registry::{Entry, Registry};
use crate::graph::{Builder, Mismatch, Var};

mod activation;
mod add;
mod augmentation;
mod average;
mod average_pooling1d;
mod average_pooling2d;
mod average_pooling3d;
mod axes;
mod batch_normalization;
#[cfg(test)]
mod bf16;
mod bidirectional;
mod class_token;
mod concatenate;
mod conv1d;
mod conv1d_transpose;
mod conv2d;
mod conv2d_transpose;
mod conv3d;
mod conv3d_transpose;
mod conv_transpose;
mod cropping;
mod cropping1d;
mod cropping2d;
mod cropping3d;
mod dense;
mod depthwise_conv2d;
mod dropout;
mod elu;
mod embedding;
mod flatten;
mod gaussian_noise;
mod global_average_pooling1d;
mod global_average_pooling2d;
mod global_average_pooling3d;
mod global_max_pooling1d;
mod global_max_pooling2d;
mod global_max_pooling3d;
mod group_normalization;
mod gru;
mod layer_normalization;
mod leaky_relu;
mod lstm;
mod masks;
mod max_pooling1d;
mod max_pooling2d;
mod max_pooling3d;
mod maximum;
mod merge;
mod minimum;
mod multi_head_attention;
mod multiply;
mod normalization;
mod patch_embedding;
mod permute;
mod pooling;
mod position_embedding;
mod positional_encoding;
mod prelu;
mod random_brightness;
mod random_contrast;
mod random_crop;
mod random_flip;
mod random_rotation;
mod random_translation;
mod random_zoom;
mod recurrent;
#[cfg(test)]
mod refusals;
mod relu;
mod repeat_vector;
mod rescaling;
mod reshape;
mod resizing;
mod rms_normalization;
mod sampling;
mod separable_conv;
mod separable_conv1d;
mod separable_conv2d;
#[cfg(test)]
mod sequences;
mod sides;
mod simple_rnn;
mod softmax;
mod spatial_dropout;
mod spatial_dropout1d;
mod spatial_dropout2d;
mod subtract;
mod take;
mod time_distributed;
mod token_and_position_embedding;
mod transformer;
mod transformer_decoder;
mod transformer_encoder;
mod up_sampling;
mod up_sampling1d;
mod up_sampling2d;
mod up_sampling3d;
mod zero_padding;
mod zero_padding1d;
mod zero_padding2d;
mod zero_padding3d;

/// A word of `[[layers]]` with its keys read.
pub trait Layer: Debug + Send + Sync {
    /// Adds the layer's ops to the graph; shapes are checked as they are added.
    fn lower(&self, g: &mut Builder<'_>, x: &[Var]) -> Result<Var, Mismatch>;

    /// How many inputs it takes.
    fn arity(&self) -> Arity {
        Arity::One
    }

    /// Whether its output's time steps are those of its (first masked) input, so that their mask holds
    /// for it too; Keras: `supports_masking`. A layer that makes or changes a mask sets it in `lower`.
    fn passes_mask(&self) -> bool {
        false
    }

    /// The layers that it stands for, one for each of its outputs, if it has several.
    fn parts(&self) -> Vec<Part> {
        vec![]
    }

    /// The loss that it adds with `Builder::add_loss`: its name, and what it counts in the sum.
    fn term(&self) -> Option<(&'static str, f64)> {
        None
    }

    /// How far along a sequence it looks in inference.
    fn reach(&self) -> Reach {
        if self.passes_mask() { Reach::Step } else { Reach::Sample }
    }

    /// Whether it moves in training what a picture shows, so that a mask would have to move along.
    fn moves_pixels(&self) -> bool {
        false
    }

    /// Whether its weights `mean` and `variance` are those of the training part's inputs, channel by
    /// channel, taken before training; Keras: `adapt`.
    fn adapts(&self) -> bool {
        false
    }
}

/// Adds a layer's ops to the graph, and hands on its input's mask where the layer lets it pass.
pub fn lower(layer: &dyn Layer, g: &mut Builder<'_>, x: &[Var]) -> Result<Var, Mismatch> {
    let y = layer.lower(g, x)?;
    if layer.passes_mask()
        && g.mask(y).is_none()
        && let Some(mask) = x.iter().find_map(|x| g.mask(*x))
    {
        g.set_mask(y, mask);
    }
    Ok(y)
}

/// One of several outputs of a layer, and all that it takes to make it: it shares nothing with the others.
#[derive(Debug)]
pub struct Part {
    /// The output is `LAYER/NAME` in `from`, and its weights are found there.
    pub name: String,
    pub layer: Box<dyn Layer>,
}

/// How many inputs a layer takes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Arity {
    One,
    /// One, or as many as this.
    UpTo(usize),
    /// Two or more: merges.
    Many,
}

/// What a time step of a layer's output depends on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Reach {
    /// That step of the input alone.
    Step,
    /// Other steps of the sample too, or the step's place in it.
    Sample,
    /// All steps before it, also those of the samples before, whose state goes on.
    Walk,
}

/// A layer's row in the table.
pub type LayerEntry = Entry<dyn Layer>;

/// Every layer there is.
pub static LAYERS: Registry<dyn Layer> = Registry {
    kind: "layer",
    entries: &[
        activation::ENTRY,
        add::ENTRY,
        average::ENTRY,
        average_pooling1d::ENTRY,
        average_pooling2d::ENTRY,
        average_pooling3d::ENTRY,
        batch_normalization::ENTRY,
        bidirectional::ENTRY,
        class_token::ENTRY,
        concatenate::ENTRY,
        conv1d::ENTRY,
        conv1d_transpose::ENTRY,
        conv2d::ENTRY,
        conv2d_transpose::ENTRY,
        conv3d::ENTRY,
        conv3d_transpose::ENTRY,
        cropping1d::ENTRY,
        cropping2d::ENTRY,
        cropping3d::ENTRY,
        dense::ENTRY,
        depthwise_conv2d::ENTRY,
        dropout::ENTRY,
        elu::ENTRY,
        embedding::ENTRY,
        flatten::ENTRY,
        gaussian_noise::ENTRY,
        global_average_pooling1d::ENTRY,
        global_average_pooling2d::ENTRY,
        global_average_pooling3d::ENTRY,
        global_max_pooling1d::ENTRY,
        global_max_pooling2d::ENTRY,
        global_max_pooling3d::ENTRY,
        group_normalization::ENTRY,
        gru::ENTRY,
        layer_normalization::ENTRY,
        leaky_relu::ENTRY,
        lstm::ENTRY,
        max_pooling1d::ENTRY,
        max_pooling2d::ENTRY,
        max_pooling3d::ENTRY,
        maximum::ENTRY,
        minimum::ENTRY,
        multi_head_attention::ENTRY,
        multiply::ENTRY,
        normalization::ENTRY,
        patch_embedding::ENTRY,
        permute::ENTRY,
        position_embedding::ENTRY,
        positional_encoding::ENTRY,
        prelu::ENTRY,
        random_brightness::ENTRY,
        random_contrast::ENTRY,
        random_crop::ENTRY,
        random_flip::ENTRY,
        random_rotation::ENTRY,
        random_translation::ENTRY,
        random_zoom::ENTRY,
        relu::ENTRY,
        repeat_vector::ENTRY,
        rescaling::ENTRY,
        reshape::ENTRY,
        resizing::ENTRY,
        rms_normalization::ENTRY,
        sampling::ENTRY,
        separable_conv1d::ENTRY,
        separable_conv2d::ENTRY,
        simple_rnn::ENTRY,
        softmax::ENTRY,
        spatial_dropout1d::ENTRY,
        spatial_dropout2d::ENTRY,
        subtract::ENTRY,
        take::ENTRY,
        time_distributed::ENTRY,
        token_and_position_embedding::ENTRY,
        transformer_decoder::ENTRY,
        transformer_encoder::ENTRY,
        up_sampling1d::ENTRY,
        up_sampling2d::ENTRY,
        up_sampling3d::ENTRY,
        zero_padding1d::ENTRY,
        zero_padding2d::ENTRY,
        zero_padding3d::ENTRY,
    ],
};

/// The single input of a layer that takes one.
fn one(x: &[Var]) -> Var {
    x[0]
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::graph::Mode;
    use crate::testing::battery::LayerCase;
    use crate::testing::golden;

    #[test]
    fn outputs_and_gradients_are_keras_s() {
        let files =
            ["layers.json", "recurrent.json", "attention.json", "families.json", "preprocessing.json"]
                .map(golden::load);
        let mut compared = 0;
        for case in files.iter().flat_map(golden::cases) {
            let name = golden::text(case, "name");
            let toml = golden::text(case, "toml");
            let kind = toml
                .lines()
                .next()
                .and_then(|l| l.split('"').nth(1))
                .expect("a fragment starts with its type");
            if LAYERS.find(kind).is_none() {
                continue;
            }
            compared += 1;
            let inputs: Vec<_> = case["inputs"].as_array().unwrap().iter().map(golden::tensor).collect();
            let batch = inputs[0].shape()[0];
            let shapes: Vec<&[usize]> = inputs.iter().map(|x| &x.shape()[1..]).collect();
            let flat = |a: &ndarray::ArrayD<f64>| a.iter().copied().collect::<Vec<f64>>();
            // Layers in a row stand apart by an empty line.
            let mut layer = match (case.get("part"), toml.split("\n\n").collect::<Vec<_>>()) {
                (Some(part), _) => LayerCase::part(toml, part.as_str().unwrap(), &shapes),
                (None, stack) if stack.len() == 1 => LayerCase::new(toml, &shapes),
                (None, stack) => LayerCase::stack(&stack, &shapes),
            };
            layer.mode = if case["training"].as_bool().unwrap() { Mode::Train } else { Mode::Eval };
            layer.mask = case.get("mask").map(|mask| flat(&golden::tensor(mask)));
            let weights = |weight: &str, size: usize| {
                let values = flat(&golden::tensor(&case["weights"][weight]));
                assert_eq!(values.len(), size, "{name}: {weight}");
                Some(values)
            };
            let inputs: Vec<Vec<f64>> = inputs.iter().map(flat).collect();
            let refs: Vec<&[f64]> = inputs.iter().map(Vec::as_slice).collect();
            let cotangent = flat(&golden::tensor(&case["output_grad"]));
            let run = layer.run_with(&refs, &cotangent, batch, batch, 2, true, weights);
            let expected = golden::tensor(&case["output"]);
            assert_eq!(layer.output_shape().full(batch), expected.shape(), "{name}: shape");
            golden::all_close(&run.output, &flat(&expected), 1e-5, name);
            for (i, grad) in case["input_grads"].as_array().unwrap().iter().enumerate() {
                golden::all_close(
                    &run.input_grads[i],
                    &flat(&golden::tensor(grad)),
                    1e-5,
                    &format!("{name}: input {i}"),
                );
            }
            assert_eq!(
                case["weight_grads"].as_object().unwrap().len(),
                run.weight_grads.len(),
                "{name}: trainable weights"
            );
            for (weight, grad) in &run.weight_grads {
                let expected = flat(&golden::tensor(&case["weight_grads"][weight]));
                golden::all_close(grad, &expected, 1e-5, &format!("{name}: gradient of {weight}"));
            }
            for (weight, after) in case["weights_after"].as_object().into_iter().flatten() {
                let ours = &run.weights.iter().find(|(n, _)| n == weight).unwrap().1;
                golden::all_close(
                    ours,
                    &flat(&golden::tensor(after)),
                    1e-5,
                    &format!("{name}: {weight} after"),
                );
            }
        }
        assert!(compared > 0);
    }
}
