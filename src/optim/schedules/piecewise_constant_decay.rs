//! `values[0]` while `t <= boundaries[0]`, then `values[1]` while `t <= boundaries[1]`, ..., and the
//! last value ever after. Source: `keras.optimizers.schedules.PiecewiseConstantDecay`.

use super::Schedule;
use crate::config::fields::Fields;
use crate::config::registry::Entry;

pub const ENTRY: Entry<dyn Schedule> = Entry {
    name: "PiecewiseConstantDecay",
    aliases: &[],
    about: "one value after another, changing at given steps",
    parse,
};

#[derive(Debug)]
struct PiecewiseConstantDecay {
    boundaries: Vec<u64>,
    values: Vec<f64>,
}

fn parse(f: &mut Fields<'_>) -> Box<dyn Schedule> {
    let read = PiecewiseConstantDecay {
        boundaries: f.key("boundaries").at_least(0).required(),
        values: f.key("values").at_least(0.0).required(),
    };
    let (boundaries, values) = (read.boundaries.len(), read.values.len());
    // A list that is missing or wrong was reported; its length says nothing.
    if boundaries == 0 && f.has("boundaries") {
        f.error("boundaries", "needs at least one step", None);
    } else if boundaries > 0 && values > 0 && values != boundaries + 1 {
        let message = format!("{values} values for {boundaries} boundaries");
        let hint = format!("{boundaries} boundaries make {} pieces, each with its value", boundaries + 1);
        f.error("values", message, Some(hint));
    }
    if let Some(pair) = read.boundaries.windows(2).find(|pair| pair[0] >= pair[1]) {
        f.error("boundaries", format!("must increase, but {} comes before {}", pair[0], pair[1]), None);
    }
    Box::new(read)
}

impl Schedule for PiecewiseConstantDecay {
    fn at(&self, step: u64) -> f64 {
        self.values[self.boundaries.partition_point(|boundary| *boundary < step)]
    }
}
