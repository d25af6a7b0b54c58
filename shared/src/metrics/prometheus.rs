//! Prometheus' text format, version 0.0.4 (prometheus.io, "Exposition formats").

use std::fmt::Write;

use super::series::{Reading, Series};

/// The content type of what [`exposition`] writes.
pub const CONTENT_TYPE: &str = "text/plain; version=0.0.4; charset=utf-8";

/// Writes the series, those of one name together under one heading.
#[must_use]
pub fn exposition(series: &[Series]) -> String {
    let mut text = String::with_capacity(series.len() * 96);
    let mut last = "";
    let mut sorted: Vec<&Series> = series.iter().collect();
    sorted.sort_by_key(|series| series.name);
    for series in sorted {
        if series.name != last {
            last = series.name;
            let kind = match series.reading {
                Reading::Counter(_) => "counter",
                Reading::Gauge(_) => "gauge",
                Reading::Histogram(_) => "histogram",
            };
            line(&mut text, format_args!("# HELP {} {}\n# TYPE {} {kind}\n", series.name, series.help, series.name));
        }
        sample(&mut text, series);
    }
    text
}

fn sample(text: &mut String, series: &Series) {
    let name = series.name;
    match &series.reading {
        Reading::Counter(value) | Reading::Gauge(value) => {
            line(text, format_args!("{name}{} {value}\n", labels(series, None)));
        }
        Reading::Histogram(all) => {
            for (bound, count) in &all.at_most {
                line(text, format_args!("{name}_bucket{} {count}\n", labels(series, Some(&bound.to_string()))));
            }
            line(text, format_args!("{name}_bucket{} {}\n", labels(series, Some("+Inf")), all.count));
            line(text, format_args!("{name}_sum{} {}\n", labels(series, None), all.sum));
            line(text, format_args!("{name}_count{} {}\n", labels(series, None), all.count));
        }
    }
}

fn line(text: &mut String, line: std::fmt::Arguments<'_>) {
    text.write_fmt(line).expect("a text grows");
}

fn labels(series: &Series, bound: Option<&str>) -> String {
    let own = series.labels.iter().map(|(name, value)| (*name, &**value));
    let pairs = own.chain(bound.map(|bound| ("le", bound)));
    let pairs: Vec<String> = pairs.map(|(name, value)| format!("{name}=\"{}\"", escaped(value))).collect();
    if pairs.is_empty() { String::new() } else { format!("{{{}}}", pairs.join(",")) }
}

fn escaped(value: &str) -> String {
    value.replace('\\', "\\\\").replace('"', "\\\"").replace('\n', "\\n")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::metrics::Distribution;

    #[test]
    fn the_format() {
        let distribution =
            Distribution { at_most: vec![(0.5, 1), (10.0, 2)], count: 3, sum: 20.25, ..Distribution::default() };
        let histogram =
            Series { name: "h_seconds", help: "H.", labels: vec![], reading: Reading::Histogram(distribution) };
        let series = [
            Series::counter("z_total", "Z.", 2.0).with("kind", "a\"\\\n"),
            Series::gauge("a", "A.", 1.5),
            histogram,
            Series::counter("z_total", "Z.", 0.0).with("kind", "b"),
        ];
        let expected = "# HELP a A.\n# TYPE a gauge\na 1.5\n\
            # HELP h_seconds H.\n# TYPE h_seconds histogram\n\
            h_seconds_bucket{le=\"0.5\"} 1\nh_seconds_bucket{le=\"10\"} 2\nh_seconds_bucket{le=\"+Inf\"} 3\n\
            h_seconds_sum 20.25\nh_seconds_count 3\n\
            # HELP z_total Z.\n# TYPE z_total counter\nz_total{kind=\"a\\\"\\\\\\n\"} 2\nz_total{kind=\"b\"} 0\n";
        assert_eq!(exposition(&series), expected);
    }
}
