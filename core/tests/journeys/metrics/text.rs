//! The text format, read back.

use std::collections::BTreeMap;

/// One line of the text format.
pub(super) struct Series {
    pub(super) name: String,
    pub(super) labels: BTreeMap<String, String>,
    pub(super) value: f64,
}

/// No label of ours has a quote or a comma in it.
pub(super) fn read(text: &str) -> Vec<Series> {
    let lines = text.lines().filter(|line| !line.starts_with('#'));
    lines
        .map(|line| {
            let (series, value) = line.rsplit_once(' ').unwrap();
            let (name, labels) = series.split_once('{').unwrap_or((series, ""));
            let labels = labels.trim_end_matches('}').split(',');
            let labels = labels.filter_map(|label| label.split_once('='));
            Series {
                name: name.to_owned(),
                labels: labels
                    .map(|(name, value)| (name.to_owned(), value.trim_matches('"').to_owned()))
                    .collect(),
                value: value.parse().unwrap(),
            }
        })
        .collect()
}

/// The value of the one series with these labels.
pub(super) fn value(series: &[Series], name: &str, labels: &[(&str, &str)]) -> f64 {
    let wanted = labels
        .iter()
        .map(|(name, value)| ((*name).to_owned(), (*value).to_owned()));
    let wanted: BTreeMap<_, _> = wanted.collect();
    let found = series
        .iter()
        .find(|one| one.name == name && one.labels == wanted);
    found
        .unwrap_or_else(|| panic!("no {name} {labels:?}"))
        .value
}
