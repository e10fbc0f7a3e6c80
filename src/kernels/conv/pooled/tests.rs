//! Against the definition, on awkward shapes and every instruction set.

use super::*;
use crate::kernels::guarded::{Guarded, Tight};
use crate::kernels::isa::Isa;
use crate::kernels::par::Pool;
use crate::shape::{Padding, Window};

pub(super) fn numbers(len: usize, seed: usize) -> Vec<f32> {
    (0..len).map(|i| ((i * 2_654_435_761 + seed * 40_503) % 2003) as f32 / 1001.0 - 1.0).collect()
}

#[derive(Clone, Copy, Debug)]
pub(super) struct Case {
    pub size: [usize; 2],
    pub channels: usize,
    pub filters: usize,
    pub windows: [Window; 2],
    pub groups: usize,
    pub cells: [usize; 2],
    /// Windows that are cut off at the end count too.
    pub cut: bool,
}

pub(super) const fn window(kernel: usize, stride: usize, dilation: usize, padding: Padding) -> Window {
    Window { kernel, stride, dilation, padding }
}

/// The tutorials' convolution: 3 x 3, pooled 2 x 2.
pub(super) const PLAIN: Case = Case {
    size: [13, 13],
    channels: 32,
    filters: 64,
    windows: [window(3, 1, 1, Padding::Valid); 2],
    groups: 1,
    cells: [2, 2],
    cut: false,
};

/// The first convolution of the tutorials' CNN.
const FIRST: Case = Case { size: [28, 28], channels: 1, filters: 32, ..PLAIN };

/// The definition, in f64.
struct Twin {
    y: Vec<f64>,
    /// Output of the convolution that each maximum is.
    from: Vec<usize>,
    /// Image, kernel and output numbers of all products.
    products: Vec<(usize, usize, usize)>,
}

impl Case {
    pub fn build(&self) -> (Geometry, Pooled) {
        let conv = Geometry {
            rows: crate::kernels::axis::Axis::new(&self.windows[0], self.size[0]),
            columns: crate::kernels::axis::Axis::new(&self.windows[1], self.size[1]),
            channels: self.channels,
            filters: self.filters,
            groups: self.groups,
        };
        let outputs = [conv.rows.output, conv.columns.output];
        let count = |i: usize| match self.cut {
            true => outputs[i].div_ceil(self.cells[i]),
            false => outputs[i] / self.cells[i],
        };
        (conv, Pooled::new(&conv, self.cells, [count(0), count(1)]).expect("the case is small"))
    }

    fn twin(&self, x: &[f32], w: &[f32], bias: &[f32]) -> Twin {
        let (conv, pooled) = self.build();
        let (oh, ow, filters) = (conv.rows.output, conv.columns.output, conv.filters);
        let mut products = vec![];
        super::super::tests::for_products(&conv, |i, k, o| products.push((i, k, o)));
        let mut outputs: Vec<f64> = (0..conv.output_len()).map(|o| f64::from(bias[o % filters])).collect();
        products.iter().for_each(|(i, k, o)| outputs[*o] += f64::from(x[*i]) * f64::from(w[*k]));
        let (mut y, mut from) = (vec![], vec![]);
        for at in 0..pooled.pooled_len() {
            let (window, filter) = (at / filters, at % filters);
            let (row, column) = (window / pooled.windows[1], window % pooled.windows[1]);
            let cells = (0..self.cells[0] * self.cells[1]).filter_map(|c| {
                let row = row * self.cells[0] + c / self.cells[1];
                let column = column * self.cells[1] + c % self.cells[1];
                (row < oh && column < ow).then_some((row * ow + column) * filters + filter)
            });
            let best = cells
                .reduce(|a, b| if outputs[b] > outputs[a] { b } else { a })
                .expect("a window has a cell");
            from.push(best);
            y.push(outputs[best]);
        }
        Twin { y, from, products }
    }

    /// Half of the windows have no gradient, as after relu.
    fn check(&self) {
        let (conv, pooled) = self.build();
        let images = 3;
        let (x, w) = (numbers(images * conv.image_len(), 1), numbers(conv.kernel_len(), 2));
        let bias = numbers(conv.filters, 3);
        let mut dy = numbers(images * pooled.pooled_len(), 4);
        dy.iter_mut().for_each(|dy| *dy = dy.max(0.0));
        let mut notes = vec![f32::NAN; images * pooled.windows[0] * pooled.notes_row()];
        let mut dx_twin = vec![0.0; x.len()];
        let mut dw_twin = vec![0.0; w.len()];
        let per_image = notes.len() / images;
        for n in 0..images {
            let x = &x[n * conv.image_len()..][..conv.image_len()];
            let twin = self.twin(x, &w, &bias);
            let notes = &mut notes[n * per_image..][..per_image];
            let mut first: Option<Vec<f32>> = None;
            for isa in Isa::ALL.into_iter().filter(|i| i.available()) {
                notes.fill(f32::NAN);
                self.check_forward(isa, &pooled, (x, &w, &bias), &twin, notes);
                let first = first.get_or_insert(notes.to_vec());
                let same = first.iter().zip(&*notes).all(|(a, b)| a.to_bits() == b.to_bits());
                assert!(same, "{isa:?} notes other places for {self:?}");
            }
            let dx = &mut dx_twin[n * conv.image_len()..][..conv.image_len()];
            let mut gradient = vec![0.0; conv.output_len()];
            twin.from
                .iter()
                .zip(&dy[n * pooled.pooled_len()..])
                .for_each(|(o, dy)| gradient[*o] = f64::from(*dy));
            for (i, k, o) in twin.products {
                dx[i] += gradient[o] * f64::from(w[k]);
                dw_twin[k] += gradient[o] * f64::from(x[i]);
            }
        }
        let mut same: Option<Vec<f32>> = None;
        for isa in Isa::ALL.into_iter().filter(|i| i.available()) {
            for tight in Tight::BOTH {
                let (dx, dw) = self.gradients(isa, [&x, &w, &dy, &notes], tight);
                close(&dx, &dx_twin, &format!("input gradient of {self:?} on {isa:?}"));
                close(&dw, &dw_twin, &format!("kernel gradient of {self:?} on {isa:?}"));
                if isa != Isa::Portable || cfg!(target_arch = "aarch64") {
                    let first = same.get_or_insert(dw.clone());
                    assert!(*first == dw, "{isa:?} gives other bits for {self:?}");
                }
            }
        }
    }

    fn check_forward(
        &self,
        isa: Isa,
        pooled: &Pooled,
        (x, w, bias): (&[f32], &[f32], &[f32]),
        twin: &Twin,
        notes: &mut [f32],
    ) {
        let expected: Vec<f64> = twin.y.iter().map(|y| y + 1.0).collect();
        let add = |y: &mut [f32]| y.iter_mut().for_each(|y| *y += 1.0);
        for tight in Tight::BOTH {
            let mut all = guarded([x, w, bias, &*notes], tight);
            let [x, w, bias, places] = all.each_mut().map(|g| g.part(0));
            let weights = (&*w, Some(&*bias));
            let mut own = Guarded::new(&[pooled.forward_scratch()], tight);
            let scratch = own.part(0);
            scratch.fill(f32::NAN);
            let mut whole = Guarded::new(&[pooled.pooled_len()], tight);
            let y = whole.part(0);
            let rows = 0..pooled.windows[0];
            pooled.forward_by(isa, x, weights, rows.clone(), (y, places, scratch), &add);
            close(y, &expected, &format!("maxima of {self:?}"));
            for row in rows {
                let mut one = Guarded::new(&[pooled.pooled_row()], tight);
                let one = one.part(0);
                pooled.forward_by(isa, x, weights, row..row + 1, (one, &mut [], scratch), &|_| {});
                let whole = &y[row * one.len()..][..one.len()];
                assert!(whole.iter().zip(&*one).all(|(y, one)| *y == one + 1.0), "row {row}, without notes");
            }
            notes.copy_from_slice(places);
        }
    }

    fn gradients(&self, isa: Isa, [x, w, dy, notes]: [&[f32]; 4], tight: Tight) -> (Vec<f32>, Vec<f32>) {
        let (conv, pooled) = self.build();
        let images = x.len() / conv.image_len();
        let mut live = vec![0; images * pooled.words()];
        let mut own = Guarded::new(&[pooled.gradient_scratch()], tight);
        let scratch = own.part(0);
        scratch.fill(f32::NAN);
        let mut turned = Guarded::new(&[w.len()], tight);
        let by_filter = turned.part(0);
        pooled.kernel_by_filter(&Pool::new(1), w, by_filter);
        let mut dx = vec![f32::NAN; x.len()];
        let each = dx.chunks_mut(conv.image_len()).zip(live.chunks_mut(pooled.words()));
        let given = dy.chunks(pooled.pooled_len()).zip(notes.chunks(notes.len() / images));
        for ((dx, live), (dy, notes)) in each.zip(given) {
            let mut outputs = vec![u64::MAX; pooled.words()];
            pooled.live_outputs(dy, notes, &mut outputs);
            pooled.live_filters(&outputs, live);
            let mut all = guarded([dy, &*dx], tight);
            let [dy, own] = all.each_mut().map(|g| g.part(0));
            pooled.input_gradient_by(isa, dy, &outputs, by_filter, (own, false), scratch);
            dx.copy_from_slice(own);
            pooled.input_gradient_by(isa, dy, &outputs, by_filter, (own, true), scratch);
            assert!(own.iter().zip(&*dx).all(|(twice, once)| (twice - 2.0 * once).abs() < 1e-4), "added");
        }
        // In two shards, and one of them in two parts of filters where that is offered.
        let (cut, some) = (images / 2, if pooled.is_small() { 0 } else { conv.filters / 3 });
        let mut sums = vec![f32::NAN; 2 * w.len()];
        let parts = [(0..cut, 0..some), (0..cut, some..conv.filters), (cut..images, 0..conv.filters)];
        let mut rest = &mut sums[..];
        for (images, filters) in parts.into_iter().filter(|(_, filters)| !filters.is_empty()) {
            let sums = rest.split_off_mut(..filters.len() * pooled.filter_len()).expect("there is room");
            let row = notes.len() / (x.len() / conv.image_len());
            let ranges =
                [conv.image_len(), pooled.pooled_len(), row].map(|len| images.start * len..images.end * len);
            let [x, dy, notes] = [x, dy, notes];
            let mut all = guarded(
                [&x[ranges[0].clone()], &dy[ranges[1].clone()], &notes[ranges[2].clone()], sums],
                tight,
            );
            let [x, dy, notes, own] = all.each_mut().map(|g| g.part(0));
            let live = &live[images.start * pooled.words()..images.end * pooled.words()];
            pooled.kernel_gradient_by(isa, &Images { x, dy, notes, live }, filters, own, scratch);
            sums.copy_from_slice(own);
        }
        let mut dw = vec![f32::NAN; w.len()];
        pooled.fold_shards(&Pool::new(2), &sums, &mut dw, false);
        (dx, dw)
    }
}

/// Buffers that end, or begin, where nobody may read.
fn guarded<const N: usize>(buffers: [&[f32]; N], tight: Tight) -> [Guarded; N] {
    buffers.map(|buffer| Guarded::holding(buffer, tight))
}

fn close(ours: &[f32], expected: &[f64], what: &str) {
    assert_eq!(ours.len(), expected.len());
    for (i, (o, e)) in ours.iter().zip(expected).enumerate() {
        assert!((f64::from(*o) - e).abs() < 2e-3, "{what} [{i}]: {o} for {e}");
    }
}

#[test]
fn every_count_of_channels_and_filters() {
    for channels in [1, 3, 5, 16, 17, 32, 40] {
        for filters in [1, 10, 32, 64, 70] {
            Case { size: [5, 7], channels, filters, ..PLAIN }.check();
        }
    }
}

#[test]
fn every_width_and_height() {
    for size in [[13, 13], [11, 5], [7, 11], [5, 7], [4, 13], [4, 4], [28, 6]] {
        Case { size, channels: 3, filters: 20, ..PLAIN }.check();
        Case { size, channels: 16, filters: 3, cut: true, ..PLAIN }.check();
    }
    Case { size: [33, 40], channels: 24, filters: 16, ..PLAIN }.check();
}

#[test]
fn every_kind_of_convolution() {
    for padding in [Padding::Valid, Padding::Same, Padding::Causal] {
        for (kernel, stride, dilation) in [(1, 1, 1), (2, 2, 1), (3, 2, 1), (3, 1, 2), (5, 1, 1), (4, 3, 1)] {
            let one = window(kernel, stride, dilation, padding);
            for (channels, filters, groups) in [(2, 6, 1), (4, 6, 2), (6, 12, 6)] {
                let case = Case { size: [17, 15], channels, filters, groups, ..PLAIN };
                Case { windows: [one; 2], ..case }.check();
                Case { windows: [window(3, 1, 1, Padding::Same), one], cut: true, ..case }.check();
            }
        }
    }
}

#[test]
fn every_kind_of_window() {
    for cells in [[1, 1], [1, 2], [2, 1], [3, 3], [2, 5], [9, 4], [11, 11]] {
        for cut in [false, true] {
            Case { cells, cut, channels: 2, filters: 18, ..PLAIN }.check();
        }
    }
    let row = window(1, 1, 1, Padding::Valid);
    let one_row = Case { size: [1, 30], windows: [row, PLAIN.windows[1]], cells: [1, 3], ..PLAIN };
    Case { channels: 8, filters: 66, ..one_row }.check();
}

#[test]
fn long_patches_go_part_by_part() {
    Case { size: [6, 6], channels: 130, filters: 9, ..PLAIN }.check();
    Case { size: [7, 7], channels: 70, filters: 5, windows: [window(5, 1, 1, Padding::Same); 2], ..PLAIN }
        .check();
}

/// Few channels and many filters go the ways of `small`, all others go those of live outputs.
#[test]
fn the_first_convolution_is_small() {
    let small = |case: Case| case.build().1.is_small();
    assert!(small(FIRST));
    assert!(small(Case { channels: 3, filters: 64, windows: [window(3, 1, 1, Padding::Same); 2], ..FIRST }));
    assert!(!small(PLAIN));
    assert!(!small(Case { size: [27, 27], cut: true, ..FIRST }));
    assert!(!small(Case { cells: [3, 3], ..FIRST }));
    FIRST.check();
}

#[test]
fn windows_too_large_for_a_byte_are_refused() {
    let conv = Geometry::new(&PLAIN.windows, [30, 30], 2, 2, 1);
    assert!(Pooled::new(&conv, [17, 16], [1, 1]).is_none());
    assert!(Pooled::new(&conv, [16, 16], [1, 1]).is_some());
}

#[test]
fn of_equal_outputs_the_first_is_noted_and_nan_is_not_hidden() {
    let case = Case {
        size: [4, 4],
        channels: 1,
        filters: 17,
        windows: [window(1, 1, 1, Padding::Valid); 2],
        ..PLAIN
    };
    let (_, pooled) = case.build();
    let pool = |x: [f32; 16]| {
        let mut notes = vec![f32::NAN; 2 * pooled.notes_row()];
        let (mut y, mut scratch) = (vec![0.0; pooled.pooled_len()], vec![0.0; pooled.forward_scratch()]);
        pooled.forward(&x, &[1.0; 17], None, 0..2, (&mut y, &mut notes, &mut scratch), &|_| {});
        let first = notes.chunks(pooled.notes_row()).flat_map(|row| {
            maximum::bytes_of(row)[..pooled.pooled_row()].chunks(17).map(|p| p.to_vec()).collect::<Vec<_>>()
        });
        let places: Vec<u8> = first
            .map(|p| {
                assert!(p.iter().all(|q| *q == p[0]));
                p[0]
            })
            .collect();
        (y, places)
    };
    let (y, places) =
        pool([1.0, 2.0, 0.0, 0.0, 2.0, 2.0, 0.0, 0.0, -1.0, -3.0, -0.0, 5.0, -1.0, -1.0, 6.0, 6.0]);
    assert_eq!(places, [1, 0, 0, 2]);
    assert_eq!(y.chunks(17).map(|y| y[3]).collect::<Vec<_>>(), [2.0, 0.0, -1.0, 6.0]);
    for at in [0, 1, 4, 5] {
        let mut x = [1.0; 16];
        x[at] = f32::NAN;
        let (y, places) = pool(x);
        assert!(y[..17].iter().all(|y| y.is_nan()) && y[17..].iter().all(|y| *y == 1.0));
        assert_eq!(places, [(at / 4 * 2 + at % 4) as u8, 0, 0, 0]);
    }
}
