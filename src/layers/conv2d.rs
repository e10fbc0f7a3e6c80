//! Conv2D: `y = activation(conv(x, kernel) + bias)`.
//!
//! x `[N, H, W, C]`, kernel `[KH, KW, C / groups, filters]`, bias `[filters]`,
//! y `[N, OH, OW, filters]`. Keras: `layers.Conv2D`.

use std::sync::Arc;

use crate::activations::{ACTIVATIONS, Activation};
use crate::config::fields::Fields;
use crate::config::registry::Entry;
use crate::graph::{Builder, Init, Mismatch, Penalty, Precision, Var};
use crate::initializers;
use crate::layers::{Layer, LayerEntry, one};
use crate::ops::conv::Conv;
use crate::ops::conv_bf16::ConvBf16;
use crate::regularizers;
use crate::shape::{Padding, Shape, Window};

pub const ENTRY: LayerEntry = Entry {
    name: "Conv2D",
    aliases: &["Convolution2D"],
    about: "convolution of images with kernels that are learned",
    parse: |f| Box::new(Conv2D { windows: read_windows(f), rest: Filters::read(f) }),
};

#[derive(Debug)]
struct Conv2D {
    windows: [Window; 2],
    rest: Filters,
}

/// The keys that convolutions share.
#[derive(Debug)]
pub(super) struct Filters {
    pub filters: usize,
    pub groups: usize,
    pub activation: Box<dyn Activation>,
    use_bias: bool,
    kernel_initializer: Arc<dyn Init>,
    bias_initializer: Arc<dyn Init>,
    kernel_regularizer: Option<Penalty>,
    bias_regularizer: Option<Penalty>,
}

impl Filters {
    pub fn read(f: &mut Fields<'_>) -> Filters {
        let filters: usize = f.key("filters").at_least(1).required();
        let groups = f.key("groups").at_least(1).or(1);
        if !filters.is_multiple_of(groups) {
            let message = format!("{filters} filters cannot be shared out to {groups} groups");
            f.error("groups", message, Some("`filters` must be a multiple of `groups`".into()));
        }
        Filters::read_rest(f, filters, groups)
    }

    /// The same without `groups`, for layers that have none.
    pub fn read_ungrouped(f: &mut Fields<'_>) -> Filters {
        let filters = f.key("filters").at_least(1).required();
        Filters::read_rest(f, filters, 1)
    }

    fn read_rest(f: &mut Fields<'_>, filters: usize, groups: usize) -> Filters {
        Filters {
            filters,
            groups,
            activation: f.variant_or("activation", &ACTIVATIONS, "linear"),
            use_bias: f.key("use_bias").or(true),
            kernel_initializer: initializers::read(f, "kernel_initializer", "GlorotUniform"),
            bias_initializer: initializers::read(f, "bias_initializer", "Zeros"),
            kernel_regularizer: regularizers::read(f, "kernel_regularizer"),
            bias_regularizer: regularizers::read(f, "bias_regularizer"),
        }
    }

    /// Convolution, bias and activation of x `[N, H, W, C]`; `kernel` is the window's part of the
    /// kernel's shape.
    pub fn lower(
        &self,
        g: &mut Builder<'_>,
        x: Var,
        windows: [Window; 2],
        kernel: &[usize],
    ) -> Result<Var, Mismatch> {
        let &[h, w, channels] = &g.shape(x).dims[..] else { unreachable!("the caller checked the rank") };
        let &Filters { filters, groups, .. } = self;
        let last = self.kernel_channels(channels)?;
        let inputs = self.inputs(g, x, [kernel, &[last, filters]].concat())?;
        let conv = Conv::new(windows, [h, w], channels, filters, groups);
        let y = match g.precision() {
            Precision::Float32 => g.push(conv, &inputs)?,
            Precision::Bf16 => g.push(ConvBf16::new(conv), &inputs)?,
        };
        self.activation.lower(g, y)
    }

    /// Channels of a kernel over an input of `channels`: those of one group.
    pub fn kernel_channels(&self, channels: usize) -> Result<usize, Mismatch> {
        let groups = self.groups;
        if !channels.is_multiple_of(groups) {
            let message = format!("{channels} input channels cannot be shared out to {groups} groups");
            return Err(Mismatch::new(message).hint("`groups` must divide the channels of the input"));
        }
        Ok(channels / groups)
    }

    /// What a convolution's op takes: x, a kernel of this shape, and the bias if there is one.
    pub fn inputs(&self, g: &mut Builder<'_>, x: Var, kernel: Vec<usize>) -> Result<Vec<Var>, Mismatch> {
        let kernel = g.weight("kernel", kernel, &self.kernel_initializer, self.kernel_regularizer)?;
        let mut inputs = vec![x, kernel];
        if self.use_bias {
            inputs.push(g.weight("bias", [self.filters], &self.bias_initializer, self.bias_regularizer)?);
        }
        Ok(inputs)
    }
}

/// `kernel_size`, `strides`, `padding` and `dilation_rate` of layers that know no causal padding.
pub(super) fn read_windows<const D: usize>(f: &mut Fields<'_>) -> [Window; D] {
    let kernel: [usize; D] = f.key("kernel_size").at_least(1).required();
    let strides: [usize; D] = f.key("strides").at_least(1).or([1; D]);
    let padding = f.key("padding").or(Padding::Valid);
    let dilation: [usize; D] = f.key("dilation_rate").at_least(1).or([1; D]);
    if padding == Padding::Causal {
        let hint = "\"valid\" or \"same\"; time series are for Conv1D".into();
        let message = match D {
            1 => "\"causal\" is for Conv1D alone",
            2 => "\"causal\" needs one dimension, this layer has two",
            _ => "\"causal\" needs one dimension, this layer has three",
        };
        f.error("padding", message, Some(hint));
    }
    refuse_stride_with_dilation(f, &strides, &dilation);
    std::array::from_fn(|i| Window { kernel: kernel[i], stride: strides[i], dilation: dilation[i], padding })
}

/// Keras allows one of the two.
pub(super) fn refuse_stride_with_dilation(f: &mut Fields<'_>, strides: &[usize], dilation: &[usize]) {
    if strides.iter().any(|s| *s > 1) && dilation.iter().any(|d| *d > 1) {
        let message = format!("{dilation:?} cannot go with strides of {strides:?}");
        f.error("dilation_rate", message, Some("one of the two must be 1".into()));
    }
}

/// Refuses an input of another rank than `[N, sizes..., channels]`, or smaller than the windows.
pub(super) fn check_input<const D: usize>(x: &Shape, windows: &[Window; D]) -> Result<(), Mismatch> {
    if x.dims.len() != D + 1 {
        let hint = match D {
            1 => "[N, steps, channels]; Reshape makes one of another shape",
            3 => "[N, depth, rows, columns, channels]; grey volumes have 1 channel: Reshape makes it",
            _ => "[N, rows, columns, channels]; grey images have 1 channel: Reshape to [rows, columns, 1]",
        };
        return Err(Mismatch::new(format!("needs an input of rank {}, got {x}", D + 2)).hint(hint));
    }
    let sizes = &x.dims[..D];
    if windows.iter().zip(sizes).all(|(w, size)| w.output(*size) > 0) {
        return Ok(());
    }
    let list = |v: Vec<usize>| v.iter().map(usize::to_string).collect::<Vec<_>>().join("x");
    let reach = list(windows.iter().map(Window::reach).collect());
    let dilated = if windows.iter().any(|w| w.dilation > 1) { " (dilated)" } else { "" };
    let message =
        format!("a kernel of {reach}{dilated} does not fit in an input of {}", list(sizes.to_vec()));
    Err(Mismatch::new(message).hint("a smaller `kernel_size`, less pooling before, or padding = \"same\""))
}

impl Layer for Conv2D {
    fn lower(&self, g: &mut Builder<'_>, x: &[Var]) -> Result<Var, Mismatch> {
        let x = one(x);
        check_input(g.shape(x), &self.windows)?;
        self.rest.lower(g, x, self.windows, &[self.windows[0].kernel, self.windows[1].kernel])
    }
}

#[cfg(test)]
crate::battery! {
    "type = \"Conv2D\"\nfilters = 3\nkernel_size = 3\nactivation = \"relu\"" on [5, 7, 2];
    "type = \"Conv2D\"\nfilters = 5\nkernel_size = [2, 4]\npadding = \"same\"\nactivation = \"tanh\"" on [3, 5, 3];
    "type = \"Conv2D\"\nfilters = 2\nkernel_size = 4\nstrides = [2, 1]\npadding = \"same\"" on [7, 6, 1];
    "type = \"Conv2D\"\nfilters = 2\nkernel_size = [1, 2]\nstrides = 3\nuse_bias = false" on [7, 5, 2];
    "type = \"Conv2D\"\nfilters = 2\nkernel_size = 3\ndilation_rate = [1, 2]\npadding = \"same\"" on [4, 6, 2];
    "type = \"Conv2D\"\nfilters = 6\nkernel_size = 3\ngroups = 3\npadding = \"same\"\nactivation = \"gelu\"" on [3, 4, 3];
    "type = \"Conv2D\"\nfilters = 4\nkernel_size = 2\ngroups = 2\nstrides = 2" on [5, 4, 2];
    "type = \"Conv2D\"\nfilters = 2\nkernel_size = 2\ndilation_rate = 5\npadding = \"same\"" on [2, 2, 1];
    "type = \"Conv2D\"\nfilters = 7\nkernel_size = 1\nactivation = \"softmax\"" on [3, 4, 2];
    "type = \"Conv2D\"\nfilters = 2\nkernel_size = 1\nstrides = 2\nactivation = \"sigmoid\"\nkernel_initializer = \"he_normal\"" on [5, 4, 3];
}

#[cfg(test)]
pub(super) mod convolutions {
    use crate::testing::battery::LayerCase;
    use crate::testing::golden::all_close;
    use crate::testing::words::parse;

    /// A batch of many images gives the sum of what its images give, on any number of threads.
    pub fn check(toml: &str, shape: &[usize]) {
        check_within(toml, shape, 1e-5);
    }

    fn check_within(toml: &str, shape: &[usize], tolerance: f64) {
        const BATCH: usize = 40;
        let case = LayerCase::new(toml, &[shape]);
        let draw = |len: usize, step: f64| (0..len).map(|i| (i as f64 * step).sin()).collect::<Vec<f64>>();
        let (size, out_size) = (shape.iter().product::<usize>(), case.output_shape().size());
        let (x, cotangent) = (draw(BATCH * size, 1.3), draw(BATCH * out_size, 2.1));
        let run = |threads| case.run_with(&[&x], &cotangent, BATCH, BATCH, threads, true, |_, _| None);
        let together = run(1);
        for threads in [2, 5] {
            assert_eq!(run(threads), together, "{toml}: {threads} threads and 1 give the same bits");
        }
        let mut sums: Vec<Vec<f64>> = together.weight_grads.iter().map(|(_, g)| vec![0.0; g.len()]).collect();
        for (i, (x, cotangent)) in x.chunks(size).zip(cotangent.chunks(out_size)).enumerate() {
            let alone = case.run(&[x], cotangent, 1);
            assert_eq!(alone.output, together.output[i * out_size..(i + 1) * out_size]);
            assert_eq!(alone.input_grads[0], together.input_grads[0][i * size..(i + 1) * size]);
            for (sum, (_, g)) in sums.iter_mut().zip(&alone.weight_grads) {
                sum.iter_mut().zip(g).for_each(|(s, g)| *s += g);
            }
        }
        for (sum, (name, g)) in sums.iter().zip(&together.weight_grads) {
            all_close(g, sum, tolerance, &format!("gradient of {name} of {toml}"));
        }
    }

    #[test]
    fn gradients_of_a_batch_are_sums_over_its_images() {
        let toml = "type = \"Conv2D\"\nfilters = 8\nkernel_size = 3\nactivation = \"relu\"\n";
        check(&format!("{toml}padding = \"same\""), &[5, 6, 4]);
        check(toml, &[11, 10, 3]);
        check(&format!("{toml}strides = 2\ngroups = 2"), &[17, 18, 2]);
    }

    /// The same where the passes go by tiles: images in parts, alone and in groups. Small sums are off
    /// by as much as the large ones of their tile.
    #[test]
    fn gradients_of_a_batch_by_tiles_are_sums_over_its_images() {
        let toml = "type = \"Conv2D\"\nkernel_size = 3\nactivation = \"relu\"\n";
        check_within(&format!("{toml}filters = 16\npadding = \"same\""), &[8, 8, 16], 5e-5);
        check_within(&format!("{toml}filters = 32\npadding = \"same\""), &[7, 4, 48], 5e-5);
        check_within(&format!("{toml}filters = 32"), &[10, 10, 32], 5e-5);
    }

    fn refusal(toml: &str, shape: &[usize]) -> String {
        use crate::graph::{Builder, Mode, Params};
        let (layer, mut params) = (parse(toml).unwrap(), Params::default());
        let mut g = Builder::new(&mut params, Mode::Train, 1);
        let x = g.input(crate::shape::Shape::batch(shape));
        let mismatch = layer.lower(&mut g, &[x]).expect_err("the layer refuses this");
        assert!(mismatch.hint.is_some(), "{mismatch:?}");
        mismatch.message
    }

    #[test]
    fn inputs_that_do_not_fit_are_refused_with_both_sizes() {
        let conv = "type = \"Conv2D\"\nfilters = 4\nkernel_size = [5, 3]\n";
        assert_eq!(refusal(conv, &[4, 9, 1]), "a kernel of 5x3 does not fit in an input of 4x9");
        let dilated = format!("{conv}dilation_rate = 2");
        assert_eq!(
            refusal(&dilated, &[8, 9, 1]),
            "a kernel of 9x5 (dilated) does not fit in an input of 8x9"
        );
        assert_eq!(refusal(conv, &[28, 28]), "needs an input of rank 4, got [N,28,28]");
        let groups = format!("{conv}groups = 2");
        assert_eq!(refusal(&groups, &[9, 9, 3]), "3 input channels cannot be shared out to 2 groups");
        let depthwise = "type = \"DepthwiseConv2D\"\nkernel_size = 3";
        assert_eq!(refusal(depthwise, &[2, 3, 1]), "a kernel of 3x3 does not fit in an input of 2x3");
        let conv1d = "type = \"Conv1D\"\nfilters = 4\nkernel_size = 7";
        assert_eq!(refusal(conv1d, &[6, 2]), "a kernel of 7 does not fit in an input of 6");
        assert_eq!(refusal(conv1d, &[6]), "needs an input of rank 3, got [N,6]");
    }

    #[test]
    fn keys_that_exclude_each_other_are_refused() {
        let message = |toml: &str| parse(toml).expect_err("the keys are refused")[0].message.clone();
        let conv = "type = \"Conv2D\"\nfilters = 4\nkernel_size = 3\n";
        assert!(message(&format!("{conv}strides = 2\ndilation_rate = 2")).contains("strides of [2, 2]"));
        assert!(message(&format!("{conv}padding = \"causal\"")).contains("needs one dimension"));
        assert!(message(&format!("{conv}groups = 3")).contains("4 filters"));
        let conv1d = "type = \"Conv1D\"\nfilters = 4\nkernel_size = 3\nstrides = 2\ndilation_rate = 3";
        assert!(message(conv1d).contains("[3] cannot go with strides of [2]"));
    }

    #[test]
    fn regularizers_reach_the_parameters() {
        use crate::graph::{Builder, Mode, Params, Penalty};
        for (toml, key) in [
            ("type = \"Conv2D\"\nfilters = 1\nkernel_size = 1", "kernel_regularizer"),
            ("type = \"DepthwiseConv2D\"\nkernel_size = 1", "depthwise_regularizer"),
        ] {
            let toml = format!("{toml}\n{key} = {{ type = \"L2\", l2 = 0.5 }}\nbias_regularizer = \"l1\"");
            let mut params = Params::default();
            let mut g = Builder::new(&mut params, Mode::Train, 1);
            let x = g.input(crate::shape::Shape::batch([1, 1, 1]));
            parse(&toml).unwrap().lower(&mut g, &[x]).unwrap();
            assert_eq!(params.decls[0].penalty, Some(Penalty { l1: 0.0, l2: 0.5 }));
            assert_eq!(params.decls[1].penalty, Some(Penalty { l1: 0.01, l2: 0.0 }));
        }
    }
}
