//! Nothing is allocated in the training step, nor in an evaluation batch.
#![allow(unsafe_code)]

use std::alloc::{GlobalAlloc, Layout, System};
use std::path::Path;
use std::sync::atomic::{AtomicUsize, Ordering};

use nntrain::kernels::par::Pool;
use nntrain::model::Experiment;
use nntrain::train::trainer::Trainer;
use nntrain::train::{Options, Prepared};

/// The system's allocator, counting.
struct Counting;

static ALLOCATIONS: AtomicUsize = AtomicUsize::new(0);

// SAFETY: everything is passed on to the system's allocator.
unsafe impl GlobalAlloc for Counting {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        ALLOCATIONS.fetch_add(1, Ordering::SeqCst);
        // SAFETY: the caller's promise is passed on.
        unsafe { System.alloc(layout) }
    }
    unsafe fn dealloc(&self, pointer: *mut u8, layout: Layout) {
        // SAFETY: the caller's promise is passed on.
        unsafe { System.dealloc(pointer, layout) }
    }
}

#[global_allocator]
static ALLOCATOR: Counting = Counting;

fn allocations(f: impl FnOnce()) -> usize {
    let before = ALLOCATIONS.load(Ordering::SeqCst);
    f();
    ALLOCATIONS.load(Ordering::SeqCst) - before
}

/// Returns when every thread of the pool is inside one job together.
fn all_threads_are_there(pool: &Pool) {
    let inside = AtomicUsize::new(0);
    pool.run(pool.threads(), |_| {
        inside.fetch_add(1, Ordering::SeqCst);
        while inside.load(Ordering::SeqCst) < pool.threads() {
            std::thread::yield_now();
        }
    });
}

const LAYERS: &str = r#"
[[layers]]
type = "RandomRotation"
factor = 0.1
[[layers]]
type = "RandomContrast"
factor = 0.2
[[layers]]
type = "Normalization"
mean = 0.5
variance = 0.1
[[layers]]
type = "Conv2D"
filters = 16
kernel_size = 3
padding = "same"
[[layers]]
type = "Conv2D"
filters = 16
kernel_size = 3
padding = "same"
[[layers]]
type = "BatchNormalization"
[[layers]]
type = "ReLU"
[[layers]]
type = "MaxPooling2D"
name = "pooled"
[[layers]]
type = "DepthwiseConv2D"
kernel_size = 3
padding = "same"
activation = "gelu"
[[layers]]
type = "Add"
from = ["depthwise_conv2d", "pooled"]
[[layers]]
type = "SpatialDropout2D"
rate = 0.1
[[layers]]
type = "Conv2DTranspose"
filters = 4
kernel_size = 4
strides = 2
padding = "same"
activation = "relu"
[[layers]]
type = "SeparableConv2D"
filters = 3
kernel_size = 3
[[layers]]
type = "UpSampling2D"
interpolation = "bilinear"
[[layers]]
type = "UpSampling2D"
[[layers]]
type = "Cropping2D"
cropping = 8
[[layers]]
type = "ZeroPadding2D"
[[layers]]
type = "Reshape"
target_shape = [10, 10, 3, 1]
[[layers]]
type = "Conv3D"
filters = 4
kernel_size = 3
strides = 2
padding = "same"
activation = "relu"
[[layers]]
type = "MaxPooling3D"
pool_size = [1, 1, 2]
[[layers]]
type = "Reshape"
target_shape = [5, 5, 4]
[[layers]]
type = "Conv2D"
filters = 6
kernel_size = 2
strides = 2
activation = "relu"
[[layers]]
type = "GlobalAveragePooling2D"
[[layers]]
type = "LayerNormalization"
[[layers]]
type = "RepeatVector"
n = 3
[[layers]]
type = "Bidirectional"
layer = { type = "LSTM", units = 5, return_sequences = true, dropout = 0.2, recurrent_dropout = 0.2 }
[[layers]]
type = "TimeDistributed"
layer = { type = "Dense", units = 17, activation = "relu" }
[[layers]]
type = "GRU"
units = 18
activation = "silu"
return_sequences = true
[[layers]]
type = "GRU"
units = 4
reset_after = false
go_backwards = true
[[layers]]
type = "Dropout"
rate = 0.2
[[layers]]
type = "Dense"
units = 10
activation = "softmax"
"#;

const ATTENTION: &str = r#"
[[layers]]
type = "PatchEmbedding"
patch_size = 2
embed_dim = 12
name = "patches"
[[layers]]
type = "PositionEmbedding"
sequence_length = 16
[[layers]]
type = "Add"
from = ["patches", "position_embedding"]
[[layers]]
type = "ClassToken"
[[layers]]
type = "TransformerEncoder"
num_heads = 3
intermediate_dim = 20
activation = "gelu"
dropout = 0.1
name = "encoder"
[[layers]]
type = "TransformerDecoder"
num_heads = 2
intermediate_dim = 10
normalize_first = true
from = ["encoder", "patches"]
[[layers]]
type = "GroupNormalization"
groups = 4
[[layers]]
type = "RMSNormalization"
[[layers]]
type = "Take"
index = 0
[[layers]]
type = "Dense"
units = 10
activation = "softmax"
"#;

#[test]
fn steps_allocate_nothing() {
    let optimizers = [
        "{ type = \"SGD\", momentum = 0.9, nesterov = true, clipnorm = 1.0 }",
        "{ type = \"Adam\", amsgrad = true, global_clipnorm = 1.0, use_ema = true }",
        "{ type = \"AdamW\", learning_rate = { type = \"CosineDecay\", decay_steps = 10, initial_learning_rate = 0.01 } }",
        "{ type = \"RMSprop\", momentum = 0.9, centered = true, clipvalue = 0.5, gradient_accumulation_steps = 2 }",
        "\"nadam\"",
        "\"lion\"",
    ];
    let all = optimizers.map(|optimizer| (LAYERS, optimizer));
    for (layers, optimizer) in all.into_iter().chain([(ATTENTION, optimizers[0])]) {
        let toml = format!(
            "[dataset]\ntype = \"digits\"\nvalidation = 0.2\nlimit = 200\n{layers}\n[training]\noptimizer = {optimizer}\n\
             loss = \"sparse_categorical_crossentropy\"\nmetrics = [\"accuracy\", \"f1_score\", \"auc\", \"precision\"]\n\
             class_weight = \"balanced\"\n"
        );
        let experiment = Experiment::parse("test", &toml, &[], Path::new("."), "test")
            .unwrap_or_else(|f| panic!("{}", f.diags()[0]));
        let options = Options { threads: Some(2), ..Options::default() };
        let (prepared, model) =
            Prepared::new(experiment, &options).unwrap_or_else(|f| panic!("{}", f.diags()[0]));
        let mut trainer = Trainer::new(&prepared, &model, options.pool()).unwrap();
        trainer.begin_epoch(0);
        // A thread allocates while it starts; and the first step may set up what lives on.
        all_threads_are_there(trainer.session.pool());
        trainer.train_step(&prepared.dataset.train).unwrap();
        let validation = prepared.dataset.validation.as_ref().unwrap();
        let steps = trainer.steps_per_epoch() - 1;
        let counted = allocations(|| {
            for _ in 0..steps {
                trainer.train_step(&prepared.dataset.train).unwrap();
            }
        });
        assert_eq!(counted, 0, "{steps} steps with {optimizer}");
        // The list of the values themselves is one allocation per evaluation, not per batch.
        let counted = allocations(|| {
            trainer.evaluate(validation);
        });
        assert!(counted <= 1, "{counted} in an evaluation");
    }
}
