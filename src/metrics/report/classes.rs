//! Report on classes: counts of (true class, predicted class), and what follows from them.

use serde_json::{Map, Value as Json, json};

use super::binary::Binary;
use super::table::{WIDTH, aligned, head, number, shorten};
use crate::metrics::mean::argmax;
use crate::metrics::ratio;

#[derive(Debug)]
pub struct Classes {
    names: Vec<String>,
    /// Row-major; a row for each true class.
    counts: Vec<u64>,
    binary: Option<Binary>,
    /// Rows are pixels: areas overlap.
    pixels: bool,
}

/// Of one class, or averaged over all.
struct Measures {
    precision: f64,
    recall: f64,
    f1_score: f64,
    /// Intersection over union; None where the class does not occur, as in `mean_iou`.
    iou: Option<f64>,
    support: u64,
}

impl Measures {
    fn cells(&self, pixels: bool) -> Vec<String> {
        let [precision, recall, f1] = [self.precision, self.recall, self.f1_score].map(number);
        let iou = pixels.then(|| self.iou.map_or(String::new(), number));
        let cells = [precision, recall, f1].into_iter().chain(iou);
        cells.chain([self.support.to_string()]).collect()
    }

    fn json(&self, pixels: bool) -> Json {
        let mut json = json!({
            "precision": self.precision,
            "recall": self.recall,
            "f1_score": self.f1_score,
            "support": self.support,
        });
        if pixels {
            json["iou"] = json!(self.iou);
        }
        json
    }
}

impl Classes {
    pub fn new(names: &[String], units: usize) -> Classes {
        // One unit decides between two, however many were seen.
        let classes = names.len().max(units).max(2);
        let name = |class: usize| names.get(class).cloned().unwrap_or_else(|| class.to_string());
        Classes {
            names: (0..classes).map(name).collect(),
            counts: vec![0; classes * classes],
            binary: (classes == 2).then(Binary::default),
            pixels: false,
        }
    }

    /// Of masks, where a row is a pixel; there are too many for the area under a curve.
    pub fn of_pixels(names: &[String], units: usize) -> Classes {
        Classes { binary: None, pixels: true, ..Classes::new(names, units) }
    }

    pub fn add(&mut self, y_true: &[f32], y_pred: &[f32]) {
        let truth = if let [class] = y_true { *class as usize } else { argmax(y_true) };
        let predicted = if let [p] = y_pred { usize::from(*p > 0.5) } else { argmax(y_pred) };
        self.counts[truth * self.names.len() + predicted] += 1;
        if let Some(binary) = &mut self.binary {
            binary.add(truth == 1, y_pred);
        }
    }

    fn count(&self, truth: usize, predicted: usize) -> u64 {
        self.counts[truth * self.names.len() + predicted]
    }

    fn measures(&self, class: usize) -> Measures {
        let right = self.count(class, class) as f64;
        let support: u64 = (0..self.names.len()).map(|other| self.count(class, other)).sum();
        let predicted: u64 = (0..self.names.len()).map(|other| self.count(other, class)).sum();
        Measures {
            precision: ratio(right, predicted as f64),
            recall: ratio(right, support as f64),
            // 2 P R / (P + R), without dividing twice.
            f1_score: ratio(2.0 * right, (support + predicted) as f64),
            iou: (support + predicted > 0).then(|| right / ((support + predicted) as f64 - right)),
            support,
        }
    }

    fn average(&self, all: &[Measures], weight: impl Fn(&Measures) -> f64) -> Measures {
        let whole: f64 = all.iter().map(&weight).sum();
        let mean = |of: fn(&Measures) -> f64| ratio(all.iter().map(|m| weight(m) * of(m)).sum(), whole);
        let occur = || all.iter().filter_map(|m| Some((weight(m), m.iou?)));
        Measures {
            precision: mean(|m| m.precision),
            recall: mean(|m| m.recall),
            f1_score: mean(|m| m.f1_score),
            iou: Some(ratio(occur().map(|(w, iou)| w * iou).sum(), occur().map(|(w, _)| w).sum())),
            support: all.iter().map(|m| m.support).sum(),
        }
    }

    fn all(&self) -> Vec<Measures> {
        (0..self.names.len()).map(|class| self.measures(class)).collect()
    }

    pub fn text(&self) -> String {
        let all = self.all();
        let right: u64 = (0..self.names.len()).map(|class| self.count(class, class)).sum();
        let macro_average = self.average(&all, |_| 1.0);
        let samples = macro_average.support;
        let iou = if self.pixels { &["iou"][..] } else { &[] };
        let mut rows = vec![head(&[&["precision", "recall", "f1_score"], iou, &["support"]].concat())];
        rows.extend(self.names.iter().zip(&all).map(|(name, m)| (name.clone(), m.cells(self.pixels))));
        let accuracy = number(ratio(right as f64, samples as f64));
        let none = |cells: usize| vec![String::new(); cells];
        let cells = [none(2), vec![accuracy], none(iou.len()), vec![samples.to_string()]].concat();
        rows.push(("accuracy".into(), cells));
        rows.push(("macro average".into(), macro_average.cells(self.pixels)));
        let weighted = self.average(&all, |m| m.support as f64);
        rows.push(("weighted average".into(), weighted.cells(self.pixels)));
        let mut out = aligned(&rows);
        if let Some(binary) = &self.binary {
            out.push('\n');
            out.push_str(&self.binary_text(binary));
        }
        out.push('\n');
        out.push_str(&self.matrix_text());
        out
    }

    fn binary_text(&self, binary: &Binary) -> String {
        let cell = |truth, predicted| self.count(truth, predicted).to_string();
        let counts = aligned(&[
            ("true positives".into(), vec![cell(1, 1)]),
            ("false positives".into(), vec![cell(0, 1)]),
            ("true negatives".into(), vec![cell(0, 0)]),
            ("false negatives".into(), vec![cell(1, 0)]),
            ("auc".into(), vec![number(binary.auc())]),
        ]);
        format!("positive class: {}\n{counts}", self.names[1])
    }

    /// The matrix if 80 columns hold it, else the most frequent mistakes.
    fn matrix_text(&self) -> String {
        const GAP: usize = 2;
        let classes = self.names.len();
        let digits = self.counts.iter().max().map_or(1, |most| most.to_string().len());
        let longest = self.names.iter().map(|name| name.chars().count()).max().unwrap_or(0);
        let label = longest.min(14);
        let room = (WIDTH - label) / classes;
        if room < digits + GAP {
            return self.mistakes_text();
        }
        let cell = room.min(longest.max(digits) + GAP);
        let mut out = "confusion matrix (rows: true, columns: predicted)\n".to_string();
        let mut line = |head: &str, cells: Vec<String>| {
            let cells: String = cells.iter().map(|text| format!("{text:>cell$}")).collect();
            out.push_str(&format!("{:<label$}{cells}\n", shorten(head, label)));
        };
        line("", self.names.iter().map(|name| shorten(name, cell - GAP)).collect());
        for (truth, name) in self.names.iter().enumerate() {
            line(name, (0..classes).map(|predicted| self.count(truth, predicted).to_string()).collect());
        }
        out
    }

    fn mistakes_text(&self) -> String {
        let classes = self.names.len();
        let mut cells: Vec<(usize, u64)> = self.counts.iter().copied().enumerate().collect();
        cells.retain(|(place, count)| *count > 0 && place / classes != place % classes);
        cells.sort_by(|a, b| b.1.cmp(&a.1).then(a.0.cmp(&b.0)));
        let mut rows = vec![("true".to_string(), vec!["predicted".to_string(), "count".to_string()])];
        rows.extend(cells.iter().take(10).map(|(place, count)| {
            let predicted = shorten(&self.names[place % classes], 24);
            (self.names[place / classes].clone(), vec![predicted, count.to_string()])
        }));
        format!("most frequent mistakes\n{}", aligned(&rows))
    }

    pub fn json(&self) -> Map<String, Json> {
        let all = self.all();
        let per_class = self.names.iter().zip(&all).map(|(name, measures)| {
            let mut json = measures.json(self.pixels);
            json["class"] = json!(name);
            json
        });
        let matrix: Vec<&[u64]> = self.counts.chunks(self.names.len()).collect();
        let mut out = Map::new();
        out.insert("classes".into(), json!(self.names));
        out.insert("confusion_matrix".into(), json!(matrix));
        out.insert("per_class".into(), per_class.collect());
        out.insert("macro_average".into(), self.average(&all, |_| 1.0).json(self.pixels));
        out.insert("weighted_average".into(), self.average(&all, |m| m.support as f64).json(self.pixels));
        if let Some(binary) = &self.binary {
            let positive = &all[1];
            let json = json!({
                "positive_class": self.names[1],
                "true_positives": self.count(1, 1),
                "false_positives": self.count(0, 1),
                "true_negatives": self.count(0, 0),
                "false_negatives": self.count(1, 0),
                "precision": positive.precision,
                "recall": positive.recall,
                "f1_score": positive.f1_score,
                "auc": binary.auc(),
            });
            out.insert("binary".into(), json);
        }
        out
    }
}
