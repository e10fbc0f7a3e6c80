//! How much is put around boxes, or taken from them: the keys of zero padding and cropping.

use crate::config::read::{Read, Wrong};
use crate::config::tree::{Data, Value};
use crate::config::write::Plain;
use crate::shape::Shape;

/// `[before, after]` of each of `D` axes; written as one number where all are equal, and each pair as one
/// where its two are. With one axis it is `[before, after]` itself.
#[derive(Debug)]
pub struct Sides<const D: usize>(pub [[usize; 2]; D]);

impl<const D: usize> Sides<D> {
    /// Those of planes, rows and columns.
    pub fn of_box(&self) -> [[usize; 2]; 3] {
        std::array::from_fn(|i| if i + D < 3 { [0; 2] } else { self.0[i + D - 3] })
    }
}

/// Planes, rows and columns of a shape with `D` axes of places.
pub fn box_size<const D: usize>(shape: &Shape) -> [usize; 3] {
    std::array::from_fn(|i| if i + D < 3 { 1 } else { shape.dims[i + D - 3] })
}

impl<const D: usize> Read for Sides<D> {
    fn read(value: &Value) -> Result<Sides<D>, Wrong> {
        let Data::Array(items) = &value.data else {
            return usize::read(value).map(|p| Sides([[p; 2]; D]));
        };
        let wanted = if D == 1 { 2 } else { D };
        if items.len() != wanted {
            let expected = match D {
                1 => "[before, after]",
                2 => "[rows, columns] or [[top, bottom], [left, right]]",
                _ => "[planes, rows, columns], each a number or [before, after]",
            };
            return Err(Wrong::new(format!("expected {expected}, found {} entries", items.len())));
        }
        let mut sides = [[0; 2]; D];
        if D == 1 {
            sides[0] = [usize::read(&items[0])?, usize::read(&items[1])?];
        } else {
            for (side, item) in sides.iter_mut().zip(items) {
                *side = Read::read(item)?;
            }
        }
        Ok(Sides(sides))
    }

    fn write(&self) -> Plain {
        let first = self.0[0][0];
        if self.0.iter().flatten().all(|side| *side == first) {
            return first.write();
        }
        match D {
            1 => Plain::Array(self.0[0].iter().map(Read::write).collect()),
            _ => Plain::Array(self.0.iter().map(Read::write).collect()),
        }
    }

    fn blank() -> Sides<D> {
        Sides([[1; 2]; D])
    }
}
