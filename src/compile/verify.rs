//! The proof behind the arena's `unsafe`: no two buffers in use at one step overlap.

use crate::compile::program::{Program, Step};
use crate::kernels::views::{Slot, Space};

/// Checks a program for its full batch. An error is a bug of the planner.
pub fn verify(program: &Program) -> Result<(), String> {
    let n = program.batch;
    for (index, a) in program.buffers.iter().enumerate() {
        if a.slot.offset + a.slot.len(n) > program.arena_len {
            return Err(format!("{:?} reaches beyond the arena", a.role));
        }
        for b in &program.buffers[..index] {
            let together = a.life.start() <= b.life.end() && b.life.start() <= a.life.end();
            if together && overlap(&a.slot, &b.slot, n) {
                return Err(format!("{:?} and {:?} share memory", a.role, b.role));
            }
        }
    }
    program.steps.iter().enumerate().try_for_each(|(index, step)| {
        verify_step(step, n).map_err(|(a, b)| format!("step {index} writes {a:?} and uses {b:?}"))?;
        let (reads, writes) = step.touches();
        for slot in reads.iter().chain(&writes).filter(|s| s.space == Space::Arena && !s.is_empty(n)) {
            let known = program.buffers.iter().any(|b| b.slot == *slot && b.life.contains(&index));
            if !known {
                return Err(format!("step {index} uses {slot:?} outside its life"));
            }
        }
        Ok(())
    })
}

/// What a step writes overlaps nothing else that it touches.
fn verify_step(step: &Step, n: usize) -> Result<(), (Slot, Slot)> {
    let (reads, writes) = step.touches();
    for (i, w) in writes.iter().enumerate() {
        if let Some(other) = reads.iter().chain(&writes[..i]).find(|o| overlap(w, o, n)) {
            return Err((*w, *other));
        }
    }
    Ok(())
}

fn overlap(a: &Slot, b: &Slot, n: usize) -> bool {
    let empty = a.is_empty(n) || b.is_empty(n);
    !empty && a.space == b.space && a.offset < b.offset + b.len(n) && b.offset < a.offset + a.len(n)
}
