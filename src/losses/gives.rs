//! Which numbers an output can be, where the op that made it says so.

use std::any::Any;

use crate::graph::{Graph, Var};
use crate::ops::function::{Affine, Function, Pointwise};
use crate::ops::map::Map;
use crate::ops::softmax::Softmax;

/// An activation that made an output, and the bounds of what it gives.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Gives {
    pub name: &'static str,
    pub low: f32,
    pub high: f32,
}

/// Functions that have bounds have reached them there, and others are beyond all that is asked for.
const PROBES: [f32; 11] = [-1e4, -100.0, -3.0, -1.0, -0.1, 0.0, 0.1, 1.0, 3.0, 100.0, 1e4];

impl Gives {
    /// None if it is no activation's, element-wise or softmax.
    pub fn of(graph: &Graph, output: Var) -> Option<Gives> {
        let node = graph.producer(output)?;
        let op: &dyn Any = &*node.op;
        if let Some(map) = op.downcast_ref::<Map>() {
            return match map.f.name() == Affine::NAME {
                true => Some(Gives::of(graph, node.inputs[0])?.rescaled(&*map.f)),
                false => Some(Gives::function(&*map.f)),
            };
        }
        let softmax = op.downcast_ref::<Softmax>().filter(|softmax| softmax.gives_probabilities());
        softmax.map(|_| Gives { name: "softmax", low: 0.0, high: 1.0 })
    }

    fn function(f: &dyn Function) -> Gives {
        let mut values = [0.0; PROBES.len()];
        f.apply(&PROBES, &mut values);
        let (low, high) = values.iter().fold((f32::MAX, f32::MIN), |(l, h), v| (l.min(*v), h.max(*v)));
        Gives { name: f.name(), low, high }
    }

    /// Behind a `Rescaling`.
    fn rescaled(self, f: &dyn Function) -> Gives {
        let mut ends = [self.low, self.high];
        f.apply_in_place(&mut ends);
        Gives { low: ends[0].min(ends[1]), high: ends[0].max(ends[1]), ..self }
    }

    pub fn probabilities(self) -> bool {
        self.low >= 0.0 && self.high <= 1.0
    }

    /// Whether it goes no further than 1 to either side.
    pub fn narrow(self) -> bool {
        self.low >= -1.0 && self.high <= 1.0
    }

    /// `from -1 to 1`, `from 0 on`.
    pub fn words(self) -> String {
        let far = PROBES[PROBES.len() - 1] / 100.0;
        match (self.low > -far, self.high < far) {
            (true, true) => format!("numbers from {:.3} to {:.3}", self.low, self.high).replace(".000", ""),
            (true, false) => format!("numbers from {:.3} on", self.low).replace(".000", ""),
            (false, true) => format!("numbers up to {:.3}", self.high).replace(".000", ""),
            (false, false) => "any numbers".into(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::activations::ACTIVATIONS;

    #[test]
    fn functions_are_told_apart_by_their_bounds() {
        for (word, probabilities, narrow, words) in [
            ("sigmoid", true, true, "numbers from 0 to 1"),
            ("hard_sigmoid", true, true, "numbers from 0 to 1"),
            ("tanh", false, true, "numbers from -1 to 1"),
            ("softsign", false, true, "numbers from -1 to 1"),
            ("relu", false, false, "numbers from 0 on"),
            ("relu6", false, false, "numbers from 0 to 6"),
            ("leaky_relu", false, false, "any numbers"),
        ] {
            let f = ACTIVATIONS.make(word).0.function().unwrap();
            let gives = Gives::function(&*f);
            assert_eq!((gives.probabilities(), gives.narrow()), (probabilities, narrow), "{word}: {gives:?}");
            assert_eq!(gives.words(), words);
        }
    }
}
