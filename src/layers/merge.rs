//! What the merging layers share: several inputs of one shape, one op.

use crate::graph::{Builder, Mismatch, Var};
use crate::layers::{Arity, Layer, Reach, masks};
use crate::ops::channel_scale::ChannelScale;
use crate::ops::merge::Merge;

/// A layer that combines its inputs element by element.
#[derive(Debug)]
pub struct Merging(pub Merge);

impl Layer for Merging {
    fn lower(&self, g: &mut Builder<'_>, x: &[Var]) -> Result<Var, Mismatch> {
        let y = match (self.0, scales(g, x)) {
            (Merge::Multiply, Some((scale, inputs))) => g.push(scale, &inputs)?,
            _ => g.push(self.0, x)?,
        };
        masks::merged(g, x, y)?;
        Ok(y)
    }

    fn arity(&self) -> Arity {
        Arity::Many
    }

    fn reach(&self) -> Reach {
        Reach::Step
    }
}

/// Two inputs of which one has a factor for each channel of the other, which comes first then.
fn scales(g: &Builder<'_>, x: &[Var]) -> Option<(ChannelScale, [Var; 2])> {
    let &[a, b] = x else { return None };
    let pair = |x, s| Some((ChannelScale::of(g.shape(x), g.shape(s))?, [x, s]));
    pair(a, b).or_else(|| pair(b, a))
}

#[cfg(test)]
mod tests {
    use crate::testing::battery::LayerCase;

    #[test]
    fn of_equal_numbers_the_first_input_gets_the_gradient() {
        let grads = |kind: &str, x: [f64; 3]| {
            let case = LayerCase::new(&format!("type = \"{kind}\""), &[&[1], &[1], &[1]]);
            let run = case.run(&[&x[..1], &x[1..2], &x[2..]], &[5.0], 1);
            [run.input_grads[0][0], run.input_grads[1][0], run.input_grads[2][0]]
        };
        assert_eq!(grads("Maximum", [2.0, 2.0, 2.0]), [5.0, 0.0, 0.0]);
        assert_eq!(grads("Maximum", [1.0, 2.0, 2.0]), [0.0, 5.0, 0.0]);
        assert_eq!(grads("Minimum", [3.0, 2.0, 2.0]), [0.0, 5.0, 0.0]);
    }

    #[test]
    fn no_merge_hides_nan() {
        for kind in ["Add", "Multiply", "Average", "Maximum", "Minimum"] {
            for place in 0..3 {
                let mut x = [1.0; 3];
                x[place] = f64::NAN;
                let case = LayerCase::new(&format!("type = \"{kind}\""), &[&[1], &[1], &[1]]);
                let run = case.run(&[&x[..1], &x[1..2], &x[2..]], &[1.0], 1);
                assert!(run.output[0].is_nan(), "{kind} of NaN at {place}");
            }
        }
    }
}
