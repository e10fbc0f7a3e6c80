//! A step's window on the blocks it works on: which parts it reads and which it writes.

use std::cell::Cell;
use std::marker::PhantomData;

use crate::kernels::number::Storage;

/// The three blocks that a program's offsets refer to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Space {
    /// Activations, their gradients, inputs and scratch.
    Arena,
    /// Weights and moving statistics.
    Params,
    /// Gradients of the weights, laid out like `Params`.
    Grads,
}

/// A part of a block: `per_sample` words of an f32 for each sample of the batch, and `fixed` more.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Slot {
    pub space: Space,
    pub offset: usize,
    pub per_sample: usize,
    pub fixed: usize,
    pub storage: Storage,
}

impl Slot {
    pub fn len(&self, n: usize) -> usize {
        self.per_sample.saturating_mul(n).saturating_add(self.fixed)
    }

    pub fn is_empty(&self, n: usize) -> bool {
        self.len(n) == 0
    }
}

/// Where the three blocks lie, for the time of one run.
#[derive(Clone, Copy)]
pub struct Blocks<'a> {
    starts: [*mut f32; 3],
    lens: [usize; 3],
    life: PhantomData<&'a mut [f32]>,
}

impl<'a> Blocks<'a> {
    pub fn new(arena: &'a mut [f32], params: &'a mut [f32], grads: &'a mut [f32]) -> Blocks<'a> {
        Blocks {
            starts: [arena.as_mut_ptr(), params.as_mut_ptr(), grads.as_mut_ptr()],
            lens: [arena.len(), params.len(), grads.len()],
            life: PhantomData,
        }
    }

    /// One block, as the arena.
    ///
    /// # Safety
    /// Whatever parts of it are asked for are valid memory, and nobody else's while `'a` lasts.
    #[cfg(all(test, unix))]
    pub unsafe fn of_arena(start: *mut f32, len: usize) -> Blocks<'a> {
        let nothing = std::ptr::NonNull::dangling().as_ptr();
        Blocks { starts: [start, nothing, nothing], lens: [len, 0, 0], life: PhantomData }
    }

    fn locate(&self, slot: &Slot, n: usize) -> (*mut f32, usize) {
        let (space, len) = (slot.space as usize, slot.len(n));
        assert!(
            slot.offset.saturating_add(len) <= self.lens[space],
            "{slot:?} with batch {n} is outside its block"
        );
        // SAFETY: inside the block, as just asserted.
        (unsafe { self.starts[space].add(slot.offset) }, len)
    }

    /// # Safety
    /// Nothing may write to this part while the slice is alive.
    pub unsafe fn read(&self, slot: &Slot, n: usize) -> &'a [f32] {
        let (start, len) = self.locate(slot, n);
        // SAFETY: inside the block; not written meanwhile by the caller's promise.
        unsafe { std::slice::from_raw_parts(start, len) }
    }

    /// # Safety
    /// Nothing else may read or write this part while the slice is alive.
    pub unsafe fn write(&self, slot: &Slot, n: usize) -> &'a mut [f32] {
        let (start, len) = self.locate(slot, n);
        // SAFETY: inside the block; exclusive by the caller's promise.
        unsafe { std::slice::from_raw_parts_mut(start, len) }
    }
}

/// Some slots of one step. Each writable one is handed out once.
pub struct Views<'a> {
    blocks: Blocks<'a>,
    slots: &'a [Option<Slot>],
    n: usize,
    /// Slots that were handed out for writing, and for reading.
    taken: Cell<u64>,
    lent: Cell<u64>,
}

impl<'a> Views<'a> {
    /// # Safety
    /// For the life of the views nothing else may touch the slots' parts of the blocks, and a slot
    /// that is handed out by `write` must overlap no other slot of the step. The memory planner
    /// guarantees both: it verifies every program it makes (`compile::verify`).
    pub unsafe fn new(blocks: Blocks<'a>, slots: &'a [Option<Slot>], n: usize) -> Views<'a> {
        assert!(slots.len() <= 64, "a step has at most 64 buffers of a kind");
        Views { blocks, slots, n, taken: Cell::new(0), lent: Cell::new(0) }
    }

    pub fn count(&self) -> usize {
        self.slots.len()
    }

    /// Whether there is a buffer at this position.
    pub fn has(&self, i: usize) -> bool {
        self.slots[i].is_some()
    }

    /// How the numbers of the buffer at this position are stored.
    pub fn storage(&self, i: usize) -> Storage {
        self.slots[i].as_ref().map_or(Storage::F32, |slot| slot.storage)
    }

    /// The buffer's words, whatever they hold.
    pub fn read(&self, i: usize) -> &'a [f32] {
        let slot = self.slots[i].as_ref().expect("the op declared that it reads this");
        assert!(self.taken.get() >> i & 1 == 0, "buffer {i} is being written");
        self.lent.set(self.lent.get() | 1 << i);
        // SAFETY: by the promise of `new`; a slot handed out for writing is refused above.
        unsafe { self.blocks.read(slot, self.n) }
    }

    /// The buffer's words for writing; `None` where nobody wants it.
    pub fn write(&self, i: usize) -> Option<&'a mut [f32]> {
        let slot = self.slots[i].as_ref()?;
        let out = self.taken.get() | self.lent.get();
        assert!(out >> i & 1 == 0, "buffer {i} is handed out twice");
        self.taken.set(self.taken.get() | 1 << i);
        // SAFETY: by the promise of `new`, and never handed out twice.
        Some(unsafe { self.blocks.write(slot, self.n) })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn slot(offset: usize, per_sample: usize) -> Option<Slot> {
        Some(Slot { space: Space::Arena, offset, per_sample, fixed: 0, storage: Storage::F32 })
    }

    #[test]
    #[should_panic(expected = "handed out twice")]
    fn a_buffer_is_written_by_one_holder() {
        let mut arena = vec![0.0; 8];
        let slots = [slot(0, 4)];
        // SAFETY: the only views on this memory.
        let views = unsafe { Views::new(Blocks::new(&mut arena, &mut [], &mut []), &slots, 2) };
        let first = views.write(0).unwrap();
        first[7] = 1.0;
        let _ = views.write(0);
    }

    #[test]
    #[should_panic(expected = "outside its block")]
    fn a_slot_outside_its_block_is_refused() {
        let mut arena = vec![0.0; 8];
        let slots = [slot(4, 4)];
        // SAFETY: the only views on this memory.
        let views = unsafe { Views::new(Blocks::new(&mut arena, &mut [], &mut []), &slots, 2) };
        let _ = views.read(0);
    }
}
