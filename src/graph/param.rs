//! Parameters: declared by layers, laid out in one flat block.

use std::fmt::Debug;
use std::ops::Range;
use std::sync::Arc;

use crate::kernels::aligned::round_up;

/// How a parameter's first values are drawn. Implementations are in `initializers`.
pub trait Init: Debug + Send + Sync {
    /// Fills `out`, a tensor of this shape (kernels: fan-out last), from the seed and the path.
    fn fill(&self, shape: &[usize], seed: u64, path: &str, out: &mut [f32]);

    /// What is wrong with using it for this shape, if anything.
    fn check(&self, shape: &[usize]) -> Option<String> {
        let _ = shape;
        None
    }
}

/// A term that a regularizer adds to the loss: `l1 * sum |w| + l2 * sum w^2`.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Penalty {
    pub l1: f64,
    pub l2: f64,
}

/// One weight tensor.
#[derive(Clone, Debug)]
pub struct ParamDecl {
    /// `<layer>/<weight>`: checkpoint key and name in messages.
    pub path: String,
    pub shape: Vec<usize>,
    pub init: Arc<dyn Init>,
    /// Trained by the optimizer; moving statistics are not.
    pub trainable: bool,
    /// Carried from one run of a program to the next, from zeros at the start of a walk: no weight, and no
    /// part of a checkpoint.
    pub carried: bool,
    pub penalty: Option<Penalty>,
}

impl ParamDecl {
    pub fn size(&self) -> usize {
        self.shape.iter().product()
    }
}

/// All parameters of a model, in the order of their declaration.
#[derive(Clone, Debug, Default)]
pub struct Params {
    pub decls: Vec<ParamDecl>,
}

impl Params {
    pub fn find(&self, path: &str) -> Option<usize> {
        self.decls.iter().position(|d| d.path == path)
    }

    /// Where each parameter lies in the flat block: trainable ones first, each starting on a cache
    /// line, so that the optimizer walks one contiguous range.
    pub fn layout(&self) -> Layout {
        let mut ranges = vec![0..0; self.decls.len()];
        let mut end = 0;
        let mut trainable_len = 0;
        for trainable in [true, false] {
            for (range, decl) in ranges.iter_mut().zip(&self.decls).filter(|(_, d)| d.trainable == trainable)
            {
                *range = end..end + decl.size();
                end = round_up(range.end);
            }
            if trainable {
                trainable_len = end;
            }
        }
        let mut trainable: Vec<Range<usize>> =
            ranges.iter().zip(&self.decls).filter(|(_, d)| d.trainable).map(|(r, _)| r.clone()).collect();
        trainable.sort_by_key(|r| r.start);
        Layout { ranges, trainable, trainable_len, len: end }
    }

    /// Number of weights, trainable and not.
    pub fn counts(&self) -> (usize, usize) {
        let weights = || self.decls.iter().filter(|d| !d.carried);
        let count = |trainable| weights().filter(|d| d.trainable == trainable).map(ParamDecl::size).sum();
        (count(true), count(false))
    }
}

/// Places in the flat parameter block.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Layout {
    /// One per declared parameter.
    pub ranges: Vec<Range<usize>>,
    /// Those of the trainable ones, in increasing order.
    pub trainable: Vec<Range<usize>>,
    /// The block's head that holds all trainable parameters.
    pub trainable_len: usize,
    pub len: usize,
}
