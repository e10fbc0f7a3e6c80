//! What does not fit is refused with the values of both sides: at reading or at lowering.

use crate::graph::{Builder, Mode, Params, Var};
use crate::shape::Shape;
use crate::testing::words;

/// The message with which a layer is refused on inputs of these shapes.
fn refusal(toml: &str, inputs: &[&[usize]]) -> String {
    let layer = match words::parse(toml) {
        Err(diags) => return diags[0].message.clone(),
        Ok(layer) => layer,
    };
    let mut params = Params::default();
    let mut g = Builder::new(&mut params, Mode::Train, 0);
    let x: Vec<Var> = inputs.iter().map(|dims| g.input(Shape::batch(*dims))).collect();
    g.enter("layer", true);
    match layer.lower(&mut g, &x) {
        Err(mismatch) => mismatch.message,
        Ok(y) => panic!("{toml} on {inputs:?} gave {}", g.shape(y)),
    }
}

/// A layer, its input shapes, and what the message must contain.
type Case<'a> = (&'a str, &'a [&'a [usize]], &'a [&'a str]);

fn check(cases: &[Case<'_>]) {
    for (toml, inputs, parts) in cases {
        let message = refusal(toml, inputs);
        for part in *parts {
            assert!(message.contains(part), "{toml} on {inputs:?}: `{message}` has no `{part}`");
        }
    }
}

#[test]
fn shapes() {
    check(&[
        ("type = \"Reshape\"\ntarget_shape = [5, 2]", &[&[3, 4]], &["[N,3,4]", "12", "[5, 2]", "10"]),
        ("type = \"Reshape\"\ntarget_shape = [5, -1]", &[&[3, 4]], &["[N,3,4]", "[5, -1]", "divide"]),
        ("type = \"Reshape\"\ntarget_shape = [13, -1]", &[&[3, 4]], &["12", "13"]),
        ("type = \"Reshape\"\ntarget_shape = [-1, -1]", &[&[3, 4]], &["only one", "[-1, -1]"]),
        ("type = \"Reshape\"\ntarget_shape = [0]", &[&[3, 4]], &["got 0"]),
        ("type = \"Permute\"\ndims = [2, 1]", &[&[3, 4, 5]], &["[2, 1]", "[N,3,4,5]", "3"]),
        ("type = \"Permute\"\ndims = [0, 1]", &[&[3, 4]], &["[0, 1]"]),
        ("type = \"ZeroPadding2D\"", &[&[3, 4]], &["[N,H,W,C]", "[N,3,4]"]),
        ("type = \"ZeroPadding2D\"\npadding = [1, 2, 3]", &[&[3, 4, 1]], &["3 entries"]),
    ]);
}

#[test]
fn axes() {
    check(&[
        ("type = \"Softmax\"\naxis = 0", &[&[3, 4]], &["axis 0", "[N,3,4]"]),
        ("type = \"Softmax\"\naxis = 3", &[&[3, 4]], &["axis 3", "[N,3,4]"]),
        ("type = \"Softmax\"\naxis = -4", &[&[3, 4]], &["axis -4", "[N,3,4]"]),
        ("type = \"BatchNormalization\"\naxis = 3", &[&[3, 4]], &["axis 3", "[N,3,4]"]),
        ("type = \"BatchNormalization\"\nmomentum = 1.5", &[&[3, 4]], &["at most 1", "1.5"]),
        ("type = \"LayerNormalization\"\naxis = [1, -2]", &[&[3, 4]], &["[1, -2]", "axis 1", "[N,3,4]"]),
        ("type = \"LayerNormalization\"\naxis = []", &[&[3, 4]], &["no axis"]),
        ("type = \"LayerNormalization\"\naxis = [0, 1]", &[&[3, 4]], &["axis 0", "[N,3,4]"]),
        ("type = \"PReLU\"\nshared_axes = [3]", &[&[3, 4]], &["3", "[N,3,4]", "1 to 2"]),
    ]);
}

#[test]
fn windows() {
    check(&[
        ("type = \"MaxPooling2D\"\npool_size = 3", &[&[2, 5, 4]], &["[3, 3]", "[N,2,5,4]"]),
        ("type = \"AveragePooling1D\"\npool_size = 3", &[&[2, 5]], &["[3]", "[N,2,5]"]),
        ("type = \"MaxPooling2D\"", &[&[8, 4]], &["[N,H,W,C]", "[N,8,4]"]),
        ("type = \"GlobalMaxPooling1D\"", &[&[2, 8, 4]], &["[N,T,C]", "[N,2,8,4]"]),
        ("type = \"AveragePooling2D\"", &[&[2, 8, 4]], &["`AveragePooling2D` needs `pool_size`"]),
        ("type = \"MaxPooling1D\"\npadding = \"causal\"", &[&[8, 4]], &["causal", "same"]),
        ("type = \"MaxPooling1D\"\npool_size = 0", &[&[8, 4]], &["at least 1, got 0"]),
    ]);
}

#[test]
fn transposed_convolutions() {
    let conv = "type = \"Conv2DTranspose\"\nfilters = 2\nkernel_size = [3, 4]\nstrides = 2";
    let with = |key: &str| format!("{conv}\n{key}");
    let (same, wide) = (with("padding = \"same\"\noutput_padding = 0"), with("output_padding = [1, 2]"));
    let (causal, dilated) = (with("padding = \"causal\""), with("dilation_rate = 2"));
    let (groups, huge) = (with("groups = 2"), conv.replace("strides = 2", "strides = 2_000_000_000"));
    let sequence = "type = \"Conv1DTranspose\"\nfilters = 2\nkernel_size = 3";
    let volume = "type = \"Conv3DTranspose\"\nfilters = 2\nkernel_size = 3";
    check(&[
        (conv, &[&[8, 4]], &["[N,H,W,C]", "[N,8,4]"]),
        (&same, &[&[8, 8, 4]], &["`output_padding`", "\"same\"", "even kernel of 4"]),
        (&wide, &[&[8, 8, 4]], &["`output_padding`", "2 must be less than the stride 2"]),
        (&causal, &[&[8, 8, 4]], &["causal", "two"]),
        (&dilated, &[&[8, 8, 4]], &["`dilation_rate`", "[2, 2]", "strides of [2, 2]"]),
        (&groups, &[&[8, 8, 4]], &["unknown key `groups`"]),
        (&huge, &[&[8, 8, 4]], &["its output", "too large"]),
        (sequence, &[&[8, 8, 4]], &["[N,T,C]", "[N,8,8,4]"]),
        (volume, &[&[8, 8, 4]], &["[N,D,H,W,C]", "[N,8,8,4]"]),
    ]);
}

#[test]
fn volumes() {
    let conv = "type = \"Conv3D\"\nfilters = 2\nkernel_size = 3";
    let causal = format!("{conv}\npadding = \"causal\"");
    let groups = format!("{conv}\ngroups = 2");
    check(&[
        (conv, &[&[8, 8, 1]], &["rank 5", "[N,8,8,1]"]),
        (conv, &[&[2, 8, 8, 1]], &["3x3x3", "2x8x8"]),
        (&causal, &[&[8, 8, 8, 1]], &["causal", "three"]),
        (&groups, &[&[8, 8, 8, 3]], &["3 input channels", "2 groups"]),
        ("type = \"MaxPooling3D\"\npool_size = 3", &[&[2, 5, 4, 1]], &["[3, 3, 3]", "[N,2,5,4,1]"]),
        ("type = \"GlobalMaxPooling3D\"", &[&[8, 4, 1]], &["[N,D,H,W,C]", "[N,8,4,1]"]),
        ("type = \"AveragePooling3D\"", &[&[8, 4, 2, 1]], &["`AveragePooling3D` needs `pool_size`"]),
        ("type = \"MaxPooling3D\"\npadding = \"causal\"", &[&[8, 4, 4, 1]], &["causal", "same"]),
    ]);
}

#[test]
fn separable_convolutions() {
    let sequence = "type = \"SeparableConv1D\"\nfilters = 2\nkernel_size = 3";
    let image = "type = \"SeparableConv2D\"\nfilters = 2\nkernel_size = 3";
    let causal = format!("{sequence}\npadding = \"causal\"");
    check(&[
        (&causal, &[&[8, 4]], &["causal", "Conv1D"]),
        (sequence, &[&[2, 4]], &["kernel of 3", "input of 2"]),
        (image, &[&[8, 4]], &["rank 4", "[N,8,4]"]),
        ("type = \"SeparableConv2D\"\nkernel_size = 3", &[&[8, 8, 4]], &["needs `filters`"]),
    ]);
}

#[test]
fn sizes() {
    let huge = "type = \"UpSampling2D\"\nsize = 2_000_000_000\ninterpolation = \"bilinear\"";
    check(&[
        ("type = \"Cropping1D\"\ncropping = [2, 3]", &[&[5, 2]], &["[[2, 3]]", "[N,5,2]"]),
        ("type = \"Cropping2D\"\ncropping = [1, 0, 0]", &[&[5, 5, 2]], &["3 entries"]),
        ("type = \"Cropping3D\"", &[&[5, 5, 2]], &["[N,D,H,W,C]", "[N,5,5,2]"]),
        ("type = \"ZeroPadding1D\"\npadding = [1, 2, 3]", &[&[3, 4]], &["[before, after]", "3 entries"]),
        ("type = \"ZeroPadding3D\"\npadding = -1", &[&[3, 4, 2, 1]], &["negative", "-1"]),
        ("type = \"UpSampling2D\"", &[&[3, 4]], &["[N,H,W,C]", "[N,3,4]"]),
        ("type = \"UpSampling2D\"\nsize = 0", &[&[3, 4, 1]], &["at least 1, got 0"]),
        ("type = \"UpSampling2D\"\ninterpolation = \"bicubic\"", &[&[3, 4, 1]], &["bicubic", "bilinear"]),
        (
            "type = \"UpSampling1D\"\ninterpolation = \"nearest\"",
            &[&[3, 4]],
            &["unknown key `interpolation`"],
        ),
        (huge, &[&[8, 8, 1]], &["its output", "too large"]),
    ]);
}

#[test]
fn rates() {
    check(&[
        ("type = \"Dropout\"\nrate = 1", &[&[4]], &["[0, 1)", "got 1"]),
        ("type = \"Dropout\"", &[&[4]], &["`Dropout` needs `rate`"]),
        ("type = \"SpatialDropout2D\"\nrate = 0.5", &[&[3, 4]], &["[N,H,W,C]", "[N,3,4]"]),
        ("type = \"SpatialDropout1D\"\nrate = 0.5", &[&[4]], &["[N,T,C]", "[N,4]"]),
        ("type = \"GaussianNoise\"\nstddev = -1", &[&[4]], &["at least 0, got -1"]),
    ]);
}

#[test]
fn merges() {
    check(&[
        ("type = \"Add\"", &[&[3, 4], &[3, 4], &[4, 3]], &["[N,3,4]", "input 3", "[N,4,3]"]),
        ("type = \"Multiply\"", &[&[3], &[3, 1]], &["[N,3]", "[N,3,1]"]),
        ("type = \"Maximum\"", &[&[3]], &["2 to 64", "got 1"]),
        ("type = \"Subtract\"", &[&[3], &[3], &[3]], &["takes 2 inputs", "got 3"]),
        ("type = \"Concatenate\"", &[&[3, 4], &[2, 4]], &["only axis 2", "axis 1 is 3", "and 2", "[N,2,4]"]),
        ("type = \"Concatenate\"", &[&[3, 4], &[4]], &["one rank", "[N,3,4]", "[N,4]"]),
        ("type = \"Concatenate\"\naxis = 0", &[&[3], &[3]], &["axis 0", "batch"]),
        ("type = \"Concatenate\"\naxis = 2", &[&[3], &[3]], &["axis 2", "[N,3]"]),
    ]);
}

#[test]
fn sequences() {
    let bidirectional = |inner: &str| format!("type = \"Bidirectional\"\nlayer = {inner}");
    check(&[
        ("type = \"LSTM\"\nunits = 2", &[&[4]], &["[N,T,C]", "[N,4]"]),
        ("type = \"SimpleRNN\"\nunits = 0", &[&[4, 2]], &["at least 1, got 0"]),
        ("type = \"GRU\"\nunits = 2\nactivation = \"softmax\"", &[&[4, 2]], &["`activation`", "each number"]),
        ("type = \"LSTM\"\nunits = 2\nreturn_state = true", &[&[4, 2]], &["`return_state`", "one output"]),
        (
            "type = \"LSTM\"\nunits = 2\nstateful = true\ngo_backwards = true",
            &[&[4, 2]],
            &["`stateful`", "`go_backwards`"],
        ),
        (
            "type = \"Bidirectional\"\nlayer = { type = \"LSTM\", units = 2, stateful = true }",
            &[&[4, 2]],
            &["`layer`", "`stateful`"],
        ),
        (
            "type = \"TimeDistributed\"\nlayer = { type = \"GRU\", units = 2, stateful = true }",
            &[&[4, 3, 2]],
            &["`layer`", "`stateful`"],
        ),
        ("type = \"LSTM\"\nunits = 2\ndropout = 1.0", &[&[4, 2]], &["[0, 1)", "got 1"]),
        ("type = \"SimpleRNN\"\nunits = 2\nreset_after = true", &[&[4, 2]], &["reset_after"]),
        ("type = \"Bidirectional\"", &[&[4, 2]], &["needs `layer`"]),
        (&bidirectional("\"Dense\""), &[&[4, 2]], &["unknown recurrent layer `Dense`"]),
        (
            &bidirectional("{ type = \"LSTM\", units = 2, go_backwards = true }"),
            &[&[4, 2]],
            &["`go_backwards`"],
        ),
        (
            &format!("{}\nmerge_mode = \"none\"", bidirectional("{ type = \"LSTM\", units = 2 }")),
            &[&[4, 2]],
            &["two outputs", "room for one"],
        ),
        ("type = \"TimeDistributed\"", &[&[4, 2]], &["needs `layer`"]),
        ("type = \"TimeDistributed\"\nlayer = \"Flatten\"", &[&[4]], &["[N,T,...]", "[N,4]"]),
        ("type = \"TimeDistributed\"\nlayer = \"Add\"", &[&[4, 2]], &["must take one input"]),
        ("type = \"TimeDistributed\"\nlayer = \"BatchNormalization\"", &[&[4, 2]], &["moving statistics"]),
        ("type = \"RepeatVector\"\nn = 2", &[&[4, 2]], &["[N,C]", "[N,4,2]"]),
    ]);
}

#[test]
fn attention() {
    let mha = "type = \"MultiHeadAttention\"\nnum_heads = 2\nkey_dim = 3";
    let encoder = "type = \"TransformerEncoder\"\nnum_heads = 4\nintermediate_dim = 3";
    check(&[
        (mha, &[&[4]], &["[N,T,C]", "[N,4]"]),
        (mha, &[&[3, 4], &[5, 4], &[6, 4]], &["value has 5", "key 6"]),
        ("type = \"MultiHeadAttention\"\nnum_heads = 0\nkey_dim = 3", &[&[3, 4]], &["at least 1, got 0"]),
        (encoder, &[&[5, 3]], &["4 heads", "[N,5,3]"]),
        (encoder, &[&[5]], &["[N,T,C]", "[N,5]"]),
        ("type = \"PatchEmbedding\"\npatch_size = 5\nembed_dim = 3", &[&[28, 25, 1]], &["5x5", "28x25"]),
        ("type = \"PatchEmbedding\"\npatch_size = 5\nembed_dim = 3", &[&[28, 28]], &["[N,H,W,C]"]),
        ("type = \"PositionEmbedding\"\nsequence_length = 4", &[&[5, 3]], &["4 is less", "5 steps"]),
        ("type = \"Embedding\"\ninput_dim = 4\noutput_dim = 2\nmask_zero = true", &[&[5, 3]], &["[N,5,3]"]),
        ("type = \"Take\"\nindex = 5", &[&[5, 3]], &["index 5", "axis 1", "[N,5,3]"]),
        ("type = \"Take\"\nindex = 0\naxis = 3", &[&[5, 3]], &["axis 3", "[N,5,3]"]),
        ("type = \"GroupNormalization\"\ngroups = 3", &[&[5, 4]], &["4 channels", "3 groups"]),
        ("type = \"GroupNormalization\"\ngroups = 0", &[&[5, 4]], &["got 0"]),
        ("type = \"RMSNormalization\"\naxis = [1, -2]", &[&[3, 4]], &["[1, -2]", "axis 1", "[N,3,4]"]),
    ]);
}
