//! Axes as Keras counts them: the batch is axis 0, negative ones count from the end.

use crate::graph::{Builder, Mismatch, Var};
use crate::ops::transpose::Transpose;
use crate::shape::Shape;

/// The axis's place among `shape.dims`; the batch axis and axes that are not there are refused.
pub fn place(axis: i64, shape: &Shape) -> Result<usize, Mismatch> {
    let rank = shape.rank() as i64;
    let from_start = if axis < 0 { axis + rank } else { axis };
    if from_start == 0 {
        return Err(Mismatch::new(format!("axis {axis} of {shape} is the batch"))
            .hint("axes count from 1; -1 is the last"));
    }
    if !(0..rank).contains(&from_start) {
        return Err(Mismatch::new(format!("axis {axis} does not exist: the input is {shape}"))
            .hint(format!("axes of {shape} are 1 to {}; -1 is the last", rank - 1)));
    }
    Ok(from_start as usize - 1)
}

/// The places of several axes in ascending order, and their dimensions; no axis may be named twice.
pub fn places(axes: &[i64], shape: &Shape) -> Result<(Vec<usize>, Vec<usize>), Mismatch> {
    let mut places = axes.iter().map(|a| place(*a, shape)).collect::<Result<Vec<_>, _>>()?;
    places.sort_unstable();
    if let Some(twice) = places.windows(2).find(|p| p[0] == p[1]) {
        return Err(Mismatch::new(format!("axis {axes:?} names axis {} of {shape} twice", twice[0] + 1)));
    }
    let dims = places.iter().map(|p| shape.dims[*p]).collect();
    Ok((places, dims))
}

/// Refuses what has not `D` axes of places between the batch and the channels.
pub fn check_places<const D: usize>(shape: &Shape) -> Result<(), Mismatch> {
    if shape.dims.len() == D + 1 {
        return Ok(());
    }
    let wanted = match D {
        1 => return Err(Mismatch::no_sequence("[N,T,C]", shape)),
        2 => "images [N,H,W,C]",
        _ => "volumes [N,D,H,W,C]",
    };
    Err(Mismatch::new(format!("needs {wanted}, got {shape}")))
}

/// Runs `layer` with these axes (places among `dims`) moved to the end, in this order, and its
/// result, which must keep the shape, moved back. Axes that are the last ones are not moved.
pub fn with_last(
    g: &mut Builder<'_>,
    x: Var,
    axes: &[usize],
    layer: impl FnOnce(&mut Builder<'_>, Var) -> Result<Var, Mismatch>,
) -> Result<Var, Mismatch> {
    let dims = g.shape(x).dims.clone();
    let others = (0..dims.len()).filter(|d| !axes.contains(d));
    let order: Vec<usize> = others.chain(axes.iter().copied()).collect();
    if order.is_sorted() {
        return layer(g, x);
    }
    let moved = g.push(Transpose::new(&dims, &order), &[x])?;
    let y = layer(g, moved)?;
    let back: Vec<usize> =
        (0..order.len()).map(|axis| order.iter().position(|o| *o == axis).unwrap_or(axis)).collect();
    let dims = g.shape(y).dims.clone();
    g.push(Transpose::new(&dims, &back), &[y])
}
