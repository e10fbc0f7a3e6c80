//! Memory for tests: right before and right after every part lies a page that nobody may touch, so
//! that a read or write outside of a buffer ends the test instead of passing unseen.

use std::ptr::{NonNull, null_mut};

use super::views::Blocks;

/// Where the parts touch their guard pages: no gap at all is possible on one side only.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Tight {
    Before,
    After,
}

impl Tight {
    pub const BOTH: [Tight; 2] = [Tight::Before, Tight::After];
}

/// Some parts of memory between guard pages.
pub struct Guarded {
    start: NonNull<u8>,
    bytes: usize,
    /// Offset from the start, and length, in numbers.
    parts: Vec<(usize, usize)>,
}

fn page() -> usize {
    // SAFETY: asks the system for a constant.
    usize::try_from(unsafe { libc::sysconf(libc::_SC_PAGESIZE) }).expect("a page has a size")
}

impl Guarded {
    /// Zeroed parts of so many numbers.
    pub fn new(lens: &[usize], tight: Tight) -> Guarded {
        let page = page();
        let pages = |len: usize| (len * size_of::<f32>()).next_multiple_of(page);
        let bytes = page + lens.iter().map(|len| pages(*len) + page).sum::<usize>();
        // SAFETY: a new mapping, at a place of the system's choice.
        let start = unsafe {
            libc::mmap(null_mut(), bytes, libc::PROT_NONE, libc::MAP_PRIVATE | libc::MAP_ANONYMOUS, -1, 0)
        };
        assert!(start != libc::MAP_FAILED, "no memory for {bytes} guarded bytes");
        let mut at = page;
        let mut parts = vec![];
        for len in lens {
            let own = pages(*len);
            // SAFETY: pages inside the mapping.
            let opened =
                unsafe { libc::mprotect(start.byte_add(at), own, libc::PROT_READ | libc::PROT_WRITE) };
            assert_eq!(opened, 0, "pages of a part can be opened");
            let first = if tight == Tight::Before { at } else { at + own - len * size_of::<f32>() };
            parts.push((first / size_of::<f32>(), *len));
            at += own + page;
        }
        Guarded { start: NonNull::new(start.cast()).expect("a mapping has an address"), bytes, parts }
    }

    /// A part with these numbers.
    pub fn holding(numbers: &[f32], tight: Tight) -> Guarded {
        let mut guarded = Guarded::new(&[numbers.len()], tight);
        guarded.part(0).copy_from_slice(numbers);
        guarded
    }

    /// Where part `i` begins, in numbers from the start of [`Guarded::blocks`].
    pub fn offset(&self, i: usize) -> usize {
        self.parts[i].0
    }

    pub fn part(&mut self, i: usize) -> &mut [f32] {
        let (offset, len) = self.parts[i];
        // SAFETY: the part's own pages are open, and `&mut self` keeps others out.
        unsafe { std::slice::from_raw_parts_mut(self.start.as_ptr().cast::<f32>().add(offset), len) }
    }

    /// The parts as one block, to be looked at by offset only.
    pub fn blocks(&mut self) -> Blocks<'_> {
        // SAFETY: the mapping lives as long as the borrow.
        unsafe { Blocks::of_arena(self.start.as_ptr().cast(), self.bytes / size_of::<f32>()) }
    }
}

impl Drop for Guarded {
    fn drop(&mut self) {
        // SAFETY: our own mapping.
        unsafe { libc::munmap(self.start.as_ptr().cast(), self.bytes) };
    }
}

mod tests {
    use super::*;

    const ASKED: &str = "NNTRAIN_TOUCH";

    /// Does nothing, unless run by the test below.
    #[test]
    fn touch() {
        let Ok(side) = std::env::var(ASKED) else { return };
        let tight = if side == "before" { Tight::Before } else { Tight::After };
        let mut memory = Guarded::new(&[5, 33], tight);
        let part = memory.part(1);
        part.fill(1.0);
        let edge =
            if side == "before" { part.as_ptr().wrapping_sub(1) } else { part.as_ptr().wrapping_add(33) };
        // SAFETY: none: the guard page ends the process here.
        println!("{}", unsafe { edge.read_volatile() });
    }

    #[test]
    fn one_number_too_far_ends_the_process() {
        use std::os::unix::process::ExitStatusExt;
        for side in ["before", "after"] {
            let mut command = std::process::Command::new(std::env::current_exe().unwrap());
            let run = command.args(["--exact", "kernels::guarded::tests::touch"]).env(ASKED, side).output();
            let signal = run.unwrap().status.signal();
            assert!([Some(libc::SIGSEGV), Some(libc::SIGBUS)].contains(&signal), "{side}: {signal:?}");
        }
    }
}
