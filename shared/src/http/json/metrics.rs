//! The JSON of `/v1/agent/metrics`: gauges, counters and samples, as Consul's documentation of the endpoint has them.
//!
//! Consul tells what came in the last interval; here everything is since the start of the process, and `Rate` is over
//! that time. Who wants rates of shorter spans reads the Prometheus format.

use std::time::Duration;

use serde_json::{Map, Value, json};

use crate::metrics::{Distribution, Reading, Series, as_f64};

/// The answer; `timestamp` is a moment as Consul writes it, `uptime` the age of the process.
#[must_use]
pub fn summary(series: &[Series], timestamp: &str, uptime: Duration) -> Value {
    let (mut gauges, mut counters, mut samples) = (Vec::new(), Vec::new(), Vec::new());
    for series in series {
        match &series.reading {
            Reading::Gauge(value) => {
                gauges.push(json!({"Name": series.name, "Value": value, "Labels": labels(series)}));
            }
            // Consul has no line for what has not happened.
            Reading::Counter(0.0) => {}
            Reading::Counter(value) => {
                let ones = Distribution { sum: *value, min: 1.0, max: 1.0, squares: *value, ..Distribution::default() };
                counters.push(aggregate(series, *value, &ones, uptime));
            }
            Reading::Histogram(all) if all.count == 0 => {}
            Reading::Histogram(all) => {
                samples.push(aggregate(series, as_f64(all.count), all, uptime));
            }
        }
    }
    json!({"Timestamp": timestamp, "Gauges": gauges, "Points": [], "Counters": counters, "Samples": samples})
}

fn aggregate(series: &Series, count: f64, all: &Distribution, uptime: Duration) -> Value {
    let mean = all.sum / count;
    let spread = if count > 1.0 { (all.squares - count * mean * mean) / (count - 1.0) } else { 0.0 };
    json!({
        "Name": series.name,
        "Count": count,
        "Rate": all.sum / uptime.as_secs_f64().max(1.0),
        "Sum": all.sum,
        "Min": all.min,
        "Max": all.max,
        "Mean": mean,
        // What is left of rounding may be below zero.
        "Stddev": spread.max(0.0).sqrt(),
        "Labels": labels(series),
    })
}

fn labels(series: &Series) -> Value {
    series.labels.iter().map(|(name, value)| ((*name).to_string(), Value::from(&**value))).collect::<Map<_, _>>().into()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_form() {
        let all = Distribution { count: 2, sum: 4.0, min: 1.0, max: 3.0, squares: 10.0, ..Distribution::default() };
        let series = [
            Series::gauge("g", "G.", 3.0),
            Series::counter("none_total", "N.", 0.0),
            Series::counter("c_total", "C.", 4.0).with("kind", "a"),
            Series { name: "h_seconds", help: "H.", labels: vec![], reading: Reading::Histogram(all) },
        ];
        let summary = summary(&series, "2026-01-02 03:04:05 +0000 UTC", Duration::from_secs(2));
        assert_eq!(summary["Timestamp"], "2026-01-02 03:04:05 +0000 UTC");
        assert_eq!(summary["Gauges"], json!([{"Name": "g", "Value": 3.0, "Labels": {}}]));
        assert_eq!(summary["Counters"].as_array().unwrap().len(), 1);
        let counter = &summary["Counters"][0];
        assert_eq!((&counter["Sum"], &counter["Rate"], &counter["Mean"]), (&json!(4.0), &json!(2.0), &json!(1.0)));
        assert_eq!(counter["Labels"], json!({"kind": "a"}));
        let sample = &summary["Samples"][0];
        assert_eq!((&sample["Mean"], &sample["Stddev"]), (&json!(2.0), &json!(2.0_f64.sqrt())));
    }
}
