use super::*;
use crate::config::tree::Table;
use crate::data::download::tests::{response, serve};
use crate::data::idx::tests::{bytes, gzip};
use crate::data::testing::{Folder, dataset};
use crate::data::{DATASETS, Rows};
use crate::diag::{At, Source};
use crate::kernels::par::Pool;

/// The four files with small images of `rows` x 3; class = number of the sample modulo 10.
fn small(folder: &Folder, compressed: bool) -> PathBuf {
    let contents = [
        bytes(&[20, 2, 3], 0..120),
        bytes(&[20], (0..20).map(|i| i % 10)),
        bytes(&[10, 2, 3], 100..160),
        bytes(&[10], 0..10),
    ];
    let mut path = PathBuf::new();
    for (name, content) in NAMES.iter().zip(contents) {
        path = match compressed {
            true => folder.write(&format!("mnist/{name}.gz"), gzip(&content)),
            false => folder.write(&format!("mnist/{name}"), content),
        };
    }
    path.parent().unwrap().to_path_buf()
}

fn load(folder: &Folder, keys: &str) -> Result<Dataset> {
    dataset(&format!("type = \"mnist\"{keys}")).unwrap().load(&folder.context())
}

#[test]
fn plain_and_compressed_files_of_any_size() {
    let mut fingerprints = vec![];
    for compressed in [false, true] {
        let folder = Folder::new();
        small(&folder, compressed);
        let data = load(&folder, ", validation = \"test\"").unwrap();
        assert_eq!(data.input_shape.dims, [2, 3, 1]);
        assert_eq!((data.train.len(), data.test.as_ref().unwrap().len()), (20, 10));
        assert_eq!(data.validation.unwrap().rows, data.test.as_ref().unwrap().rows);
        let (mut pixels, mut label, mut weight) = ([0.0; 6], [0.0], [0.0]);
        data.train.gather(&Pool::new(1), &[13], &mut pixels, &mut label, &mut weight);
        assert_eq!((pixels[0], label[0], weight[0]), (78.0 / 255.0, 3.0, 1.0));
        data.test.unwrap().gather(&Pool::new(1), &[9], &mut pixels, &mut label, &mut weight);
        assert_eq!((pixels[5], label[0]), (159.0 / 255.0, 9.0));
        fingerprints.push(data.fingerprint);
    }
    assert_eq!(fingerprints[0], fingerprints[1]);
}

#[test]
fn splits_limits_and_raw_pixels() {
    let folder = Folder::new();
    small(&folder, false);
    let data =
        load(&folder, ", validation = 0.5, normalize = \"none\", label_mode = \"categorical\"").unwrap();
    assert_eq!((data.train.len(), data.validation.unwrap().len()), (10, 10));
    assert!(matches!(data.train.table.inputs, Rows::U8 { divisor: 1.0, .. }));
    assert_eq!(data.train.table.targets.width(), 10);
    assert!(data.notes[0].starts_with("training: 10 samples (0 1, 1 1,"), "{:?}", data.notes);
    let data = load(&folder, ", limit = 7").unwrap();
    assert_eq!((data.train.len(), data.train.table.inputs.len()), (7, 7));
    assert!(data.validation.is_none() && data.test.is_some());
}

#[test]
fn bad_files_name_the_file_and_both_values() {
    for (index, content, part) in [
        (0, bytes(&[20, 2, 3], 0..110), "20 x 2 x 3 images make 136 bytes, it has 126"),
        (1, bytes(&[19], (0..19).map(|i| i % 10)), "has 20 images and `"),
        (1, bytes(&[20], (0..20).map(|i| i % 11)), "sample 10 has label 10, labels are 0 to 9"),
        (2, bytes(&[10, 3, 3], 0..90), "training images have 2 x 3 pixels"),
        (3, b"\x1f\x8b".to_vec(), "begins with 1f 8b, expected 00 00 08 01"),
    ] {
        let folder = Folder::new();
        small(&folder, false);
        folder.write(&format!("mnist/{}", NAMES[index]), content);
        let failure = load(&folder, "").unwrap_err();
        let message = &failure.diags()[0].message;
        assert!(message.contains(part) && message.contains(NAMES[index]), "{message}");
        assert_eq!(failure.exit_code(), 2);
    }
}

#[test]
fn missing_files_are_named() {
    let folder = Folder::new();
    let place = small(&folder, true);
    std::fs::remove_file(place.join("t10k-labels-idx1-ubyte.gz")).unwrap();
    let failure = load(&folder, "").unwrap_err();
    let diag = &failure.diags()[0];
    assert!(diag.message.ends_with("lacks t10k-labels-idx1-ubyte (or the same with .gz)"), "{diag}");
}

/// A dataset word whose files are served by a test.
fn spec(remote: &'static Remote) -> Mnist {
    let at = At::new(&Source::new("c.toml", "type = \"mnist\""), 7..14);
    let (table, mut diags) = (Table::default(), vec![]);
    Mnist::read(&mut Fields::new(&table, &at, "`mnist`", &mut diags), remote, vec![])
}

/// Places are given, so that `NNTRAIN_DATA` of the machine that runs the test does not matter.
#[test]
fn nowhere_lists_the_places_and_what_works() {
    let folder = Folder::new();
    let places = ["a/mnist", "b/mnist"].map(PathBuf::from);
    let failure = spec(&MNIST_FILES).files(&folder.context(), &places, &[]).unwrap_err();
    assert_eq!(failure.exit_code(), 2);
    let text = failure.diags()[0].to_string();
    for part in ["`a/mnist`, `b/mnist`", "nntrain fit configs/cnn_digits.toml", "c.toml:1:8"] {
        assert!(text.contains(part), "{part} not in\n{text}");
    }
}

#[test]
fn what_is_missing_is_downloaded_and_a_server_that_is_gone_is_said() {
    let folder = Folder::new();
    let place = small(&folder, true);
    let path = place.join("t10k-labels-idx1-ubyte.gz");
    let content = std::fs::read(&path).unwrap();
    let mut fingerprint = Fingerprint::default();
    fingerprint.update(&content);
    let sha256: &'static str = fingerprint.hex().leak();
    let served: &'static Remote =
        Box::leak(Box::new(Remote { kind: "mnist", mirrors: &[], files: remote(["", "", "", sha256]) }));
    std::fs::remove_file(&path).unwrap();
    let context = LoadContext { allow_download: true, ..folder.context() };
    let places = std::slice::from_ref(&place);

    let failure = spec(served).files(&context, places, &["http://127.0.0.1:1/".into()]).unwrap_err();
    assert_eq!((failure.exit_code(), path.exists()), (2, false));
    let text = failure.diags()[0].to_string();
    assert!(text.contains("download: http://127.0.0.1:1/t10k-labels-idx1-ubyte.gz: "), "{text}");
    assert!(text.contains("configs/cnn_digits.toml"), "{text}");

    let whole = response("200 OK", &content, content.len());
    let (url, handle) = serve(vec![("/t10k-labels-idx1-ubyte.gz".into(), whole)]);
    let (found, files) = spec(served).files(&context, places, &[format!("{url}/")]).unwrap();
    handle.join().unwrap();
    assert_eq!((found, files[3].path.clone()), (place, path.clone()));
    assert_eq!(std::fs::read(path).unwrap(), content);
}

#[test]
fn servers_and_their_replacement() {
    assert_eq!(MNIST_FILES.servers(None).len(), 2);
    assert!(
        MNIST_FILES
            .servers(None)
            .iter()
            .chain(&FASHION_FILES.servers(None))
            .all(|s| s.starts_with("https://"))
    );
    let replaced = MNIST_FILES.servers(Some("http://127.0.0.1:1/x/".into()));
    assert_eq!(replaced, ["http://127.0.0.1:1/x/mnist/"]);
    for remote in [&MNIST_FILES, &FASHION_FILES] {
        let names: Vec<String> = NAMES.iter().map(|n| format!("{n}.gz")).collect();
        assert_eq!(remote.files.iter().map(|f| f.name).collect::<Vec<_>>(), names);
        assert!(remote.files.iter().all(|f| f.sha256.len() == 64) && DATASETS.find(remote.kind).is_some());
    }
}

#[test]
fn other_data_is_a_folder_or_a_csv() {
    let folder = Folder::new();
    let place = small(&folder, true);
    let spec = dataset("type = \"mnist\"").unwrap();
    let data = spec.load(&folder.context()).unwrap();
    let other = spec.load_other(&place, &data.preprocessing).unwrap();
    assert_eq!((other.len(), other.table.inputs.width()), (10, 6));
    let csv =
        folder.write("a.csv", "label,pixel0,pixel1,pixel2,pixel3,pixel4,pixel5\n3,0,51,102,153,204,255\n");
    let other = spec.load_other(&csv, &data.preprocessing).unwrap();
    let (mut pixels, mut label, mut weight) = ([0.0; 6], [0.0], [0.0]);
    other.gather(&Pool::new(1), &[0], &mut pixels, &mut label, &mut weight);
    assert_eq!((pixels, label[0]), ([0.0, 0.2, 0.4, 0.6, 0.8, 1.0], 3.0));
    for (name, content, part) in [
        ("b.csv", "label,pixel0\n1,2\n", "columns `pixel1`"),
        (
            "c.csv",
            "pixel0,pixel1,pixel2,pixel3,pixel4,pixel5\n1,2,3,4,5,6\n",
            "target column `label` is missing",
        ),
        (
            "d.csv",
            "label,pixel0,pixel1,pixel2,pixel3,pixel4,pixel5\nx,0,1,2,3,4,5\n",
            "`x` in column `label`",
        ),
        ("e.csv", "0,1,2,3,4,5\n0,1,2,3,4,5\n", "has no header"),
        ("f.csv", "label,pixel0,pixel1,pixel2,pixel3,pixel4,pixel5\n", "has no rows"),
    ] {
        let failure = spec.load_other(&folder.write(name, content), &data.preprocessing).unwrap_err();
        assert!(failure.diags()[0].message.contains(part), "{}", failure.diags()[0]);
    }
    let empty = folder.write("empty/x", "");
    let failure = spec.load_other(empty.parent().unwrap(), &data.preprocessing).unwrap_err();
    assert!(failure.diags()[0].message.contains("has no t10k-images"), "{}", failure.diags()[0]);
}

/// Files of the standard size with made-up bytes: the `mnist` crate and the own reader agree.
#[test]
fn the_crate_and_the_own_reader_give_the_same() {
    let folder = Folder::new();
    let pixels = |n: u32| (0..n * 784).map(|i| (i.wrapping_mul(2_654_435_761) >> 24) as u8);
    let labels = |n: u32| (0..n).map(|i| (i * 7 % 10) as u8);
    let contents = [
        bytes(&[60_000, 28, 28], pixels(60_000)),
        bytes(&[60_000], labels(60_000)),
        bytes(&[10_000, 28, 28], pixels(10_000)),
        bytes(&[10_000], labels(10_000)),
    ];
    let paths: Vec<PathBuf> =
        NAMES.iter().zip(contents).map(|(name, content)| folder.write(name, content)).collect();
    let place = paths[0].parent().unwrap().to_path_buf();
    let files = NAMES.map(|name| IdxFile::find(&place, name).unwrap());
    let (mut one, mut other) = (Fingerprint::default(), Fingerprint::default());
    let own = read_own(&files, &mut one).unwrap();
    let plain = read_plain(&place, &files, &mut other).unwrap();
    let with_crate = read_with_crate(place.to_str().unwrap()).unwrap();
    assert!(own == plain && own == with_crate);
    assert_eq!(one.hex(), other.hex());
}

/// The real files, where `NNTRAIN_DATA` has them; else there is nothing to test.
#[test]
fn the_real_files_if_nntrain_data_has_them() {
    let Some(base) = std::env::var_os("NNTRAIN_DATA").filter(|b| Path::new(b).join("mnist").is_dir()) else {
        return;
    };
    let context = LoadContext { data_dir: Some(base.into()), ..Folder::new().context() };
    let data = dataset("type = \"mnist\", validation = 0.1").unwrap().load(&context).unwrap();
    let sizes = (data.train.len(), data.validation.unwrap().len(), data.test.unwrap().len());
    assert_eq!((sizes, data.input_shape.dims), ((54_000, 6_000, 10_000), vec![28, 28, 1]));
    // The first image is a five, with this much ink.
    assert!(matches!(&data.train.table.targets, Rows::F32 { data, .. } if data[0] == 5.0));
    let mut pixels = [0.0; 784];
    data.train.table.inputs.copy_row(0, &mut pixels);
    assert_eq!(pixels.iter().map(|p| (p * 255.0).round() as u32).sum::<u32>(), 27_525);
}
