//! Samples of a generative model as a picture: a grid of what it makes of noise.

use std::io::{self, Write};
use std::ops::Range;
use std::path::Path;

use crate::data::pictures::{Picture, codec};
use crate::data::preprocessing::Preprocessing;
use crate::diag::{Diag, Result};
use crate::exec::Session;
use crate::files::write_atomic;
use crate::model::lower::Sampler;
use crate::rng::Stream;
use crate::train::predict::quoted;
use crate::train::setup::Loaded;

/// Between samples, in pixels.
const GAP: usize = 2;

/// Samples `range` of those that a seed's noise gives, one after the other: sample i depends on the seed
/// and on i alone.
pub fn make(session: &mut Session, sampler: &Sampler, seed: u64, range: Range<usize>) -> Vec<f32> {
    let stream = Stream::new(seed, "samples");
    let width: usize = sampler.latents.iter().sum();
    let batch = session.program(sampler.program).batch;
    let mut made = vec![];
    let pool = session.pool().clone();
    let _awake = pool.awake();
    for first in range.clone().step_by(batch) {
        let n = batch.min(range.end - first);
        let mut column = 0;
        for (input, size) in sampler.latents.iter().enumerate() {
            let noise = session.input(sampler.program, input, n);
            for (i, z) in noise.iter_mut().enumerate() {
                let (sample, number) = (first + i / size, column + i % size);
                *z = stream.normal(0, (sample * width + number) as u64) as f32;
            }
            column += size;
        }
        session.run(sampler.program, n, 0);
        made.extend_from_slice(session.output(sampler.program, 0, n));
    }
    made
}

/// Writes samples of a model to a PNG, side by side, or to a CSV, a row for each.
///
/// # Errors
/// A file of another kind; samples that are no pictures, for a PNG.
pub fn write(mut loaded: Loaded, count: usize, seed: u64, file: &Path) -> Result<()> {
    let sampler = loaded.sampler.clone().expect("asked of models that have one");
    let made = make(&mut loaded.session, &sampler, seed, 0..count);
    match file.extension().and_then(|e| e.to_str()) {
        Some("png") => {
            let columns = (count as f64).sqrt().ceil() as usize;
            let picture = grid(&made, &sampler.shape.dims, columns).ok_or_else(|| {
                let message = format!("samples of {} are no pictures", sampler.shape);
                Diag::new(message).hint("-o samples.csv writes their numbers")
            })?;
            write_atomic(file, |sink| codec::write_picture(sink, &picture))
        }
        Some("csv") => write_atomic(file, |sink| csv(&made, &loaded.meta.preprocessing, sink)),
        _ => {
            let diag = Diag::new(format!("{} is neither a PNG nor a CSV", file.display()));
            Err(diag.hint("-o grid.png, or -o samples.csv").into())
        }
    }
}

/// A row for each sample, with the names and units of the dataset's columns.
fn csv(samples: &[f32], preprocessing: &Preprocessing, sink: &mut dyn Write) -> io::Result<()> {
    let columns = preprocessing.sample_columns();
    let names: Vec<String> = columns.iter().map(|c| quoted(&c.name)).collect();
    writeln!(sink, "{}", names.join(","))?;
    for sample in samples.chunks_exact(columns.len()) {
        let cells: Vec<String> =
            sample.iter().zip(&columns).map(|(v, c)| (c.decode(*v) as f32).to_string()).collect();
        writeln!(sink, "{}", cells.join(","))?;
    }
    Ok(())
}

/// Smaller pictures are shown larger, so that they can be seen at all.
const SEEN: usize = 32;

/// How often each pixel of pictures of this size is shown, across and down.
fn enlarged(height: usize, width: usize) -> usize {
    SEEN.div_ceil(height.max(width).max(1))
}

/// Samples side by side, from 0 (black) to 1; small ones enlarged. `None` if they are no pictures.
pub fn grid(samples: &[f32], shape: &[usize], columns: usize) -> Option<Picture> {
    let &[height, width, channels @ (1 | 3)] = shape else { return None };
    let count = samples.len() / (height * width * channels);
    let (rows, times) = (count.div_ceil(columns), enlarged(height, width));
    let (tall, wide) = (height * times, width * times);
    let whole = |count: usize, size: usize| count * size + count.saturating_sub(1) * GAP;
    let (whole_height, whole_width) = (whole(rows, tall), whole(columns, wide));
    let mut pixels = vec![255u8; whole_height * whole_width * channels];
    for (i, sample) in samples.chunks_exact(height * width * channels).enumerate() {
        let (top, left) = (i / columns * (tall + GAP), i % columns * (wide + GAP));
        for y in 0..tall {
            let row = &sample[y / times * width * channels..][..width * channels];
            let at = ((top + y) * whole_width + left) * channels;
            let pixels = pixels[at..at + wide * channels].chunks_exact_mut(channels);
            for (x, pixel) in pixels.enumerate() {
                let colour = &row[x / times * channels..][..channels];
                pixel
                    .iter_mut()
                    .zip(colour)
                    .for_each(|(pixel, v)| *pixel = (v * 255.0).round().clamp(0.0, 255.0) as u8);
            }
        }
    }
    Some(Picture { height: whole_height, width: whole_width, channels, pixels })
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Pictures of a row of pixels, two of them that differ.
    fn row(values: [f32; 2]) -> Vec<f32> {
        (0..SEEN).map(|x| values[usize::from(x > 0)]).collect()
    }

    #[test]
    fn samples_lie_side_by_side_with_white_between() {
        let samples = [row([0.0, 0.5]), row([1.0, 2.0]), row([-1.0, 0.25])].concat();
        let picture = grid(&samples, &[1, SEEN, 1], 2).unwrap();
        assert_eq!((picture.height, picture.width), (1 + GAP + 1, SEEN + GAP + SEEN));
        let rows: Vec<&[u8]> = picture.pixels.chunks(picture.width).collect();
        assert_eq!((&rows[0][..2], &rows[0][SEEN..]), (&[0, 128][..], &[255; GAP + SEEN][..]));
        assert_eq!((&rows[3][..2], &rows[3][SEEN..]), (&[0, 64][..], &[255; GAP + SEEN][..]));
        assert!(rows[1..3].iter().all(|row| row.iter().all(|p| *p == 255)));
        assert!(grid(&samples, &[SEEN], 2).is_none());
    }

    #[test]
    fn small_samples_are_enlarged_by_whole_pixels() {
        assert_eq!([1, 8, 28, 31, 32, 64].map(|size| enlarged(size, 1)), [32, 4, 2, 2, 1, 1]);
        let samples: Vec<f32> = (0..2 * 2 * 3).map(|i| i as f32 / 255.0).collect();
        let picture = grid(&samples, &[2, 2, 3], 1).unwrap();
        assert_eq!((picture.height, picture.width, picture.channels), (32, 32, 3));
        for (y, x, first) in [(0, 0, 0), (15, 15, 0), (0, 16, 3), (16, 15, 6), (31, 31, 9)] {
            let at = (y * 32 + x) * 3;
            assert_eq!(picture.pixels[at..at + 3], [first, first + 1, first + 2], "{y}, {x}");
        }
    }
}
