//! One spatial axis of a convolution: borders, and which taps of the kernel reach which input.

use std::ops::Range;

use crate::shape::Window;

/// Sizes and borders along one axis.
///
/// Output `o` reads the padded input at `o * stride + tap * dilation`. The other way round, input
/// `i` gets its gradient from the outputs that [`Axis::taps`] names; a border of zeros around the
/// output's gradient makes all of them exist.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Axis {
    pub input: usize,
    pub output: usize,
    pub kernel: usize,
    pub stride: usize,
    pub dilation: usize,
    /// Zeros before and after the input.
    pub before: usize,
    pub after: usize,
    /// Zeros before and after the output's gradient.
    pub grad_before: usize,
    pub grad_after: usize,
}

/// The outputs that an input position reaches, in ascending order, and the taps of the reversed
/// kernel that lead there.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Taps {
    pub count: usize,
    /// Position of the first in the bordered gradient, and distance to the next.
    pub first: usize,
    pub step: usize,
    /// Tap of the reversed kernel that belongs to the first, and distance to the next.
    pub tap: usize,
    pub tap_step: usize,
}

impl Axis {
    /// # Panics
    /// If both stride and dilation are more than 1, which no layer offers.
    pub fn new(window: &Window, input: usize) -> Axis {
        assert!(window.stride == 1 || window.dilation == 1, "stride or dilation, not both: {window:?}");
        let (before, after) = window.pads(input);
        let output = window.output(input);
        let &Window { kernel, stride, dilation, .. } = window;
        let mut axis =
            Axis { input, output, kernel, stride, dilation, before, after, grad_before: 0, grad_after: 0 };
        for i in 0..input {
            let (count, last) = axis.outputs_of(i);
            if count > 0 {
                axis.grad_before = axis.grad_before.max(((count - 1) * dilation).saturating_sub(last));
                axis.grad_after = axis.grad_after.max((last + 1).saturating_sub(output));
            }
        }
        axis
    }

    /// The same with the first outputs only: a border that they do not reach is left away.
    pub fn first_outputs(self, count: usize) -> Axis {
        let output = self.output.min(count);
        let reach = output.saturating_sub(1) * self.stride + (self.kernel - 1) * self.dilation + 1;
        Axis { output, after: self.after.min(reach.saturating_sub(self.before + self.input)), ..self }
    }

    /// Length of the input with its border.
    pub fn padded(&self) -> usize {
        self.before + self.input + self.after
    }

    /// Length of the output's gradient with its border.
    pub fn bordered(&self) -> usize {
        self.grad_before + self.output + self.grad_after
    }

    /// Inputs that some neighbouring outputs read.
    pub fn span(&self, outputs: usize) -> usize {
        (outputs - 1) * self.stride + (self.kernel - 1) * self.dilation + 1
    }

    /// How many outputs input `i` reaches, the border counted in, and the last of them.
    fn outputs_of(&self, i: usize) -> (usize, usize) {
        let padded = i + self.before;
        // Taps that are `stride` apart: those that meet this input at some output.
        let count = self.kernel.saturating_sub(padded % self.stride).div_ceil(self.stride);
        (count, padded / self.stride)
    }

    /// What input `i` reaches, the border counted in: inputs a stride apart reach successive outputs
    /// through the same taps.
    pub fn taps(&self, i: usize) -> Taps {
        let (count, last) = self.outputs_of(i);
        if count == 0 {
            return Taps { count, first: 0, step: 0, tap: 0, tap_step: 0 };
        }
        Taps {
            count,
            first: self.grad_before + last - (count - 1) * self.dilation,
            step: self.dilation,
            tap: self.kernel - 1 - (i + self.before) % self.stride - (count - 1) * self.stride,
            tap_step: self.stride,
        }
    }

    /// As [`Axis::taps`] without the border: only outputs that exist, counted from the first.
    pub fn inner_taps(&self, i: usize) -> Taps {
        let taps = self.taps(i);
        let below = self.grad_before.saturating_sub(taps.first).div_ceil(self.dilation);
        let above = (self.grad_before + self.output).saturating_sub(taps.first).div_ceil(self.dilation);
        match above.min(taps.count).saturating_sub(below) {
            0 => Taps { count: 0, first: 0, tap: 0, ..taps },
            count => Taps {
                count,
                first: taps.first + below * taps.step - self.grad_before,
                tap: taps.tap + below * taps.tap_step,
                ..taps
            },
        }
    }

    /// Taps of output `o` that fall on an input and not on the border.
    pub fn inner(&self, o: usize) -> Range<usize> {
        within(o * self.stride, self.dilation, self.kernel, self.before, self.input)
    }

    /// Outputs whose tap falls on an input and not on the border.
    pub fn outputs_through(&self, tap: usize) -> Range<usize> {
        within(tap * self.dilation, self.stride, self.output, self.before, self.input)
    }

    /// Inputs between the first and the last that these outputs read.
    pub fn inputs_of(&self, outputs: &Range<usize>) -> Range<usize> {
        let end = (outputs.end - 1) * self.stride + (self.kernel - 1) * self.dilation + 1;
        let start = (outputs.start * self.stride).saturating_sub(self.before).min(self.input);
        start..end.saturating_sub(self.before).clamp(start, self.input)
    }
}

/// The numbers j below `count` for which `from + j * step` lies in `before..before + len`.
fn within(from: usize, step: usize, count: usize, before: usize, len: usize) -> Range<usize> {
    let start = before.saturating_sub(from).div_ceil(step);
    let end = (before + len).saturating_sub(from).div_ceil(step).min(count);
    if start < end { start..end } else { 0..0 }
}

impl Taps {
    /// Tap number `j` alone; none where there is none.
    pub fn one(self, j: usize) -> Taps {
        if j >= self.count {
            return Taps { count: 0, first: 0, tap: 0, ..self };
        }
        Taps { count: 1, first: self.first + j * self.step, tap: self.tap + j * self.tap_step, ..self }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::shape::Padding;

    /// Every pair (output, tap) that reads an input is among that input's taps, and no other.
    #[test]
    fn taps_invert_the_windows() {
        let each = |padding, kernel, stride, dilation, input| {
            let window = Window { kernel, stride, dilation, padding };
            if window.output(input) == 0 {
                return;
            }
            let axis = Axis::new(&window, input);
            for i in 0..input {
                let mut expected = vec![];
                for o in 0..axis.output {
                    for tap in 0..kernel {
                        if o * stride + tap * dilation == i + axis.before {
                            expected.push((o, tap));
                        }
                    }
                }
                let taps = axis.taps(i);
                let inside = |at: usize| (axis.grad_before..axis.grad_before + axis.output).contains(&at);
                let found: Vec<_> = (0..taps.count)
                    .map(|j| (taps.first + j * taps.step, kernel - 1 - taps.tap - j * taps.tap_step))
                    .inspect(|(at, _)| assert!(*at < axis.bordered()))
                    .filter(|(at, _)| inside(*at))
                    .map(|(at, tap)| (at - axis.grad_before, tap))
                    .collect();
                assert_eq!(found, expected, "{window:?} over {input}, input {i}");
                let taps = axis.inner_taps(i);
                let inner: Vec<_> = (0..taps.count)
                    .map(|j| taps.one(j))
                    .map(|one| (one.first, kernel - 1 - one.tap))
                    .collect();
                assert_eq!(inner, expected, "{window:?} over {input}, input {i} without border");
            }
            let real = |o: usize, tap: usize| {
                (axis.before..axis.before + input).contains(&(o * stride + tap * dilation))
            };
            for o in 0..axis.output {
                let inner = axis.inner(o);
                assert!((0..kernel).all(|tap| inner.contains(&tap) == real(o, tap)), "{axis:?}, output {o}");
                let inputs = axis.inputs_of(&(o..o + 1));
                let read = inner.map(|tap| o * stride + tap * dilation - axis.before);
                assert!(inputs.end <= input && read.into_iter().all(|i| inputs.contains(&i)));
            }
            for tap in 0..kernel {
                let through = axis.outputs_through(tap);
                assert!(
                    (0..axis.output).all(|o| through.contains(&o) == real(o, tap)),
                    "{axis:?}, tap {tap}"
                );
            }
        };
        for padding in [Padding::Valid, Padding::Same, Padding::Causal] {
            for kernel in 1..=5 {
                for input in 1..=9 {
                    for step in 1..=3 {
                        each(padding, kernel, step, 1, input);
                        each(padding, kernel, 1, step, input);
                    }
                }
            }
        }
    }
}
