//! What the transposed convolutions share: keys, sizes, and `y = activation(conv_transpose(x, kernel) + bias)`.
//!
//! x `[N, sizes.., C]`, kernel `[kernel_size.., filters, C]`, bias `[filters]`, y `[N, sizes'.., filters]`: y is what the
//! gradient of a convolution with these windows gives its input, if x is that of its outputs. Without
//! `output_padding`, sizes' are sizes * strides with padding `"same"`, and as much larger as the kernel
//! exceeds its stride with `"valid"`. Keras: `layers.Conv1DTranspose`, `Conv2DTranspose`, `Conv3DTranspose`.

use crate::config::fields::Fields;
use crate::graph::{Builder, Mismatch, Var, check_size};
use crate::layers::conv2d::{Filters, read_windows};
use crate::layers::{Layer, axes, one};
use crate::ops::volume_conv::VolumeConv;
use crate::shape::{Padding, Shape, Window};

/// A transposed convolution along `D` axes.
#[derive(Debug)]
pub struct ConvTranspose<const D: usize> {
    windows: [Window; D],
    output_padding: Option<[usize; D]>,
    rest: Filters,
}

impl<const D: usize> ConvTranspose<D> {
    pub fn read(f: &mut Fields<'_>) -> ConvTranspose<D> {
        let windows = read_windows::<D>(f);
        let output_padding: Option<[usize; D]> = f.key("output_padding").optional();
        for (extra, window) in output_padding.iter().flatten().zip(&windows) {
            refuse_output_padding(f, *extra, window);
        }
        ConvTranspose { windows, output_padding, rest: Filters::read_ungrouped(f) }
    }

    /// Sizes of the output.
    fn sizes(&self, input: &[usize]) -> [usize; D] {
        std::array::from_fn(|i| self.windows[i].transposed(input[i], self.output_padding.map(|p| p[i])))
    }
}

/// Refuses what leaves no output whose windows are the input.
fn refuse_output_padding(f: &mut Fields<'_>, extra: usize, window: &Window) {
    let (stride, reach) = (window.stride, window.reach());
    if extra >= stride {
        let hint = "without it, the output is as large as Keras makes it by itself";
        let message = format!("{extra} must be less than the stride {stride}");
        f.error("output_padding", message, Some(hint.into()));
    } else if window.padding == Padding::Same && reach % 2 + extra == 0 {
        let message = format!("0 does not go with padding = \"same\" and an even kernel of {reach}");
        let hint = format!("leave it out: the output is then the input times the stride {stride}");
        f.error("output_padding", message, Some(hint));
    }
}

impl<const D: usize> Layer for ConvTranspose<D> {
    fn lower(&self, g: &mut Builder<'_>, x: &[Var]) -> Result<Var, Mismatch> {
        let x = one(x);
        let shape = g.shape(x).clone();
        axes::check_places::<D>(&shape)?;
        let (sizes, filters) = (self.sizes(&shape.dims), self.rest.filters);
        check_size(&Shape::batch([&sizes[..], &[filters]].concat()), "its output")?;
        let kernel = self.windows.iter().map(|w| w.kernel).chain([filters, shape.last()]).collect();
        let inputs = self.rest.inputs(g, x, kernel)?;
        let single = Window { kernel: 1, stride: 1, dilation: 1, padding: Padding::Valid };
        // Axes that are missing come first.
        let windows = std::array::from_fn(|i| if i + D < 3 { single } else { self.windows[i + D - 3] });
        let sizes = std::array::from_fn(|i| if i + D < 3 { 1 } else { sizes[i + D - 3] });
        let y = g.push(VolumeConv::transposed(windows, sizes, filters, shape.last()), &inputs)?;
        self.rest.activation.lower(g, y)
    }
}

#[cfg(test)]
mod tests {
    use crate::layers::conv2d::convolutions::check;

    #[test]
    fn gradients_of_a_batch_are_sums_over_its_images() {
        let toml = "type = \"Conv2DTranspose\"\nactivation = \"relu\"\nstrides = 2\n";
        check(&format!("{toml}filters = 8\nkernel_size = 4\npadding = \"same\""), &[5, 6, 9]);
        check(&format!("{toml}filters = 17\nkernel_size = 2"), &[7, 5, 3]);
        check(&format!("{toml}filters = 1\nkernel_size = 5\npadding = \"same\""), &[7, 8, 16]);
        let volume = "type = \"Conv3DTranspose\"\nfilters = 8\nkernel_size = 3\nstrides = 2";
        check(volume, &[2, 3, 2, 9]);
    }
}
