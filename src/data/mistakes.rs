//! Mistakes found in data files: all of them are counted, the first few are shown.

use crate::diag::{Diag, Failure, Result};

/// More than this and the reader of the message has seen the pattern.
const SHOWN: usize = 20;

#[derive(Debug, Default)]
pub struct Mistakes {
    shown: Vec<Diag>,
    more: usize,
}

impl Mistakes {
    pub fn push(&mut self, diag: Diag) {
        if self.shown.len() < SHOWN {
            self.shown.push(diag);
        } else {
            self.more += 1;
        }
    }

    /// As [`Self::push`]; the message is made only if it will be shown.
    pub fn push_with(&mut self, diag: impl FnOnce() -> Diag) {
        if self.shown.len() < SHOWN {
            self.shown.push(diag());
        } else {
            self.more += 1;
        }
    }

    /// Goes on with a result, or fails with its mistakes behind those noted before.
    pub fn join<T>(mut self, result: Result<T>) -> Result<(T, Mistakes)> {
        match result {
            Ok(value) => Ok((value, self)),
            Err(Failure::Input(diags)) => {
                diags.into_iter().for_each(|diag| self.push(diag));
                Err(Failure::Input(self.all()))
            }
            Err(other) => Err(other),
        }
    }

    /// Fails with everything that was noted; "and N more" comes last.
    pub fn finish(self) -> Result<()> {
        if self.shown.is_empty() { Ok(()) } else { Err(Failure::Input(self.all())) }
    }

    fn all(mut self) -> Vec<Diag> {
        if self.more > 0 {
            self.shown.push(Diag::new(format!("and {} more mistakes in the data", self.more)));
        }
        self.shown
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_first_twenty_and_a_count() {
        let mut mistakes = Mistakes::default();
        for i in 0..25 {
            mistakes.push_with(|| Diag::new(format!("mistake {i}")));
        }
        let failure = mistakes.finish().unwrap_err();
        assert_eq!(failure.diags().len(), 21);
        assert_eq!(failure.diags()[20].message, "and 5 more mistakes in the data");
        assert!(Mistakes::default().finish().is_ok());
    }

    #[test]
    fn mistakes_of_two_steps_are_reported_together() {
        let mut mistakes = Mistakes::default();
        mistakes.push(Diag::new("one"));
        let failure = mistakes.join::<()>(Err(Diag::new("two").into())).unwrap_err();
        assert_eq!(failure.diags().iter().map(|d| d.message.as_str()).collect::<Vec<_>>(), ["one", "two"]);
    }
}
