//! This host's services and checks: what people want registered here, and keeping the registry and the checks so.
//!
//! [`definition`] reads what people write, [`check`] runs it.

pub mod check;
pub mod definition;
pub mod duration;
mod fields;
