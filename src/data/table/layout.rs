//! Which column of the file is what: feature, target, weight or group; number or text.

use crate::config::write::{Plain, inline};
use crate::data::mistakes::Mistakes;
use crate::data::records::Header;
use crate::data::table::keys::{Named, Task};
use crate::data::table::scan::{Counts, Scan};
use crate::data::table::{Format, TableSpec};
use crate::diag::{Diag, Result, suggest};

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Role {
    Feature,
    Target,
    Weight,
    Group,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    Number,
    Text,
}

/// One column that is read.
#[derive(Clone, Debug)]
pub struct Used {
    pub name: String,
    pub role: Role,
    pub kind: Kind,
    /// Its position in the file.
    pub column: usize,
}

/// Features first, in input order, then targets, then the others.
#[derive(Clone, Debug)]
pub struct Layout {
    pub used: Vec<Used>,
    pub width: usize,
}

impl Layout {
    /// Positions in [`Self::used`].
    pub fn with_role(&self, role: Role) -> impl Iterator<Item = usize> {
        self.used.iter().enumerate().filter(move |(_, u)| u.role == role).map(|(i, _)| i)
    }

    /// Whether a feature is a target too: what is wrong with its cells is told of the target.
    pub fn told_as_target(&self, used: &Used) -> bool {
        let is_target = |other: &Used| other.role == Role::Target && other.column == used.column;
        used.role == Role::Feature && self.used.iter().any(is_target)
    }

    /// What a config says to make a target a class.
    pub fn classification(&self, target: &str) -> String {
        let word = Plain::Str("classification".into());
        let task = match self.with_role(Role::Target).count() {
            1 => word,
            _ => Plain::Table(vec![(target.to_string(), word)]),
        };
        format!("task = {}", inline(&task))
    }

    /// The same columns in a test file, where they may stand elsewhere. It is not split, so it needs
    /// no group column.
    pub fn in_file(&self, scan: &Scan, format: &Format) -> Result<Layout> {
        if !format.header && scan.header.names.len() != self.width {
            let (found, wanted) = (scan.header.names.len(), self.width);
            let message = format!("this file has {found} columns, the training file has {wanted}");
            return Err(Diag::new(message).at(&scan.header.at_line()).into());
        }
        let mut mistakes = Mistakes::default();
        let mut used: Vec<Used> = self.used.iter().filter(|u| u.role != Role::Group).cloned().collect();
        for column in &mut used {
            match scan.header.find(&column.name) {
                Some(index) => column.column = index,
                None => mistakes.push(no_column(&column.name, &scan.header).at(&scan.header.at_line())),
            }
        }
        mistakes.finish()?;
        Ok(Layout { used, width: scan.header.names.len() })
    }
}

/// The columns that the keys name.
struct Roles<'a> {
    features: Found<'a>,
    targets: Found<'a>,
    categorical: Found<'a>,
    weight: Found<'a>,
    group: Found<'a>,
}

impl<'a> Roles<'a> {
    fn find(spec: &'a TableSpec, scan: &Scan) -> Result<Roles<'a>> {
        let mut mistakes = Mistakes::default();
        let (header, found) = (&scan.header, &mut mistakes);
        let targets = find(&spec.target, header, found);
        let drop = find(&spec.drop, header, found);
        let categorical = find(&spec.categorical, header, found);
        let weight = find(spec.sample_weight.as_slice(), header, found);
        let group = spec.common.validation.group_column().map(std::slice::from_ref).unwrap_or_default();
        let group = find(group, header, found);
        let features = match &spec.features {
            Some(names) => find(names, header, found),
            None => {
                let taken = |i: &usize| [&targets, &drop, &weight, &group].iter().any(|set| has(set, *i));
                (0..header.names.len()).filter(|i| !taken(i)).map(|i| (i, None)).collect()
            }
        };
        if !spec.in_time {
            both(&features, &targets, ["a feature", "a target"], found);
        }
        for (set, what) in [(&drop, "dropped"), (&weight, "the sample weight")] {
            both(&features, set, ["a feature", what], found);
        }
        both(&weight, &targets, ["the sample weight", "a target"], found);
        both(&drop, &targets, ["dropped", "a target"], found);
        for named in categorical.iter().filter(|(i, _)| !has(&features, *i)).filter_map(|(_, n)| *n) {
            let message = format!("column `{}` is categorical, but no feature", named.name);
            found.push(Diag::new(message).at(&named.at));
        }
        mistakes.finish()?;
        Ok(Roles { features, targets, categorical, weight, group })
    }
}

/// Finds the columns that the keys name and says what each one is.
pub fn layout(spec: &TableSpec, scan: &Scan) -> Result<Layout> {
    let roles = Roles::find(spec, scan)?;
    let mut mistakes = Mistakes::default();
    if roles.features.is_empty() {
        mistakes.push(Diag::new("no column is left as a feature").at(&scan.header.at_line()));
    }
    let used_as = |column: usize, role, kind| {
        let name = scan.header.names[column].clone();
        Used { name, role, kind, column }
    };
    let mut used = vec![];
    for (column, _) in &roles.features {
        let kind = feature_kind(scan.counts[*column], has(&roles.categorical, *column));
        used.push(used_as(*column, Role::Feature, kind));
    }
    for (column, _) in &roles.targets {
        let kind = target_kind(scan.counts[*column], spec.task.of(&scan.header.names[*column]));
        used.push(used_as(*column, Role::Target, kind));
    }
    used.extend(roles.weight.iter().map(|(column, _)| used_as(*column, Role::Weight, Kind::Number)));
    used.extend(roles.group.iter().map(|(column, _)| used_as(*column, Role::Group, Kind::Text)));
    let layout = Layout { used, width: scan.header.names.len() };
    for column in layout.used.iter().filter(|u| scan.counts[u.column].is_empty() && !layout.told_as_target(u))
    {
        let diag = Diag::new(format!("column `{}` has no values", column.name));
        let diag = diag.at(&scan.header.at(column.column));
        mistakes.push(match column.role {
            Role::Feature if !spec.in_time => {
                diag.hint(format!("leave it out: drop = [\"{}\"]", column.name))
            }
            _ => diag.hint("name another column"),
        });
    }
    mistakes.finish()?;
    Ok(layout)
}

/// A column is text if most of its cells are: then the numbers in it are names too. In a column
/// of mostly numbers a text is a mistake, which reading the cells reports.
fn feature_kind(counts: Counts, declared: bool) -> Kind {
    if declared || counts.texts > counts.numbers { Kind::Text } else { Kind::Number }
}

fn target_kind(counts: Counts, task: Option<Task>) -> Kind {
    match task {
        Some(Task::Classification) => Kind::Text,
        Some(Task::Regression) => Kind::Number,
        None => feature_kind(counts, false),
    }
}

type Found<'a> = Vec<(usize, Option<&'a Named>)>;

fn has(set: &Found<'_>, index: usize) -> bool {
    set.iter().any(|(i, _)| *i == index)
}

fn find<'a>(names: &'a [Named], header: &Header, mistakes: &mut Mistakes) -> Found<'a> {
    let mut found: Found<'a> = vec![];
    for named in names {
        match header.find(&named.name) {
            None => mistakes.push(no_column(&named.name, header).at(&named.at)),
            Some(index) if has(&found, index) => {
                mistakes.push(Diag::new(format!("column `{}` is listed twice", named.name)).at(&named.at));
            }
            Some(index) => found.push((index, Some(named))),
        }
    }
    found
}

/// What to say of a name that is no column.
fn no_column(name: &str, header: &Header) -> Diag {
    let names: Vec<&str> = header.names.iter().map(String::as_str).collect();
    let diag = Diag::new(format!("there is no column `{name}`"));
    let diag = diag.note(format!("the columns are in {}", header.at_line()));
    if names.iter().all(|n| n.parse::<f64>().is_ok()) && name.parse::<f64>().is_err() {
        return diag.hint("the first row holds only numbers: a file without a header needs header = false");
    }
    // One name that holds the usual separators is a whole header read with the wrong one.
    if let [whole] = names[..]
        && let Some(separator) = [";", "\t", "|"].into_iter().find(|s| whole.contains(s))
    {
        return diag
            .hint(format!("is the file separated by {separator:?}? then write delimiter = {separator:?}"));
    }
    diag.maybe_hint(suggest(name, &names))
}

/// A column may not be listed for two things.
fn both(listed: &Found<'_>, other: &Found<'_>, as_what: [&str; 2], mistakes: &mut Mistakes) {
    for named in listed.iter().filter(|(i, _)| has(other, *i)).filter_map(|(_, named)| *named) {
        let message = format!("column `{}` is {} and also {}", named.name, as_what[0], as_what[1]);
        let mut diag = Diag::new(message).at(&named.at);
        if let Some(first) = other.iter().find_map(|(_, n)| n.filter(|n| n.name == named.name)) {
            diag = diag.also(&first.at, as_what[1]);
        }
        mistakes.push(diag);
    }
}
