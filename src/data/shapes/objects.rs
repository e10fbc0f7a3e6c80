//! `shapes` with one object in a picture: its class and its box as the target.
//!
//! ```toml
//! target = ["class", "box"]     # or one of them
//! ```
//! The class is circle, square or triangle; the box `x_min, y_min, x_max, y_max` around the object as shares of
//! the picture's width and height, x to the right and y downwards.

use std::sync::Arc;

use crate::config::fields::Fields;
use crate::config::read::Read;
use crate::config::tree::Value;
use crate::config::write::Plain;
use crate::data::common::{LabelMode, class_counts, side_by_side};
use crate::data::preprocessing::{BOX, NamedTarget, Preprocessing, TargetEncoding, ValueColumn};
use crate::data::segments::Segments;
use crate::data::source::Fingerprint;
use crate::data::split::{Labels, divide};
use crate::data::{Dataset, Part, Rows, Table};
use crate::diag::Result;
use crate::shape::Shape;

use super::{Form, Object, Scene};

/// A word in `target`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Told {
    Mask,
    Class,
    Box,
}

crate::words!(Told, Mask = "mask", Class = "class", Box = "box");

/// What is said of the object of a picture.
#[derive(Clone, Debug)]
pub struct Single {
    told: Vec<Told>,
    label_mode: LabelMode,
}

impl Single {
    /// Reads `target` and `label_mode`; none where the target is a mask.
    pub fn read(f: &mut Fields<'_>) -> Option<Single> {
        let Some(value) = f.raw("target") else {
            f.resolve("target", Told::Mask.write());
            return None;
        };
        let told = read_words(f, value)?;
        if told == [Told::Mask] {
            return None;
        }
        if told.contains(&Told::Mask) {
            f.error("target", "a mask is the only target", Some("or \"class\" and \"box\" together".into()));
        }
        if told.is_empty() || (1..told.len()).any(|i| told[..i].contains(&told[i])) {
            f.error("target", "names each target once", Some("target = [\"class\", \"box\"]".into()));
        }
        let class = told.contains(&Told::Class);
        let label_mode = if class { f.key("label_mode").or(LabelMode::Int) } else { LabelMode::Int };
        Some(Single { told, label_mode })
    }

    fn target(&self) -> TargetEncoding {
        let encoding = |told: &Told| match told {
            Told::Class => TargetEncoding::Classes {
                column: told.name(),
                names: names(),
                one_hot: self.label_mode == LabelMode::Categorical,
            },
            Told::Box | Told::Mask => {
                let side = |name: &str| ValueColumn { name: name.to_string(), offset: 0.0, scale: 1.0 };
                TargetEncoding::Values { columns: BOX.map(side).to_vec() }
            }
        };
        match &self.told[..] {
            [one] => encoding(one),
            several => {
                let part = |told: &Told| NamedTarget { name: told.name(), encoding: encoding(told) };
                TargetEncoding::Several { parts: several.iter().map(part).collect() }
            }
        }
    }

    fn targets(&self, of: &Described) -> Rows {
        let rows = |told: &Told| match told {
            Told::Class => self.label_mode.targets(of.classes.iter().copied(), names().len()),
            Told::Box | Told::Mask => Rows::F32 { data: of.boxes.concat(), width: BOX.len() },
        };
        side_by_side(&self.told.iter().map(rows).collect::<Vec<Rows>>())
    }

    /// Splits, by class where that is told, and counts.
    pub fn dataset(
        &self,
        pictures: &Segments,
        train: (Vec<u8>, Described),
        test: Option<(Vec<u8>, Described)>,
        seed: u64,
        fingerprint: Fingerprint,
    ) -> Result<Dataset> {
        let classes = self.told.contains(&Told::Class).then(|| train.1.classes.clone());
        let labels = Labels { classes: classes.as_deref(), groups: None };
        let (rows, held_out) = divide(&pictures.common.validation, train.1.classes.len(), labels, seed)?;
        let of = |rows: &[u32]| rows.iter().map(|row| train.1.classes[*row as usize]).collect::<Vec<u32>>();
        let mut notes = vec![note("training", of(&rows))];
        notes.extend(held_out.as_ref().map(|rows| note("validation", of(rows))));
        notes.extend(test.as_ref().map(|(_, test)| note("test", test.classes.clone())));
        let table = |(pixels, described): (Vec<u8>, Described)| Table {
            inputs: pictures.rows(pixels),
            targets: self.targets(&described),
            weights: None,
        };
        let (train, test) = (Arc::new(table(train)), test.map(|test| Part::whole(table(test))));
        let split_off = held_out.map(|rows| Part { table: train.clone(), rows });
        let (validation, test) = pictures.common.held_out(split_off, test);
        Ok(Dataset {
            input_shape: Shape::batch(pictures.size),
            train: Part { table: train, rows },
            validation,
            test,
            preprocessing: Preprocessing { window: None, input: pictures.input(), target: self.target() },
            fingerprint: fingerprint.hex(),
            notes,
        })
    }
}

impl Told {
    fn name(self) -> String {
        match self {
            Told::Mask => "mask",
            Told::Class => "class",
            Told::Box => "box",
        }
        .into()
    }
}

/// A word or a list of them; a mistake is noted.
fn read_words(f: &mut Fields<'_>, value: &Value) -> Option<Vec<Told>> {
    let items = value.as_array().unwrap_or(std::slice::from_ref(value));
    let read: Result<Vec<Told>, _> = items.iter().map(Told::read).collect();
    match read {
        Ok(told) => {
            f.resolve("target", Plain::from(value));
            Some(told)
        }
        Err(wrong) => {
            f.error("target", wrong.message, wrong.hint);
            None
        }
    }
}

/// Of the classes: those of a mask without the background.
fn names() -> Vec<String> {
    super::NAMES[1..].iter().map(|name| name.to_string()).collect()
}

fn note(part: &str, classes: Vec<u32>) -> String {
    class_counts(part, classes.into_iter(), &names())
}

/// The class number and the box of each picture's object.
#[derive(Debug)]
pub struct Described {
    classes: Vec<u32>,
    boxes: Vec<[f32; 4]>,
}

impl Described {
    /// Of pictures with one object.
    pub fn of(scenes: impl Iterator<Item = Scene>) -> Described {
        let (classes, boxes) = scenes.map(|scene| (class(&scene.objects[0]), surround(&scene))).unzip();
        Described { classes, boxes }
    }
}

fn class(object: &Object) -> u32 {
    match object.form {
        Form::Circle => 0,
        Form::Square => 1,
        Form::Triangle => 2,
    }
}

/// The box around the only object.
fn surround(scene: &Scene) -> [f32; 4] {
    let [height, width] = scene.size.map(|n| n as f64);
    let corners = corners(&scene.objects[0]);
    let least = |axis: usize| corners.iter().map(|c| c[axis]).fold(f64::INFINITY, f64::min);
    let most = |axis: usize| corners.iter().map(|c| c[axis]).fold(f64::NEG_INFINITY, f64::max);
    let share = |place: f64, size: f64| (place / size).clamp(0.0, 1.0) as f32;
    [share(least(1), width), share(least(0), height), share(most(1), width), share(most(0), height)]
}

/// Row and column of each corner; of a circle those of the square around it.
fn corners(object: &Object) -> Vec<[f64; 2]> {
    let ([cos, sin], radius) = (object.turn, object.radius);
    let turned = |[along, across]: [f64; 2]| {
        let (y, x) = (sin * along + cos * across, cos * along - sin * across);
        [object.middle[0] + radius * y, object.middle[1] + radius * x]
    };
    let (s, h) = (std::f64::consts::FRAC_1_SQRT_2, 0.75f64.sqrt());
    match object.form {
        Form::Circle => [-1.0, 1.0].map(|d| object.middle.map(|m| m + d * radius)).to_vec(),
        Form::Square => [[s, s], [s, -s], [-s, s], [-s, -s]].map(turned).to_vec(),
        Form::Triangle => [[1.0, 0.0], [-0.5, h], [-0.5, -h]].map(turned).to_vec(),
    }
}

#[cfg(test)]
mod tests {
    use crate::data::preprocessing::TargetEncoding;
    use crate::data::testing::{Folder, dataset};
    use crate::data::{Dataset, Rows};

    const SHAPES: &str = "type = \"shapes\", samples = 30, test_samples = 0";

    fn load(keys: &str) -> Dataset {
        dataset(&format!("{SHAPES}, {keys}")).unwrap().load(&Folder::new().context()).unwrap()
    }

    fn bytes(rows: &Rows) -> &[u8] {
        let Rows::U8 { data, .. } = rows else { panic!("pictures and masks are kept as bytes") };
        data
    }

    fn target_of(data: &Dataset, row: usize) -> Vec<f32> {
        let mut target = vec![0.0; data.train.table.targets.width()];
        data.train.table.targets.copy_row(row, &mut target);
        target
    }

    #[test]
    fn targets_stand_in_the_order_asked_for() {
        let both = load("target = [\"box\", \"class\"], label_mode = \"categorical\"");
        let (class, sides) = (load("target = \"class\""), load("target = [\"box\"]"));
        let parts = both.preprocessing.parts();
        let found: Vec<_> = parts.iter().map(|part| (part.name, part.range.clone())).collect();
        assert_eq!(found, [(Some("box"), 0..4), (Some("class"), 4..7)]);
        assert_eq!(class.preprocessing.classes().unwrap(), ["circle", "square", "triangle"]);
        assert!(matches!(sides.preprocessing.target, TargetEncoding::Values { .. }));
        for i in 0..30 {
            let (row, class) = (target_of(&both, i), target_of(&class, i));
            assert_eq!(row[..4], target_of(&sides, i));
            assert!(row[4 + class[0] as usize] == 1.0 && row[4..].iter().sum::<f32>() == 1.0);
        }
    }

    /// The middles of all pixels lie in the box, and no side is further from them than a tip without a pixel.
    #[test]
    fn boxes_go_around_the_objects() {
        let size = 64.0;
        let keys = "objects = 1, image_size = 64";
        let (masks, boxes) = (load(keys), load(&format!("{keys}, target = [\"class\", \"box\"]")));
        assert_eq!(bytes(&masks.train.table.inputs), bytes(&boxes.train.table.inputs));
        for (row, mask) in bytes(&masks.train.table.targets).chunks(64 * 64).enumerate() {
            let target = target_of(&boxes, row);
            let covered = || mask.iter().enumerate().filter(|(_, class)| **class > 0);
            assert!(covered().all(|(_, class)| f32::from(*class) == target[0] + 1.0), "{target:?}");
            let columns = || covered().map(|(at, _)| (at % 64) as f32 + 0.5);
            let rows = || covered().map(|(at, _)| (at / 64) as f32 + 0.5);
            let (least, most) = (|v: f32, w: f32| v.min(w), |v: f32, w: f32| v.max(w));
            let seen = [
                columns().fold(size, least),
                rows().fold(size, least),
                columns().fold(0.0, most),
                rows().fold(0.0, most),
            ];
            for (side, (seen, told)) in seen.into_iter().zip(&target[1..]).enumerate() {
                let outside = if side < 2 { seen - told * size } else { told * size - seen };
                assert!((0.0..2.0).contains(&outside) && (0.0..=1.0).contains(told), "{side}: {outside}");
            }
        }
    }

    #[test]
    fn classes_are_divided_alike() {
        let data =
            load("target = [\"class\", \"box\"], validation = { type = \"stratified\", fraction = 0.5 }");
        assert_eq!((data.train.len(), data.validation.unwrap().len()), (15, 15));
        assert!(data.notes[1].starts_with("validation: 15 samples (circle "), "{:?}", data.notes);
    }

    #[test]
    fn mistakes_are_said() {
        for (keys, part) in [
            ("target = \"bux\"", "is not one of \"mask\", \"class\", \"box\""),
            ("target = 3", "expected one of \"mask\""),
            ("target = []", "names each target once"),
            ("target = [\"box\", \"box\"]", "names each target once"),
            ("target = [\"mask\", \"class\"]", "a mask is the only target"),
            ("target = \"box\", objects = 2", "must be 1 where the target is a class or a box, got 2"),
            ("target = \"box\", label_mode = \"int\"", "unknown key `label_mode`"),
            ("label_mode = \"int\"", "unknown key `label_mode`"),
        ] {
            let diags = dataset(&format!("{SHAPES}, {keys}")).unwrap_err();
            assert!(diags.len() == 1 && diags[0].message.contains(part), "{keys}: {diags:?}");
        }
    }
}
