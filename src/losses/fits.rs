//! Whether a model's output, the targets and a loss go together; and what an output was made of.

use std::any::Any;

use crate::graph::{Builder, Mismatch, Op, Var};
use crate::losses::Target;
use crate::losses::gives::Gives;
use crate::ops::conv::Conv;
use crate::ops::function::{Pointwise, Sigmoid};
use crate::ops::map::Map;
use crate::ops::matmul::MatMul;
use crate::ops::softmax::Softmax;
use crate::shape::Shape;
use crate::target::TargetKind;

/// Trailing dimensions of 1 aside: `[N]` and `[N,1]` are the same numbers.
fn stripped(dims: &[usize]) -> &[usize] {
    let ones = dims.iter().rev().take_while(|d| **d == 1).count();
    &dims[..dims.len() - ones]
}

/// Output and target have one shape; nothing is repeated to make it so.
pub fn same_size(name: &str, output: &Shape, target: &Shape) -> Result<(), Mismatch> {
    if target.batched && stripped(&output.dims) == stripped(&target.dims) {
        return Ok(());
    }
    Err(Mismatch::new(format!(
        "`{name}` compares output and target number by number: output {output}, target {target}"
    )))
}

/// The target has a class number, or a row, for each row of the output.
pub fn same_rows(name: &str, output: &Shape, target: &Shape, numbers: bool) -> Result<(), Mismatch> {
    if !numbers {
        return same_size(name, output, target);
    }
    let rows = &output.dims[..output.dims.len().saturating_sub(1)];
    if target.batched && stripped(rows) == stripped(&target.dims) {
        return Ok(());
    }
    Err(Mismatch::new(format!(
        "`{name}` takes one class number for each row of {} outputs: output {output}, target {target}",
        output.last()
    )))
}

const ONE_HOT: &str = "set `label_mode = \"categorical\"` in [dataset] for one-hot targets, or use `sparse_categorical_crossentropy`";

fn units(count: usize, activation: &str) -> String {
    format!("give the last layer `units = {count}`{activation}")
}

/// For an output that has other rows than its target: units would change nothing.
fn rows_instead(output: &Shape, target: &Shape) -> Option<String> {
    let (rows, wanted) = (output.dims.len(), target.dims.len());
    if rows > wanted && rows > 1 {
        return Some(one_row(output));
    }
    let steps = *target.dims.first().filter(|_| rows < wanted)?;
    Some(format!("the target has {steps} steps: {ALL_STEPS}"))
}

fn one_row(output: &Shape) -> String {
    let last_step = match output.dims.len() {
        2 => "give the last recurrent layer `return_sequences = false`, or ",
        _ => "",
    };
    format!("for one row per sample {last_step}put `Flatten` or a global pooling before the last layer")
}

const ALL_STEPS: &str = "give the recurrent layers `return_sequences = true`, \
                         and let nothing pool or flatten the steps";

/// For losses that compare numbers: mean squared error and its neighbours.
pub fn number_by_number(name: &str, output: &Shape, target: &Target) -> Result<(), Mismatch> {
    let Err(mismatch) = same_size(name, output, &target.shape) else { return Ok(()) };
    Err(match target.kind {
        TargetKind::ClassIndex { classes } if output.last() == classes => mismatch.hint(format!(
            "the {classes} outputs are scores of classes, the target is a class number: {ONE_HOT}"
        )),
        TargetKind::ClassIndex { .. } => mismatch.hint(format!(
            "the target is one class number per sample: {}",
            units(1, ", or train a classifier with `sparse_categorical_crossentropy`")
        )),
        TargetKind::OneHot { classes } => mismatch.hint(units(classes, ": one for each class")),
        TargetKind::Values => mismatch.hint(
            rows_instead(output, &target.shape)
                .unwrap_or_else(|| units(target.shape.last(), ": one for each target")),
        ),
    })
}

/// For losses that take one-hot rows.
pub fn one_hot_rows(name: &str, output: &Shape, target: &Target) -> Result<(), Mismatch> {
    at_least_two(name, output, target)?;
    if let TargetKind::ClassIndex { classes } = target.kind {
        let message = format!(
            "`{name}` takes one-hot targets, but the targets are class numbers (0 to {})",
            classes.saturating_sub(1)
        );
        return Err(Mismatch::new(message).hint(ONE_HOT));
    }
    let Err(mismatch) = same_size(name, output, &target.shape) else { return Ok(()) };
    let rows = rows_instead(output, &target.shape).filter(|_| output.last() == target.shape.last());
    Err(mismatch.hint(rows.unwrap_or_else(|| units(target.shape.last(), ": one for each class"))))
}

/// For losses that take class numbers.
pub fn class_numbers(name: &str, output: &Shape, target: &Target) -> Result<(), Mismatch> {
    at_least_two(name, output, target)?;
    match target.kind {
        TargetKind::ClassIndex { classes } if output.last() != classes => Err(Mismatch::new(format!(
            "the output has {} units, but the dataset has {classes} classes",
            output.last()
        ))
        .hint(units(classes, ": one for each class"))),
        TargetKind::ClassIndex { .. } => same_rows(name, output, &target.shape, true).map_err(|m| {
            m.hint(match target.shape.dims[..] {
                [] => one_row(output),
                [steps] if output.dims.len() == 1 => {
                    format!("for a class at each of {steps} steps {ALL_STEPS}")
                }
                [steps] => format!("for a class at each of {steps} steps let the layers keep their number"),
                _ => "for a class per pixel let the model end in `Conv2D` with `kernel_size = 1`, at the mask's height and width".to_string(),
            })
        }),
        TargetKind::OneHot { .. } => Err(Mismatch::new(format!(
            "`{name}` takes class numbers, but the targets are one-hot rows {}",
            target.shape
        ))
        .hint("use `categorical_crossentropy`, or `label_mode = \"int\"` in [dataset]")),
        TargetKind::Values => Err(Mismatch::new(format!(
            "`{name}` takes class numbers, but the targets are values {}",
            target.shape
        ))
        .hint("for regression use `mean_squared_error`")),
    }
}

/// A softmax over one unit is 1, whatever it is given.
fn at_least_two(name: &str, output: &Shape, target: &Target) -> Result<(), Mismatch> {
    if output.last() > 1 {
        return Ok(());
    }
    let message = format!("`{name}` chooses among classes, but the output {output} has one unit");
    let two = "for two classes use `binary_crossentropy` with `activation = \"sigmoid\"`";
    Err(Mismatch::new(message).hint(match target.kind {
        TargetKind::ClassIndex { classes } | TargetKind::OneHot { classes } if classes > 2 => {
            units(classes, " and `activation = \"softmax\"`")
        }
        _ => format!("{two}, or {}", units(2, " and `activation = \"softmax\"`")),
    }))
}

/// For losses of independent yes-or-no outputs.
pub fn yes_or_no(name: &str, output: &Shape, target: &Target) -> Result<(), Mismatch> {
    match target.kind {
        TargetKind::ClassIndex { classes } if classes > 2 => Err(Mismatch::new(format!(
            "`{name}` tells 2 classes apart, but the dataset has {classes} and the output is {output}"
        ))
        .hint(format!(
            "use `sparse_categorical_crossentropy` with `units = {classes}` and `activation = \"softmax\"`"
        ))),
        TargetKind::ClassIndex { .. } => {
            let Err(mismatch) = same_size(name, output, &target.shape) else { return Ok(()) };
            let rows = rows_instead(output, &target.shape).filter(|_| output.last() == 1);
            Err(mismatch.hint(rows.unwrap_or_else(|| {
                format!(
                    "{}, or use `sparse_categorical_crossentropy` with softmax over 2 units",
                    units(1, " and `activation = \"sigmoid\"`")
                )
            })))
        }
        TargetKind::OneHot { classes: 2 } if output.last() == 1 => same_size(name, output, &target.shape)
            .map_err(|m| m.hint("use `label_mode = \"int\"` in [dataset] for one 0 or 1 per sample")),
        _ => number_by_number(name, output, target),
    }
}

/// What turns logits into probabilities.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Activation {
    Sigmoid,
    Softmax,
}

impl Activation {
    fn name(self) -> &'static str {
        match self {
            Activation::Sigmoid => Sigmoid::NAME,
            Activation::Softmax => "softmax",
        }
    }

    fn is(self, op: &dyn Op) -> bool {
        let op: &dyn Any = op;
        match self {
            Activation::Sigmoid => op.downcast_ref::<Map>().is_some_and(|m| m.f.name() == Sigmoid::NAME),
            Activation::Softmax => op.downcast_ref::<Softmax>().is_some_and(Softmax::gives_probabilities),
        }
    }
}

/// The logits of an output that this activation gave, in the output's shape.
///
/// Seen through a change of shape too, unless that cuts the rows of a softmax differently.
pub fn input_of(g: &mut Builder<'_>, output: Var, activation: Activation) -> Result<Option<Var>, Mismatch> {
    let Some(node) = g.graph.producer(output).filter(|n| activation.is(&*n.op)) else { return Ok(None) };
    let logits = node.inputs[0];
    let shape = g.shape(output).clone();
    if *g.shape(logits) == shape {
        return Ok(Some(logits));
    }
    if activation == Activation::Softmax && g.shape(logits).last() != shape.last() {
        return Ok(None);
    }
    g.reshape(logits, shape).map(Some)
}

/// Refuses an output that is certainly not what `from_logits` says it is.
pub fn probabilities_or_logits(
    name: &str,
    from_logits: bool,
    g: &Builder<'_>,
    output: Var,
    activation: Activation,
) -> Result<(), Mismatch> {
    let Some(node) = g.graph.producer(output) else { return Ok(()) };
    let word = activation.name();
    if from_logits && [Activation::Sigmoid, Activation::Softmax].iter().any(|a| a.is(&*node.op)) {
        let message = format!(
            "`{name}` has `from_logits = true`, but the output already is probabilities: it comes from `{}`",
            node.op.name()
        );
        return Err(Mismatch::new(message).hint(format!(
            "leave `from_logits` out (after `{word}` the loss is computed from the logits by itself), or the activation"
        )));
    }
    let op: &dyn Any = &*node.op;
    if !from_logits && (op.is::<MatMul>() || op.is::<Conv>()) {
        let message = format!("`{name}` takes probabilities, but the last layer has no activation");
        return Err(Mismatch::new(message).hint(format!(
            "set `activation = \"{word}\"` in the last layer, or `loss = {{ type = \"{name}\", from_logits = true }}`"
        )));
    }
    match Gives::of(&g.graph, output).filter(|gives| !from_logits && !gives.probabilities()) {
        None => Ok(()),
        Some(gives) => {
            let message =
                format!("`{name}` takes probabilities, but `{}` gives {}", gives.name, gives.words());
            Err(Mismatch::new(message).hint(format!("set `activation = \"{word}\"` in the last layer")))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::losses::LOSSES;

    fn refusal(word: &str, output: &[usize], kind: TargetKind, target: &[usize]) -> String {
        let target = Target { kind, shape: Shape::batch(target) };
        match LOSSES.make(word).0.fits(&Shape::batch(output), &target) {
            Ok(()) => String::new(),
            Err(m) => format!("{}; {}", m.message, m.hint.expect("a refusal says what to do")),
        }
    }

    #[test]
    fn what_does_not_fit_is_refused_with_both_sides_and_a_remedy() {
        let class = |classes| TargetKind::ClassIndex { classes };
        let hot = |classes| TargetKind::OneHot { classes };
        let values = TargetKind::Values;
        for (word, output, kind, target, parts) in [
            ("categorical_crossentropy", &[10][..], class(10), &[][..], &["class numbers", "label_mode"][..]),
            ("categorical_crossentropy", &[7], hot(10), &[10], &["[N,7]", "[N,10]", "units = 10"]),
            ("sparse_categorical_crossentropy", &[1], class(2), &[], &["one unit", "binary_crossentropy"]),
            ("sparse_categorical_crossentropy", &[1], class(5), &[], &["one unit", "units = 5"]),
            (
                "sparse_categorical_crossentropy",
                &[7],
                class(10),
                &[],
                &["7 units", "10 classes", "units = 10"],
            ),
            (
                "sparse_categorical_crossentropy",
                &[10],
                hot(10),
                &[10],
                &["one-hot", "categorical_crossentropy"],
            ),
            ("sparse_categorical_crossentropy", &[10], values, &[1], &["values", "mean_squared_error"]),
            ("sparse_categorical_crossentropy", &[6, 3], class(3), &[], &["[N,6,3]", "target [N]"]),
            ("binary_crossentropy", &[10], class(10), &[], &["has 10", "[N,10]", "sparse_categorical"]),
            ("binary_crossentropy", &[2], class(2), &[], &["[N,2]", "units = 1"]),
            ("binary_crossentropy", &[1], hot(2), &[2], &["[N,1]", "[N,2]", "label_mode"]),
            ("mse", &[10], class(10), &[], &["[N,10]", "target [N]", "label_mode"]),
            ("mse", &[3], values, &[1], &["[N,3]", "[N,1]", "units = 1"]),
            ("mse", &[10, 1], values, &[1], &["[N,10,1]", "return_sequences = false"]),
            ("mse", &[3], values, &[10, 3], &["10 steps", "return_sequences = true"]),
            ("binary_crossentropy", &[10, 1], class(2), &[], &["[N,10,1]", "return_sequences = false"]),
            ("categorical_crossentropy", &[10, 3], hot(3), &[3], &["return_sequences = false"]),
            ("categorical_crossentropy", &[10, 2], hot(3), &[3], &["units = 3"]),
            (
                "sparse_categorical_crossentropy",
                &[3],
                class(3),
                &[8],
                &["8 steps", "return_sequences = true"],
            ),
            ("sparse_categorical_crossentropy", &[7, 3], class(3), &[8], &["8 steps", "keep their number"]),
            ("mae", &[4, 1], values, &[4, 2], &["[N,4,1]", "[N,4,2]", "units = 2"]),
        ] {
            let said = refusal(word, output, kind, target);
            for part in parts {
                assert!(said.contains(part), "`{part}` for {word} on {output:?}: {said}");
            }
        }
        for (word, output, kind, target) in [
            ("categorical_crossentropy", &[10][..], hot(10), &[10][..]),
            ("sparse_categorical_crossentropy", &[10], class(10), &[]),
            ("sparse_categorical_crossentropy", &[6, 3], class(3), &[6]),
            ("binary_crossentropy", &[1], class(2), &[]),
            ("binary_crossentropy", &[5], hot(5), &[5]),
            ("binary_crossentropy", &[28, 28, 1], values, &[28, 28, 1]),
            ("hinge", &[1], class(2), &[]),
            ("mse", &[], values, &[1]),
        ] {
            assert_eq!(refusal(word, output, kind, target), "", "{word} on {output:?}");
        }
    }
}
