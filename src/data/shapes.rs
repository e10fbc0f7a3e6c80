//! `shapes`: circles, squares and triangles on noise, made by the program, each pixel with its class.
//!
//! ```toml
//! [dataset]
//! type = "shapes"
//! samples = 1000
//! test_samples = 200
//! image_size = [64, 64]
//! ```
//!
//! The task is `"segment"`: the target is a mask `[H, W]` of 0 (background), 1 (circle), 2 (square) and
//! 3 (triangle). A picture has one to `objects` objects of any turn, colour and size, the later ones
//! before the earlier ones; every pixel has noise. A picture follows from `seed` and its number alone.
//!
//! With `target = "class"`, `"box"` or `["class", "box"]` a picture has one object, and the target is what
//! it is and where (see [`objects`]).

use std::path::Path;

use crate::config::fields::Fields;
use crate::config::registry::Entry;
use crate::data::common::Common;
use crate::data::image_folder::read_size_or;
use crate::data::images::PixelScale;
use crate::data::labelled;
use crate::data::preprocessing::Preprocessing;
use crate::data::scene::{Draws, Form, Object, add_noise, byte};
use crate::data::segments::{Masked, Segments};
use crate::data::source::Fingerprint;
use crate::data::split::Offers;
use crate::data::{Dataset, DatasetSpec, LoadContext, Part};
use crate::diag::{Diag, Result};
use crate::kernels::par::{Pool, for_chunks};
use crate::rng::Stream;

mod objects;

use objects::{Described, Single};

pub const ENTRY: Entry<dyn DatasetSpec> = Entry {
    name: "shapes",
    aliases: &[],
    about: "circles, squares and triangles on noise, with masks, or classes and boxes (made by the program)",
    parse: |f| Box::new(Shapes::read(f)),
};

const NAMES: [&str; 4] = ["background", "circle", "square", "triangle"];

#[derive(Debug)]
struct Shapes {
    samples: usize,
    test_samples: usize,
    objects: usize,
    noise: f64,
    seed: u64,
    segments: Segments,
    /// What is said of the one object of a picture; none: the target is a mask.
    single: Option<Single>,
}

impl Shapes {
    fn read(f: &mut Fields<'_>) -> Shapes {
        let test_samples = f.key("test_samples").or(200);
        let segments = Segments {
            size: read_size_or(f, [64, 64]),
            scale: f.key("normalize").or(PixelScale::Unit),
            names: NAMES.map(String::from).to_vec(),
            ignore: None,
            common: Common::read(f, Offers { test: test_samples > 0, columns: false }),
        };
        let single = Single::read(f);
        let objects = f.key("objects").at_least(1).or(if single.is_some() { 1 } else { 3 });
        if single.is_some() && objects > 1 {
            let message = format!("must be 1 where the target is a class or a box, got {objects}");
            f.error("objects", message, Some("masks tell of several: target = \"mask\"".into()));
        }
        Shapes {
            samples: f.key("samples").at_least(1).or(1000),
            test_samples,
            objects,
            single,
            noise: f.key("noise").within(0, 1).or(0.1),
            seed: f.key("seed").or(0),
            segments,
        }
    }

    fn stream(&self, part: &str) -> Stream {
        Stream::new(self.seed, &format!("shapes/{part}"))
    }

    /// The class and the box of each picture of a part.
    fn describe(&self, part: &str, count: usize) -> Described {
        let stream = self.stream(part);
        Described::of((0..count).map(|number| Scene::draw(stream, number as u32, self)))
    }

    /// The pictures of one part.
    fn make(&self, pool: &Pool, part: &str, count: usize) -> Masked {
        let stream = self.stream(part);
        let [height, width, channels] = self.segments.size;
        let mut made = Masked {
            pixels: vec![0; count * height * width * channels],
            masks: vec![0; count * height * width],
        };
        for_chunks(pool, &mut made.masks, height * width, |number, mask| {
            Scene::draw(stream, number as u32, self).paint(|at, object| mask[at] = class(object));
        });
        for_chunks(pool, &mut made.pixels, height * width * channels, |number, pixels| {
            let scene = Scene::draw(stream, number as u32, self);
            pixels.chunks_exact_mut(channels).for_each(|p| p.copy_from_slice(&scene.background[..channels]));
            scene.paint(|at, object| {
                pixels[at * channels..][..channels].copy_from_slice(&object.colour[..channels]);
            });
            add_noise(pixels, stream, number as u32, self.noise);
        });
        made
    }
}

/// A picture without its noise.
struct Scene {
    size: [usize; 2],
    background: [u8; 3],
    objects: Vec<Object>,
}

impl Scene {
    fn draw(stream: Stream, number: u32, shapes: &Shapes) -> Scene {
        let mut draws = Draws::new(stream, number);
        let size = [shapes.segments.size[0], shapes.segments.size[1]];
        let background = draws.background();
        let count = 1 + (draws.next() * shapes.objects as f64) as usize;
        let objects = (0..count).map(|_| Object::draw(&mut draws, size, true, background)).collect();
        Scene { size, background: background.map(byte), objects }
    }

    /// Calls `put` for every pixel of every object, the ones behind first.
    fn paint(&self, mut put: impl FnMut(usize, &Object)) {
        for object in &self.objects {
            let [y, x] = object.middle;
            for row in 0..self.size[0] {
                for column in 0..self.size[1] {
                    if object.covers(row as f64 + 0.5 - y, column as f64 + 0.5 - x) {
                        put(row * self.size[1] + column, object);
                    }
                }
            }
        }
    }
}

/// Class number of an object's pixels.
fn class(object: &Object) -> u8 {
    match object.form {
        Form::Circle => 1,
        Form::Square => 2,
        Form::Triangle => 3,
    }
}

impl DatasetSpec for Shapes {
    fn has_validation(&self) -> bool {
        self.segments.common.has_validation()
    }

    fn load(&self, cx: &LoadContext) -> Result<Dataset> {
        let pool = Pool::new(cx.threads);
        let samples = self.segments.common.limited(self.samples);
        let train = self.make(&pool, "train", samples);
        let test = (self.test_samples > 0).then(|| self.make(&pool, "test", self.test_samples));
        let mut fingerprint = Fingerprint::default();
        for made in std::iter::once(&train).chain(&test) {
            fingerprint.update(&made.pixels);
            fingerprint.update(&made.masks);
        }
        let Some(single) = &self.single else {
            return self.segments.dataset(train, test, cx.seed, fingerprint);
        };
        let train = (train.pixels, self.describe("train", samples));
        let test = test.map(|test| (test.pixels, self.describe("test", self.test_samples)));
        single.dataset(&self.segments, train, test, cx.seed, fingerprint)
    }

    /// A folder with pictures in `images` and masks in `masks`; for classes and boxes a CSV of pixels with them.
    fn load_other(&self, path: &Path, fitted: &Preprocessing) -> Result<Part> {
        match &self.single {
            None => self.segments.load_other(path),
            Some(_) if path.is_dir() => {
                let diag = Diag::new(format!("`{}` is a folder, expected a CSV", path.display()));
                Err(diag.hint("with a row for each picture: pixel_0_0_0, ..., and its class and box").into())
            }
            Some(_) => labelled::load(path, fitted, None),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::data::Rows;
    use crate::data::testing::{Folder, dataset};

    fn load(keys: &str, threads: usize) -> Dataset {
        let cx = LoadContext { threads, ..Folder::new().context() };
        dataset(&format!("type = \"shapes\"{keys}")).unwrap().load(&cx).unwrap()
    }

    fn bytes(rows: &Rows) -> &[u8] {
        let Rows::U8 { data, .. } = rows else { panic!("pictures are kept as bytes") };
        data
    }

    #[test]
    fn a_seed_gives_the_same_pictures_on_any_number_of_threads() {
        let keys = ", samples = 20, test_samples = 5, image_size = 24";
        let (one, three) = (load(keys, 1), load(keys, 3));
        assert_eq!(one.fingerprint, three.fingerprint);
        assert_ne!(one.fingerprint, load(&format!("{keys}, seed = 1"), 1).fingerprint);
        assert_eq!((one.train.len(), one.test.unwrap().len()), (20, 5));
        assert_eq!(one.input_shape.dims, [24, 24, 3]);
    }

    #[test]
    fn pixels_of_a_class_differ_from_the_background_and_all_classes_occur() {
        let data = load(", samples = 100, noise = 0, channels = 1, objects = 1", 2);
        let (pixels, masks) = (bytes(&data.train.table.inputs), bytes(&data.train.table.targets));
        let mut counts = [0; 4];
        for (pixels, mask) in pixels.chunks(64 * 64).zip(masks.chunks(64 * 64)) {
            let background = pixels[mask.iter().position(|class| *class == 0).unwrap()];
            for (pixel, class) in pixels.iter().zip(mask) {
                assert_eq!(pixel.abs_diff(background) > 60, *class > 0);
            }
            counts[usize::from(*mask.iter().max().unwrap())] += 1;
        }
        assert!(counts[0] == 0 && counts[1..].iter().all(|count| *count > 15), "{counts:?}");
    }
}
