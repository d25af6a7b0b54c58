//! One result: what was measured, what came out, and what it should have been.

use serde::{Deserialize, Serialize};

/// What a figure should be.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub enum Budget {
    /// A throughput.
    AtLeast(f64),
    /// A time, a size, a share.
    AtMost(f64),
}

impl Budget {
    /// Whether a value is within it.
    #[must_use]
    pub fn holds(self, value: f64) -> bool {
        match self {
            Self::AtLeast(least) => value >= least,
            Self::AtMost(most) => value <= most,
        }
    }
}

/// One line of the results.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Figure {
    /// What was measured.
    pub what: String,
    /// What came out, in `unit`.
    pub value: f64,
    /// Its unit.
    pub unit: String,
    /// What it should be, where that was decided.
    pub budget: Option<Budget>,
    /// What something well known reached in the same run, in the same unit.
    pub yardstick: Option<f64>,
    /// What else there is to say.
    pub note: String,
}

impl Figure {
    /// A figure without a budget.
    #[must_use]
    pub fn new(what: impl Into<String>, value: f64, unit: &str) -> Self {
        Self { what: what.into(), value, unit: unit.into(), budget: None, yardstick: None, note: String::new() }
    }

    /// The same with a floor.
    #[must_use]
    pub fn at_least(self, least: f64) -> Self {
        Self { budget: Some(Budget::AtLeast(least)), ..self }
    }

    /// The same with a ceiling.
    #[must_use]
    pub fn at_most(self, most: f64) -> Self {
        Self { budget: Some(Budget::AtMost(most)), ..self }
    }

    /// The same with a remark.
    #[must_use]
    pub fn noted(self, note: impl Into<String>) -> Self {
        Self { note: note.into(), ..self }
    }
}

/// The value at `share` (0 to 1) of the sorted values; 0 where there are none.
#[must_use]
pub fn quantile(values: &[f64], share: f64) -> f64 {
    let mut sorted = values.to_vec();
    sorted.sort_by(f64::total_cmp);
    let place = (sorted.len().saturating_sub(1) as f64 * share).round() as usize;
    sorted.get(place).copied().unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn quantiles() {
        for (values, share, expected) in [
            (&[][..], 0.5, 0.0),
            (&[7.0], 0.99, 7.0),
            (&[3.0, 1.0, 2.0], 0.5, 2.0),
            (&[3.0, 1.0, 2.0], 1.0, 3.0),
            (&[3.0, 1.0, 2.0], 0.0, 1.0),
        ] {
            assert_eq!(quantile(values, share), expected, "{values:?} at {share}");
        }
    }

    #[test]
    fn budgets() {
        for (budget, value, expected) in [
            (Budget::AtLeast(10.0), 10.0, true),
            (Budget::AtLeast(10.0), 9.9, false),
            (Budget::AtMost(10.0), 10.0, true),
            (Budget::AtMost(10.0), 10.1, false),
        ] {
            assert_eq!(budget.holds(value), expected, "{budget:?} {value}");
        }
    }
}
