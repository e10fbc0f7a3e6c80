//! Runs one step of a program on the blocks. The only `unsafe` outside the kernels.
#![allow(unsafe_code)]

use crate::compile::program::{Program, Step};
use crate::graph::{Backward, Ctx, Forward};
use crate::kernels::aligned::Aligned;
use crate::kernels::number::{self, Bf16, Number, Storage};
use crate::kernels::par::for_pieces;
use crate::kernels::views::{Blocks, Views};

/// The memory of a session.
#[derive(Debug)]
pub struct Memory {
    pub arena: Aligned,
    pub params: Aligned,
    pub grads: Aligned,
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
    #[cfg(all(test, unix))]
    let expected = guarded::run_step(program, &program.steps[index], memory, cx);
    let blocks = Blocks::new(&mut memory.arena, &mut memory.params, &mut memory.grads);
    // SAFETY: `&mut memory` keeps everybody else out for the time of the step.
    unsafe { run(program, &program.steps[index], blocks, cx) };
    #[cfg(all(test, unix))]
    expected.check(memory);
}

/// Runs a step on some blocks.
///
/// # Safety
/// Nobody else uses the blocks meanwhile. That within the step nothing is written that overlaps
/// anything else in use, `compile::verify` has checked: for the full batch, and so for every
/// smaller one.
unsafe fn run(program: &Program, step: &Step, blocks: Blocks<'_>, cx: &Ctx<'_>) {
    let n = cx.batch;
    match step {
        Step::Forward(step) => {
            // SAFETY: see above.
            let io = unsafe {
                Forward {
                    x: Views::new(blocks, &step.x, n),
                    y: Views::new(blocks, &step.y, n),
                    updates: Views::new(blocks, &step.updates, n),
                    scratch: Views::new(blocks, &step.scratch, n),
                    notes: Views::new(blocks, &step.notes, n),
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
                    notes: Views::new(blocks, &step.notes, n),
                }
            };
            program.nodes[step.node].op.backward(&io, cx);
        }
        Step::Seed { into, weight } => {
            // SAFETY: see above.
            unsafe { blocks.write(into, n) }.fill(weight / n as f32);
        }
        Step::Accumulate { into: slot, from } => {
            // SAFETY: see above.
            let (into, from) = unsafe { (blocks.write(slot, n), blocks.read(from, n)) };
            for_pieces(cx.pool, into, |range, into| match slot.storage {
                Storage::F32 => number::add(&from[range], into),
                Storage::Bf16 => number::add(Bf16::of(&from[range]), Bf16::of_mut(into)),
            });
        }
    }
}

/// In tests every step runs also on copies of its buffers between guard pages, on either side: it
/// must touch nothing outside of them, change nothing that it only reads, and give the same bits.
#[cfg(all(test, unix))]
mod guarded {
    use super::*;
    use crate::kernels::aligned::round_up;
    use crate::kernels::guarded::{Guarded, Tight};
    use crate::kernels::views::{Slot, Space};

    /// What the step must leave in its buffers.
    pub struct Expected {
        buffers: Vec<(Slot, Vec<f32>)>,
        n: usize,
    }

    fn part<'m>(memory: &'m Memory, slot: &Slot, n: usize) -> &'m [f32] {
        let block = match slot.space {
            Space::Arena => &memory.arena,
            Space::Params => &memory.params,
            Space::Grads => &memory.grads,
        };
        &block[slot.offset..slot.offset + slot.len(n)]
    }

    fn bits(numbers: &[f32]) -> impl Iterator<Item = u32> {
        numbers.iter().map(|v| v.to_bits())
    }

    pub fn run_step(program: &Program, step: &Step, memory: &Memory, cx: &Ctx<'_>) -> Expected {
        let n = cx.batch;
        let (reads, writes) = step.touches();
        let mut slots = [reads.clone(), writes.clone()].concat();
        slots.dedup();
        let scratch = step.scratch();
        // Scratch begins on a cache line wherever it lies: then it is a few numbers longer.
        let len = |s: &Slot| if scratch.contains(s) { round_up(s.len(n)) } else { s.len(n) };
        let lens: Vec<usize> = slots.iter().map(len).collect();
        let mut results: Vec<Vec<Vec<f32>>> = vec![];
        for tight in Tight::BOTH {
            let mut guarded = Guarded::new(&lens, tight);
            for (i, slot) in slots.iter().enumerate() {
                guarded.part(i)[..slot.len(n)].copy_from_slice(part(memory, slot, n));
            }
            let place = |slot: &Slot| {
                let i = slots.iter().position(|s| s == slot).expect("a slot of the step");
                Slot { space: Space::Arena, offset: guarded.offset(i), ..*slot }
            };
            let moved = step.with_slots(&place);
            // SAFETY: the parts are copies that nobody else knows.
            unsafe { run(program, &moved, guarded.blocks(), cx) };
            for (i, slot) in slots.iter().enumerate().filter(|(_, s)| !writes.contains(s)) {
                let same = bits(guarded.part(i)).eq(bits(part(memory, slot, n)));
                assert!(same, "{step:?} changed {slot:?}, which it only reads");
            }
            results.push((0..slots.len()).map(|i| guarded.part(i).to_vec()).collect());
        }
        let written = |i: &usize| writes.contains(&slots[*i]) && !scratch.contains(&slots[*i]);
        let buffers: Vec<(Slot, Vec<f32>)> =
            (0..slots.len()).filter(written).map(|i| (slots[i], results[0][i].clone())).collect();
        for i in (0..slots.len()).filter(written) {
            assert!(
                bits(&results[0][i]).eq(bits(&results[1][i])),
                "{step:?}: {:?} depends on where it lies",
                slots[i]
            );
        }
        Expected { buffers, n }
    }

    impl Expected {
        pub fn check(&self, memory: &Memory) {
            for (slot, expected) in &self.buffers {
                assert!(
                    bits(part(memory, slot, self.n)).eq(bits(expected)),
                    "{slot:?} depends on where it lies"
                );
            }
        }
    }
}
