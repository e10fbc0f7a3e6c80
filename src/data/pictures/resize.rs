//! Pictures of another size.
//!
//! Bilinear, without smoothing before shrinking, between the centres of pixels: output pixel i reads at
//! (i + 1/2) in / out - 1/2. Keras: `image_dataset_from_directory(interpolation = "bilinear")`, that is
//! `tf.image.resize`, which leaves fractions; here they are rounded to bytes.

use super::Picture;

/// Brings a picture to another size, which may change its aspect ratio.
pub fn bilinear(picture: &Picture, height: usize, width: usize) -> Vec<u8> {
    if (picture.height, picture.width) == (height, width) {
        return picture.pixels.clone();
    }
    let (rows, columns) = (taps(picture.height, height), taps(picture.width, width));
    let channels = picture.channels;
    let mut out = Vec::with_capacity(height * width * channels);
    let at = |row: usize, column: usize, c: usize| {
        f32::from(picture.pixels[(row * picture.width + column) * channels + c])
    };
    for (top, bottom, down) in &rows {
        for (left, right, along) in &columns {
            for c in 0..channels {
                let mix = |row| at(row, *left, c) + (at(row, *right, c) - at(row, *left, c)) * along;
                let (above, below) = (mix(*top), mix(*bottom));
                out.push((above + (below - above) * down).round() as u8);
            }
        }
    }
    out
}

/// For each output place the two inputs around it, and how far it is from the first to the second.
fn taps(from: usize, to: usize) -> Vec<(usize, usize, f32)> {
    let step = from as f32 / to as f32;
    let tap = |i: usize| {
        let x = ((i as f32 + 0.5) * step - 0.5).clamp(0.0, (from - 1) as f32);
        let low = x.floor();
        (low as usize, (low as usize + 1).min(from - 1), x - low)
    };
    (0..to).map(tap).collect()
}

/// Each place takes the pixel whose area it lies in: numbers that must not be mixed.
pub fn nearest(picture: &Picture, height: usize, width: usize) -> Vec<u8> {
    let place = |i: usize, from: usize, to: usize| (2 * i + 1) * from / (2 * to);
    let rows = (0..height).map(|y| place(y, picture.height, height));
    let row = |y: usize| {
        (0..width).flat_map(move |x| {
            let at = (y * picture.width + place(x, picture.width, width)) * picture.channels;
            &picture.pixels[at..at + picture.channels]
        })
    };
    rows.flat_map(row).copied().collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn picture(height: usize, width: usize, channels: usize, pixels: &[u8]) -> Picture {
        Picture { height, width, channels, pixels: pixels.to_vec() }
    }

    /// Values of `tf.image.resize` with half-pixel centres, rounded.
    #[test]
    fn between_the_centres_of_pixels() {
        let row = picture(1, 2, 1, &[0, 100]);
        assert_eq!(bilinear(&row, 1, 4), [0, 25, 75, 100]);
        assert_eq!(bilinear(&row, 2, 1), [50, 50]);
        let wide = picture(1, 4, 1, &[0, 10, 20, 30]);
        assert_eq!(bilinear(&wide, 1, 2), [5, 25]);
        // Shrunk to a quarter, only the two in the middle are read: nothing smooths before.
        assert_eq!(bilinear(&picture(1, 8, 1, &[0, 0, 0, 10, 20, 0, 0, 0]), 1, 1), [15]);
        let colours = picture(2, 1, 3, &[0, 30, 60, 100, 130, 160]);
        assert_eq!(bilinear(&colours, 1, 1), [50, 80, 110]);
        assert_eq!(bilinear(&colours, 2, 1), colours.pixels);
    }

    #[test]
    fn nearest_mixes_nothing() {
        let mask = picture(2, 2, 1, &[1, 2, 3, 4]);
        assert_eq!(nearest(&mask, 4, 4), [1, 1, 2, 2, 1, 1, 2, 2, 3, 3, 4, 4, 3, 3, 4, 4]);
        assert_eq!(nearest(&picture(1, 3, 1, &[5, 6, 7]), 1, 1), [6]);
        assert_eq!(nearest(&mask, 2, 2), mask.pixels);
    }
}
