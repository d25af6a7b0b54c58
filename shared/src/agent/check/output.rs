//! How much of a check's output is kept.

use crate::{agent::local::OUTPUT_MAX, model::CheckDefinition};

/// The most that a check may ask to be kept, in bytes: outputs are rows of the registry.
const OUTPUT_MAX_SIZE: usize = 64 << 10;

/// The bytes of output that are kept for a check: its `output_max_size`, 4096 where it says nothing, 64 KiB at most.
pub(in crate::agent) fn limit(definition: Option<&CheckDefinition>) -> usize {
    match definition.map_or(0, |definition| definition.output_max_size) {
        0 => OUTPUT_MAX,
        size => usize::try_from(size).unwrap_or(OUTPUT_MAX_SIZE).min(OUTPUT_MAX_SIZE),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn limits() {
        let sized = |output_max_size| CheckDefinition { output_max_size, ..CheckDefinition::default() };
        for (definition, expected) in
            [(None, 4096), (Some(sized(0)), 4096), (Some(sized(10)), 10), (Some(sized(u32::MAX)), 65_536)]
        {
            assert_eq!(limit(definition.as_ref()), expected);
        }
    }
}
