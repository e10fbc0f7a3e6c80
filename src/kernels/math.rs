//! Elementary functions in plain arithmetic: the compiler vectorises them, and every instruction
//! set gives the same bits. Errors are stated in units in the last place against f64.

const LN_2_HIGH: f32 = 0.693_359_4;
const LN_2_LOW: f32 = -2.121_944_4e-4;

/// e^x, error below 1.5 ulp on the normal range; 0 below -103.9, infinity above 88.73, NaN for NaN.
/// Cody-Waite reduction to |r| <= ln 2 / 2, then a polynomial of degree 7.
#[inline(always)]
pub fn exp(x: f32) -> f32 {
    // Beyond these bounds the two-step scaling below gives infinity and zero by itself.
    let clamped = if x > 89.5 { 89.5 } else { x };
    let clamped = if clamped < -105.0 { -105.0 } else { clamped };
    // Adding and taking away 1.5 * 2^23 rounds to the nearest integer.
    let shifted = clamped * std::f32::consts::LOG2_E + 12_582_912.0;
    let n = shifted - 12_582_912.0;
    let r = clamped - n * LN_2_HIGH;
    let r = r - n * LN_2_LOW;
    let p = 1.987_569_2e-4;
    let p = p * r + 1.398_2e-3;
    let p = p * r + 8.333_452e-3;
    let p = p * r + 4.166_579_6e-2;
    let p = p * r + 1.666_666_5e-1;
    let p = p * r + 0.5;
    let p = p * (r * r) + r + 1.0;
    // 2^n in two factors, so that results below the smallest normal number come out right.
    let n = n as i32;
    let half = n >> 1;
    p * power_of_two(half) * power_of_two(n - half)
}

#[inline(always)]
fn power_of_two(n: i32) -> f32 {
    f32::from_bits(((n + 127) << 23) as u32)
}

/// 1 / (1 + e^-x), error below 3 ulp.
#[inline(always)]
pub fn sigmoid(x: f32) -> f32 {
    1.0 / (1.0 + exp(-x))
}

/// tanh x, error below 3 ulp. Near zero an odd polynomial, since 1 - 2/(e^2x + 1) cancels there.
#[inline(always)]
pub fn tanh(x: f32) -> f32 {
    let a = x.abs();
    let large = 1.0 - 2.0 / (exp(2.0 * a) + 1.0);
    let s = a * a;
    let p = -5.704_988_5e-3;
    let p = p * s + 2.063_908_8e-2;
    let p = p * s - 5.373_971_5e-2;
    let p = p * s + 1.333_144_2e-1;
    let p = p * s - 3.333_328e-1;
    let small = a + a * s * p;
    let y = if a < 0.625 { small } else { large };
    y.copysign(x)
}

/// ln(1 + e^x) without overflow.
#[inline(always)]
pub fn softplus(x: f32) -> f32 {
    let small = exp(-x.abs());
    (if x > 0.0 { x } else { 0.0 }) + libm::log1pf(small)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn worst(f: impl Fn(f32) -> f32, exact: impl Fn(f64) -> f64, from: f32, to: f32) -> f64 {
        (0..200_000)
            .map(|i| from + (to - from) * i as f32 / 200_000.0)
            .map(|x| {
                let exact = exact(f64::from(x));
                let ulp = f64::from((exact as f32).abs().max(f32::MIN_POSITIVE)) * f64::from(f32::EPSILON);
                (f64::from(f(x)) - exact).abs() / ulp
            })
            .fold(0.0, f64::max)
    }

    #[test]
    fn errors_in_units_in_the_last_place() {
        let exp_error = worst(exp, f64::exp, -87.0, 88.7);
        let sigmoid_error = worst(sigmoid, |x| 1.0 / (1.0 + (-x).exp()), -80.0, 30.0);
        let tanh_error = worst(tanh, f64::tanh, -12.0, 12.0);
        let softplus_error = worst(softplus, |x| x.max(0.0) + (-x.abs()).exp().ln_1p(), -80.0, 30.0);
        assert!(exp_error < 1.5, "exp {exp_error}");
        assert!(sigmoid_error < 3.0, "sigmoid {sigmoid_error}");
        assert!(tanh_error < 3.0, "tanh {tanh_error}");
        assert!(softplus_error < 3.0, "softplus {softplus_error}");
    }

    #[test]
    fn the_ends() {
        assert_eq!((exp(0.0), exp(f32::NEG_INFINITY), exp(-200.0)), (1.0, 0.0, 0.0));
        assert_eq!((exp(f32::INFINITY), exp(100.0)), (f32::INFINITY, f32::INFINITY));
        assert!(exp(f32::NAN).is_nan() && tanh(f32::NAN).is_nan() && sigmoid(f32::NAN).is_nan());
        assert_eq!((sigmoid(-200.0), sigmoid(200.0)), (0.0, 1.0));
        assert_eq!((tanh(-50.0), tanh(50.0), tanh(0.0)), (-1.0, 1.0, 0.0));
        assert!(exp(-100.0) > 0.0, "results below the smallest normal number are not flushed");
    }
}
