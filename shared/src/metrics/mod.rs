//! What this process counts of itself: counters, gauges and histograms, read by `/v1/agent/metrics`.
//!
//! `table` names every one of them, in one place; `instrument` is what they are made of: atomics, so that counting
//! never waits. `series` is what one reading gives, `prometheus` writes it down (Consul's form: `http/json`), and `measured` counts
//! what a node asks of its servers. Names follow Prometheus' conventions: `lictor_` first, base units, `_total` last.
//!
//! Labels take their values from fixed lists: nothing that a caller sends makes the table grow.

mod instrument;
mod measured;
mod prometheus;
mod series;
mod table;

pub use self::{
    instrument::{Counter, Gauge, Held, Histogram, Sizes, Timer, as_f64},
    measured::Measured,
    prometheus::{CONTENT_TYPE, exposition},
    series::{Distribution, Reading, Series},
    table::*,
};
