//! One reading of the instruments.

use std::borrow::Cow;

/// One metric with one set of labels, as it was when it was read.
#[derive(Clone, Debug, PartialEq)]
pub struct Series {
    /// Its name.
    pub name: &'static str,
    /// What it says, in a sentence.
    pub help: &'static str,
    /// Names and values of its labels.
    pub labels: Vec<(&'static str, Cow<'static, str>)>,
    /// What was read.
    pub reading: Reading,
}

/// What was read of a metric.
#[derive(Clone, Debug, PartialEq)]
pub enum Reading {
    /// Grows since the start of the process.
    Counter(f64),
    /// Goes up and down.
    Gauge(f64),
    /// Many measurements.
    Histogram(Distribution),
}

/// Measurements since the start of the process, in seconds.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Distribution {
    /// How many were at most so large, for each bound, smallest bound first.
    pub at_most: Vec<(f64, u64)>,
    /// How many in all.
    pub count: u64,
    /// Their sum.
    pub sum: f64,
    /// The smallest; 0 where there is none.
    pub min: f64,
    /// The largest; 0 where there is none.
    pub max: f64,
    /// The sum of their squares.
    pub squares: f64,
}

impl Series {
    /// A gauge without labels.
    #[must_use]
    pub fn gauge(name: &'static str, help: &'static str, value: f64) -> Self {
        Self { name, help, labels: Vec::new(), reading: Reading::Gauge(value) }
    }

    /// A counter without labels.
    #[must_use]
    pub fn counter(name: &'static str, help: &'static str, value: f64) -> Self {
        Self { name, help, labels: Vec::new(), reading: Reading::Counter(value) }
    }

    /// The same with one label more.
    #[must_use]
    pub fn with(mut self, label: &'static str, value: impl Into<Cow<'static, str>>) -> Self {
        self.labels.push((label, value.into()));
        self
    }
}
