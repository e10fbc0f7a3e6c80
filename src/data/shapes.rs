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
            Scene::draw(stream, number as u32, self).paint(|at, object| mask[at] = object.class());
        });
        for_chunks(pool, &mut made.pixels, height * width * channels, |number, pixels| {
            let scene = Scene::draw(stream, number as u32, self);
            pixels.chunks_exact_mut(channels).for_each(|p| p.copy_from_slice(&scene.background[..channels]));
            scene.paint(|at, object| {
                pixels[at * channels..][..channels].copy_from_slice(&object.colour[..channels]);
            });
            for (i, pixel) in pixels.iter_mut().enumerate() {
                // The sum of four bytes is near enough to a normal number: deviation 147.8.
                let bits = stream.bits(number as u32, NOISE + i as u64);
                let sum: u32 = bits.to_le_bytes().map(u32::from).iter().sum();
                let noise = (f64::from(sum) - 510.0) / 147.8 * 255.0 * self.noise;
                *pixel = (f64::from(*pixel) + noise).round().clamp(0.0, 255.0) as u8;
            }
        });
        made
    }
}

/// Draws of a picture from here on are noise, those before are of its objects.
const NOISE: u64 = 1 << 20;

/// A picture without its noise.
struct Scene {
    size: [usize; 2],
    background: [u8; 3],
    objects: Vec<Object>,
}

#[derive(Clone, Copy)]
enum Form {
    Circle,
    Square,
    Triangle,
}

struct Object {
    form: Form,
    /// Row and column of the middle, and the distance of corners or rim from it.
    middle: [f64; 2],
    radius: f64,
    /// Cosine and sine of its turn.
    turn: [f64; 2],
    colour: [u8; 3],
}

impl Scene {
    fn draw(stream: Stream, number: u32, shapes: &Shapes) -> Scene {
        let mut index = 0;
        let mut draw = || {
            index += 1;
            f64::from(stream.uniform(number, index))
        };
        let size = [shapes.segments.size[0], shapes.segments.size[1]];
        let background: [f64; 3] = std::array::from_fn(|_| 0.25 + 0.5 * draw());
        let short = size[0].min(size[1]) as f64;
        let count = 1 + (draw() * shapes.objects as f64) as usize;
        let objects = (0..count).map(|_| {
            let form = match (3.0 * draw()) as usize {
                0 => Form::Circle,
                1 => Form::Square,
                _ => Form::Triangle,
            };
            let radius = short * (0.12 + 0.13 * draw());
            let middle = size.map(|n| radius + (n as f64 - 2.0 * radius) * draw());
            let angle = std::f64::consts::TAU * draw();
            // Each colour stands out from the background by a quarter or more.
            let colour = background.map(|b| {
                let by = 0.25 + 0.25 * draw();
                byte(if (draw() < 0.5 || b + by > 1.0) && b - by >= 0.0 { b - by } else { b + by })
            });
            Object { form, middle, radius, turn: [libm::cos(angle), libm::sin(angle)], colour }
        });
        let objects = objects.collect();
        Scene { size, background: background.map(byte), objects }
    }

    /// Calls `put` for every pixel of every object, the ones behind first.
    fn paint(&self, mut put: impl FnMut(usize, &Object)) {
        for object in &self.objects {
            for row in 0..self.size[0] {
                for column in 0..self.size[1] {
                    if object.covers(row as f64, column as f64) {
                        put(row * self.size[1] + column, object);
                    }
                }
            }
        }
    }
}

fn byte(share: f64) -> u8 {
    (share * 255.0).round() as u8
}

impl Object {
    fn class(&self) -> u8 {
        match self.form {
            Form::Circle => 1,
            Form::Square => 2,
            Form::Triangle => 3,
        }
    }

    fn covers(&self, row: f64, column: f64) -> bool {
        let (y, x) = (row + 0.5 - self.middle[0], column + 0.5 - self.middle[1]);
        let [cos, sin] = self.turn;
        let (along, across) = (cos * x + sin * y, cos * y - sin * x);
        match self.form {
            Form::Circle => x * x + y * y <= self.radius * self.radius,
            Form::Square => along.abs().max(across.abs()) <= self.radius * std::f64::consts::FRAC_1_SQRT_2,
            // Three sides at half the radius from the middle.
            Form::Triangle => {
                let side = |c: f64, s: f64| c * along + s * across <= self.radius / 2.0;
                let s = 0.75f64.sqrt();
                side(-1.0, 0.0) && side(0.5, s) && side(0.5, -s)
            }
        }
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

    #[test]
    fn forms_have_their_areas() {
        let area = |form| {
            let object = Object { form, middle: [50.0; 2], radius: 40.0, turn: [0.8, 0.6], colour: [0; 3] };
            let rows = (0..100).flat_map(|r| (0..100).map(move |c| (f64::from(r), f64::from(c))));
            rows.filter(|(r, c)| object.covers(*r, *c)).count() as f64 / 1600.0
        };
        let close =
            |found: f64, expected: f64| assert!((found - expected).abs() < 0.02, "{found}, {expected}");
        close(area(Form::Circle), std::f64::consts::PI);
        close(area(Form::Square), 2.0);
        close(area(Form::Triangle), 0.75 * 3f64.sqrt());
    }
}
