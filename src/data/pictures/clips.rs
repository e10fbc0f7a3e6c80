//! Clips: folders of pictures that are frames, in the order of their names.

use std::cmp::Ordering;
use std::path::{Path, PathBuf};
use std::sync::OnceLock;

use serde::{Deserialize, Serialize};

use super::folder::{Contents, contents, name};
use super::load::{self, Size};
use super::{codec, resize};
use crate::data::mistakes::Mistakes;
use crate::data::source::Fingerprint;
use crate::diag::Diag;
use crate::kernels::par::Pool;

/// Which frames of a clip a sample shows.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Frames {
    pub count: usize,
    /// Each so many-th frame of the clip's middle; else they are spread evenly over all of it.
    pub step: Option<usize>,
}

/// A folder of frames.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Clip {
    pub folder: PathBuf,
    pub frames: Vec<PathBuf>,
}

impl Clip {
    /// The pictures right in a folder, and how many other things are there.
    pub fn open(folder: &Path) -> Result<(Clip, usize), Diag> {
        let Contents { folders, mut pictures, others } = contents(folder)?;
        pictures.sort_by(|a, b| by_numbers(&name(a), &name(b)));
        Ok((Clip { folder: folder.to_path_buf(), frames: pictures }, others + folders.len()))
    }
}

/// Names in order, where digits that stand together are one number: 2.png is before 10.png.
fn by_numbers(a: &str, b: &str) -> Ordering {
    let (mut x, mut y) = (a, b);
    while let (Some(c), Some(d)) = (x.chars().next(), y.chars().next()) {
        let order = if c.is_ascii_digit() && d.is_ascii_digit() {
            let (m, n) = (number(&mut x), number(&mut y));
            m.len().cmp(&n.len()).then(m.cmp(n))
        } else {
            (x, y) = (&x[c.len_utf8()..], &y[d.len_utf8()..]);
            c.cmp(&d)
        };
        if order.is_ne() {
            return order;
        }
    }
    // 1.png and 01.png are told apart by their letters.
    x.len().cmp(&y.len()).then(a.cmp(b))
}

/// Takes the digits off the text's front; zeros before a number say nothing.
fn number<'a>(text: &mut &'a str) -> &'a str {
    let end = text.find(|c: char| !c.is_ascii_digit()).unwrap_or(text.len());
    let (digits, rest) = text.split_at(end);
    *text = rest;
    digits.trim_start_matches('0')
}

impl Frames {
    /// Frames that a clip must have.
    fn least(&self) -> usize {
        (self.count - 1).saturating_mul(self.step.unwrap_or(1)).saturating_add(1)
    }

    /// The files of the frames that a sample shows.
    ///
    /// # Errors
    /// The clip has too few.
    pub fn choose(&self, clip: &Clip) -> Result<Vec<PathBuf>, Diag> {
        let (found, least) = (clip.frames.len(), self.least());
        if found < least {
            let (folder, count) = (clip.folder.display(), self.count);
            let why = match self.step {
                Some(step) => format!(": `frames = {count}` with `frame_step = {step}`"),
                None => String::new(),
            };
            let frames = if found == 1 { "frame" } else { "frames" };
            return Err(Diag::new(format!("`{folder}` has {found} {frames}, {least} are needed{why}")));
        }
        let place = |i: usize| match self.step {
            Some(step) => (found - least) / 2 + i * step,
            // The middles of as many equal pieces of the clip.
            None => (2 * i + 1) * found / (2 * self.count),
        };
        Ok((0..self.count).map(|i| clip.frames[place(i)].clone()).collect())
    }
}

/// What is wrong if a clip's frames are not all of one height and width; `sizes` are those of its files.
pub fn unequal(files: &[PathBuf], sizes: &[[usize; 2]]) -> Option<Diag> {
    let [first_height, first_width] = sizes.first()?;
    let differs =
        |(_, [height, width]): &(&PathBuf, &[usize; 2])| (height, width) != (first_height, first_width);
    let (file, [height, width]) = files.iter().zip(sizes).find(differs)?;
    Some(Diag::new(format!(
        "`{}` has {height} x {width} pixels, the clip's first frame has {first_height} x {first_width}",
        file.display()
    )))
}

/// Reads clips to one after the other, `frames.count` pictures of `size` each.
///
/// # Errors
/// Every clip that is too short or has frames of unequal sizes, every file that cannot be read or decoded.
pub fn read(
    pool: &Pool,
    clips: &[Clip],
    frames: Frames,
    size: Size,
    fingerprint: &mut Fingerprint,
    mistakes: &mut Mistakes,
) -> Vec<u8> {
    let mut files = vec![];
    for clip in clips {
        match frames.choose(clip) {
            Ok(chosen) => files.extend(chosen),
            Err(diag) => mistakes.push(diag),
        }
    }
    let [height, width, channels] = size;
    let stored: Vec<OnceLock<[usize; 2]>> = files.iter().map(|_| OnceLock::new()).collect();
    let pixels = load::all(pool, &files, height * width * channels, fingerprint, mistakes, |i, bytes| {
        let picture = codec::decode(bytes, channels)?;
        // Each number comes once.
        let _ = stored[i].set([picture.height, picture.width]);
        Ok(resize::bilinear(&picture, height, width))
    });
    for (files, stored) in files.chunks(frames.count).zip(stored.chunks(frames.count)) {
        // A frame that could not be decoded was told already.
        let decoded = files.iter().zip(stored).filter_map(|(file, size)| Some((file.clone(), *size.get()?)));
        let (files, sizes): (Vec<_>, Vec<_>) = decoded.unzip();
        unequal(&files, &sizes).into_iter().for_each(|diag| mistakes.push(diag));
    }
    pixels
}

#[cfg(test)]
mod tests {
    use super::*;

    fn clip(count: usize) -> Clip {
        let frames = (0..count).map(|i| PathBuf::from(i.to_string())).collect();
        Clip { folder: "clip".into(), frames }
    }

    #[test]
    fn numbers_in_names_count_as_numbers() {
        let sorted =
            ["", "1.png", "frame_2.png", "frame_09.png", "frame_9.png", "frame_10.png", "frame_10b.png", "z"];
        for (i, a) in sorted.iter().enumerate() {
            for (j, b) in sorted.iter().enumerate() {
                assert_eq!(by_numbers(a, b), i.cmp(&j), "{a} {b}");
            }
        }
        // Longer than any integer.
        assert!(by_numbers("99999999999999999999998", "099999999999999999999999").is_lt());
    }

    #[test]
    fn frames_are_spread_or_cut_from_the_middle() {
        let chosen = |found: usize, count, step| {
            let chosen = Frames { count, step }.choose(&clip(found)).unwrap();
            chosen.iter().map(|f| f.to_str().unwrap().parse().unwrap()).collect::<Vec<usize>>()
        };
        assert_eq!(chosen(4, 4, None), [0, 1, 2, 3]);
        assert_eq!(chosen(8, 4, None), [1, 3, 5, 7]);
        assert_eq!(chosen(10, 3, None), [1, 5, 8]);
        assert_eq!(chosen(9, 1, None), [4]);
        assert_eq!(chosen(10, 4, Some(1)), [3, 4, 5, 6]);
        assert_eq!(chosen(7, 4, Some(2)), [0, 2, 4, 6]);
        assert_eq!(chosen(10, 3, Some(3)), [1, 4, 7]);
    }

    #[test]
    fn a_clip_that_is_too_short_says_what_it_needs() {
        let said = |found, count, step| Frames { count, step }.choose(&clip(found)).unwrap_err().message;
        assert_eq!(said(3, 4, None), "`clip` has 3 frames, 4 are needed");
        assert_eq!(
            said(1, 2, Some(1)),
            "`clip` has 1 frame, 2 are needed: `frames = 2` with `frame_step = 1`"
        );
        assert_eq!(
            said(9, 4, Some(3)),
            "`clip` has 9 frames, 10 are needed: `frames = 4` with `frame_step = 3`"
        );
    }
}
