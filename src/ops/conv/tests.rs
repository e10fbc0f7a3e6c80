//! Which passes go by tiles, and that they give what the direct kernels give.

use crate::kernels::conv::Geometry;
use crate::kernels::gemm::{Start, as_is};
use crate::kernels::par::Pool;
use crate::rng::Stream;
use crate::shape::{Padding, Window};
use crate::testing::battery::LayerCase;
use crate::testing::golden::all_close;

const PASSES: [&str; 3] = ["output", "input gradient", "kernel gradient"];

fn geometry(size: usize, channels: usize, filters: usize, padding: Padding) -> Geometry {
    let window = Window { kernel: 3, stride: 1, dilation: 1, padding };
    Geometry::new(&[window; 2], [size; 2], channels, filters, 1)
}

/// One image through a layer of these sizes, and by the direct kernels.
fn both(g: &Geometry, padding: &str) -> [[Vec<f64>; 3]; 2] {
    let toml = format!("type = \"Conv2D\"\nfilters = {}\nkernel_size = 3\npadding = {padding:?}", g.filters);
    let case = LayerCase::new(&toml, &[&[g.rows.input, g.columns.input, g.channels]]);
    assert_eq!(case.ops(), ["conv"]);
    let draw = |name: &str, len: usize| -> Vec<f64> {
        let stream = Stream::new(5, name);
        (0..len).map(|i| f64::from(stream.normal(0, i as u64) as f32)).collect()
    };
    let (x, dy) = (draw("x", g.image_len()), draw("dy", g.output_len()));
    let run = case.run(&[&x], &dy, 1);
    let of = |all: &[(String, Vec<f64>)], name: &str| all.iter().find(|(n, _)| n == name).unwrap().1.clone();
    let narrow = |x: &[f64]| x.iter().map(|v| *v as f32).collect::<Vec<f32>>();
    let (w, bias) = (narrow(&of(&run.weights, "kernel")), narrow(&of(&run.weights, "bias")));
    let (x, dy) = (narrow(&x), narrow(&dy));

    let room = g.padded_len().max(g.bordered_len()).max(g.kernel_gradient_scratch());
    let mut scratch = vec![0.0; room];
    let (mut y, mut dx, mut dw) = (vec![0.0; dy.len()], vec![0.0; x.len()], vec![0.0; w.len()]);
    g.forward(&x, &w, Some(&bias), 0..g.rows.output, (&mut y, &mut scratch), &as_is);
    let mut reversed = vec![0.0; w.len()];
    g.reverse_kernel(&Pool::new(1), &w, &mut reversed);
    g.input_gradient(&dy, &reversed, (&mut dx, &mut scratch), Start::Zero);
    g.kernel_gradient(&x, &dy, (0, 9), &mut dw, &mut scratch);
    let wide = |x: Vec<f32>| x.into_iter().map(f64::from).collect::<Vec<f64>>();
    [[run.output, run.input_grads[0].clone(), of(&run.weight_grads, "kernel")], [y, dx, dw].map(wide)]
}

#[test]
fn tiles_where_they_are_faster_and_else_the_direct_kernels() {
    let (same, valid) = ("same", "valid");
    for (size, channels, filters, padding, by_tiles) in [
        (8, 16, 16, same, [true; 3]),
        (16, 16, 32, same, [true; 3]),
        (7, 32, 32, same, [true; 3]),
        (8, 64, 64, same, [true; 3]),
        (10, 32, 32, valid, [true, false, true]),
        (5, 32, 32, same, [false; 3]),
        (8, 16, 8, same, [false; 3]),
        (8, 3, 16, same, [false; 3]),
    ] {
        let g =
            geometry(size, channels, filters, if padding == same { Padding::Same } else { Padding::Valid });
        let [ours, directly] = both(&g, padding);
        for (pass, what) in PASSES.iter().enumerate() {
            let what = format!("{what} of {size} x {size}, {channels} to {filters}, {padding}");
            let largest = directly[pass].iter().fold(0.0f64, |m, v| m.max(v.abs()));
            let [ours, directly] =
                [&ours[pass], &directly[pass]].map(|x| x.iter().map(|v| v / largest).collect::<Vec<f64>>());
            all_close(&ours, &directly, 5e-6, &what);
            assert_eq!(ours != directly, by_tiles[pass], "{what} by tiles");
        }
    }
}
