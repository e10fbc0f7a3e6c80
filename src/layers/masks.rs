//! Masks of what several inputs give together.

use crate::graph::{Builder, Mismatch, Var};
use crate::ops::concatenate::Concatenate;
use crate::ops::mask::AllOnes;
use crate::ops::merge::Merge;
use crate::shape::Shape;

/// A merged step counts if it counts in one of the inputs: always, if an input has no mask.
pub fn merged(g: &mut Builder<'_>, x: &[Var], y: Var) -> Result<(), Mismatch> {
    let Some(mut masks) = x.iter().map(|x| g.mask(*x)).collect::<Option<Vec<Var>>>() else { return Ok(()) };
    masks.sort_unstable();
    masks.dedup();
    let mask = if masks.len() == 1 { masks[0] } else { g.push(Merge::Maximum, &masks)? };
    g.set_mask(y, mask);
    Ok(())
}

/// Sequences one after the other in time keep their masks; steps of inputs without one count.
pub fn joined(g: &mut Builder<'_>, x: &[Var], y: Var) -> Result<(), Mismatch> {
    let Some(known) = x.iter().find_map(|x| g.mask(*x)) else { return Ok(()) };
    let mut masks = vec![];
    for x in x {
        masks.push(match g.mask(*x) {
            Some(mask) => mask,
            None => g.push(AllOnes { steps: g.shape(*x).dims[0] }, &[known])?,
        });
    }
    let shapes: Vec<&Shape> = masks.iter().map(|m| g.shape(*m)).collect();
    let op = Concatenate::new(&shapes, 0)?;
    let mask = g.push(op, &masks)?;
    g.set_mask(y, mask);
    Ok(())
}

#[cfg(test)]
mod tests {
    use crate::graph::{Builder, Mode, Params, Var};
    use crate::layers;
    use crate::shape::Shape;
    use crate::testing::battery::LayerCase;
    use crate::testing::golden::all_close;
    use crate::testing::words::parse;

    #[test]
    fn padding_changes_nothing() {
        let embed = "type = \"Embedding\"\ninput_dim = 5\noutput_dim = 4\nmask_zero = true";
        let pool = "type = \"GlobalAveragePooling1D\"";
        for middle in [
            &["type = \"MultiHeadAttention\"\nnum_heads = 2\nkey_dim = 3"][..],
            &["type = \"MultiHeadAttention\"\nnum_heads = 2\nkey_dim = 3\nuse_causal_mask = true"],
            &["type = \"ClassToken\"", "type = \"TransformerEncoder\"\nnum_heads = 2\nintermediate_dim = 3"],
            &["type = \"TransformerDecoder\"\nnum_heads = 1\nintermediate_dim = 3\nnormalize_first = true"],
            &["type = \"RMSNormalization\"", "type = \"PositionalEncoding\"", "type = \"Dropout\"\nrate = 0"],
        ] {
            let stack = [&[embed], middle, &[pool]].concat();
            let run = |tokens: &[f64]| {
                LayerCase::stack(&stack, &[&[tokens.len()]]).run(&[tokens], &[1.0, 2.0, 3.0, 4.0], 1)
            };
            let (short, long) = (run(&[3.0, 1.0, 4.0, 1.0]), run(&[3.0, 1.0, 4.0, 1.0, 0.0, 0.0, 0.0]));
            all_close(&long.output, &short.output, 1e-6, &format!("{middle:?}"));
            for (ours, (name, theirs)) in long.weight_grads.iter().zip(&short.weight_grads) {
                all_close(&ours.1, theirs, 1e-5, &format!("{middle:?}: {name}"));
            }
        }
    }

    #[test]
    fn where_nothing_counts_the_mean_is_zero() {
        let embed = "type = \"Embedding\"\ninput_dim = 5\noutput_dim = 2\nmask_zero = true";
        let case = LayerCase::stack(&[embed, "type = \"GlobalAveragePooling1D\""], &[&[3]]);
        assert_eq!(case.run(&[&[0.0; 3]], &[1.0, 1.0], 1).output, [0.0, 0.0]);
    }

    /// The op that makes the mask of what a layer gives for sequences with masks, or without.
    fn mask_of(toml: &str, masked: [bool; 2], dims: [&[usize]; 2]) -> Option<&'static str> {
        let mut params = Params::default();
        let mut g = Builder::new(&mut params, Mode::Train, 0);
        let x: Vec<Var> = dims.iter().map(|d| g.input(Shape::batch(*d))).collect();
        for (x, _) in x.iter().zip(masked).filter(|(_, masked)| *masked) {
            let steps = g.shape(*x).dims[0];
            let mask = g.input(Shape::batch([steps]));
            g.set_mask(*x, mask);
        }
        let y = layers::lower(&*parse(toml).unwrap(), &mut g, &x).unwrap();
        let mask = g.mask(y)?;
        assert_eq!(g.shape(mask).dims, g.shape(y).dims[..1], "{toml}");
        Some(g.graph.producer(mask).map_or("input", |node| node.op.name()))
    }

    #[test]
    fn merges_have_a_mask_if_all_inputs_have_one() {
        let same: [&[usize]; 2] = [&[3, 2], &[3, 2]];
        assert_eq!(mask_of("type = \"Add\"", [true, true], same), Some("maximum"));
        assert_eq!(mask_of("type = \"Multiply\"", [true, false], same), None);
        assert_eq!(mask_of("type = \"Concatenate\"", [true, true], same), Some("maximum"));
        assert_eq!(mask_of("type = \"Concatenate\"", [false, true], same), None);
        let time = "type = \"Concatenate\"\naxis = 1";
        assert_eq!(mask_of(time, [true, true], [&[3, 2], &[4, 2]]), Some("concatenate"));
        assert_eq!(mask_of(time, [false, true], [&[3, 2], &[4, 2]]), Some("concatenate"));
        assert_eq!(mask_of(time, [false, false], [&[3, 2], &[4, 2]]), None);
    }

    #[test]
    fn attention_has_the_mask_of_its_query() {
        let toml = "type = \"MultiHeadAttention\"\nnum_heads = 1\nkey_dim = 2";
        assert_eq!(mask_of(toml, [true, false], [&[3, 2], &[4, 2]]), Some("input"));
        assert_eq!(mask_of(toml, [false, true], [&[3, 2], &[4, 2]]), None);
        let toml = "type = \"TransformerDecoder\"\nnum_heads = 1\nintermediate_dim = 2";
        assert_eq!(mask_of(toml, [true, true], [&[3, 2], &[4, 2]]), Some("input"));
        assert_eq!(mask_of(toml, [false, true], [&[3, 2], &[4, 2]]), None);
    }
}
