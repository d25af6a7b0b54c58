//! Configuration files in HCL and JSON: refused with a place in the text, or read.

use lictor_shared::config::hcl;
use serde_json::Value;

/// Reads a file.
pub fn run(data: &[u8]) {
    let Ok(text) = std::str::from_utf8(data) else { return };
    if let Err(error) = hcl::parse(text) {
        assert!(!error.to_string().is_empty());
    }
    if let Err(error) = hcl::parse_json::<Value>(text) {
        assert!(!error.to_string().is_empty());
    }
}
