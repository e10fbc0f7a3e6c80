//! Places for buffers: lifetimes over the steps, then best fit, largest first.

use crate::compile::Want;
use crate::compile::autodiff::{DraftStep, Place, Plan};
use crate::compile::program::{BackwardStep, Buffer, ForwardStep, Program, Step};
use crate::graph::Graph;
use crate::graph::param::Layout;
use crate::kernels::aligned::round_up;
use crate::kernels::number::Storage;
use crate::kernels::views::{Slot, Space};

/// Gives every buffer its offset and makes the program.
pub fn place(graph: Graph, layout: &Layout, want: &Want, plan: Plan) -> Program {
    let lives = lifetimes(&plan);
    let sizes: Vec<usize> =
        plan.buffers.iter().map(|b| round_up(b.per_sample * want.batch + b.fixed)).collect();
    let offsets = best_fit(&sizes, &lives);
    let arena_len = offsets.iter().zip(&sizes).map(|(o, s)| o + s).max().unwrap_or(0);
    let buffer_slot = |b: usize| Slot {
        space: Space::Arena,
        offset: offsets[b],
        per_sample: plan.buffers[b].per_sample,
        fixed: plan.buffers[b].fixed,
        storage: plan.buffers[b].storage,
    };
    let param_slot = |space, p: usize| {
        let range = &layout.ranges[p];
        Slot { space, offset: range.start, per_sample: 0, fixed: range.len(), storage: Storage::F32 }
    };
    let slot = |place: Place| match place {
        Place::Buffer(b) => buffer_slot(b),
        Place::Param(p) => param_slot(Space::Params, p),
        Place::ParamGrad(p) => param_slot(Space::Grads, p),
    };
    let slots = |places: &[Option<Place>]| places.iter().map(|p| p.map(slot)).collect::<Vec<_>>();
    let steps = plan
        .steps
        .iter()
        .map(|step| match step {
            DraftStep::Forward { node, x, y, updates, scratch, notes } => Step::Forward(ForwardStep {
                node: *node,
                x: slots(x),
                y: slots(y),
                updates: slots(updates),
                scratch: vec![scratch.map(slot)],
                notes: vec![notes.map(slot)],
            }),
            DraftStep::Seed { into, weight } => Step::Seed { into: slot(*into), weight: *weight },
            DraftStep::Backward { node, x, y, dy, dx, add, scratch, notes } => Step::Backward(BackwardStep {
                node: *node,
                x: slots(x),
                y: slots(y),
                dy: slots(dy),
                dx: slots(dx),
                add: *add,
                scratch: vec![scratch.map(slot)],
                notes: vec![notes.map(slot)],
            }),
            DraftStep::Accumulate { into, from } => Step::Accumulate { into: slot(*into), from: slot(*from) },
        })
        .collect();
    let buffers = (0..plan.buffers.len())
        .map(|b| Buffer { slot: buffer_slot(b), life: lives[b].0..=lives[b].1, role: plan.buffers[b].role })
        .collect();
    Program {
        nodes: graph.nodes,
        values: graph.values,
        steps,
        backward_start: plan.backward_start,
        inputs: plan.inputs.iter().map(|b| buffer_slot(*b)).collect(),
        outputs: plan.outputs.iter().map(|b| buffer_slot(*b)).collect(),
        arena_len,
        batch: want.batch,
        threads: want.threads,
        buffers,
    }
}

/// First and last step of each buffer. Inputs live from the start, what is read after the run lives
/// to the end.
fn lifetimes(plan: &Plan) -> Vec<(usize, usize)> {
    let end = plan.steps.len();
    let mut lives: Vec<Option<(usize, usize)>> = vec![None; plan.buffers.len()];
    let mut touch = |buffer: usize, step: usize| {
        let life = lives[buffer].get_or_insert((step, step));
        *life = (life.0.min(step), life.1.max(step));
    };
    for (index, step) in plan.steps.iter().enumerate() {
        let lists: Vec<&Option<Place>> = match step {
            DraftStep::Forward { x, y, updates, scratch, notes, .. } => {
                x.iter().chain(y).chain(updates).chain([scratch, notes]).collect()
            }
            DraftStep::Backward { x, y, dy, dx, scratch, notes, .. } => {
                x.iter().chain(y).chain(dy).chain(dx).chain([scratch, notes]).collect()
            }
            DraftStep::Seed { .. } | DraftStep::Accumulate { .. } => vec![],
        };
        let mut places: Vec<Place> = lists.into_iter().flatten().copied().collect();
        match step {
            DraftStep::Seed { into, .. } => places.push(*into),
            DraftStep::Accumulate { into, from } => places.extend([*into, *from]),
            _ => {}
        }
        for place in places {
            if let Place::Buffer(b) = place {
                touch(b, index);
            }
        }
    }
    plan.inputs.iter().for_each(|b| touch(*b, 0));
    plan.outputs.iter().for_each(|b| touch(*b, end));
    lives.into_iter().map(|l| l.unwrap_or((0, 0))).collect()
}

/// Largest buffers first, each in the smallest gap between those placed before that live at the
/// same time. Returns offsets.
fn best_fit(sizes: &[usize], lives: &[(usize, usize)]) -> Vec<usize> {
    let mut order: Vec<usize> = (0..sizes.len()).collect();
    order.sort_by_key(|b| (std::cmp::Reverse(sizes[*b]), *b));
    let mut offsets = vec![0; sizes.len()];
    let mut placed: Vec<usize> = vec![];
    for b in order {
        let overlaps = |other: usize| lives[other].0 <= lives[b].1 && lives[b].0 <= lives[other].1;
        let mut taken: Vec<(usize, usize)> =
            placed.iter().filter(|o| overlaps(**o)).map(|o| (offsets[*o], offsets[*o] + sizes[*o])).collect();
        taken.sort_unstable();
        let mut end = 0;
        let mut best: Option<(usize, usize)> = None;
        for (from, to) in taken {
            if from >= end + sizes[b] && best.is_none_or(|(gap, _)| from - end < gap) {
                best = Some((from - end, end));
            }
            end = end.max(to);
        }
        offsets[b] = best.map_or(end, |(_, offset)| offset);
        placed.push(b);
    }
    offsets
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::rng::Stream;

    #[test]
    fn buffers_alive_together_never_overlap() {
        let stream = Stream::new(3, "memory");
        for case in 0..200 {
            let pick = |index: u64, bound: u32| (stream.bits(case, index) % bound) as usize;
            let count = 1 + pick(0, 40);
            let sizes: Vec<usize> = (0..count as u64).map(|i| round_up(pick(1 + i, 300))).collect();
            let lives: Vec<(usize, usize)> = (0..count as u64)
                .map(|i| {
                    let first = pick(100 + i, 30);
                    (first, first + pick(200 + i, 10))
                })
                .collect();
            let offsets = best_fit(&sizes, &lives);
            for a in 0..count {
                for b in 0..a {
                    let together = lives[a].0 <= lives[b].1 && lives[b].0 <= lives[a].1;
                    let apart = offsets[a] + sizes[a] <= offsets[b] || offsets[b] + sizes[b] <= offsets[a];
                    assert!(!together || apart, "case {case}: {a} and {b}");
                }
            }
        }
    }

    #[test]
    fn dead_buffers_are_reused() {
        assert_eq!(best_fit(&[64, 64, 64], &[(0, 1), (1, 2), (2, 3)]), [0, 64, 0]);
    }
}
