//! PositionalEncoding: adds to each step of a sequence sines and cosines of its place,
//! `p[t][2i] = sin(t / max_wavelength^(2i / D))`, `p[t][2i + 1] = cos(the same)`.
//!
//! x, y `[N, T, D]`. Vaswani et al.: Attention is all you need, 2017; keras_hub's `SinePositionEncoding`,
//! added to its input.

use crate::graph::{Builder, Mismatch, Var};
use crate::layers::{Layer, LayerEntry, Reach, axes, one};
use crate::ops::add_positions::AddPositions;

pub const ENTRY: LayerEntry = LayerEntry {
    name: "PositionalEncoding",
    aliases: &[],
    about: "adds sines and cosines of each step's place",
    parse: |f| Box::new(PositionalEncoding { max_wavelength: f.key("max_wavelength").above(0).or(10_000.0) }),
};

#[derive(Debug)]
struct PositionalEncoding {
    max_wavelength: f64,
}

impl PositionalEncoding {
    fn table(&self, time: usize, width: usize) -> Vec<f32> {
        let angle =
            |t: usize, i: usize| t as f64 / self.max_wavelength.powf((i - i % 2) as f64 / width as f64);
        let entry = |t, i| if i % 2 == 0 { libm::sin(angle(t, i)) } else { libm::cos(angle(t, i)) };
        (0..time).flat_map(|t| (0..width).map(move |i| (t, i))).map(|(t, i)| entry(t, i) as f32).collect()
    }
}

impl Layer for PositionalEncoding {
    fn lower(&self, g: &mut Builder<'_>, x: &[Var]) -> Result<Var, Mismatch> {
        let x = one(x);
        axes::check_places::<1>(g.shape(x))?;
        let &[time, width] = &g.shape(x).dims[..] else { unreachable!("the rank was checked") };
        g.push(AddPositions::Table(self.table(time, width).into()), &[x])
    }

    fn passes_mask(&self) -> bool {
        true
    }

    fn reach(&self) -> Reach {
        Reach::Sample
    }
}

#[cfg(test)]
crate::battery! {
    "type = \"PositionalEncoding\"" on [7, 6];
    "type = \"PositionalEncoding\"\nmax_wavelength = 100" on [3, 5];
}
