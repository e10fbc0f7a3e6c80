//! `nntrain predict` on pictures and clips in files: rows of classes or values, or masks as pictures.

use std::collections::BTreeMap;
use std::io::Write;
use std::ops::Range;
use std::path::{Path, PathBuf};
use std::sync::OnceLock;
use std::sync::atomic::Ordering;

use crate::data::pictures::inputs::Inputs;
use crate::data::pictures::load::{self, Size};
use crate::data::pictures::{Picture, clips, codec, resize};
use crate::diag::{Diag, Failure, Result};
use crate::files::{cannot_write, write_atomic};
use crate::kernels::par::for_chunks;
use crate::model::lower::PREDICT;
use crate::train::fit::INTERRUPTED;
use crate::train::predict::{Given, MISTAKES, Stop, Table};
use crate::train::setup::{Loaded, convert};

/// Writes a row for each picture or clip.
pub(super) fn rows(
    loaded: &mut Loaded,
    pictures: &Inputs,
    (size, divisor): (Size, f32),
    mut table: Table,
    sink: &mut dyn Write,
) -> Result<(), Stop> {
    table.header(Some(pictures.column), sink).map_err(Stop::Io)?;
    for_batches(loaded, pictures, (size, divisor), |loaded, range, _| {
        table.rows(&loaded.session, range.len(), Some(&pictures.names[range]), sink).map_err(Stop::Io)
    })
}

/// Writes a mask for each picture, of the picture's own size, as a PNG of its name in a folder.
pub(super) fn masks(loaded: &mut Loaded, given: Given<'_>, folder: Option<&Path>) -> Result<()> {
    let Given::Pictures(pictures, form) = given else {
        let diag = Diag::new("this model makes masks of pictures, not of rows of a CSV");
        return Err(diag.hint("give a folder, a PNG or JPEG, or a CSV with a column `file`").into());
    };
    let Some(folder) = folder else {
        return Err(Diag::new("masks are pictures: say where they shall go with -o DIR").into());
    };
    let files = mask_files(&pictures, folder)?;
    let output = loaded.outputs[0].clone();
    let units = output.kind.units();
    let [height, width, _] = form.0;
    let mut probabilities = vec![];
    let done = for_batches(loaded, &pictures, form, |loaded, range, sizes| {
        convert(&output, loaded.session.output(PREDICT, 0, range.len()), &mut probabilities);
        let samples = probabilities.chunks_exact(height * width * units);
        for ((sample, file), [h, w]) in samples.zip(&files[range]).zip(sizes) {
            let pixels = sample.chunks_exact(units).map(class_of).collect();
            let mask = Picture { height, width, channels: 1, pixels };
            let pixels = resize::nearest(&mask, *h, *w);
            let mask = Picture { height: *h, width: *w, channels: 1, pixels };
            write_mask(file, &mask).map_err(Stop::Rows)?;
        }
        Ok(())
    });
    done.map_err(|stop| match stop {
        Stop::Io(error) => cannot_write(folder, &error),
        Stop::Rows(failure) => failure,
    })
}

/// The largest unit; a single one says yes above 0.5.
fn class_of(units: &[f32]) -> u8 {
    match units {
        [p] => u8::from(*p > 0.5),
        units => {
            units.iter().enumerate().fold(0, |best, (i, p)| if *p > units[best] { i } else { best }) as u8
        }
    }
}

/// Where each picture's mask goes: no two to the same place.
fn mask_files(pictures: &Inputs, folder: &Path) -> Result<Vec<PathBuf>> {
    let mut taken: BTreeMap<PathBuf, &str> = BTreeMap::new();
    let mut files = vec![];
    for name in &pictures.names {
        let path = Path::new(name);
        // What lies outside of the folder or list goes by its own name, and so does what was given alone.
        let inside = path.components().all(|c| matches!(c, std::path::Component::Normal(_)));
        let below =
            if inside && !pictures.alone { path } else { Path::new(path.file_name().unwrap_or_default()) };
        let file = folder.join(below).with_extension("png");
        if let Some(other) = taken.insert(file.clone(), name) {
            let message = format!("the masks of `{other}` and `{name}` would both be `{}`", file.display());
            return Err(Diag::new(message).into());
        }
        files.push(file);
    }
    Ok(files)
}

fn write_mask(file: &Path, mask: &Picture) -> Result<()> {
    let folder = file.parent().unwrap_or(Path::new("."));
    std::fs::create_dir_all(folder).map_err(|e| cannot_write(folder, &e))?;
    write_atomic(file, |sink| codec::write_mask(sink, mask))
}

/// Decodes and predicts batch by batch; `take` gets the batch's samples and their files' stored heights and
/// widths.
fn for_batches(
    loaded: &mut Loaded,
    pictures: &Inputs,
    (size, divisor): (Size, f32),
    mut take: impl FnMut(&mut Loaded, Range<usize>, &[[usize; 2]]) -> Result<(), Stop>,
) -> Result<(), Stop> {
    let (batch, pool) = (loaded.session.program(PREDICT).batch, loaded.session.pool().clone());
    let each = pictures.files_each;
    let mut mistakes: Vec<Diag> = vec![];
    for from in (0..pictures.names.len()).step_by(batch) {
        if INTERRUPTED.load(Ordering::SeqCst) {
            return Err(Stop::Rows(Failure::Interrupted("Nothing was written.".into())));
        }
        let samples = from..(from + batch).min(pictures.names.len());
        let files = &pictures.files[samples.start * each..samples.end * each];
        let stored: Vec<OnceLock<Result<[usize; 2], String>>> =
            files.iter().map(|_| OnceLock::new()).collect();
        let inputs = loaded.session.input(PREDICT, 0, samples.len());
        for_chunks(&pool, inputs, size.iter().product(), |i, out| {
            let read = load::read(&files[i], size).map(|(pixels, stored)| {
                out.iter_mut().zip(pixels).for_each(|(out, byte)| *out = f32::from(byte) / divisor);
                [stored.height, stored.width]
            });
            // Each number comes once.
            let _ = stored[i].set(read);
        });
        let mut sizes = vec![];
        let placed = |diag: Diag, sample: usize| match pictures.places.get(samples.start + sample) {
            Some(place) => diag.at(place),
            None => diag,
        };
        for (i, (file, stored)) in files.iter().zip(stored).enumerate() {
            match stored.into_inner().expect("every file was read") {
                Ok(size) => sizes.push(size),
                Err(why) => {
                    mistakes.push(placed(Diag::new(format!("`{}` {why}", file.display())), i / each));
                }
            }
        }
        if sizes.len() == files.len() {
            let clips = files.chunks(each).zip(sizes.chunks(each)).enumerate();
            mistakes.extend(clips.filter_map(|(i, (f, s))| Some(placed(clips::unequal(f, s)?, i))));
        }
        if mistakes.len() >= MISTAKES {
            break;
        }
        if mistakes.is_empty() {
            loaded.session.run(PREDICT, samples.len(), 0);
            take(loaded, samples, &sizes)?;
        }
    }
    if mistakes.is_empty() { Ok(()) } else { Err(Stop::Rows(Failure::Input(mistakes))) }
}
