//! Runs one step of a program on the blocks. The only `unsafe` outside the kernels.
#![allow(unsafe_code)]

use crate::compile::program::{Program, Step};
use crate::graph::{Backward, Ctx, Forward};
use crate::kernels::aligned::Aligned;
use crate::kernels::par::for_pieces;
use crate::kernels::views::{Blocks, Views};

/// The memory of a session.
#[derive(Debug)]
pub struct Memory {
    pub arena: Aligned,
    pub params: Aligned,
    pub grads: Aligned,
}

simd! {
    fn add_into(into: &mut [f32], from: &[f32]) {
        for (a, b) in into.iter_mut().zip(from) {
            *a += b;
        }
    }
}

/// Runs step `index` of a program that was planned for this memory.
pub fn run_step(program: &Program, index: usize, memory: &mut Memory, cx: &Ctx<'_>) {
    assert!(cx.batch <= program.batch, "batch {} in a plan for {}", cx.batch, program.batch);
    assert!(
        cx.pool.threads() <= program.threads,
        "{} threads in a plan for {}",
        cx.pool.threads(),
        program.threads
    );
    let n = cx.batch;
    let blocks = Blocks::new(&mut memory.arena, &mut memory.params, &mut memory.grads);
    // SAFETY (all views below): `&mut memory` keeps everybody else out for the time of the step.
    // Within the step `compile::verify` has checked, for the full batch and so for every smaller
    // one, that what is written overlaps nothing else that is used.
    match &program.steps[index] {
        Step::Forward(step) => {
            // SAFETY: see above.
            let io = unsafe {
                Forward {
                    x: Views::new(blocks, &step.x, n),
                    y: Views::new(blocks, &step.y, n),
                    updates: Views::new(blocks, &step.updates, n),
                    scratch: Views::new(blocks, &step.scratch, n),
                }
            };
            program.nodes[step.node].op.forward(&io, cx);
        }
        Step::Backward(step) => {
            // SAFETY: see above.
            let io = unsafe {
                Backward {
                    x: Views::new(blocks, &step.x, n),
                    y: Views::new(blocks, &step.y, n),
                    dy: Views::new(blocks, &step.dy, n),
                    dx: Views::new(blocks, &step.dx, n),
                    add: step.add,
                    scratch: Views::new(blocks, &step.scratch, n),
                }
            };
            program.nodes[step.node].op.backward(&io, cx);
        }
        Step::Seed { into, weight } => {
            // SAFETY: see above.
            unsafe { blocks.write(into, n) }.fill(weight / n as f32);
        }
        Step::Accumulate { into, from } => {
            // SAFETY: see above.
            let (into, from) = unsafe { (blocks.write(into, n), blocks.read(from, n)) };
            for_pieces(cx.pool, into, |range, into| add_into(into, &from[range]));
        }
    }
}
