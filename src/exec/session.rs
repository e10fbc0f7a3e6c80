//! A set of programs over one parameter block and one arena.

use std::borrow::Cow;
use std::ops::Range;
use std::sync::Arc;

use crate::compile::Program;
use crate::exec::arena::{Memory, run_step};
use crate::graph::param::{Layout, Params};
use crate::graph::{Ctx, Penalty};
use crate::kernels::aligned::Aligned;
use crate::kernels::par::Pool;
use crate::kernels::sum;
use crate::kernels::views::Slot;

/// Everything that a run computes with. After `new` nothing is allocated.
#[derive(Debug)]
pub struct Session {
    pool: Arc<Pool>,
    programs: Vec<Program>,
    memory: Memory,
    layout: Layout,
    penalties: Vec<(usize, Penalty)>,
    decls: Params,
}

impl Session {
    /// All programs share the arena: only one runs at a time.
    pub fn new(params: &Params, programs: Vec<Program>, pool: Arc<Pool>) -> Session {
        let layout = params.layout();
        let arena_len = programs.iter().map(|p| p.arena_len).max().unwrap_or(0);
        let memory = Memory {
            arena: Aligned::zeroed(arena_len),
            params: Aligned::zeroed(layout.len),
            grads: Aligned::zeroed(gradients(&layout, &programs)),
        };
        let penalties = params
            .decls
            .iter()
            .enumerate()
            .filter_map(|(i, d)| d.penalty.filter(|_| d.trainable).map(|p| (i, p)));
        let penalties = penalties.collect();
        Session { pool, programs, memory, layout, penalties, decls: params.clone() }
    }

    /// Bytes that [`Session::new`] allocates for these programs.
    pub fn planned_bytes(params: &Params, programs: &[Program]) -> usize {
        let layout = params.layout();
        let arena = programs.iter().map(|p| p.arena_len).max().unwrap_or(0);
        (arena + layout.len + gradients(&layout, programs)) * size_of::<f32>()
    }

    /// Draws first values for all parameters.
    pub fn initialize(&mut self, seed: u64) {
        for (decl, range) in self.decls.decls.iter().zip(&self.layout.ranges) {
            decl.init.fill(&decl.shape, seed, &decl.path, &mut self.memory.params[range.clone()]);
        }
    }

    /// What is carried from run to run is zeros again.
    pub fn begin_walk(&mut self) {
        let places = self.decls.decls.iter().zip(&self.layout.ranges);
        for (_, range) in places.filter(|(decl, _)| decl.carried) {
            self.memory.params[range.clone()].fill(0.0);
        }
    }

    /// Whether anything is carried: a program goes on where its last run ended.
    pub fn walks(&self) -> bool {
        self.decls.decls.iter().any(|decl| decl.carried)
    }

    pub fn pool(&self) -> &Arc<Pool> {
        &self.pool
    }

    pub fn params(&self) -> &Params {
        &self.decls
    }

    pub fn layout(&self) -> &Layout {
        &self.layout
    }

    pub fn programs(&self) -> &[Program] {
        &self.programs
    }

    pub fn program(&self, program: usize) -> &Program {
        &self.programs[program]
    }

    /// Input `i` of a program, to be filled with `n` samples.
    pub fn input(&mut self, program: usize, i: usize, n: usize) -> &mut [f32] {
        let slot = self.programs[program].inputs[i];
        &mut self.memory.arena[slot.offset..slot.offset + slot.len(n)]
    }

    /// The first three inputs at once: samples, targets, weights.
    pub fn batch_inputs(&mut self, program: usize, n: usize) -> [&mut [f32]; 3] {
        let inputs = &self.programs[program].inputs;
        let range = |i: usize| inputs[i].offset..inputs[i].offset + inputs[i].len(n);
        self.memory
            .arena
            .get_disjoint_mut([range(0), range(1), range(2)])
            .expect("inputs live together, so the planner keeps them apart")
    }

    /// Wanted output `i` of the last run.
    pub fn output(&self, program: usize, i: usize, n: usize) -> &[f32] {
        let slot = self.programs[program].outputs[i];
        &self.memory.arena[slot.offset..slot.offset + slot.len(n)]
    }

    /// Runs all steps of a program on `n` samples.
    pub fn run(&mut self, program: usize, n: usize, step: u32) {
        self.run_watched(program, n, step, |_| {});
    }

    /// As [`Session::run`], and calls `done` after each step of the program with its number; one number
    /// more stands for the gradients of the regularizers.
    pub fn run_watched(&mut self, program: usize, n: usize, step: u32, mut done: impl FnMut(usize)) {
        let plan = &self.programs[program];
        let cx = Ctx { pool: &self.pool, batch: n, step };
        for index in 0..plan.steps.len() {
            run_step(plan, index, &mut self.memory, &cx);
            done(index);
        }
        let steps = plan.steps.len();
        if plan.backward_start < steps {
            self.penalty_gradients();
            done(steps);
        }
    }

    /// Runs the forward steps one by one and calls `look` after each with the layer's path and its
    /// outputs: for finding where a number went wrong.
    pub fn replay(
        &mut self,
        program: usize,
        n: usize,
        step: u32,
        mut look: impl FnMut(&str, &[Cow<'_, [f32]>]),
    ) {
        let plan = &self.programs[program];
        let cx = Ctx { pool: &self.pool, batch: n, step };
        for index in 0..plan.backward_start {
            run_step(plan, index, &mut self.memory, &cx);
            if let crate::compile::Step::Forward(s) = &plan.steps[index] {
                let words = |s: &Slot| &self.memory.arena[s.offset..s.offset + s.len(n)];
                let outputs = s.y.iter().flatten().map(|s| s.storage.widened(words(s)));
                let outputs: Vec<Cow<'_, [f32]>> = outputs.collect();
                look(&plan.nodes[s.node].layer, &outputs);
            }
        }
    }

    /// What the regularizers add to the loss.
    pub fn penalty(&self) -> f64 {
        self.penalties.iter().map(|penalty| self.term(penalty)).sum()
    }

    /// The same of the parameters in a range of the block.
    pub fn penalty_of(&self, range: &Range<usize>) -> f64 {
        let within =
            self.penalties.iter().filter(|(index, _)| range.contains(&self.layout.ranges[*index].start));
        within.map(|penalty| self.term(penalty)).sum()
    }

    fn term(&self, (index, penalty): &(usize, Penalty)) -> f64 {
        let (squares, abs) = sum::norms(&self.memory.params[self.layout.ranges[*index].clone()]);
        penalty.l1 * abs + penalty.l2 * squares
    }

    fn penalty_gradients(&mut self) {
        for (index, penalty) in &self.penalties {
            let range = self.layout.ranges[*index].clone();
            let (l1, l2) = (penalty.l1 as f32, 2.0 * penalty.l2 as f32);
            for (g, w) in self.memory.grads[range.clone()].iter_mut().zip(&self.memory.params[range]) {
                let sign = if *w > 0.0 {
                    1.0
                } else if *w < 0.0 {
                    -1.0
                } else {
                    0.0
                };
                *g += l1 * sign + l2 * w;
            }
        }
    }

    /// The trainable head of the parameter block, and its gradients.
    pub fn weights_and_grads(&mut self) -> (&mut [f32], &mut [f32]) {
        (&mut self.memory.params[..self.layout.trainable_len], &mut self.memory.grads)
    }

    /// The whole parameter block.
    pub fn block(&self) -> &[f32] {
        &self.memory.params
    }

    pub fn block_mut(&mut self) -> &mut [f32] {
        &mut self.memory.params
    }

    /// One parameter's values.
    pub fn param(&self, index: usize) -> &[f32] {
        &self.memory.params[self.layout.ranges[index].clone()]
    }

    pub fn param_mut(&mut self, index: usize) -> &mut [f32] {
        &mut self.memory.params[self.layout.ranges[index].clone()]
    }

    /// One trainable parameter's gradient.
    #[cfg(test)]
    pub fn grad(&self, index: usize) -> &[f32] {
        &self.memory.grads[self.layout.ranges[index].clone()]
    }
}

/// Numbers of the gradient block: none if no program has a backward pass.
fn gradients(layout: &Layout, programs: &[Program]) -> usize {
    let trains = programs.iter().any(|p| p.backward_start < p.steps.len());
    if trains { layout.trainable_len } else { 0 }
}
