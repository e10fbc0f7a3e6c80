use super::*;

fn columns(names: &[&str]) -> Vec<String> {
    names.iter().map(|n| n.to_string()).collect()
}

fn count(svg: &str, part: &str) -> usize {
    svg.matches(part).count()
}

/// Every number in a coordinate is finite.
fn sound(svg: &str) {
    let body = svg.split("</style>").nth(1).unwrap();
    for attribute in ["x=\"", "y=\"", "x1=\"", "y2=\"", "points=\""] {
        for numbers in body.split(attribute).skip(1).map(|p| p.split('"').next().unwrap()) {
            for number in numbers.split([' ', ',']) {
                assert!(number.parse::<f64>().is_ok_and(f64::is_finite), "{attribute}{numbers}");
            }
        }
    }
    assert!(svg.ends_with("</svg>\n"));
}

#[test]
fn one_panel_for_the_loss_and_one_for_each_of_five_other_measures() {
    let names =
        ["epoch", "loss", "a", "b", "c", "d", "e", "f", "val_loss", "val_a", "learning_rate", "seconds"];
    let names = columns(&names);
    let rows: Vec<Vec<f64>> = (1..=3).map(|e| vec![e as f64; names.len()]).collect();
    let svg = draw("run", &names, &rows, None);
    sound(&svg);
    assert_eq!(count(&svg, "class=\"panel\""), 6);
    assert_eq!(count(&svg, "class=\"train\" points"), 6);
    assert_eq!(count(&svg, "class=\"val\" points"), 2);
    assert!(!svg.contains(">f<") && !svg.contains(">learning_rate<"));
}

/// Metrics of all outputs come before the parts of the loss.
#[test]
fn of_several_outputs_each_has_its_metric() {
    let names = columns(&["epoch", "loss", "a_loss", "b_loss", "c_loss", "a_accuracy", "b_mae", "c_iou"]);
    let svg = draw("run", &names, &[vec![1.0; names.len()]], None);
    let panels: Vec<&str> =
        svg.split("class=\"panel\"").skip(1).map(|p| p.split(['>', '<']).nth(1).unwrap()).collect();
    assert_eq!(panels, ["loss", "a_accuracy", "b_mae", "c_iou", "a_loss", "b_loss"]);
}

#[test]
fn the_best_epoch_is_the_given_one_or_that_of_the_lowest_validation_loss() {
    let names = columns(&["epoch", "loss", "val_loss"]);
    let rows = vec![vec![1.0, 0.5, 0.7], vec![2.0, 0.4, 0.25], vec![3.0, 0.3, 0.6]];
    assert!(draw("run", &names, &rows, None).contains("3 epochs · best epoch 2: val_loss 0.250"));
    assert!(draw("run", &names, &rows, Some(3)).contains("best epoch 3: val_loss 0.600"));
    let training_only = draw("run", &names[..2], &[vec![1.0, 0.5]], None);
    assert!(training_only.contains("1 epoch · best epoch 1: loss 0.500"));
    assert!(!training_only.contains(">validation<"));
}

#[test]
fn wide_losses_are_drawn_on_a_logarithmic_axis() {
    let names = columns(&["epoch", "loss"]);
    let rows = |factor: f64| (0..5).map(|e| vec![f64::from(e) + 1.0, factor.powi(-e)]).collect::<Vec<_>>();
    let (flat, steep) = (draw("run", &names, &rows(2.0), None), draw("run", &names, &rows(10.0), None));
    assert!(flat.contains(">loss<") && flat.contains(">0.8<"), "{flat}");
    assert!(steep.contains(">loss (log scale)<") && steep.contains(">0.001<"), "{steep}");
    // A negative loss has no logarithm.
    sound(&draw("run", &names, &[vec![1.0, -0.001], vec![2.0, -1.0]], None));
}

#[test]
fn what_is_not_finite_is_a_gap_with_a_mark() {
    let names = columns(&["epoch", "loss", "val_loss"]);
    let (nan, inf) = (f64::NAN, f64::INFINITY);
    let rows = vec![
        vec![1.0, 3.0, 3.0],
        vec![2.0, 2.0, inf],
        vec![3.0, nan, 2.0],
        vec![4.0, 1.0, 2.0],
        vec![5.0, nan, nan],
    ];
    let svg = draw("run", &names, &rows, None);
    sound(&svg);
    assert!(svg.contains("not finite from epoch 2"));
    let hopeless = draw("run", &names, &[vec![1.0, nan, nan]], None);
    sound(&hopeless);
    assert!(hopeless.contains("not finite from epoch 1"));
    sound(&draw("run", &names, &[], None));
}

#[test]
fn long_runs_are_thinned_out_and_keep_their_spikes() {
    let names = columns(&["epoch", "loss"]);
    let spike = |e: usize| if e == 7001 { 50.0 } else { 1.0 + (e as f64).sin() };
    let rows: Vec<Vec<f64>> = (1..=10_000).map(|e| vec![e as f64, spike(e)]).collect();
    let svg = draw("run", &names, &rows, None);
    sound(&svg);
    assert!(svg.len() < 20_000, "{} bytes", svg.len());
    let values: Vec<f64> = rows.iter().map(|r| r[1]).collect();
    let kept = thinned(&values, 0..values.len());
    assert!(
        kept.contains(&7000) && kept.contains(&0) && kept.contains(&9999) && kept.len() <= MOST_POINTS + 2
    );
    assert!(kept.is_sorted());
}

#[test]
fn a_long_name_does_not_run_into_the_legend() {
    let svg = draw(&"long ".repeat(40), &columns(&["epoch", "loss"]), &[vec![1.0, 1.0]], None);
    assert!(svg.contains("…</text>"), "{svg}");
}

#[test]
fn names_are_text_and_not_markup() {
    let svg = draw("a<b>&\"c\"", &columns(&["epoch", "loss"]), &[vec![1.0, 1.0]], None);
    assert!(svg.contains("a&lt;b&gt;&amp;&quot;c&quot;") && !svg.contains("a<b>"));
}
