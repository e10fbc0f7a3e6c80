//! `moving_shapes`: clips of shapes that move on noise, made by the program; the direction is the class.
//!
//! ```toml
//! [dataset]
//! type = "moving_shapes"
//! samples = 1000
//! test_samples = 200
//! frames = 8
//! image_size = [32, 32]
//! ```
//!
//! A sample is `[T, H, W, C]`. A clip has one to `objects` circles, squares and triangles of any turn, colour
//! and size, which all go in one direction, each at a speed of its own; every pixel of every frame has noise.
//! They start anywhere, and what leaves at a side comes in at the opposite one: at any time all places are
//! equally probable whatever the direction, so no single frame says anything of the class. A clip follows
//! from `seed` and its number alone; classes take turns.

use std::path::Path;

use crate::config::fields::Fields;
use crate::config::registry::Entry;
use crate::data::common::{Common, LabelMode};
use crate::data::image_folder::read_size_or;
use crate::data::images::{Images, Labelled, PixelScale};
use crate::data::pictures::clips::Frames;
use crate::data::pictures::load::MemoryLimit;
use crate::data::preprocessing::Preprocessing;
use crate::data::scene::{Draws, Object, add_noise, byte};
use crate::data::source::Fingerprint;
use crate::data::split::Offers;
use crate::data::video::Clips;
use crate::data::{Dataset, DatasetSpec, LoadContext, Part};
use crate::diag::Result;
use crate::kernels::par::{Pool, for_chunks};
use crate::rng::Stream;

pub const ENTRY: Entry<dyn DatasetSpec> = Entry {
    name: "moving_shapes",
    aliases: &[],
    about: "clips of shapes that move on noise, with the direction as class (made by the program)",
    parse: |f| Box::new(MovingShapes::read(f)),
};

/// Classes: where to, down and to the right; `directions` says how many of them there are.
const DIRECTIONS: [(&str, [f64; 2]); 8] = {
    const D: f64 = std::f64::consts::FRAC_1_SQRT_2;
    [
        ("left", [0.0, -1.0]),
        ("right", [0.0, 1.0]),
        ("up", [-1.0, 0.0]),
        ("down", [1.0, 0.0]),
        ("up_left", [-D, -D]),
        ("up_right", [-D, D]),
        ("down_left", [D, -D]),
        ("down_right", [D, D]),
    ]
};

#[derive(Debug)]
struct MovingShapes {
    samples: usize,
    test_samples: usize,
    directions: usize,
    objects: usize,
    /// Pixels from frame to frame, of the fastest.
    speed: f64,
    noise: f64,
    seed: u64,
    clips: Clips,
    memory: MemoryLimit,
}

impl MovingShapes {
    fn read(f: &mut Fields<'_>) -> MovingShapes {
        let directions: usize = f.key("directions").or(4);
        if ![2, 4, 8].contains(&directions) {
            f.error("directions", format!("must be 2, 4 or 8, got {directions}"), None);
        }
        let directions = directions.clamp(2, DIRECTIONS.len());
        let test_samples = f.key("test_samples").or(200);
        let frames = Frames { count: f.key("frames").at_least(2).or(8), step: None };
        let images = Images {
            shape: read_size_or(f, [32, 32]),
            scale: f.key("normalize").or(PixelScale::Unit),
            label_mode: f.key("label_mode").or(LabelMode::Int),
            common: Common::read(f, Offers { test: test_samples > 0, columns: false }),
            frames: Some(frames),
            largest: 255.0,
            column: "label",
            class_names: DIRECTIONS[..directions].iter().map(|(name, _)| name.to_string()).collect(),
        };
        let speed = f.key("speed").above(0.0).or(2.0);
        let [height, width, _] = images.shape;
        if 2.0 * speed >= height.min(width) as f64 {
            let message = format!("must be less than half the pictures ({height} x {width}), got {speed}");
            f.error("speed", message, Some("beyond that nobody can tell where to it goes".into()));
        }
        MovingShapes {
            samples: f.key("samples").at_least(1).or(1000),
            test_samples,
            directions,
            objects: f.key("objects").at_least(1).or(1),
            speed,
            noise: f.key("noise").within(0, 1).or(0.1),
            seed: f.key("seed").or(0),
            memory: MemoryLimit { megabytes: None, at: images.common.at.clone() },
            clips: Clips { frames, images },
        }
    }

    /// The clips of one part.
    fn make(&self, pool: &Pool, part: &str, count: usize) -> Labelled {
        let stream = Stream::new(self.seed, &format!("moving_shapes/{part}"));
        let mut pixels = vec![0; count * self.clips.bytes()];
        for_chunks(pool, &mut pixels, self.clips.bytes(), |number, clip| {
            let scene = Scene::draw(stream, number as u32, self);
            for (time, frame) in
                clip.chunks_exact_mut(self.clips.bytes() / self.clips.frames.count).enumerate()
            {
                scene.paint(time, self.clips.images.shape, frame);
            }
            add_noise(clip, stream, number as u32, self.noise);
        });
        Labelled {
            pixels,
            labels: (0..count).map(|number| self.class(number as u32)).collect(),
            others: None,
        }
    }

    fn class(&self, number: u32) -> u32 {
        number % self.directions as u32
    }
}

/// A clip without its noise.
struct Scene {
    background: [u8; 3],
    /// At the beginning, with the pixels down and to the right that each goes from frame to frame.
    objects: Vec<(Object, [f64; 2])>,
}

impl Scene {
    fn draw(stream: Stream, number: u32, shapes: &MovingShapes) -> Scene {
        let mut draws = Draws::new(stream, number);
        let [height, width, _] = shapes.clips.images.shape;
        let (_, direction) = DIRECTIONS[shapes.class(number) as usize];
        let background = draws.background();
        let count = 1 + (draws.next() * shapes.objects as f64) as usize;
        let objects = (0..count).map(|_| {
            let object = Object::draw(&mut draws, [height, width], false, background);
            let speed = shapes.speed * (0.5 + 0.5 * draws.next());
            (object, direction.map(|part| part * speed))
        });
        Scene { objects: objects.collect(), background: background.map(byte) }
    }

    /// The frame at a time, each side of which continues at the opposite one.
    fn paint(&self, time: usize, [height, width, channels]: [usize; 3], frame: &mut [u8]) {
        frame
            .chunks_exact_mut(channels)
            .for_each(|pixel| pixel.copy_from_slice(&self.background[..channels]));
        // The shortest way from a middle to a pixel's.
        let way = |from: f64, to: usize, size: usize| {
            let way = to as f64 + 0.5 - from;
            way - size as f64 * (way / size as f64).round()
        };
        for (object, velocity) in &self.objects {
            let [y, x] = [0, 1].map(|axis| object.middle[axis] + time as f64 * velocity[axis]);
            for (i, pixel) in frame.chunks_exact_mut(channels).enumerate() {
                if object.covers(way(y, i / width, height), way(x, i % width, width)) {
                    pixel.copy_from_slice(&object.colour[..channels]);
                }
            }
        }
    }
}

impl DatasetSpec for MovingShapes {
    fn has_validation(&self) -> bool {
        self.clips.images.common.has_validation()
    }

    fn load(&self, cx: &LoadContext) -> Result<Dataset> {
        let pool = Pool::new(cx.threads);
        let samples = self.clips.images.common.limited(self.samples);
        self.memory.check(samples + self.test_samples, "clips", self.clips.bytes())?;
        let train = self.make(&pool, "train", samples);
        let test = (self.test_samples > 0).then(|| self.make(&pool, "test", self.test_samples));
        let mut fingerprint = Fingerprint::default();
        std::iter::once(&train).chain(&test).for_each(|made| fingerprint.update(&made.pixels));
        self.clips.images.dataset(train, test, cx.seed, fingerprint)
    }

    /// As for `video`: folders of classes with folders of frames, or a CSV.
    fn load_other(&self, path: &Path, fitted: &Preprocessing) -> Result<Part> {
        self.clips.load_other(path, fitted)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::data::Rows;
    use crate::data::testing::{Folder, dataset};

    fn load(keys: &str, threads: usize) -> Dataset {
        let cx = LoadContext { threads, ..Folder::new().context() };
        dataset(&format!("type = \"moving_shapes\"{keys}")).unwrap().load(&cx).unwrap()
    }

    /// Bytes and class of each clip of the training part.
    fn clips(data: &Dataset) -> Vec<(&[u8], usize)> {
        let (Rows::U8 { data, width, .. }, Rows::F32 { data: classes, .. }) =
            (&data.train.table.inputs, &data.train.table.targets)
        else {
            panic!("clips are bytes, their classes numbers")
        };
        data.chunks(*width).zip(classes.iter().map(|class| *class as usize)).collect()
    }

    #[test]
    fn a_seed_gives_the_same_clips_on_any_number_of_threads() {
        let keys = ", samples = 20, test_samples = 5, frames = 3, image_size = [10, 12]";
        let (one, three) = (load(keys, 1), load(keys, 3));
        assert_eq!(one.fingerprint, three.fingerprint);
        assert_ne!(one.fingerprint, load(&format!("{keys}, seed = 1"), 1).fingerprint);
        assert_eq!((one.train.len(), one.test.unwrap().len()), (20, 5));
        assert_eq!(one.input_shape.dims, [3, 10, 12, 3]);
        assert_eq!(one.notes[0], "training: 20 samples (left 5, right 5, up 5, down 5)");
    }

    const ONE: &str = ", samples = 1600, noise = 0, channels = 1, image_size = 16, directions = 8, frames = 4, \
                       test_samples = 0";

    /// Where the object is on each axis, which goes once round: the mean of its pixels, as cosine and sine.
    fn angles(frame: &[u8]) -> [[f64; 2]; 2] {
        let mut counts = [0; 256];
        frame.iter().for_each(|p| counts[usize::from(*p)] += 1);
        let background = (0..256).max_by_key(|p| counts[*p]).unwrap() as u8;
        let mut sums = [[0.0; 2]; 2];
        for (i, _) in frame.iter().enumerate().filter(|(_, pixel)| **pixel != background) {
            for (sum, place) in sums.iter_mut().zip([i / 16, i % 16]) {
                let angle = std::f64::consts::TAU * (place as f64 + 0.5) / 16.0;
                sum[0] += angle.cos();
                sum[1] += angle.sin();
            }
        }
        sums.map(|[cos, sin]| [cos, sin].map(|part| part / cos.hypot(sin).max(1e-9)))
    }

    #[test]
    fn clips_move_where_their_class_says() {
        let data = load(ONE, 2);
        for (clip, class) in clips(&data) {
            let frames: Vec<_> = clip.chunks(256).map(angles).collect();
            for (axis, towards) in DIRECTIONS[class].1.iter().enumerate() {
                // The turn from the first frame to the last, 3 steps of 1 to 2 pixels.
                let [[c, s], [d, t]] = [frames[0][axis], frames[3][axis]];
                let pixels = (c * t - s * d).atan2(c * d + s * t) / std::f64::consts::TAU * 16.0;
                let expected = 2.0 * towards.abs()..=7.0 * towards.abs() + 0.9;
                let along = if *towards == 0.0 { pixels.abs() } else { pixels * towards.signum() };
                assert!(expected.contains(&along), "{class} on axis {axis}: {pixels}");
            }
        }
    }

    /// The mean of n directions that are equally probable is about as long as 1 over the root of n: 0.07.
    #[test]
    fn no_frame_betrays_the_class() {
        let data = load(ONE, 2);
        for frame in 0..4 {
            for wanted in 0..8 {
                let of_class = clips(&data).into_iter().filter(|(_, class)| *class == wanted);
                let angles: Vec<_> = of_class.map(|(clip, _)| angles(&clip[frame * 256..][..256])).collect();
                for axis in 0..2 {
                    let mean = [0, 1]
                        .map(|part| angles.iter().map(|a| a[axis][part]).sum::<f64>() / angles.len() as f64);
                    let length = mean[0].hypot(mean[1]);
                    assert!(length < 0.2, "frame {frame} of class {wanted} on axis {axis}: {length}");
                }
            }
        }
    }

    #[test]
    fn mistakes_in_keys() {
        for (keys, part) in [
            ("directions = 3", "must be 2, 4 or 8, got 3"),
            ("frames = 1", "must be at least 2, got 1"),
            ("speed = 16", "must be less than half the pictures (32 x 32), got 16"),
            ("test_samples = 0, validation = \"test\"", "no test part"),
        ] {
            let wrong = dataset(&format!("type = \"moving_shapes\", {keys}")).unwrap_err();
            assert!(wrong[0].message.contains(part), "{keys}: {wrong:?}");
        }
        let large = "type = \"moving_shapes\", samples = 2000000000, image_size = 2000";
        let failure = dataset(large).unwrap().load(&Folder::new().context()).unwrap_err();
        assert!(failure.diags()[0].message.contains("this machine has"), "{failure:?}");
    }
}
