//! Element-wise functions: value and slope next to each other.
//!
//! A slope is written in terms of the output where that is possible: then the function can be done
//! in place at the end of the op before, and the input need not be kept.

use std::any::TypeId;
use std::fmt::Debug;

use crate::kernels::math::{erf, exp, sigmoid, softplus, tanh, tanh_softplus};
use crate::kernels::number::Number;

/// One element-wise function. Methods are inlined into vectorised loops.
pub trait Pointwise: Debug + Copy + Send + Sync + 'static {
    const NAME: &'static str;
    /// `slope` takes the output; else it takes the input.
    const FROM_OUTPUT: bool;
    /// `FUSED` as in `kernels/math.rs`.
    fn value<const FUSED: bool>(self, x: f32) -> f32;
    fn slope<const FUSED: bool>(self, v: f32) -> f32;
    /// The definition in f64.
    fn twin(self, x: f64) -> f64;
}

/// A [`Pointwise`] behind a pointer: works on whole slices.
pub trait Function: Debug + Send + Sync {
    fn name(&self) -> &'static str;
    fn slope_from_output(&self) -> bool;
    fn apply(&self, x: &[f32], y: &mut [f32]);
    fn apply_in_place(&self, y: &mut [f32]);
    /// `dx = dy * slope(v)`, or added to it, `v` being output or input as `slope_from_output` says.
    fn gradient(&self, v: &[f32], dy: &[f32], dx: &mut [f32], add: bool);
    fn gradient_in_place(&self, v: &[f32], dy: &mut [f32]);
    /// `x = dy * slope` where x was the input.
    fn gradient_at(&self, dy: &[f32], x: &mut [f32]);
    /// Whether it is max(x, 0), which costs an instruction at the end of another loop.
    fn is_relu(&self) -> bool;
    fn twin(&self, x: f64) -> f64;
}

simd! {
    fn apply<F: Pointwise>(f: F, x: &[f32], y: &mut [f32]) {
        for (y, x) in y.iter_mut().zip(x) {
            *y = f.value::<FUSED>(*x);
        }
    }
}

simd! {
    fn apply_in_place<F: Pointwise>(f: F, y: &mut [f32]) {
        for y in y {
            *y = f.value::<FUSED>(*y);
        }
    }
}

simd! {
    fn gradient<F: Pointwise>(f: F, v: &[f32], dy: &[f32], dx: &mut [f32], add: bool) {
        let slopes = dy.iter().zip(v).map(|(dy, v)| dy * f.slope::<FUSED>(*v));
        if add {
            dx.iter_mut().zip(slopes).for_each(|(dx, slope)| *dx += slope);
        } else {
            dx.iter_mut().zip(slopes).for_each(|(dx, slope)| *dx = slope);
        }
    }
}

simd! {
    fn gradient_in_place<F: Pointwise>(f: F, v: &[f32], dy: &mut [f32]) {
        for (dy, v) in dy.iter_mut().zip(v) {
            *dy *= f.slope::<FUSED>(*v);
        }
    }
}

simd! {
    fn gradient_at<F: Pointwise>(f: F, dy: &[f32], x: &mut [f32]) {
        for (x, dy) in x.iter_mut().zip(dy) {
            *x = dy * f.slope::<FUSED>(if F::FROM_OUTPUT { f.value::<FUSED>(*x) } else { *x });
        }
    }
}

impl<F: Pointwise> Function for F {
    fn name(&self) -> &'static str {
        F::NAME
    }
    fn slope_from_output(&self) -> bool {
        F::FROM_OUTPUT
    }
    fn apply(&self, x: &[f32], y: &mut [f32]) {
        apply(*self, x, y);
    }
    fn apply_in_place(&self, y: &mut [f32]) {
        apply_in_place(*self, y);
    }
    fn gradient(&self, v: &[f32], dy: &[f32], dx: &mut [f32], add: bool) {
        gradient(*self, v, dy, dx, add);
    }
    fn gradient_in_place(&self, v: &[f32], dy: &mut [f32]) {
        gradient_in_place(*self, v, dy);
    }
    fn gradient_at(&self, dy: &[f32], x: &mut [f32]) {
        gradient_at(*self, dy, x);
    }
    fn is_relu(&self) -> bool {
        TypeId::of::<F>() == TypeId::of::<Relu>()
    }
    fn twin(&self, x: f64) -> f64 {
        Pointwise::twin(*self, x)
    }
}

/// `Name { fields } "keras_name", slope from output: true|false, value, slope, twin`.
macro_rules! pointwise {
    ($($(#[$meta:meta])* $type:ident { $($field:ident),* } $name:literal from_output $from:literal
       value($vx:ident) $value:expr, slope($sx:ident) $slope:expr, twin($tx:ident) $twin:expr;)*) => {
        $(
            $(#[$meta])*
            #[derive(Clone, Copy, Debug, PartialEq)]
            pub struct $type { $(pub $field: f32),* }

            impl Pointwise for $type {
                const NAME: &'static str = $name;
                const FROM_OUTPUT: bool = $from;
                // A slope or a value may not need every field; and `clamp` is spelt out, see the note on NaN.
                #[allow(unused_variables, clippy::manual_clamp)]
                #[inline(always)]
                fn value<const FUSED: bool>(self, $vx: f32) -> f32 {
                    let $type { $($field),* } = self;
                    $value
                }
                #[allow(unused_variables, clippy::manual_clamp)]
                #[inline(always)]
                fn slope<const FUSED: bool>(self, $sx: f32) -> f32 {
                    let $type { $($field),* } = self;
                    $slope
                }
                #[allow(unused_variables, clippy::manual_clamp)]
                fn twin(self, $tx: f64) -> f64 {
                    $(let $field = f64::from(self.$field);)*
                    $twin
                }
            }
        )*
    };
}

const SELU_ALPHA: f32 = 1.673_263_2;
const SELU_SCALE: f32 = 1.050_701;

// Comparisons are written so that NaN comes out as NaN: a function must not hide a divergence.
pointwise! {
    /// max(x, 0); slope 0 at 0.
    Relu {} "relu" from_output true
        value(x) if x < 0.0 { 0.0 } else { x },
        slope(y) if y > 0.0 { 1.0 } else { 0.0 },
        twin(x) x.max(0.0);
    /// min(max(x, 0), 6); slope 0 at both ends.
    Relu6 {} "relu6" from_output true
        value(x) if x < 0.0 { 0.0 } else if x > 6.0 { 6.0 } else { x },
        slope(y) if y > 0.0 && y < 6.0 { 1.0 } else { 0.0 },
        twin(x) x.clamp(0.0, 6.0);
    /// x for x >= 0, else negative_slope * x.
    LeakyRelu { negative_slope } "leaky_relu" from_output true
        value(x) if x < 0.0 { negative_slope * x } else { x },
        slope(y) if y > 0.0 { 1.0 } else { negative_slope },
        twin(x) if x < 0.0 { negative_slope * x } else { x };
    /// Keras's `ReLU` layer: 0 below the threshold plus a slope, a ceiling above.
    ReluGeneral { max_value, negative_slope, threshold } "relu" from_output false
        value(x) if x >= max_value { max_value } else if x < threshold { negative_slope * (x - threshold) } else { x },
        slope(x) if x >= max_value { 0.0 } else if x <= threshold { negative_slope } else { 1.0 },
        twin(x) if x >= max_value { max_value } else if x < threshold { negative_slope * (x - threshold) } else { x };
    /// x for x > 0, else alpha (e^x - 1).
    Elu { alpha } "elu" from_output true
        value(x) if x > 0.0 { x } else { alpha * (exp::<FUSED>(x) - 1.0) },
        slope(y) if y > 0.0 { 1.0 } else { y + alpha },
        twin(x) if x > 0.0 { x } else { alpha * x.exp_m1() };
    /// Klambauer et al., Self-Normalizing Neural Networks, 2017.
    Selu {} "selu" from_output true
        value(x) SELU_SCALE * if x > 0.0 { x } else { SELU_ALPHA * (exp::<FUSED>(x) - 1.0) },
        slope(y) if y > 0.0 { SELU_SCALE } else { y + SELU_SCALE * SELU_ALPHA },
        twin(x) 1.050_700_987_355_480_5 * if x > 0.0 { x } else { 1.673_263_242_354_377_2 * x.exp_m1() };
    /// x for x > 0, else alpha (e^(x / alpha) - 1).
    Celu { alpha } "celu" from_output true
        value(x) if x > 0.0 { x } else { alpha * (exp::<FUSED>(x / alpha) - 1.0) },
        slope(y) if y > 0.0 { 1.0 } else { y / alpha + 1.0 },
        twin(x) if x > 0.0 { x } else { alpha * (x / alpha).exp_m1() };
    /// x times the standard normal's distribution function, exact.
    Gelu {} "gelu" from_output false
        value(x) 0.5 * x * (1.0 + erf::<FUSED>(x * std::f32::consts::FRAC_1_SQRT_2)),
        slope(x) 0.5 * (1.0 + erf::<FUSED>(x * std::f32::consts::FRAC_1_SQRT_2)) + x * 0.398_942_3 * exp::<FUSED>(-0.5 * x * x),
        twin(x) 0.5 * x * (1.0 + libm::erf(x * std::f64::consts::FRAC_1_SQRT_2));
    /// The approximation of gelu by tanh.
    GeluTanh {} "gelu" from_output false
        value(x) 0.5 * x * (1.0 + tanh::<FUSED>(0.797_884_6 * (x + 0.044_715 * x * x * x))),
        slope(x) {
            let t = tanh::<FUSED>(0.797_884_6 * (x + 0.044_715 * x * x * x));
            0.5 * (1.0 + t) + 0.5 * x * (1.0 - t * t) * 0.797_884_6 * (1.0 + 3.0 * 0.044_715 * x * x)
        },
        twin(x) 0.5 * x * (1.0 + (0.797_884_560_802_865_4 * (x + 0.044_715 * x * x * x)).tanh());
    /// x sigmoid(x); swish.
    Silu {} "silu" from_output false
        value(x) x * sigmoid::<FUSED>(x),
        slope(x) { let s = sigmoid::<FUSED>(x); s * (1.0 + x * (1.0 - s)) },
        twin(x) x / (1.0 + (-x).exp());
    /// x tanh(softplus(x)). Misra, Mish, 2019.
    Mish {} "mish" from_output false
        value(x) x * tanh_softplus::<FUSED>(x),
        slope(x) { let t = tanh_softplus::<FUSED>(x); t + x * (1.0 - t * t) * sigmoid::<FUSED>(x) },
        twin(x) x * (x.max(0.0) + (-x.abs()).exp().ln_1p()).tanh();
    /// ln(1 + e^x).
    Softplus {} "softplus" from_output true
        value(x) softplus::<FUSED>(x),
        slope(y) 1.0 - exp::<FUSED>(-y),
        twin(x) x.max(0.0) + (-x.abs()).exp().ln_1p();
    /// x / (1 + |x|).
    Softsign {} "softsign" from_output true
        value(x) x / (1.0 + x.abs()),
        slope(y) (1.0 - y.abs()) * (1.0 - y.abs()),
        twin(x) x / (1.0 + x.abs());
    Tanh {} "tanh" from_output true
        value(x) tanh::<FUSED>(x),
        slope(y) 1.0 - y * y,
        twin(x) x.tanh();
    Sigmoid {} "sigmoid" from_output true
        value(x) sigmoid::<FUSED>(x),
        slope(y) y * (1.0 - y),
        twin(x) 1.0 / (1.0 + (-x).exp());
    /// x / 6 + 1/2, cut to [0, 1].
    HardSigmoid {} "hard_sigmoid" from_output false
        value(x) if x <= -3.0 { 0.0 } else if x >= 3.0 { 1.0 } else { x / 6.0 + 0.5 },
        slope(x) if x > -3.0 && x < 3.0 { 1.0 / 6.0 } else { 0.0 },
        twin(x) (x / 6.0 + 0.5).clamp(0.0, 1.0);
    /// x hard_sigmoid(x); hard_swish.
    HardSilu {} "hard_silu" from_output false
        value(x) if x <= -3.0 { 0.0 } else if x >= 3.0 { x } else { x * (x / 6.0 + 0.5) },
        slope(x) if x <= -3.0 { 0.0 } else if x >= 3.0 { 1.0 } else { x / 3.0 + 0.5 },
        twin(x) x * (x / 6.0 + 0.5).clamp(0.0, 1.0);
    /// x cut to [-1, 1]; slope 1 at both ends.
    HardTanh {} "hard_tanh" from_output false
        value(x) if x < -1.0 { -1.0 } else if x > 1.0 { 1.0 } else { x },
        slope(x) if x.abs() <= 1.0 { 1.0 } else { 0.0 },
        twin(x) x.clamp(-1.0, 1.0);
    /// 0 where |x| <= 1/2, else x.
    HardShrink {} "hard_shrink" from_output false
        value(x) if x.abs() <= 0.5 { 0.0 } else { x },
        slope(x) if x.abs() <= 0.5 { 0.0 } else { 1.0 },
        twin(x) if x.abs() <= 0.5 { 0.0 } else { x };
    /// x moved by 1/2 towards 0.
    SoftShrink {} "soft_shrink" from_output false
        value(x) if x > 0.5 { x - 0.5 } else if x < -0.5 { x + 0.5 } else { 0.0 * x },
        slope(x) if x.abs() > 0.5 { 1.0 } else { 0.0 },
        twin(x) if x > 0.5 { x - 0.5 } else if x < -0.5 { x + 0.5 } else { 0.0 };
    /// x - tanh x.
    TanhShrink {} "tanh_shrink" from_output false
        value(x) x - tanh::<FUSED>(x),
        slope(x) { let t = tanh::<FUSED>(x); t * t },
        twin(x) x - x.tanh();
    /// x above the threshold, else the default value.
    Threshold { threshold, default_value } "threshold" from_output false
        value(x) if x <= threshold { default_value } else { x },
        slope(x) if x > threshold { 1.0 } else { 0.0 },
        twin(x) if x <= threshold { default_value } else { x };
    /// (x + sqrt(x^2 + b)) / 2.
    Squareplus { b } "squareplus" from_output false
        value(x) 0.5 * (x + (x * x + b).sqrt()),
        slope(x) 0.5 * (1.0 + x / (x * x + b).sqrt()),
        twin(x) 0.5 * (x + (x * x + b).sqrt());
    /// 0 below -1, x above 1, (x + 1)^2 / 4 between.
    SparsePlus {} "sparse_plus" from_output false
        value(x) if x <= -1.0 { 0.0 } else if x >= 1.0 { x } else { 0.25 * (x + 1.0) * (x + 1.0) },
        slope(x) if x <= -1.0 { 0.0 } else if x >= 1.0 { 1.0 } else { 0.5 * (x + 1.0) },
        twin(x) if x <= -1.0 { 0.0 } else if x >= 1.0 { x } else { 0.25 * (x + 1.0) * (x + 1.0) };
    /// 0 below -1, 1 above 1, (x + 1) / 2 between.
    SparseSigmoid {} "sparse_sigmoid" from_output false
        value(x) if x <= -1.0 { 0.0 } else if x >= 1.0 { 1.0 } else { 0.5 * (x + 1.0) },
        slope(x) if x > -1.0 && x < 1.0 { 0.5 } else { 0.0 },
        twin(x) (0.5 * (x + 1.0)).clamp(0.0, 1.0);
    /// e^x.
    Exponential {} "exponential" from_output true
        value(x) exp::<FUSED>(x),
        slope(y) y,
        twin(x) x.exp();
    /// ln sigmoid(x).
    LogSigmoid {} "log_sigmoid" from_output true
        value(x) -softplus::<FUSED>(-x),
        slope(y) 1.0 - exp::<FUSED>(y),
        twin(x) -((-x).max(0.0) + (-x.abs()).exp().ln_1p());
    /// scale * x + offset: the `Rescaling` layer.
    Affine { scale, offset } "affine" from_output false
        value(x) scale * x + offset,
        slope(_x) scale,
        twin(x) scale * x + offset;
}
/// Turns the gradient of f's output y into that of its input, however both are stored.
pub fn slope_in_place<T: Number>(f: &dyn Function, y: &[T], dy: &mut [T]) {
    const BLOCK: usize = 2048;
    for (y, dy) in y.chunks(BLOCK).zip(dy.chunks_mut(BLOCK)) {
        T::look::<BLOCK>(y, |y| T::change::<BLOCK>(dy, |dy| f.gradient_in_place(y, dy)));
    }
}
