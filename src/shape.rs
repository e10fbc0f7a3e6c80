//! Shapes, and the only place where output sizes of windows are computed.

use std::fmt;

/// Dimensions of a value. A batched value has a leading dimension `N`, the number of samples,
/// which is not listed in `dims`: it is known only when a batch runs.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Shape {
    pub batched: bool,
    pub dims: Vec<usize>,
}

impl Shape {
    /// One entry per sample: `[N, dims...]`.
    pub fn batch(dims: impl Into<Vec<usize>>) -> Shape {
        Shape { batched: true, dims: dims.into() }
    }

    /// The same for every batch: parameters.
    pub fn fixed(dims: impl Into<Vec<usize>>) -> Shape {
        Shape { batched: false, dims: dims.into() }
    }

    /// Numbers per sample (or in all, for a fixed shape).
    pub fn size(&self) -> usize {
        self.dims.iter().product()
    }

    /// Whether the size is within what can be counted and stored: below 2^40 numbers.
    pub fn is_sane(&self) -> bool {
        let size = self.dims.iter().try_fold(1usize, |size, d| size.checked_mul(*d));
        size.is_some_and(|size| size < 1 << 40)
    }

    /// Numbers in all for a batch of `n` samples.
    pub fn len(&self, n: usize) -> usize {
        if self.batched { n * self.size() } else { self.size() }
    }

    /// Number of dimensions, `N` included.
    pub fn rank(&self) -> usize {
        self.dims.len() + usize::from(self.batched)
    }

    /// The last dimension: channels, features or units. 1 where there is none.
    pub fn last(&self) -> usize {
        self.dims.last().copied().unwrap_or(1)
    }

    /// The same shape with another last dimension.
    pub fn with_last(&self, last: usize) -> Shape {
        let mut shape = self.clone();
        match shape.dims.last_mut() {
            Some(d) => *d = last,
            None => shape.dims.push(last),
        }
        shape
    }

    /// All dimensions for a batch of `n`.
    pub fn full(&self, n: usize) -> Vec<usize> {
        let batch = self.batched.then_some(n);
        batch.into_iter().chain(self.dims.iter().copied()).collect()
    }
}

impl fmt::Display for Shape {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut parts: Vec<String> = self.dims.iter().map(usize::to_string).collect();
        if self.batched {
            parts.insert(0, "N".into());
        }
        write!(f, "[{}]", parts.join(","))
    }
}

/// How a window meets the border; Keras's `padding`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Padding {
    /// Only windows that lie inside.
    Valid,
    /// Output size = ceil(input / stride); the odd zero goes after.
    Same,
    /// 1-D only: zeros before, so that no output sees later inputs.
    Causal,
}

crate::words!(Padding, Valid = "valid", Same = "same", Causal = "causal");

/// One dimension of a convolution or pooling.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Window {
    pub kernel: usize,
    pub stride: usize,
    pub dilation: usize,
    pub padding: Padding,
}

impl Window {
    /// Input positions that one window spans.
    pub fn reach(&self) -> usize {
        (self.kernel - 1) * self.dilation + 1
    }

    /// Number of windows over an input of this size; 0 if none fits.
    pub fn output(&self, input: usize) -> usize {
        match self.padding {
            Padding::Valid if input < self.reach() => 0,
            Padding::Valid => (input - self.reach()) / self.stride + 1,
            Padding::Same | Padding::Causal => input.div_ceil(self.stride),
        }
    }

    /// The input size whose windows are `windows`, as Keras chooses it for a transposed convolution:
    /// with `extra`, its `output_padding`, or as many as the strides give. Windows have a stride or a
    /// dilation, not both.
    pub fn transposed(&self, windows: usize, extra: Option<usize>) -> usize {
        let (reach, stride) = (self.reach(), self.stride);
        let last = windows.saturating_sub(1).saturating_mul(stride);
        let beyond = match (self.padding, extra) {
            (Padding::Same, None) => stride,
            (Padding::Same, Some(extra)) => reach % 2 + extra,
            (_, extra) => extra.map_or(reach.max(stride), |extra| reach + extra),
        };
        last.saturating_add(beyond)
    }

    /// Zeros before and after the input.
    pub fn pads(&self, input: usize) -> (usize, usize) {
        match self.padding {
            Padding::Valid => (0, 0),
            Padding::Causal => (self.reach() - 1, 0),
            Padding::Same => {
                let needed = (self.output(input).max(1) - 1) * self.stride + self.reach();
                let total = needed.saturating_sub(input);
                (total / 2, total - total / 2)
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn window(kernel: usize, stride: usize, dilation: usize, padding: Padding) -> Window {
        Window { kernel, stride, dilation, padding }
    }

    #[test]
    fn window_sizes() {
        assert_eq!(window(3, 1, 1, Padding::Valid).output(28), 26);
        assert_eq!(window(3, 2, 1, Padding::Same).output(28), 14);
        assert_eq!(window(3, 2, 1, Padding::Same).pads(28), (0, 1));
        assert_eq!(window(2, 1, 1, Padding::Same).pads(5), (0, 1));
        assert_eq!(window(3, 1, 2, Padding::Same).pads(5), (2, 2));
        assert_eq!(window(3, 1, 2, Padding::Causal).pads(5), (4, 0));
        assert_eq!(window(5, 1, 1, Padding::Valid).output(4), 0);
    }

    #[test]
    fn transposed_sizes_have_as_many_windows() {
        assert_eq!(window(4, 2, 1, Padding::Same).transposed(7, None), 14);
        assert_eq!(window(3, 2, 1, Padding::Valid).transposed(7, None), 15);
        assert_eq!(window(3, 2, 1, Padding::Valid).transposed(7, Some(1)), 16);
        assert_eq!(window(3, 2, 1, Padding::Same).transposed(7, Some(1)), 14);
        assert_eq!(window(2, 3, 1, Padding::Valid).transposed(2, None), 6);
        for (kernel, step, windows) in
            (1..6).flat_map(|k| (1..4).flat_map(move |s| [1, 2, 5].map(|w| (k, s, w))))
        {
            for padding in [Padding::Valid, Padding::Same] {
                let strided = window(kernel, step, 1, padding);
                assert_eq!(strided.output(strided.transposed(windows, None)), windows);
                for extra in 0..step {
                    let size = strided.transposed(windows, Some(extra));
                    let fits = padding == Padding::Valid || kernel % 2 + extra > 0;
                    assert_eq!(strided.output(size) == windows, fits, "{strided:?} {extra} {windows}");
                }
                let dilated = window(kernel, 1, step, padding);
                assert_eq!(dilated.output(dilated.transposed(windows, None)), windows);
            }
        }
    }

    #[test]
    fn display_names_the_batch() {
        assert_eq!(Shape::batch([28, 28, 1]).to_string(), "[N,28,28,1]");
        assert_eq!(Shape::fixed([3]).to_string(), "[3]");
    }
}
