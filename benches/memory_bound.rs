//! Work that memory bounds: gigabytes per second of each layer against a copy in the same process.
//!
//! `cargo bench --bench memory_bound [-- [--threads N] [--batch N] [PART_OF_A_NAME ...]]`. Counted are
//! the tensors that a pass cannot do without (the middle columns say how many), so a detour shows as a
//! lower rate. Before it is timed a case is compared with its definition in f64: the output number by
//! number, the gradient as the slope of `sum(y c)` along a random direction.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Instant;

use nntrain::compile::{Want, compile};
use nntrain::config::tree;
use nntrain::diag::{At, Source};
use nntrain::exec::Session;
use nntrain::graph::op::op_stream;
use nntrain::graph::{Backward, Builder, Ctx, Forward, Init, Mismatch, Mode, Op, Params, Signature, Var};
use nntrain::kernels::par::{Pool, for_chunks};
use nntrain::layers::LAYERS;
use nntrain::ops::dropout::Draws;
use nntrain::rng::Stream;
use nntrain::shape::Shape;

/// Runs of which the fastest counts.
const ROUNDS: usize = 40;

/// Samples of the comparison with the definition.
const CHECKED: usize = 3;

/// Seed of the graph's random ops.
const SEED: u64 = 5;

struct Case {
    name: &'static str,
    mode: Mode,
    layers: &'static [&'static str],
    dims: &'static [usize],
    /// Tensors of the input's size that forward and backward pass must move at the least.
    moved: [f64; 2],
    /// The output of `inputs` of `dims` each.
    definition: fn(&[Vec<f64>], &[usize]) -> Vec<f64>,
}

/// A parameter as a batched value.
#[derive(Debug)]
struct Lift;

impl Op for Lift {
    fn name(&self) -> &'static str {
        "lift"
    }
    fn infer(&self, x: &[&Shape]) -> Result<Signature, Mismatch> {
        Ok(Signature::new(Shape::batch(&x[0].dims[1..])).differentiable(&[0]))
    }
    fn forward(&self, io: &Forward<'_>, cx: &Ctx<'_>) {
        let x = io.x(0);
        for_chunks(cx.pool, io.y(0), 1 << 14, |c, y| y.copy_from_slice(&x[c << 14..][..y.len()]));
    }
    fn backward(&self, io: &Backward<'_>, _: &Ctx<'_>) {
        let (dy, dx) = (io.dy0(), io.dx(0).expect("the source is trained").buf);
        dx[..dy.len()].copy_from_slice(dy);
    }
}

/// A loss whose gradient is its second input.
#[derive(Debug)]
struct Dot;

impl Op for Dot {
    fn name(&self) -> &'static str {
        "dot"
    }
    fn infer(&self, _: &[&Shape]) -> Result<Signature, Mismatch> {
        Ok(Signature::new(Shape::batch([])).differentiable(&[0]).keep_x(&[1]))
    }
    fn forward(&self, io: &Forward<'_>, _: &Ctx<'_>) {
        io.y(0).fill(0.0);
    }
    fn backward(&self, io: &Backward<'_>, cx: &Ctx<'_>) {
        let (c, dx) = (io.x(1), io.dx(0).expect("the loss reaches the source").buf);
        for_chunks(cx.pool, dx, 1 << 14, |i, dx| dx.copy_from_slice(&c[i << 14..][..dx.len()]));
    }
}

/// Nanoseconds of the forward and of the backward pass.
#[derive(Debug, Default)]
struct Clock([AtomicU64; 2]);

impl Clock {
    fn time(&self, pass: usize, f: impl FnOnce()) {
        let start = Instant::now();
        f();
        self.0[pass].fetch_add(start.elapsed().as_nanos() as u64, Ordering::Relaxed);
    }
}

/// An op whose time is taken; it fuses as the op inside does.
#[derive(Clone, Debug)]
struct Timed {
    op: Arc<dyn Op>,
    clock: Arc<Clock>,
}

impl Op for Timed {
    fn name(&self) -> &'static str {
        self.op.name()
    }
    fn infer(&self, x: &[&Shape]) -> Result<Signature, Mismatch> {
        self.op.infer(x)
    }
    fn forward(&self, io: &Forward<'_>, cx: &Ctx<'_>) {
        self.clock.time(0, || self.op.forward(io, cx));
    }
    fn backward(&self, io: &Backward<'_>, cx: &Ctx<'_>) {
        self.clock.time(1, || self.op.backward(io, cx));
    }
    fn absorb(&self, next: &dyn Op) -> Option<Box<dyn Op>> {
        let next = (next as &dyn std::any::Any).downcast_ref::<Timed>()?;
        let op = Arc::from(self.op.absorb(&*next.op)?);
        Some(Box::new(Timed { op, clock: self.clock.clone() }))
    }
}

#[derive(Debug)]
struct Noise;

impl Init for Noise {
    fn fill(&self, _: &[usize], seed: u64, path: &str, out: &mut [f32]) {
        let stream = Stream::new(seed, path);
        out.iter_mut().enumerate().for_each(|(i, o)| *o = stream.normal(0, i as u64) as f32);
    }
}

/// A case on its session, ready to run.
struct Bench {
    session: Session,
    clock: Arc<Clock>,
    sources: usize,
    size: usize,
}

impl Bench {
    fn new(case: &Case, batch: usize, pool: &Arc<Pool>) -> Bench {
        let mut params = Params::default();
        let mut g = Builder::new(&mut params, case.mode, SEED);
        let init: Arc<dyn Init> = Arc::new(Noise);
        let full: Vec<usize> = [batch].iter().chain(case.dims).copied().collect();
        let sources = 1 + usize::from(case.layers.iter().any(|l| l.starts_with("type = \"Add\"")));
        let inputs: Vec<Var> = (0..sources)
            .map(|i| {
                g.enter(&format!("source_{i}"), true);
                let raw = g.weight("x", &*full, &init, None).expect("a source");
                g.push(Lift, &[raw]).expect("a source")
            })
            .collect();
        let mut y = inputs[0];
        for (i, toml) in case.layers.iter().enumerate() {
            g.enter(&format!("layer_{i}"), true);
            let x = if toml.starts_with("type = \"Add\"") { vec![y, inputs[1]] } else { vec![y] };
            y = layer(toml).lower(&mut g, &x).expect("the layer fits");
        }
        let shape = g.shape(y).clone();
        let cotangent = g.input(shape);
        let loss = g.push(Dot, &[y, cotangent]).expect("a loss");
        let mut graph = g.graph;
        let clock = Arc::new(Clock::default());
        for node in graph.nodes.iter_mut().filter(|n| !["lift", "dot"].contains(&n.op.name())) {
            node.op = Arc::new(Timed { op: node.op.clone(), clock: clock.clone() });
        }
        let losses = vec![(loss, batch as f32)];
        let threads = pool.threads();
        // Read afterwards too, so that nothing else takes its place.
        let outputs = vec![y, cotangent];
        let want = Want { inputs: vec![cotangent], outputs, losses, batch, threads, fixed: vec![] };
        let program = compile(graph, &params, &want);
        let mut session = Session::new(&params, vec![program], pool.clone());
        session.initialize(1);
        Noise.fill(&[], 1, "cotangent", session.input(0, 0, batch));
        Bench { session, clock, sources, size: case.dims.iter().product() }
    }

    /// Runs once; seconds of both passes.
    fn run(&mut self, n: usize) -> [f64; 2] {
        self.clock.0.iter().for_each(|pass| pass.store(0, Ordering::Relaxed));
        self.session.run(0, n, 0);
        self.clock.0.each_ref().map(|pass| pass.load(Ordering::Relaxed) as f64 * 1e-9)
    }

    fn check(&mut self, case: &Case) {
        self.run(CHECKED);
        let wide = |x: &[f32]| x.iter().map(|v| f64::from(*v)).collect::<Vec<f64>>();
        let numbers = CHECKED * self.size;
        let x: Vec<Vec<f64>> = (0..self.sources).map(|i| wide(&self.session.param(i)[..numbers])).collect();
        let c = wide(self.session.input(0, 0, CHECKED));
        let ours = wide(self.session.output(0, 0, CHECKED));
        let expected = (case.definition)(&x, case.dims);
        for (i, (o, e)) in ours.iter().zip(&expected).enumerate() {
            assert!((o - e).abs() < 2e-5 * e.abs().max(1.0), "{}: [{i}] is {o}, not {e}", case.name);
        }
        let direction: Vec<f64> = (0..numbers).map(|i| (i * 7919 % 1013) as f64 / 506.0 - 1.0).collect();
        let value = |h: f64| {
            let moved: Vec<Vec<f64>> =
                x.iter().map(|x| x.iter().zip(&direction).map(|(x, d)| x + h * d).collect()).collect();
            let y = (case.definition)(&moved, case.dims);
            y.iter().zip(&c).map(|(y, c)| y * c).sum::<f64>()
        };
        let expected = (value(1e-7) - value(-1e-7)) / 2e-7;
        let ranges = self.session.layout().ranges[..self.sources].to_vec();
        // The seed divides by the samples that were run.
        let grads = self.session.weights_and_grads().1;
        let slopes = |g: &[f32]| g.iter().zip(&direction).map(|(g, d)| f64::from(*g) * d).collect::<Vec<_>>();
        let ours: Vec<f64> = ranges.iter().flat_map(|r| slopes(&grads[r.start..][..numbers])).collect();
        let (sum, size) = (ours.iter().sum::<f64>(), ours.iter().map(|s| s * s).sum::<f64>().sqrt());
        assert!((sum - expected).abs() < 1e-3 * size, "{}: the slope is {sum}, not {expected}", case.name);
    }
}

fn layer(toml: &str) -> Box<dyn nntrain::layers::Layer> {
    let source = Source::new("layer.toml", toml);
    let table = tree::parse(&source).unwrap_or_else(|e| panic!("{}", e[0]));
    let value = tree::Value { data: tree::Data::Table(table), at: At::new(&source, 0..0) };
    LAYERS.read(&value, &mut vec![]).expect("the layer is known").0
}

nntrain::simd! {
    fn scaled_copy(factor: f32, x: &[f32], y: &mut [f32]) {
        y.iter_mut().zip(x).for_each(|(y, x)| *y = factor * x);
    }
}

/// Seconds of the fastest copy of as many numbers.
fn copy(pool: &Pool, len: usize) -> f64 {
    let (from, mut to) = (vec![1.0f32; len], vec![0.0f32; len]);
    (0..2 * ROUNDS).fold(f64::INFINITY, |best, _| {
        let start = Instant::now();
        // A loop like the layers', which the compiler does not make a call of.
        for_chunks(pool, &mut to, 1 << 14, |c, to| scaled_copy(0.5, &from[c << 14..][..to.len()], to));
        best.min(start.elapsed().as_secs_f64())
    })
}

fn main() {
    let mut words: Vec<String> = std::env::args().skip(1).filter(|a| a != "--bench").collect();
    let mut number = |flag: &str, default: usize| {
        let Some(at) = words.iter().position(|w| w == flag) else { return default };
        let value = words.drain(at..at + 2).nth(1);
        value.and_then(|v| v.parse().ok()).unwrap_or_else(|| panic!("{flag} takes a number"))
    };
    let (threads, batch) = (number("--threads", 2), number("--batch", 128));
    let pool = Arc::new(Pool::new(threads));
    println!("{threads} threads, batch {batch}, {}", nntrain::kernels::isa::isa().name());
    let gigabytes = |tensors: f64, len: usize, seconds: f64| tensors * 4e-9 * len as f64 / seconds;
    println!(
        "{:28} {:>9} {:>6} {:>8} {:>7}   {:>9} {:>6} {:>8} {:>7}",
        "", "forward", "moved", "GB/s", "of copy", "backward", "moved", "GB/s", "of copy"
    );
    for case in CASES.iter().filter(|c| words.is_empty() || words.iter().any(|w| c.name.contains(w.as_str())))
    {
        let mut bench = Bench::new(case, batch, &pool);
        bench.check(case);
        let len = batch * bench.size;
        let mut best = [f64::INFINITY; 2];
        let mut copied = f64::INFINITY;
        for _ in 0..3 {
            copied = copied.min(copy(&pool, len));
            for _ in 0..ROUNDS {
                let time = bench.run(batch);
                best = [0, 1].map(|i| best[i].min(time[i]));
            }
        }
        let copied = gigabytes(2.0, len, copied);
        let column = |pass: usize| {
            let rate = gigabytes(case.moved[pass], len, best[pass]);
            format!(
                "{:7.1}us {:6.2} {rate:8.1} {:6.0}%",
                best[pass] * 1e6,
                case.moved[pass],
                rate / copied * 100.0
            )
        };
        println!("{:28} {}   {}   copy {copied:.1}", case.name, column(0), column(1));
    }
}

const MAP: &[usize] = &[32, 32, 16];

const BATCH_NORM: &str = "type = \"BatchNormalization\"";
const RELU: &str = "type = \"ReLU\"";
const ADD: &str = "type = \"Add\"";

type Definition = fn(&[Vec<f64>], &[usize]) -> Vec<f64>;

const fn case(
    name: &'static str,
    layers: &'static [&'static str],
    dims: &'static [usize],
    moved: [f64; 2],
    definition: Definition,
) -> Case {
    Case { name, mode: Mode::Train, layers, dims, moved, definition }
}

const CASES: &[Case] = &[
    case("relu", &[RELU], MAP, [2.0, 3.0], |x, _| map(&x[0], |v| v.max(0.0))),
    case("batch norm", &[BATCH_NORM], MAP, [3.0, 5.0], |x, d| batch_norm(&x[0], d)),
    case("batch norm, relu", &[BATCH_NORM, RELU], MAP, [3.0, 5.0], |x, d| {
        map(&batch_norm(&x[0], d), |v| v.max(0.0))
    }),
    case("batch norm, relu 32", &[BATCH_NORM, RELU], &[16, 16, 32], [3.0, 5.0], |x, d| {
        map(&batch_norm(&x[0], d), |v| v.max(0.0))
    }),
    case("batch norm, relu 64", &[BATCH_NORM, RELU], &[8, 8, 64], [3.0, 5.0], |x, d| {
        map(&batch_norm(&x[0], d), |v| v.max(0.0))
    }),
    case("batch norm, silu", &[BATCH_NORM, SILU], MAP, [3.0, 5.0], |x, d| map(&batch_norm(&x[0], d), silu)),
    case("batch norm, add, relu", &[BATCH_NORM, ADD, RELU], MAP, [4.0, 7.0], |x, d| {
        let sum: Vec<f64> = batch_norm(&x[0], d).iter().zip(&x[1]).map(|(a, b)| a + b).collect();
        map(&sum, |v| v.max(0.0))
    }),
    Case {
        mode: Mode::Eval,
        ..case("batch norm, relu, inference", &[BATCH_NORM, RELU], MAP, [2.0, 3.0], |x, _| {
            map(&x[0], |v| (v / 1.001f64.sqrt()).max(0.0))
        })
    },
    case("add, relu", &[ADD, RELU], MAP, [3.0, 4.0], |x, _| {
        x[0].iter().zip(&x[1]).map(|(a, b)| (a + b).max(0.0)).collect()
    }),
    case("max pool 2x2", &["type = \"MaxPooling2D\""], MAP, [1.25, 2.5], |x, d| {
        windows(&x[0], d, 2, 2, |cells| cells.iter().copied().fold(f64::MIN, f64::max))
    }),
    case(
        "max pool 3x3 /2",
        &["type = \"MaxPooling2D\"\npool_size = 3\nstrides = 2"],
        MAP,
        [1.22, 2.44],
        |x, d| windows(&x[0], d, 3, 2, |cells| cells.iter().copied().fold(f64::MIN, f64::max)),
    ),
    case("average pool 2x2", &["type = \"AveragePooling2D\"\npool_size = 2"], MAP, [1.25, 1.25], |x, d| {
        windows(&x[0], d, 2, 2, |cells| cells.iter().sum::<f64>() / 4.0)
    }),
    case("global average pool", &["type = \"GlobalAveragePooling2D\""], MAP, [1.0, 1.0], |x, d| {
        windows(&x[0], d, 32, 32, |cells| cells.iter().sum::<f64>() / 1024.0)
    }),
    case("dropout", &["type = \"Dropout\"\nrate = 0.5"], MAP, [2.0, 2.0], |x, _| {
        let draws = Draws::new(op_stream(SEED, "layer_0"), None);
        let kept = |i: usize| draws.block(0, i / 4)[i % 4] >= 1 << 31;
        x[0].iter().enumerate().map(|(i, v)| if kept(i) { 2.0 * v } else { 0.0 }).collect()
    }),
    case("spatial dropout", &["type = \"SpatialDropout2D\"\nrate = 0.5"], MAP, [2.0, 2.0], |x, _| {
        let draws = Draws::new(op_stream(SEED, "layer_0"), None);
        let kept = |i: usize| draws.block(0, i / 4)[i % 4] >= 1 << 31;
        let of = |i: usize| i / 16384 * 16 + i % 16;
        x[0].iter().enumerate().map(|(i, v)| if kept(of(i)) { 2.0 * v } else { 0.0 }).collect()
    }),
    case("gaussian noise", &["type = \"GaussianNoise\"\nstddev = 0.5"], MAP, [2.0, 2.0], |x, _| {
        let draws = Draws::new(op_stream(SEED, "layer_0"), None);
        let normal = |i: usize| {
            let pair = draws.block(0, i / 4).map(|b| f64::from(b) / 4_294_967_296.0);
            let radius = (-2.0 * (pair[i % 4 / 2 * 2] + 1.0 / 4_294_967_296.0).ln()).sqrt();
            let angle = pair[i % 4 / 2 * 2 + 1] * std::f64::consts::TAU;
            radius * if i.is_multiple_of(2) { angle.cos() } else { angle.sin() }
        };
        x[0].iter().enumerate().map(|(i, v)| v + 0.5 * normal(i)).collect()
    }),
    case("layer norm 256", &["type = \"LayerNormalization\""], &[64, 256], [2.0, 3.0], layer_norm),
    case("layer norm 64", &["type = \"LayerNormalization\""], &[256, 64], [2.0, 3.0], layer_norm),
    case("layer norm 128", &["type = \"LayerNormalization\""], &[128, 128], [2.0, 3.0], layer_norm),
    case("gelu", &["type = \"Activation\"\nactivation = \"gelu\""], MAP, [2.0, 3.0], |x, _| {
        map(&x[0], |v| 0.5 * v * (1.0 + libm::erf(v * std::f64::consts::FRAC_1_SQRT_2)))
    }),
    case("silu", &[SILU], MAP, [2.0, 3.0], |x, _| map(&x[0], silu)),
    case("tanh", &["type = \"Activation\"\nactivation = \"tanh\""], MAP, [2.0, 3.0], |x, _| {
        map(&x[0], f64::tanh)
    }),
    case("mish", &["type = \"Activation\"\nactivation = \"mish\""], MAP, [2.0, 3.0], |x, _| {
        map(&x[0], |v| v * v.exp().ln_1p().tanh())
    }),
    case("softmax 1024", &["type = \"Softmax\""], &[16, 1024], [2.0, 3.0], softmax),
    case("softmax 49", &["type = \"Softmax\""], &[336, 49], [2.0, 3.0], softmax),
    case("softmax 128", &["type = \"Softmax\""], &[128, 128], [2.0, 3.0], softmax),
    case("softmax 10", &["type = \"Softmax\""], &[1600, 10], [2.0, 3.0], softmax),
];

const SILU: &str = "type = \"Activation\"\nactivation = \"silu\"";

fn silu(v: f64) -> f64 {
    v / (1.0 + (-v).exp())
}

fn map(x: &[f64], f: impl Fn(f64) -> f64) -> Vec<f64> {
    x.iter().map(|v| f(*v)).collect()
}

/// Mean 0 and variance 1 of the numbers, but for epsilon.
fn normalized(x: &[f64]) -> Vec<f64> {
    let count = x.len() as f64;
    let mean = x.iter().sum::<f64>() / count;
    let variance = x.iter().map(|v| (v - mean).powi(2)).sum::<f64>() / count;
    map(x, |v| (v - mean) / (variance + 1e-3).sqrt())
}

fn batch_norm(x: &[f64], dims: &[usize]) -> Vec<f64> {
    let channels = dims[dims.len() - 1];
    let mut y = vec![0.0; x.len()];
    for c in 0..channels {
        let lane: Vec<f64> = x.iter().skip(c).step_by(channels).copied().collect();
        y.iter_mut().skip(c).step_by(channels).zip(normalized(&lane)).for_each(|(y, v)| *y = v);
    }
    y
}

fn layer_norm(x: &[Vec<f64>], dims: &[usize]) -> Vec<f64> {
    x[0].chunks(dims[1]).flat_map(normalized).collect()
}

fn softmax(x: &[Vec<f64>], dims: &[usize]) -> Vec<f64> {
    let row = |row: &[f64]| {
        let sum: f64 = row.iter().map(|v| v.exp()).sum();
        map(row, |v| v.exp() / sum)
    };
    x[0].chunks(dims[1]).flat_map(row).collect()
}

/// `f` of every window of `size` x `size`, `stride` apart.
fn windows(x: &[f64], dims: &[usize], size: usize, stride: usize, f: impl Fn(&[f64]) -> f64) -> Vec<f64> {
    let [h, w, c] = *dims else { unreachable!("pooling is of images") };
    let outputs = |n: usize| (n - size) / stride + 1;
    let mut y = vec![];
    for image in x.chunks(h * w * c) {
        for o in 0..outputs(h) * outputs(w) * c {
            let (row, column, channel) = (o / c / outputs(w) * stride, o / c % outputs(w) * stride, o % c);
            let cell = |i: usize| image[((row + i / size) * w + column + i % size) * c + channel];
            y.push(f(&(0..size * size).map(cell).collect::<Vec<_>>()));
        }
    }
    y
}
