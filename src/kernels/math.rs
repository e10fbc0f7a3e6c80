//! Elementary functions in plain arithmetic, which the compiler vectorises. Errors are stated in units
//! in the last place against f64.
//!
//! `FUSED`: the processor multiplies and adds at once, which takes half the instructions and rounds
//! once. The bodies of `simd!` know it by that name; all instruction sets that do so give the same bits.

const LN_2_HIGH: f32 = 0.693_359_4;
const LN_2_LOW: f32 = -2.121_944_4e-4;

/// Adding and taking away 1.5 * 2^23 rounds to the nearest integer.
const ROUNDING: f32 = 12_582_912.0;

/// For [`exp`] and its like outside of `simd!`.
pub const PLAIN: bool = false;

/// a b + c.
#[inline(always)]
fn fma<const FUSED: bool>(a: f32, b: f32, c: f32) -> f32 {
    if FUSED { a.mul_add(b, c) } else { a * b + c }
}

/// e^x, error below 1.5 ulp on the normal range; 0 below -103.9, infinity above 88.73, NaN for NaN.
/// Cody-Waite reduction to |r| <= ln 2 / 2, then a polynomial of degree 7.
#[inline(always)]
pub fn exp<const FUSED: bool>(x: f32) -> f32 {
    // Beyond these bounds the two-step scaling below gives infinity and zero by itself.
    let (p, n) = exp_parts::<FUSED>(x, -105.0, 89.5);
    // 2^n in two factors, so that results below the smallest normal number come out right.
    let half = n >> 1;
    p * power_of_two(half) * power_of_two(n - half)
}

/// As `exp`, in fewer instructions, but 0 below the smallest normal number and infinity above 2^127.5.
#[inline(always)]
fn exp_normal<const FUSED: bool>(x: f32) -> f32 {
    // 2^-127 comes out as 0, 2^128 as infinity.
    let (p, n) = exp_parts::<FUSED>(x, -88.0, 89.0);
    p * power_of_two(n)
}

/// e^x as `p * 2^n`, of x within bounds.
#[inline(always)]
fn exp_parts<const FUSED: bool>(x: f32, least: f32, most: f32) -> (f32, i32) {
    let clamped = if x > most { most } else { x };
    let clamped = if clamped < least { least } else { clamped };
    let shifted = fma::<FUSED>(clamped, std::f32::consts::LOG2_E, ROUNDING);
    let n = shifted - ROUNDING;
    let r = fma::<FUSED>(n, -LN_2_HIGH, clamped);
    let r = fma::<FUSED>(n, -LN_2_LOW, r);
    let p = 1.987_569_2e-4;
    let p = fma::<FUSED>(p, r, 1.398_2e-3);
    let p = fma::<FUSED>(p, r, 8.333_452e-3);
    let p = fma::<FUSED>(p, r, 4.166_579_6e-2);
    let p = fma::<FUSED>(p, r, 1.666_666_5e-1);
    let p = fma::<FUSED>(p, r, 0.5);
    let p = fma::<FUSED>(p, r * r, r) + 1.0;
    // The integer is in the low bits of the rounded number; a cast, which looks for NaN, would not be
    // vectorised.
    (p, (shifted.to_bits() as i32).wrapping_sub(ROUNDING.to_bits() as i32))
}

#[inline(always)]
fn power_of_two(n: i32) -> f32 {
    f32::from_bits((n.wrapping_add(127) << 23) as u32)
}

/// 1 / (1 + e^-x), error below 3 ulp.
#[inline(always)]
pub fn sigmoid<const FUSED: bool>(x: f32) -> f32 {
    1.0 / (1.0 + exp_normal::<FUSED>(-x))
}

/// tanh x, error below 3 ulp. Near zero an odd polynomial, since 1 - 2/(e^2x + 1) cancels there.
#[inline(always)]
pub fn tanh<const FUSED: bool>(x: f32) -> f32 {
    let a = x.abs();
    let large = 1.0 - 2.0 / (exp_normal::<FUSED>(2.0 * a) + 1.0);
    let s = a * a;
    let p = -5.704_988_5e-3;
    let p = fma::<FUSED>(p, s, 2.063_908_8e-2);
    let p = fma::<FUSED>(p, s, -5.373_971_5e-2);
    let p = fma::<FUSED>(p, s, 1.333_144_2e-1);
    let p = fma::<FUSED>(p, s, -3.333_328e-1);
    let small = fma::<FUSED>(a * s, p, a);
    let y = if a < 0.625 { small } else { large };
    y.copysign(x)
}

/// ln(1 + f) for f from 1 / sqrt 2 - 1 to sqrt 2 - 1: minimax of what is left after f - f^2 / 2.
#[inline(always)]
fn ln_near_one(f: f32) -> f32 {
    let p = -7.634_776e-2;
    let p = p * f + 1.276_170_7e-1;
    let p = p * f - 1.316_013_3e-1;
    let p = p * f + 1.420_173_4e-1;
    let p = p * f - 1.662_336e-1;
    let p = p * f + 2.000_122_8e-1;
    let p = p * f - 2.500_082e-1;
    let p = p * f + 3.333_333e-1;
    let square = f * f;
    f - (0.5 * square - square * f * p)
}

/// ln x of a positive normal number, error below 1.5 ulp.
#[inline(always)]
pub fn ln(x: f32) -> f32 {
    // x = 2^e m with m from 1 / sqrt 2 to sqrt 2.
    let from = std::f32::consts::FRAC_1_SQRT_2.to_bits();
    let above = x.to_bits().wrapping_sub(from);
    let e = (above as i32 >> 23) as f32;
    let m = f32::from_bits((above & 0x7F_FFFF) + from);
    e * LN_2_HIGH + (e * LN_2_LOW + ln_near_one(m - 1.0))
}

/// ln(1 + x) for x from 0 to 1, error below 1.5 ulp.
#[inline(always)]
fn ln_1p(x: f32) -> f32 {
    // Half of 1 + x, less 1; and the bit that is lost there makes no difference.
    let halved = x > 0.414;
    let y = ln_near_one(if halved { 0.5 * x - 0.5 } else { x });
    if halved { LN_2_HIGH + (LN_2_LOW + y) } else { y }
}

/// ln(1 + e^x) without overflow, error below 3 ulp.
#[inline(always)]
pub fn softplus<const FUSED: bool>(x: f32) -> f32 {
    (if x > 0.0 { x } else { 0.0 }) + ln_1p(exp::<FUSED>(-x.abs()))
}

/// tanh(ln(1 + e^x)), error below 4 ulp: a ratio of sums of positive numbers.
#[inline(always)]
pub fn tanh_softplus<const FUSED: bool>(x: f32) -> f32 {
    let n = exp::<FUSED>(-x.abs());
    let positive = x > 0.0;
    let above = if positive { 1.0 + 2.0 * n } else { n * (n + 2.0) };
    above / (above + if positive { 2.0 * n * n } else { 2.0 })
}

/// The error function, error below 1.25 ulp. Two minimax polynomials: of erf x / x - 1 in x^2 up to 1, of
/// erfc beyond, about the middle of [1, 3.92], where the rest rounds to 1.
#[inline(always)]
pub fn erf<const FUSED: bool>(x: f32) -> f32 {
    let a = x.abs();
    let s = a * a;
    let p = 7.853_867e-5;
    let p = fma::<FUSED>(p, s, -8.010_195_5e-4);
    let p = fma::<FUSED>(p, s, 5.188_328e-3);
    let p = fma::<FUSED>(p, s, -2.685_381_2e-2);
    let p = fma::<FUSED>(p, s, 1.128_358_5e-1);
    let p = fma::<FUSED>(p, s, -3.761_262_6e-1);
    let p = fma::<FUSED>(p, s, 1.283_791_7e-1);
    let small = fma::<FUSED>(a, p, a);
    let u = (if a > 3.92 { 3.92 } else { a } - 2.46) * (1.0 / 1.46);
    let q = 8.559_573e-4;
    let q = fma::<FUSED>(q, u, -1.633_295_2e-3);
    let q = fma::<FUSED>(q, u, -2.273_712_5e-3);
    let q = fma::<FUSED>(q, u, 9.093_175e-3);
    let q = fma::<FUSED>(q, u, -8.075_081e-3);
    let q = fma::<FUSED>(q, u, -6.535_351e-3);
    let q = fma::<FUSED>(q, u, 2.870_276e-2);
    let q = fma::<FUSED>(q, u, -4.509_447_6e-2);
    let q = fma::<FUSED>(q, u, 4.500_474_4e-2);
    let q = fma::<FUSED>(q, u, -3.060_162e-2);
    let q = fma::<FUSED>(q, u, 1.393_163_3e-2);
    let q = fma::<FUSED>(q, u, -3.878_042_4e-3);
    let q = fma::<FUSED>(q, u, 5.033_268e-4);
    let y = if a > 1.0 { 1.0 - q } else { small };
    y.copysign(x)
}

/// Sine and cosine of `turn / 2^32` turns, error below 2 ulp.
#[inline(always)]
pub fn sin_cos(turn: u32) -> (f32, f32) {
    // The nearest quarter turn, and what is left of it: from -pi / 4 to pi / 4.
    let quarter = turn.wrapping_add(1 << 29) >> 30;
    let rest = turn.wrapping_sub(quarter << 30) as i32;
    let a = rest as f32 * (std::f32::consts::TAU / 4_294_967_296.0);
    let s = a * a;
    let sin = -1.951_73e-4;
    let sin = sin * s + 8.332_178e-3;
    let sin = sin * s - 1.666_665_5e-1;
    let sin = a + a * s * sin;
    let cos = 2.443_845e-5;
    let cos = cos * s - 1.388_736_8e-3;
    let cos = cos * s + 4.166_664_7e-2;
    let cos = 1.0 - (0.5 * s - s * s * cos);
    let (sin, cos) = if quarter & 1 == 0 { (sin, cos) } else { (cos, -sin) };
    if quarter & 2 == 0 { (sin, cos) } else { (-sin, -cos) }
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
        errors::<PLAIN>();
        errors::<true>();
    }

    fn errors<const FUSED: bool>() {
        let exp_error = worst(exp::<FUSED>, f64::exp, -87.0, 88.7);
        let sigmoid_error = worst(sigmoid::<FUSED>, |x| 1.0 / (1.0 + (-x).exp()), -80.0, 30.0);
        let tanh_error = worst(tanh::<FUSED>, f64::tanh, -12.0, 12.0);
        let ln_error = worst(ln, f64::ln, 1e-3, 4.0).max(worst(ln, f64::ln, 1e-30, 1e30));
        let mish = |x: f64| x.max(0.0) + (-x.abs()).exp().ln_1p();
        let tanh_softplus_error = worst(tanh_softplus::<FUSED>, |x| mish(x).tanh(), -80.0, 30.0);
        let erf_error =
            worst(erf::<FUSED>, libm::erf, -5.0, 5.0).max(worst(erf::<FUSED>, libm::erf, -1e-3, 1e-3));
        let turn = |x: f32| ((x * 4096.0) as u32).wrapping_mul(1_000_003);
        let angle = |x: f64| f64::from(turn(x as f32)) * (std::f64::consts::TAU / 4_294_967_296.0);
        let sin_error = worst(|x| sin_cos(turn(x)).0, |x| angle(x).sin(), 0.0, 1e3);
        let cos_error = worst(|x| sin_cos(turn(x)).1, |x| angle(x).cos(), 0.0, 1e3);
        let softplus_error = worst(softplus::<FUSED>, |x| x.max(0.0) + (-x.abs()).exp().ln_1p(), -80.0, 30.0);
        assert!(exp_error < 1.5, "exp {exp_error}");
        assert!(sigmoid_error < 3.0, "sigmoid {sigmoid_error}");
        assert!(tanh_error < 3.0, "tanh {tanh_error}");
        assert!(softplus_error < 3.0, "softplus {softplus_error}");
        assert!(ln_error < 1.5, "ln {ln_error}");
        assert!(tanh_softplus_error < 4.0, "tanh_softplus {tanh_softplus_error}");
        assert!(erf_error < 1.25, "erf {erf_error}");
        assert!(sin_error < 2.0 && cos_error < 2.0, "sin {sin_error} cos {cos_error}");
    }

    #[test]
    fn the_ends() {
        ends::<PLAIN>();
        ends::<true>();
    }

    fn ends<const FUSED: bool>() {
        assert_eq!(
            (exp::<FUSED>(0.0), exp::<FUSED>(f32::NEG_INFINITY), exp::<FUSED>(-200.0)),
            (1.0, 0.0, 0.0)
        );
        assert_eq!((exp::<FUSED>(f32::INFINITY), exp::<FUSED>(100.0)), (f32::INFINITY, f32::INFINITY));
        assert!(
            exp::<FUSED>(f32::NAN).is_nan()
                && tanh::<FUSED>(f32::NAN).is_nan()
                && sigmoid::<FUSED>(f32::NAN).is_nan()
        );
        assert_eq!((sigmoid::<FUSED>(-200.0), sigmoid::<FUSED>(200.0)), (0.0, 1.0));
        for x in [-87.0, -87.6, -88.2, -89.0, 87.0, 88.0] {
            let error = (f64::from(sigmoid::<FUSED>(x)) - 1.0 / (1.0 + (-f64::from(x)).exp())).abs();
            assert!(error < f64::from(f32::MIN_POSITIVE) || x > 0.0 && error < 1e-7, "sigmoid {x}");
        }
        assert_eq!((tanh::<FUSED>(-50.0), tanh::<FUSED>(50.0), tanh::<FUSED>(0.0)), (-1.0, 1.0, 0.0));
        assert_eq!(
            (erf::<FUSED>(f32::INFINITY), erf::<FUSED>(f32::NEG_INFINITY), erf::<FUSED>(-0.0).to_bits()),
            (1.0, -1.0, 1 << 31)
        );
        assert_eq!(
            (ln(1.0), softplus::<FUSED>(0.0), softplus::<FUSED>(1e10)),
            (0.0, std::f32::consts::LN_2, 1e10)
        );
        assert!(
            erf::<FUSED>(f32::NAN).is_nan()
                && softplus::<FUSED>(f32::NAN).is_nan()
                && tanh_softplus::<FUSED>(f32::NAN).is_nan()
        );
        assert_eq!(
            (tanh_softplus::<FUSED>(f32::INFINITY), tanh_softplus::<FUSED>(f32::NEG_INFINITY)),
            (1.0, 0.0)
        );
        assert_eq!((sin_cos(0), sin_cos(1 << 30)), ((0.0, 1.0), (1.0, 0.0)));
        assert!(exp::<FUSED>(-100.0) > 0.0, "results below the smallest normal number are not flushed");
    }
}
