//! Zeroed memory on cache-line borders, allocated once.

use std::alloc::{Layout, alloc_zeroed, dealloc, handle_alloc_error};
use std::ops::{Deref, DerefMut};
use std::ptr::NonNull;

/// Bytes of a cache line, and of the widest vector register.
const LINE: usize = 64;

/// Numbers per cache line: parts of a block start on a multiple of this.
pub const LINE_FLOATS: usize = LINE / size_of::<f32>();

/// Rounds a count of numbers up to whole cache lines.
pub fn round_up(len: usize) -> usize {
    len.next_multiple_of(LINE_FLOATS)
}

/// Gives an empty block an aligned address too.
#[repr(align(64))]
struct Line;

/// A fixed-length slice of f32 that starts on a cache line.
#[derive(Debug)]
pub struct Aligned {
    start: NonNull<f32>,
    len: usize,
}

// SAFETY: owns its memory, like a Vec<f32>.
unsafe impl Send for Aligned {}
// SAFETY: shared access is read-only.
unsafe impl Sync for Aligned {}

impl Aligned {
    pub fn zeroed(len: usize) -> Aligned {
        if len == 0 {
            return Aligned { start: NonNull::<Line>::dangling().cast(), len };
        }
        let layout = Aligned::layout(len);
        // SAFETY: the layout is not empty.
        let start = unsafe { alloc_zeroed(layout) };
        let Some(start) = NonNull::new(start.cast::<f32>()) else { handle_alloc_error(layout) };
        Aligned { start, len }
    }

    fn layout(len: usize) -> Layout {
        Layout::from_size_align(len * size_of::<f32>(), LINE).expect("the block fits the address space")
    }

    pub fn as_mut_ptr(&mut self) -> *mut f32 {
        self.start.as_ptr()
    }
}

impl Deref for Aligned {
    type Target = [f32];
    fn deref(&self) -> &[f32] {
        // SAFETY: allocated with this length, zeroed, and alive as long as self.
        unsafe { std::slice::from_raw_parts(self.start.as_ptr(), self.len) }
    }
}

impl DerefMut for Aligned {
    fn deref_mut(&mut self) -> &mut [f32] {
        // SAFETY: as above; &mut self makes the access exclusive.
        unsafe { std::slice::from_raw_parts_mut(self.start.as_ptr(), self.len) }
    }
}

impl Drop for Aligned {
    fn drop(&mut self) {
        if self.len > 0 {
            // SAFETY: allocated in `zeroed` with the same layout.
            unsafe { dealloc(self.start.as_ptr().cast(), Aligned::layout(self.len)) }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn starts_on_a_line_and_is_zero() {
        for len in [0, 1, 15, 16, 1000] {
            let block = Aligned::zeroed(len);
            assert_eq!(block.as_ptr() as usize % LINE, 0);
            assert!(block.len() == len && block.iter().all(|v| *v == 0.0));
        }
        assert_eq!((round_up(0), round_up(1), round_up(16), round_up(17)), (0, 16, 16, 32));
    }
}
