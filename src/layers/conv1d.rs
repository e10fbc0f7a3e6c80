//! Conv1D: `y = activation(conv(x, kernel) + bias)` along time.
//!
//! x `[N, T, C]`, kernel `[K, C / groups, filters]`, bias `[filters]`, y `[N, OT, filters]`: the
//! two-dimensional convolution of images one row high. Keras: `layers.Conv1D`.

use crate::config::fields::Fields;
use crate::config::registry::Entry;
use crate::graph::{Builder, Mismatch, Var};
use crate::layers::conv2d::{Filters, check_input, refuse_stride_with_dilation};
use crate::layers::{Layer, LayerEntry, Reach, one};
use crate::shape::{Padding, Shape, Window};

pub const ENTRY: LayerEntry = Entry {
    name: "Conv1D",
    aliases: &["Convolution1D"],
    about: "convolution along time with kernels that are learned",
    parse: |f| Box::new(Conv1D { window: read_window(f), rest: Filters::read(f) }),
};

#[derive(Debug)]
struct Conv1D {
    window: Window,
    rest: Filters,
}

fn read_window(f: &mut Fields<'_>) -> Window {
    let [kernel]: [usize; 1] = f.key("kernel_size").at_least(1).required();
    let [stride]: [usize; 1] = f.key("strides").at_least(1).or([1]);
    let padding = f.key("padding").or(Padding::Valid);
    let [dilation]: [usize; 1] = f.key("dilation_rate").at_least(1).or([1]);
    refuse_stride_with_dilation(f, &[stride], &[dilation]);
    Window { kernel, stride, dilation, padding }
}

impl Layer for Conv1D {
    fn lower(&self, g: &mut Builder<'_>, x: &[Var]) -> Result<Var, Mismatch> {
        let x = one(x);
        let shape = g.shape(x).clone();
        check_input(&shape, &[self.window])?;
        let flat = Window { kernel: 1, stride: 1, dilation: 1, padding: Padding::Valid };
        let row = g.reshape(x, Shape::batch([1, shape.dims[0], shape.dims[1]]))?;
        let y = self.rest.lower(g, row, [flat, self.window], &[self.window.kernel])?;
        let out = g.shape(y).dims[1..].to_vec();
        g.reshape(y, Shape::batch(out))
    }

    fn reach(&self) -> Reach {
        match self.window.padding {
            // With 2 steps the later of both is seen already.
            Padding::Same if self.window.kernel > 1 => Reach::Ahead,
            _ => Reach::Sample,
        }
    }
}

#[cfg(test)]
crate::battery! {
    "type = \"Conv1D\"\nfilters = 3\nkernel_size = 3\nactivation = \"relu\"" on [7, 2];
    "type = \"Conv1D\"\nfilters = 2\nkernel_size = 2\npadding = \"causal\"\ndilation_rate = 2" on [5, 3];
    "type = \"Conv1D\"\nfilters = 2\nkernel_size = 4\npadding = \"causal\"\nstrides = 3" on [8, 1];
    "type = \"Conv1D\"\nfilters = 4\nkernel_size = 4\npadding = \"same\"\nstrides = 2\ngroups = 2\nactivation = \"softmax\"" on [7, 2];
    "type = \"Conv1D\"\nfilters = 2\nkernel_size = 1\nuse_bias = false" on [4, 2];
}
