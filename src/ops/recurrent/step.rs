//! What a pass over the gates of one time step works on: some samples of a task, one row each.

/// The sums of the gates come from two sides, and everything is in rows of `units` or several times that.
#[derive(Clone, Copy)]
pub struct Step<'a> {
    pub units: usize,
    /// 0 where a sample's step does not count, one number every `mask_stride`.
    pub mask: Option<&'a [f32]>,
    pub mask_stride: usize,
}

impl Step<'_> {
    /// Whether the step of this row counts: else its state stays.
    #[inline(always)]
    pub fn counts(&self, row: usize) -> bool {
        self.mask.is_none_or(|mask| mask[row * self.mask_stride] != 0.0)
    }
}

/// The inputs' products of a step: rows at a distance.
#[derive(Clone, Copy)]
pub struct Inputs<'a> {
    pub rows: &'a [f32],
    pub stride: usize,
    /// Added to each row; empty where it is in the rows.
    pub bias: &'a [f32],
}

/// What is kept of a step, and the state that it changes: rows side by side.
pub struct Forward<'a> {
    /// The recurrent products; then what the gates keep.
    pub gates: &'a mut [f32],
    /// What else is kept.
    pub extra: &'a mut [f32],
    pub h: &'a mut [f32],
    /// Zeros but for an LSTM.
    pub c: &'a mut [f32],
}

/// What was kept of a step.
#[derive(Clone, Copy)]
pub struct Kept<'a> {
    pub gates: &'a [f32],
    pub extra: &'a [f32],
    /// `extra` of the step before; empty for the first step.
    pub extra_before: &'a [f32],
    /// The state before, in rows at a distance; empty for the first step.
    pub h_before: &'a [f32],
    pub h_stride: usize,
    /// A row of zeros: what there was before the first step.
    pub zeros: &'a [f32],
}

impl<'a> Kept<'a> {
    /// The state of a row before the step.
    #[inline(always)]
    pub fn before(&self, row: usize) -> &'a [f32] {
        match self.h_before.is_empty() {
            true => self.zeros,
            false => &self.h_before[row * self.h_stride..][..self.zeros.len()],
        }
    }
}

/// The gradients of a step.
pub struct Backward<'a> {
    /// Of the gates' sums, in rows at a distance.
    pub dz: &'a mut [f32],
    pub dz_stride: usize,
    /// Of what else the recurrent product made, in rows at a distance; or empty.
    pub dq: &'a mut [f32],
    pub dq_stride: usize,
    /// Of the state: in, after the step; out, before it, but for what goes through the product.
    pub dh: &'a mut [f32],
    pub dc: &'a mut [f32],
}
