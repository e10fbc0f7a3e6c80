//! ZeroPadding2D: zeros around an image. x `[N, H, W, C]`, y `[N, top + H + bottom, left + W + right, C]`.
//! `padding` is one number, `[rows, columns]` or `[[top, bottom], [left, right]]`.
//! Keras: `layers.ZeroPadding2D`.

use crate::config::read::{Read, Wrong};
use crate::config::tree::{Data, Value};
use crate::config::write::Plain;
use crate::graph::{Builder, Mismatch, Var};
use crate::layers::{Layer, LayerEntry, axes, one};
use crate::ops::pad::Pad;

pub const ENTRY: LayerEntry = LayerEntry {
    name: "ZeroPadding2D",
    aliases: &[],
    about: "zeros around an image",
    parse: |f| Box::new(ZeroPadding2D { padding: f.key("padding").or(Zeros([[1; 2]; 2])) }),
};

#[derive(Debug)]
struct ZeroPadding2D {
    padding: Zeros,
}

/// `[[top, bottom], [left, right]]`, or shorter where they are equal.
#[derive(Debug)]
struct Zeros([[usize; 2]; 2]);

impl Read for Zeros {
    fn read(value: &Value) -> Result<Zeros, Wrong> {
        let Data::Array(items) = &value.data else {
            return usize::read(value).map(|p| Zeros([[p; 2]; 2]));
        };
        let [rows, columns] = &items[..] else {
            return Err(Wrong::new(format!(
                "expected [rows, columns] or [[top, bottom], [left, right]], found {} entries",
                items.len()
            )));
        };
        Ok(Zeros([Read::read(rows)?, Read::read(columns)?]))
    }

    fn write(&self) -> Plain {
        if self.0[0] == self.0[1] && self.0[0][0] == self.0[0][1] {
            return self.0[0][0].write();
        }
        Plain::Array(self.0.iter().map(Read::write).collect())
    }

    fn blank() -> Zeros {
        Zeros([[1; 2]; 2])
    }
}

impl Layer for ZeroPadding2D {
    fn lower(&self, g: &mut Builder<'_>, x: &[Var]) -> Result<Var, Mismatch> {
        let x = one(x);
        let shape = g.shape(x).clone();
        axes::check_places::<2>(&shape)?;
        let dims = std::array::from_fn(|i| shape.dims[i]);
        g.push(Pad::new(dims, self.padding.0), &[x])
    }
}

#[cfg(test)]
crate::battery! {
    "type = \"ZeroPadding2D\"" on [3, 1, 2];
    "type = \"ZeroPadding2D\"\npadding = [0, 2]" on [1, 3, 3];
    "type = \"ZeroPadding2D\"\npadding = [[1, 0], [2, 3]]" on [2, 5, 1];
}
