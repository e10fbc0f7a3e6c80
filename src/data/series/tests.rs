use super::*;
use crate::data::testing::{Folder, dataset};
use crate::diag::Failure;
use crate::kernels::par::Pool;

const POINTS: &str = "day,a,b\n1,10,0\n2,20,1\n3,30,0\n4,40,1\n5,50,0\n6,60,1\n7,70,0\n8,80,1\n";

fn load(keys: &str) -> Result<Dataset> {
    let folder = Folder::new();
    folder.write("t.csv", POINTS);
    let spec = dataset(&format!("type = \"series\", {keys}")).map_err(Failure::Input)?;
    spec.load(&folder.context())
}

fn rows(part: &Part) -> Vec<(Vec<f32>, Vec<f32>)> {
    let table = &part.table;
    let row = |position: u32| {
        let (mut x, mut y) = (vec![0.0; table.inputs.width()], vec![0.0; table.targets.width()]);
        part.gather(&Pool::new(1), &[position], &mut x, &mut y, &mut [0.0]);
        (x, y)
    };
    (0..part.len() as u32).map(row).collect()
}

#[test]
fn a_sample_is_a_window_and_its_target_the_points_behind_it() {
    let data = load("train = \"t.csv\", target = \"a\", window = 3, normalize = \"none\"").unwrap();
    assert_eq!(data.input_shape.dims, [3, 1]);
    let all = rows(&data.train);
    assert_eq!(all.len(), 5);
    assert_eq!(all[0], (vec![10.0, 20.0, 30.0], vec![40.0]));
    assert_eq!(all[4], (vec![50.0, 60.0, 70.0], vec![80.0]));
    assert!(data.notes.contains(
        &"training: 5 windows; saying the last value again has a mean absolute error of 10.0000".to_string()
    ));
}

#[test]
fn nothing_is_said_of_targets_that_nobody_looks_at() {
    let folder = Folder::new();
    folder.write("t.csv", POINTS);
    let keys = "type = \"series\", train = \"t.csv\", target = \"a\", window = 3, validation = 0.25";
    let cx = LoadContext { learns_targets: false, ..folder.context() };
    let notes = dataset(keys).unwrap().load(&cx).unwrap().notes;
    assert_eq!(notes, ["training: 3 windows", "validation: 2 windows"]);
}

#[test]
fn a_limit_counts_windows() {
    let keys = "train = \"t.csv\", target = \"a\", window = 2, horizon = 2, limit = 3";
    assert_eq!(load(keys).unwrap().train.len(), 3);
    assert_eq!(load(&keys.replace("limit = 3", "limit = 99")).unwrap().train.len(), 5);
    let sine = "generator = { type = \"sine\", points = 50 }, window = 5, limit = 20, validation = 0.25";
    let data = load(sine).unwrap();
    // Of 25 points 18 train.
    assert_eq!((data.train.len(), data.validation.unwrap().len()), (13, 7));
}

#[test]
fn a_generator_excludes_what_is_said_of_files() {
    let keys = "type = \"series\", generator = \"sine\", window = 2, header = false, delimiter = \";\", \
                train = \"t.csv\", missing = \"mean\"";
    let diags = dataset(keys).unwrap_err();
    let said: Vec<&str> = diags.iter().map(|d| d.message.as_str()).collect();
    let excluded = |key: &str| {
        format!("`{key}` in `series`: is for a series from a file, but `generator` makes this one")
    };
    assert_eq!(said, ["train", "missing", "header", "delimiter"].map(excluded));
}

/// The path is taken from the config's folder once.
#[test]
fn a_relative_folder_is_no_part_of_the_path_twice() {
    let folder = Folder::new();
    let cx = LoadContext { config_dir: "configs".into(), ..folder.context() };
    let keys = "type = \"series\", train = \"../data/houses.csv\", target = \"price\", window = 1";
    dataset(keys).unwrap().load(&cx).unwrap_or_else(|f| panic!("{}", f.diags()[0]));
}

#[test]
fn several_columns_and_steps() {
    let keys = "train = \"t.csv\", target = [\"b\", \"a\"], features = [\"a\", \"b\"], window = 2, horizon = 2, normalize = \"none\"";
    let data = load(keys).unwrap();
    assert_eq!(rows(&data.train)[1], (vec![20.0, 1.0, 30.0, 0.0], vec![1.0, 40.0, 0.0, 50.0]));
    let TargetEncoding::Values { columns } = &data.preprocessing.target else { panic!() };
    let names: Vec<&str> = columns.iter().map(|c| c.name.as_str()).collect();
    assert_eq!(names, ["b+1", "a+1", "b+2", "a+2"]);
    assert_eq!(data.preprocessing.target_width(), 4);
}

#[test]
fn the_end_is_held_out_and_scales_are_the_training_part_s() {
    let keys = "train = \"t.csv\", target = \"a\", window = 2, validation = 0.25, normalize = \"minmax\"";
    let data = load(keys).unwrap();
    // Points 1 to 6 train: 10 is 0, 60 is 1.
    assert_eq!(rows(&data.train).len(), 4);
    let held_out = rows(data.validation.as_ref().unwrap());
    assert_eq!(held_out, [(vec![0.8, 1.0], vec![1.2]), (vec![1.0, 1.2], vec![1.4])]);
}

#[test]
fn windows_may_stand_apart() {
    let keys = "train = \"t.csv\", target = \"a\", window = 2, normalize = \"none\", validation = 0.5";
    let data = load(&format!("{keys}, stride = 2")).unwrap();
    assert_eq!(rows(&data.train), [(vec![10.0, 20.0], vec![30.0])]);
    let held_out = data.validation.unwrap();
    assert_eq!(rows(&held_out), [(vec![30.0, 40.0], vec![50.0]), (vec![50.0, 60.0], vec![70.0])]);
    assert!(held_out.is_walk());
    assert_eq!(data.preprocessing.window.unwrap().stride, 2);
    let apart = load(&format!("{keys}, stride = 3")).unwrap().validation.unwrap();
    assert_eq!(rows(&apart), [(vec![30.0, 40.0], vec![50.0]), (vec![60.0, 70.0], vec![80.0])]);
    assert!(!apart.is_walk());
    let few = load("train = \"t.csv\", target = \"a\", window = 2, stride = 2, limit = 2").unwrap();
    assert_eq!(few.train.rows, [0, 2]);
}

#[test]
fn a_sine_is_made_and_the_same_noise_every_time() {
    let sine = "generator = { type = \"sine\", points = 5, end = 2.0, noise = 0.1 }, window = 2";
    let (one, two) = (load(sine).unwrap(), load(sine).unwrap());
    assert_eq!(rows(&one.train), rows(&two.train));
    let plain = load("generator = { type = \"sine\", points = 5, end = 2.0 }, window = 2").unwrap();
    assert_eq!(rows(&plain.train)[0], (vec![0.0, 0.5f64.sin() as f32], vec![1.0f64.sin() as f32]));
    assert_ne!(rows(&one.train), rows(&plain.train));
}

#[test]
fn mistakes_name_what_to_change() {
    let said = |keys: &str| load(keys).unwrap_err().diags()[0].to_string();
    let short = said("train = \"t.csv\", target = \"a\", window = 8");
    assert!(short.contains("8 points, too few for one window of 8"), "{short}");
    let random = said("train = \"t.csv\", target = \"a\", window = 2, validation = { type = \"random\" }");
    assert!(random.contains("split in time"), "{random}");
    let dropped = said("train = \"t.csv\", target = \"a\", window = 2, missing = \"drop_row\"");
    assert!(dropped.contains("left out"), "{dropped}");
    assert!(said("window = 2").contains("train"));
}

#[test]
fn another_file_is_read_with_what_was_fitted() {
    let folder = Folder::new();
    folder.write("t.csv", POINTS);
    let other = folder.write("u.csv", "a\n60\n10\n35\n");
    let keys = "type = \"series\", train = \"t.csv\", target = \"a\", window = 1, horizon = 2, normalize = \"minmax\"";
    let spec = dataset(keys).unwrap();
    let data = spec.load(&folder.context()).unwrap();
    let part = spec.load_other(&other, &data.preprocessing).unwrap();
    assert_eq!(rows(&part), [(vec![50.0 / 70.0], vec![0.0, 25.0 / 70.0])]);
}
