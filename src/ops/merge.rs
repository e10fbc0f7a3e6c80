//! y = all inputs combined, element by element: sum, difference, product, mean, largest, smallest.
//! x, y `[N, ...]`, all of one shape.
//!
//! Of equal largest (smallest) numbers the first input's gets the gradient, as TensorFlow's
//! `maximum` over the inputs in order has it.

use std::sync::Arc;

use crate::graph::{Backward, Bits, Ctx, Forward, Mismatch, Op, Signature};
use crate::kernels::pairs::for_chunk_pairs;
use crate::kernels::par::for_pieces;
use crate::ops::function::Function;
use crate::ops::map::to_fuse;
use crate::shape::Shape;

/// Most inputs of an op: a step has places for as many.
pub const MOST_INPUTS: usize = 64;

/// Numbers per task where a pass writes two tensors.
const CHUNK: usize = 1 << 14;

/// How inputs are combined.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Merge {
    Add,
    /// The first less the second.
    Subtract,
    Multiply,
    Average,
    Maximum,
    Minimum,
}

trait Combine: Copy + Send + Sync + 'static {
    fn of(self, a: f32, b: f32) -> f32;
}

macro_rules! combine {
    ($($name:ident($a:ident, $b:ident) $value:expr;)*) => {$(
        #[derive(Clone, Copy)]
        struct $name;

        impl Combine for $name {
            #[inline(always)]
            fn of(self, $a: f32, $b: f32) -> f32 {
                $value
            }
        }
    )*};
}

// The larger and the smaller number are NaN if one of the two is: a merge must not hide a divergence.
combine! {
    Sum(a, b) a + b;
    Difference(a, b) a - b;
    Product(a, b) a * b;
    Larger(a, b) if b > a || b.is_nan() { b } else { a };
    Smaller(a, b) if b < a || b.is_nan() { b } else { a };
}

simd! {
    fn combine<F: Combine>(f: F, a: &[f32], b: &[f32], y: &mut [f32]) {
        for ((y, a), b) in y.iter_mut().zip(a).zip(b) {
            *y = f.of(*a, *b);
        }
    }
}

simd! {
    fn combine_in_place<F: Combine>(f: F, y: &mut [f32], x: &[f32]) {
        for (y, x) in y.iter_mut().zip(x) {
            *y = f.of(*y, *x);
        }
    }
}

simd! {
    /// `dx = factor dy`, or added to it.
    pub fn share(factor: f32, dy: &[f32], dx: &mut [f32], add: bool) {
        if add {
            for (dx, dy) in dx.iter_mut().zip(dy) {
                *dx += factor * dy;
            }
        } else {
            for (dx, dy) in dx.iter_mut().zip(dy) {
                *dx = factor * dy;
            }
        }
    }
}

simd! {
    /// `dx = dy` where x is the y that was chosen.
    fn chosen(x: &[f32], y: &[f32], dy: &[f32], dx: &mut [f32]) {
        for (((dx, x), y), dy) in dx.iter_mut().zip(x).zip(y).zip(dy) {
            *dx = if x == y { *dy } else { 0.0 };
        }
    }
}

simd! {
    /// Takes back what an earlier input has.
    fn had_before(earlier: &[f32], y: &[f32], dx: &mut [f32]) {
        for ((dx, x), y) in dx.iter_mut().zip(earlier).zip(y) {
            *dx = if x == y { 0.0 } else { *dx };
        }
    }
}

/// The inputs of a step without a list on the heap.
fn inputs<'a>(count: usize, x: impl Fn(usize) -> &'a [f32]) -> [&'a [f32]; MOST_INPUTS] {
    std::array::from_fn(|i| if i < count { x(i) } else { &[] })
}

/// A merge and the function behind it.
#[derive(Clone, Debug)]
struct Merged {
    merge: Merge,
    f: Arc<dyn Function>,
}

impl Merge {
    fn forward_then(self, io: &Forward<'_>, cx: &Ctx<'_>, f: Option<&dyn Function>) {
        match self {
            Merge::Add => Merge::forward_by(Sum, (1.0, f), io, cx),
            Merge::Subtract => Merge::forward_by(Difference, (1.0, f), io, cx),
            Merge::Multiply => Merge::forward_by(Product, (1.0, f), io, cx),
            Merge::Average => Merge::forward_by(Sum, (1.0 / io.x.count() as f32, f), io, cx),
            Merge::Maximum => Merge::forward_by(Larger, (1.0, f), io, cx),
            Merge::Minimum => Merge::forward_by(Smaller, (1.0, f), io, cx),
        }
    }

    fn forward_by<F: Combine>(
        by: F,
        (scale, f): (f32, Option<&dyn Function>),
        io: &Forward<'_>,
        cx: &Ctx<'_>,
    ) {
        let all = inputs(io.x.count(), |i| io.x(i));
        let [first, second, others @ ..] = &all[..io.x.count()] else { return };
        for_pieces(cx.pool, io.y(0), |range, y| {
            combine(by, &first[range.clone()], &second[range.clone()], y);
            for x in others {
                combine_in_place(by, y, &x[range.clone()]);
            }
            if scale != 1.0 {
                y.iter_mut().for_each(|y| *y *= scale);
            }
            if let Some(f) = f {
                f.apply_in_place(y);
            }
        });
    }

    /// What each input counts in the result, where that is one number.
    fn factor(self, input: usize, count: usize) -> Option<f32> {
        match self {
            Merge::Add => Some(1.0),
            Merge::Subtract => Some(if input == 0 { 1.0 } else { -1.0 }),
            Merge::Average => Some(1.0 / count as f32),
            Merge::Multiply | Merge::Maximum | Merge::Minimum => None,
        }
    }
}

impl Op for Merge {
    fn name(&self) -> &'static str {
        match self {
            Merge::Add => "add",
            Merge::Subtract => "subtract",
            Merge::Multiply => "multiply",
            Merge::Average => "average",
            Merge::Maximum => "maximum",
            Merge::Minimum => "minimum",
        }
    }

    fn infer(&self, x: &[&Shape]) -> Result<Signature, Mismatch> {
        let fits = if *self == Merge::Subtract { x.len() == 2 } else { (2..=MOST_INPUTS).contains(&x.len()) };
        if !fits {
            let wanted = if *self == Merge::Subtract { "2".into() } else { format!("2 to {MOST_INPUTS}") };
            return Err(Mismatch::new(format!("takes {wanted} inputs, got {}", x.len())));
        }
        if let Some(other) = x.iter().position(|s| *s != x[0]) {
            return Err(Mismatch::new(format!(
                "all inputs must have one shape: the first is {}, input {} is {}",
                x[0],
                other + 1,
                x[other]
            )));
        }
        let all = Bits::first(x.len());
        let mut signature = Signature::new(x[0].clone());
        signature.differentiable = all;
        // What counts once gets dy as it is.
        let whole: Vec<usize> = (0..x.len()).filter(|i| self.factor(*i, x.len()) == Some(1.0)).collect();
        signature.left_in_dy = Bits::of(&whole);
        signature.adds = self.factor(0, x.len()).is_some();
        if !signature.adds {
            signature.keep_x = all;
        }
        if matches!(self, Merge::Maximum | Merge::Minimum) {
            signature = signature.keep_y(&[0]);
        }
        Ok(signature)
    }

    fn forward(&self, io: &Forward<'_>, cx: &Ctx<'_>) {
        self.forward_then(io, cx, None);
    }

    fn backward(&self, io: &Backward<'_>, cx: &Ctx<'_>) {
        let (count, dy) = (io.dx.count(), &*io.dy0());
        for i in 0..count {
            let Some(dx) = io.dx(i) else { continue };
            if let Some(factor) = self.factor(i, count) {
                for_pieces(cx.pool, dx.buf, |range, buf| share(factor, &dy[range], buf, dx.add));
                continue;
            }
            let x = inputs(count, |j| io.x(j));
            if *self == Merge::Multiply {
                for_pieces(cx.pool, dx.buf, |range, dx| {
                    dx.copy_from_slice(&dy[range.clone()]);
                    for (_, x) in x[..count].iter().enumerate().filter(|(j, _)| *j != i) {
                        combine_in_place(Product, dx, &x[range.clone()]);
                    }
                });
                continue;
            }
            let y = io.y(0);
            for_pieces(cx.pool, dx.buf, |range, dx| {
                let y = &y[range.clone()];
                chosen(&x[i][range.clone()], y, &dy[range.clone()], dx);
                for earlier in &x[..i] {
                    had_before(&earlier[range.clone()], y, dx);
                }
            });
        }
    }

    fn absorb(&self, next: &dyn Op) -> Option<Box<dyn Op>> {
        let fits = matches!(self, Merge::Add | Merge::Subtract | Merge::Average);
        let f = to_fuse(next).filter(|_| fits)?;
        Some(Box::new(Merged { merge: *self, f }))
    }

    fn flops(&self, x: &[&Shape], y: &[&Shape]) -> f64 {
        ((x.len() - 1) * y[0].size()) as f64
    }

    #[cfg(test)]
    fn twin(&self, x: &[ndarray::ArrayD<f64>], _: &crate::graph::twin::TwinCtx) -> Vec<ndarray::ArrayD<f64>> {
        let combined = |f: fn(f64, f64) -> f64| {
            x[1..]
                .iter()
                .fold(x[0].clone(), |y, x| ndarray::Zip::from(&y).and(x).map_collect(|a, b| f(*a, *b)))
        };
        vec![match self {
            Merge::Add => combined(|a, b| a + b),
            Merge::Subtract => combined(|a, b| a - b),
            Merge::Multiply => combined(|a, b| a * b),
            Merge::Average => combined(|a, b| a + b) / x.len() as f64,
            Merge::Maximum => combined(f64::max),
            Merge::Minimum => combined(f64::min),
        }]
    }
}

impl Op for Merged {
    fn name(&self) -> &'static str {
        self.merge.name()
    }

    fn infer(&self, x: &[&Shape]) -> Result<Signature, Mismatch> {
        Ok(self.merge.infer(x)?.keep_y(&[0]))
    }

    fn forward(&self, io: &Forward<'_>, cx: &Ctx<'_>) {
        self.merge.forward_then(io, cx, Some(&*self.f));
    }

    /// The first gradient that is stored elsewhere is made in the pass over dy.
    fn backward(&self, io: &Backward<'_>, cx: &Ctx<'_>) {
        let (y, count) = (io.y(0), io.dx.count());
        let dy = io.dy0();
        let first = (0..count).find(|i| io.dx.has(*i));
        match first.and_then(|i| Some((self.merge.factor(i, count)?, io.dx(i)?))) {
            Some((factor, dx)) => {
                for_chunk_pairs(cx.pool, (&mut *dy, CHUNK), (dx.buf, CHUNK), |c, dy, buf| {
                    self.f.gradient_in_place(&y[c * CHUNK..][..dy.len()], dy);
                    share(factor, dy, buf, dx.add);
                });
            }
            None => for_pieces(cx.pool, dy, |range, dy| self.f.gradient_in_place(&y[range], dy)),
        }
        for i in (0..count).filter(|i| first.is_none_or(|first| *i > first)) {
            let (Some(factor), Some(dx)) = (self.merge.factor(i, count), io.dx(i)) else { continue };
            for_pieces(cx.pool, dx.buf, |range, buf| share(factor, &dy[range], buf, dx.add));
        }
    }

    fn flops(&self, x: &[&Shape], y: &[&Shape]) -> f64 {
        self.merge.flops(x, y)
    }

    #[cfg(test)]
    fn twin(
        &self,
        x: &[ndarray::ArrayD<f64>],
        cx: &crate::graph::twin::TwinCtx,
    ) -> Vec<ndarray::ArrayD<f64>> {
        vec![self.merge.twin(x, cx).remove(0).mapv(|v| self.f.twin(v))]
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::*;
    use crate::compile::{Want, compile};
    use crate::exec::Session;
    use crate::graph::{Builder, Mode, Params};
    use crate::initializers;
    use crate::kernels::par::Pool;
    use crate::ops::concatenate::Concatenate;
    use crate::ops::matmul::MatMul;
    use crate::testing::battery::LayerCase;

    #[test]
    fn functions_are_done_along() {
        for (merge, inputs) in [("Add", 2), ("Subtract", 2), ("Average", 2)] {
            let toml = format!("type = \"{merge}\"");
            let relu = "type = \"Activation\"\nactivation = \"tanh\"";
            let case = LayerCase::stack(&[&toml, relu], &vec![&[5, 3][..]; inputs]);
            case.check();
            assert_eq!(case.ops().len(), 1, "{merge}: {:?}", case.ops());
            LayerCase::stack(&[&toml, relu], &vec![&[70, 130][..]; inputs]).check_fused_bits(4);
        }
        let apart = LayerCase::stack(&["type = \"Multiply\"", "type = \"ReLU\""], &[&[5], &[5]]);
        assert_eq!(apart.ops().len(), 2, "its gradient needs the product");
    }

    /// `h = w x` is used by a product, a sum and a concatenation: its gradient has three parts.
    #[test]
    fn gradients_of_a_value_used_more_than_once_add_up() {
        let mut params = Params::default();
        let mut g = Builder::new(&mut params, Mode::Train, 0);
        g.enter("layer", true);
        let x = g.input(Shape::batch([1]));
        let w = g.weight("w", [1, 1], &initializers::named("Ones"), None).unwrap();
        let v = g.weight("v", [2, 1], &initializers::named("Ones"), None).unwrap();
        let h = g.push(MatMul::new(1, 1), &[x, w]).unwrap();
        let one = Shape::batch([1]);
        let both = g.push(Concatenate::new(&[&one, &one], 0).unwrap(), &[h, x]).unwrap();
        let weighted = g.push(MatMul::new(2, 1), &[both, v]).unwrap();
        let sum = g.push(Merge::Add, &[h, x]).unwrap();
        let square = g.push(Merge::Multiply, &[h, h]).unwrap();
        let all = g.push(Merge::Add, &[weighted, sum, square]).unwrap();
        let loss = g.reshape(all, Shape::batch([])).unwrap();
        let want = Want {
            inputs: vec![x],
            outputs: vec![],
            losses: vec![(loss, 1.0)],
            batch: 1,
            threads: 1,
            fixed: vec![],
        };
        let program = compile(g.graph, &params, &want);
        let mut session = Session::new(&params, vec![program], Arc::new(Pool::new(1)));
        session.param_mut(0).copy_from_slice(&[3.0]);
        session.param_mut(1).copy_from_slice(&[10.0, 5.0]);
        session.input(0, 0, 1).copy_from_slice(&[2.0]);
        session.run(0, 1, 0);
        // loss = 10 h + 5 x + h + x + h h with h = 6: its slope in h is 23, in w 46.
        assert_eq!(session.grad(0), [46.0]);
        assert_eq!(session.grad(1), [6.0, 2.0]);
    }
}
