//! PNG and JPEG to bytes and back.
//!
//! Transparency is dropped, 16-bit samples keep their high byte, palettes become colours, and colours
//! become grey by 0.299 R + 0.587 G + 0.114 B; a JPEG's grey is its luma. Orientation tags are not
//! followed. All as TensorFlow's `decode_image`, whose JPEG decoder may differ in the last bits.
//! A mask's numbers are taken as they are stored: the entries of a palette, or 8-bit grey values.

use std::io::{self, Cursor, Write};

use png::{BitDepth, ColorType, Transformations};
use zune_jpeg::JpegDecoder;
use zune_jpeg::zune_core::bytestream::ZCursor;
use zune_jpeg::zune_core::colorspace::ColorSpace;
use zune_jpeg::zune_core::options::DecoderOptions;

use super::Picture;

const PNG: &[u8] = b"\x89PNG\r\n\x1a\n";
const JPEG: &[u8] = b"\xFF\xD8\xFF";

/// Decodes a PNG or JPEG, told apart by their first bytes, to 1 (grey) or 3 channels.
pub fn decode(bytes: &[u8], channels: usize) -> Result<Picture, String> {
    if bytes.starts_with(PNG) {
        let (picture, _) = png(bytes, Transformations::normalize_to_color8())?;
        return Ok(with_channels(picture, channels));
    }
    if bytes.starts_with(JPEG) {
        return jpeg(bytes, channels).map(|picture| with_channels(picture, channels));
    }
    Err(unknown(bytes, "a PNG or JPEG"))
}

/// Decodes an index mask: one class number per pixel.
pub fn decode_mask(bytes: &[u8]) -> Result<Picture, String> {
    if !bytes.starts_with(PNG) {
        return Err(unknown(bytes, "a PNG, which keeps class numbers exactly"));
    }
    let (picture, (color, depth)) = png(bytes, Transformations::IDENTITY)?;
    match color {
        ColorType::Indexed | ColorType::Grayscale if depth == BitDepth::Eight => Ok(picture),
        ColorType::Indexed | ColorType::Grayscale if depth != BitDepth::Sixteen => {
            Ok(unpacked(picture, depth as usize))
        }
        _ => Err(format!(
            "is {color:?} with {} bits; a mask has one class number per pixel: a palette, or grey of 8 bits",
            depth as usize
        )),
    }
}

fn unknown(bytes: &[u8], wanted: &str) -> String {
    match bytes {
        [] => "is empty".into(),
        _ => format!("is not {wanted}"),
    }
}

fn png(bytes: &[u8], wanted: Transformations) -> Result<(Picture, (ColorType, BitDepth)), String> {
    let broken = |e: png::DecodingError| format!("is a broken PNG: {}", plain(&e));
    let mut decoder = png::Decoder::new(Cursor::new(bytes));
    decoder.set_transformations(wanted);
    let mut reader = decoder.read_info().map_err(broken)?;
    let size = reader.output_buffer_size().ok_or("is a PNG too large to decode")?;
    let mut pixels = vec![0; size];
    let frame = reader.next_frame(&mut pixels).map_err(broken)?;
    pixels.truncate(frame.buffer_size());
    let (height, width) = (frame.height as usize, frame.width as usize);
    let picture = Picture { height, width, channels: frame.color_type.samples(), pixels };
    Ok((picture, (frame.color_type, frame.bit_depth)))
}

/// What a decoder says, in a line, with the names of chunks instead of the program's own structures.
fn plain(error: &dyn std::fmt::Display) -> String {
    const CHUNK: &str = "ChunkType { type: ";
    let mut text = error.to_string().split_whitespace().collect::<Vec<_>>().join(" ");
    if text.starts_with("CRC error") {
        text.replace_range(.."CRC error".len(), "its checksum is wrong, so it was damaged");
    }
    while let Some(start) = text.find(CHUNK) {
        let (name, end) =
            (start + CHUNK.len(), text[start..].find('}').map_or(text.len(), |i| start + i + 1));
        let name: String = text[name..end].chars().take_while(|c| c.is_ascii_alphanumeric()).collect();
        text.replace_range(start..end, &name);
    }
    text
}

/// Rows of samples with fewer than 8 bits, one byte each.
fn unpacked(packed: Picture, bits: usize) -> Picture {
    let row_bytes = (packed.width * bits).div_ceil(8);
    let sample = |row: &[u8], x: usize| {
        let bit = x * bits;
        row[bit / 8] >> (8 - bits - bit % 8) & ((1u16 << bits) - 1) as u8
    };
    let rows = packed.pixels.chunks_exact(row_bytes);
    let pixels = rows.flat_map(|row| (0..packed.width).map(move |x| sample(row, x))).collect();
    Picture { pixels, ..packed }
}

fn jpeg(bytes: &[u8], channels: usize) -> Result<Picture, String> {
    let broken = |e: zune_jpeg::errors::DecodeErrors| format!("is a broken JPEG: {}", plain(&e));
    // Strict: what is cut off is not made up.
    let options = DecoderOptions::default().set_strict_mode(true);
    let mut decoder = JpegDecoder::new_with_options(ZCursor::new(bytes), options);
    decoder.decode_headers().map_err(broken)?;
    let luma = matches!(decoder.input_colorspace(), Some(ColorSpace::YCbCr | ColorSpace::Luma));
    let (space, stored) = if channels == 1 && luma { (ColorSpace::Luma, 1) } else { (ColorSpace::RGB, 3) };
    decoder.set_options(options.jpeg_set_out_colorspace(space));
    let pixels = decoder.decode().map_err(broken)?;
    let (width, height) = decoder.dimensions().ok_or("is a JPEG without a size")?;
    Ok(Picture { height, width, channels: stored, pixels })
}

/// The same with 1 or 3 channels.
fn with_channels(picture: Picture, channels: usize) -> Picture {
    let (from, colours) = match picture.channels {
        // The last of two or four is transparency.
        n @ (1 | 2) => (n, 1),
        n => (n, 3),
    };
    if from == channels {
        return picture;
    }
    let each = picture.pixels.chunks_exact(from);
    let pixels = match (colours, channels) {
        (1, _) => each.flat_map(|p| std::iter::repeat_n(p[0], channels)).collect(),
        (_, 1) => each.map(grey).collect(),
        _ => each.flat_map(|p| [p[0], p[1], p[2]]).collect(),
    };
    Picture { channels, pixels, ..picture }
}

/// ITU-R BT.601 luma, rounded.
fn grey(rgb: &[u8]) -> u8 {
    let [r, g, b] = [rgb[0], rgb[1], rgb[2]].map(u32::from);
    ((299 * r + 587 * g + 114 * b + 500) / 1000) as u8
}

/// Writes grey or coloured pixels as a PNG.
pub fn write_picture(sink: &mut dyn Write, picture: &Picture) -> io::Result<()> {
    let mut encoder = png::Encoder::new(sink, picture.width as u32, picture.height as u32);
    encoder.set_color(if picture.channels == 1 { ColorType::Grayscale } else { ColorType::Rgb });
    encoder.set_depth(BitDepth::Eight);
    let mut writer = encoder.write_header()?;
    writer.write_image_data(&picture.pixels)?;
    Ok(writer.finish()?)
}

/// Writes class numbers as a PNG whose palette shows them in different colours.
pub fn write_mask(sink: &mut dyn Write, mask: &Picture) -> io::Result<()> {
    let mut encoder = png::Encoder::new(sink, mask.width as u32, mask.height as u32);
    encoder.set_color(ColorType::Indexed);
    encoder.set_depth(BitDepth::Eight);
    encoder.set_palette((0..=255u8).flat_map(colour).collect::<Vec<u8>>());
    let mut writer = encoder.write_header()?;
    writer.write_image_data(&mask.pixels)?;
    Ok(writer.finish()?)
}

/// The customary colours of index masks (PASCAL VOC): the number's bits, three by three, from the
/// highest bit of each colour down. 0 is black.
fn colour(class: u8) -> [u8; 3] {
    let bit = |i: u32| class >> i & 1;
    [0, 1, 2].map(|c| bit(c) << 7 | bit(c + 3) << 6 | if c < 2 { bit(c + 6) << 5 } else { 0 })
}

#[cfg(test)]
pub(crate) mod tests {
    use super::*;

    /// A PNG of these samples.
    pub fn encoded(color: ColorType, depth: BitDepth, width: u32, height: u32, data: &[u8]) -> Vec<u8> {
        let mut bytes = vec![];
        let mut encoder = png::Encoder::new(&mut bytes, width, height);
        encoder.set_color(color);
        encoder.set_depth(depth);
        if color == ColorType::Indexed {
            encoder.set_palette([10, 20, 30, 40, 50, 60, 70, 80, 90, 100, 110, 120].as_slice());
        }
        let mut writer = encoder.write_header().unwrap();
        writer.write_image_data(data).unwrap();
        writer.finish().unwrap();
        bytes
    }

    /// A grey PNG.
    pub fn grey_png(width: u32, height: u32, data: &[u8]) -> Vec<u8> {
        encoded(ColorType::Grayscale, BitDepth::Eight, width, height, data)
    }

    /// 8 x 8 pixels of grey 128 as a JPEG, by hand: one block whose coefficients all are 0.
    pub fn grey_jpeg() -> Vec<u8> {
        let mut bytes = vec![0xFF, 0xD8, 0xFF, 0xDB, 0, 67, 0];
        bytes.extend([1; 64]);
        bytes.extend([0xFF, 0xC0, 0, 11, 8, 0, 8, 0, 8, 1, 1, 0x11, 0]);
        // Each table has one code of one bit, for the value 0: no difference, end of block.
        for table in [0x00, 0x10] {
            bytes.extend([0xFF, 0xC4, 0, 20, table, 1]);
            bytes.extend([0; 15]);
            bytes.push(0);
        }
        bytes.extend([0xFF, 0xDA, 0, 8, 1, 1, 0, 0, 63, 0, 0b0011_1111, 0xFF, 0xD9]);
        bytes
    }

    #[test]
    fn png_of_every_kind_to_one_and_three_channels() {
        let rgb = encoded(ColorType::Rgb, BitDepth::Eight, 2, 1, &[255, 0, 0, 0, 255, 0]);
        assert_eq!(decode(&rgb, 3).unwrap().pixels, [255, 0, 0, 0, 255, 0]);
        assert_eq!(decode(&rgb, 1).unwrap().pixels, [76, 150]);
        let transparent = encoded(ColorType::Rgba, BitDepth::Eight, 1, 1, &[1, 2, 3, 0]);
        assert_eq!(decode(&transparent, 3).unwrap().pixels, [1, 2, 3]);
        let deep = encoded(ColorType::GrayscaleAlpha, BitDepth::Sixteen, 1, 1, &[200, 255, 9, 9]);
        assert_eq!(decode(&deep, 3).unwrap().pixels, [200; 3]);
        let palette = encoded(ColorType::Indexed, BitDepth::Eight, 2, 1, &[3, 0]);
        assert_eq!(decode(&palette, 3).unwrap().pixels, [100, 110, 120, 10, 20, 30]);
    }

    #[test]
    fn a_jpeg_is_grey_or_colours() {
        let jpeg = grey_jpeg();
        for channels in [1, 3] {
            let picture = decode(&jpeg, channels).unwrap();
            assert_eq!((picture.height, picture.width, picture.channels), (8, 8, channels));
            assert!(picture.pixels.iter().all(|p| *p == 128), "{picture:?}");
        }
    }

    #[test]
    fn masks_keep_their_numbers() {
        let palette = encoded(ColorType::Indexed, BitDepth::Eight, 3, 1, &[0, 1, 3]);
        assert_eq!(decode_mask(&palette).unwrap().pixels, [0, 1, 3]);
        let narrow = encoded(ColorType::Indexed, BitDepth::Two, 5, 2, &[0b0001_1011, 0x40, 0xFF, 0]);
        assert_eq!(decode_mask(&narrow).unwrap().pixels, [0, 1, 2, 3, 1, 3, 3, 3, 3, 0]);
        let mask = Picture { height: 2, width: 2, channels: 1, pixels: vec![0, 1, 2, 255] };
        let mut bytes = vec![];
        write_mask(&mut bytes, &mask).unwrap();
        assert_eq!(decode_mask(&bytes).unwrap(), mask);
        assert_eq!(decode(&bytes, 3).unwrap().pixels[..9], [0, 0, 0, 128, 0, 0, 0, 128, 0]);
    }

    #[test]
    fn what_cannot_be_read_says_why() {
        let png = grey_png(3, 3, &[7; 9]);
        let cases = [
            (vec![], "is empty"),
            (b"GIF89a".to_vec(), "is not a PNG or JPEG"),
            (png[..png.len() - 30].to_vec(), "is a broken PNG"),
            (grey_jpeg()[..100].to_vec(), "is a broken JPEG"),
        ];
        for (bytes, said) in cases {
            let wrong = decode(&bytes, 1).unwrap_err();
            assert!(wrong.starts_with(said), "{wrong}");
        }
        let mut damaged = png.clone();
        // In the checksum of the first chunk.
        damaged[30] ^= 1;
        let wrong = decode(&damaged, 1).unwrap_err();
        assert!(
            wrong.contains("its checksum is wrong") && wrong.ends_with("while decoding IHDR chunk."),
            "{wrong}"
        );
        assert_eq!(plain(&"cut off\n\n   here\n  "), "cut off here");
        assert!(decode_mask(&grey_jpeg()).unwrap_err().contains("not a PNG, which keeps"));
        let rgb = encoded(ColorType::Rgb, BitDepth::Eight, 1, 1, &[1, 2, 3]);
        assert!(decode_mask(&rgb).unwrap_err().starts_with("is Rgb with 8 bits"));
    }
}
