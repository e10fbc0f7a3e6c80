//! The contract of an op: shapes once, then forward and backward on buffers that are there.

use std::any::Any;
use std::fmt::Debug;

use crate::kernels::number::Number;
use crate::kernels::par::Pool;
use crate::kernels::views::Views;
use crate::rng::Stream;
use crate::shape::Shape;

/// A piece of arithmetic on the graph: one fused forward kernel, one hand-written gradient.
///
/// An op holds no state between calls. `forward` and `backward` cannot fail and do not allocate:
/// whatever can be wrong is found by `infer`.
pub trait Op: Any + Debug + Send + Sync {
    /// Short lower-case name for listings.
    fn name(&self) -> &'static str;

    /// Checks the input shapes; says what comes out and what the op needs.
    fn infer(&self, x: &[&Shape]) -> Result<Signature, Mismatch>;

    fn forward(&self, io: &Forward<'_>, cx: &Ctx<'_>);

    /// Writes the gradient of each input that wants one, given the outputs' gradients.
    /// Only called if `infer` names an input in `differentiable`.
    fn backward(&self, io: &Backward<'_>, cx: &Ctx<'_>);

    /// The op that does this and then `next`, where the two fuse.
    fn absorb(&self, next: &dyn Op) -> Option<Box<dyn Op>> {
        let _ = next;
        None
    }

    /// Multiplications and additions of the forward pass, per sample.
    fn flops(&self, x: &[&Shape], y: &[&Shape]) -> f64 {
        let _ = x;
        y.iter().map(|s| s.size() as f64).sum()
    }

    /// The same of the backward pass that makes the gradients of the inputs in `made`. Products take as
    /// much again for the samples' gradient, and for the weights'.
    fn backward_flops(&self, x: &[&Shape], y: &[&Shape], made: Bits) -> f64 {
        let made = |batched| (0..x.len()).any(|i| made.has(i) && x[i].batched == batched);
        let gradients = f64::from(u8::from(made(true)) + u8::from(made(false)));
        gradients * self.flops(x, y)
    }

    /// The definition, in f64 and without tricks: the oracle of the tests. Inputs and outputs carry
    /// the batch as first dimension.
    #[cfg(test)]
    fn twin(&self, x: &[ndarray::ArrayD<f64>], cx: &super::twin::TwinCtx) -> Vec<ndarray::ArrayD<f64>>;
}

/// Which of an op's inputs or outputs, by position.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Bits(u64);

impl Bits {
    pub const NONE: Bits = Bits(0);

    pub fn of(positions: &[usize]) -> Bits {
        Bits(positions.iter().fold(0, |bits, i| bits | 1 << i))
    }

    /// The first `count` positions.
    pub fn first(count: usize) -> Bits {
        Bits::of(&(0..count).collect::<Vec<_>>())
    }

    pub fn has(self, i: usize) -> bool {
        self.0 >> i & 1 == 1
    }
}

/// Numbers of working space: for each sample, in all, and for each thread.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Scratch {
    pub per_sample: usize,
    pub fixed: usize,
    pub per_thread: usize,
}

/// What `infer` says of an op at given input shapes.
#[derive(Clone, Debug)]
pub struct Signature {
    /// Shapes of the outputs.
    pub y: Vec<Shape>,
    /// Inputs and outputs that the backward pass reads; all others may be overwritten before.
    pub keep_x: Bits,
    pub keep_y: Bits,
    /// Inputs that can receive a gradient.
    pub differentiable: Bits,
    /// Inputs that the forward pass updates in place: moving statistics.
    pub updates: Bits,
    pub forward_scratch: Scratch,
    pub backward_scratch: Scratch,
    /// Numbers per sample that `forward` notes down for `backward`, besides its outputs: there is
    /// room for them only in programs that run `backward`.
    pub notes: usize,
    /// Whether `backward` honours `Grad::add`; else the compiler adds in a step of its own.
    pub adds: bool,
    /// Inputs of the first output's shape whose gradient `backward` leaves in its `dy`, where it gets
    /// no `dx` for it: one of them may take that buffer over.
    pub left_in_dy: Bits,
    /// Inputs and outputs that the op can do with in bfloat16, with their gradients.
    pub narrow: Narrow,
}

/// Which of an op's inputs and outputs may be stored as bfloat16.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Narrow {
    pub x: Bits,
    pub y: Bits,
    /// All of them or none.
    pub together: bool,
    /// Whether the op would round them anyway: then it is what makes them worth storing so.
    pub rounds: bool,
}

impl Signature {
    /// One output, gradients for no input, nothing kept.
    pub fn new(y: Shape) -> Signature {
        Signature {
            y: vec![y],
            keep_x: Bits::NONE,
            keep_y: Bits::NONE,
            differentiable: Bits::NONE,
            updates: Bits::NONE,
            forward_scratch: Scratch::default(),
            backward_scratch: Scratch::default(),
            notes: 0,
            adds: false,
            left_in_dy: Bits::NONE,
            narrow: Narrow::default(),
        }
    }

    pub fn differentiable(self, inputs: &[usize]) -> Signature {
        Signature { differentiable: Bits::of(inputs), ..self }
    }

    pub fn keep_x(self, inputs: &[usize]) -> Signature {
        Signature { keep_x: Bits::of(inputs), ..self }
    }

    pub fn keep_y(self, outputs: &[usize]) -> Signature {
        Signature { keep_y: Bits::of(outputs), ..self }
    }
}

/// Why shapes do not fit: the message names both sides.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Mismatch {
    pub message: String,
    pub hint: Option<String>,
    /// What is read should have been a sequence: who knows the layers before can say how it becomes one.
    pub no_sequence: bool,
}

impl Mismatch {
    pub fn new(message: impl Into<String>) -> Mismatch {
        Mismatch { message: message.into(), hint: None, no_sequence: false }
    }

    /// For a layer that reads sequences, `wanted`, and was given something else.
    pub fn no_sequence(wanted: &str, shape: &Shape) -> Mismatch {
        let message = format!("needs sequences {wanted}, got {shape}");
        Mismatch { no_sequence: true, ..Mismatch::new(message) }
    }

    pub fn hint(self, hint: impl Into<String>) -> Mismatch {
        Mismatch { hint: Some(hint.into()), ..self }
    }
}

/// What all ops of a run share.
#[derive(Clone, Copy)]
pub struct Ctx<'a> {
    pub pool: &'a Pool,
    /// Samples in this batch; at most what the program was planned for.
    pub batch: usize,
    /// Training step from 0: random ops draw other numbers in each.
    pub step: u32,
}

/// The buffers of a forward step. Slices hold `batch` samples.
pub struct Forward<'a> {
    pub x: Views<'a>,
    pub y: Views<'a>,
    /// Inputs named in `Signature::updates`.
    pub updates: Views<'a>,
    pub scratch: Views<'a>,
    pub notes: Views<'a>,
}

impl<'a> Forward<'a> {
    pub fn x(&self, i: usize) -> &'a [f32] {
        self.x_as(i)
    }

    /// An input that may be `narrow`, as what it is stored in.
    pub fn x_as<T: Number>(&self, i: usize) -> &'a [T] {
        check::<T>(&self.x, i);
        T::of(self.x.read(i))
    }

    pub fn y(&self, i: usize) -> &'a mut [f32] {
        self.y_as(i)
    }

    pub fn y_as<T: Number>(&self, i: usize) -> &'a mut [T] {
        check::<T>(&self.y, i);
        T::of_mut(self.y.write(i).expect("every output has a buffer"))
    }

    pub fn update(&self, i: usize) -> &'a mut [f32] {
        self.updates.write(i).expect("the op declared that it updates this")
    }

    pub fn scratch(&self) -> &'a mut [f32] {
        self.scratch.write(0).expect("the op declared scratch")
    }

    /// What `backward` is to find again; `None` where there will be no such call.
    pub fn notes(&self) -> Option<&'a mut [f32]> {
        self.notes.write(0)
    }
}

/// The buffers of a backward step.
pub struct Backward<'a> {
    pub x: Views<'a>,
    pub y: Views<'a>,
    pub dy: Views<'a>,
    pub dx: Views<'a>,
    /// Bit i: add to the gradient of input i instead of storing it.
    pub add: Bits,
    pub scratch: Views<'a>,
    pub notes: Views<'a>,
}

/// No op takes bfloat16 for f32.
fn check<T: Number>(views: &Views<'_>, i: usize) {
    assert_eq!(views.storage(i), T::STORAGE, "the op did not ask how buffer {i} is stored");
}

/// Where an input's gradient goes.
pub struct Grad<'a, T = f32> {
    pub buf: &'a mut [T],
    /// Add to what is there. Only ever true for ops whose signature says `adds`.
    pub add: bool,
}

impl<'a> Backward<'a> {
    /// An input kept for the backward pass.
    pub fn x(&self, i: usize) -> &'a [f32] {
        self.x_as(i)
    }

    pub fn x_as<T: Number>(&self, i: usize) -> &'a [T] {
        check::<T>(&self.x, i);
        T::of(self.x.read(i))
    }

    /// An output kept for the backward pass.
    pub fn y(&self, i: usize) -> &'a [f32] {
        self.y_as(i)
    }

    pub fn y_as<T: Number>(&self, i: usize) -> &'a [T] {
        check::<T>(&self.y, i);
        T::of(self.y.read(i))
    }

    /// The gradient of output `i`; it is read by nobody else, so it may be worked on in place.
    /// `None` if nothing depends on that output.
    pub fn dy(&self, i: usize) -> Option<&'a mut [f32]> {
        self.dy_as(i)
    }

    pub fn dy_as<T: Number>(&self, i: usize) -> Option<&'a mut [T]> {
        let buf = self.dy.write(i)?;
        check::<T>(&self.dy, i);
        Some(T::of_mut(buf))
    }

    /// The gradient of the first output, for ops that have one.
    pub fn dy0(&self) -> &'a mut [f32] {
        self.dy(0).expect("backward runs only if an output has a gradient")
    }

    /// `None` if nobody wants the gradient of input `i`, or it is to stay in `dy`
    /// ([`Signature::left_in_dy`]).
    pub fn dx(&self, i: usize) -> Option<Grad<'a>> {
        self.dx_as(i)
    }

    pub fn dx_as<T: Number>(&self, i: usize) -> Option<Grad<'a, T>> {
        let buf = self.dx.write(i)?;
        check::<T>(&self.dx, i);
        Some(Grad { buf: T::of_mut(buf), add: self.add.has(i) })
    }

    pub fn scratch(&self) -> &'a mut [f32] {
        self.scratch.write(0).expect("the op declared scratch")
    }

    /// What `forward` noted down.
    pub fn notes(&self) -> &'a [f32] {
        self.notes.read(0)
    }
}

/// A stream of random numbers for an op in the layer `path`.
pub fn op_stream(seed: u64, path: &str) -> Stream {
    Stream::new(seed, &format!("op/{path}"))
}
