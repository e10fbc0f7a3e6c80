//! A word to the memory system about what will be read soon.

/// Asks for the cache lines of some numbers, so that rows lying anywhere are on their way together.
pub fn prefetch<T>(numbers: &[T]) {
    #[cfg(target_arch = "x86_64")]
    {
        use std::arch::x86_64::{_MM_HINT_T0, _mm_prefetch};
        for line in (0..size_of_val(numbers)).step_by(64) {
            // SAFETY: the address lies in the slice, and a hint reads nothing.
            unsafe {
                _mm_prefetch(numbers.as_ptr().cast::<i8>().add(line), _MM_HINT_T0);
            }
        }
    }
    #[cfg(not(target_arch = "x86_64"))]
    let _ = numbers;
}
