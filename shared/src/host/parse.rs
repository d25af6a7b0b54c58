//! The texts of `/proc`. Lines that are not as expected are passed over.

use std::collections::BTreeMap;

/// The first number behind `name` at the begin of a line; 0 where there is none.
pub fn number_after(text: &str, name: &str) -> u64 {
    let rest = text.lines().find_map(|line| line.strip_prefix(name));
    rest.and_then(|rest| rest.split_whitespace().next()).and_then(|number| number.parse().ok()).unwrap_or_default()
}

/// The value of `NAME=value` or `NAME="value"`; empty where there is none.
pub fn assignment(text: &str, name: &str) -> String {
    let value = text.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix('='));
    value.unwrap_or_default().trim().trim_matches(['"', '\'']).to_string()
}

/// From `/proc/PID/stat`: ticks on a processor, and ticks from boot to start. The process's name, in parentheses,
/// may hold anything, so that only what is behind the last one counts.
pub fn process_ticks(text: &str) -> [u64; 2] {
    let behind = text.rsplit_once(')').map_or("", |(_, behind)| behind);
    let fields: Vec<&str> = behind.split_whitespace().collect();
    let field = |place: usize| fields.get(place).and_then(|text| text.parse::<u64>().ok()).unwrap_or_default();
    // Fields 14, 15 and 22 of proc_pid_stat(5), which counts from 1 and has two before the parenthesis.
    [field(11).saturating_add(field(12)), field(19)]
}

/// `/proc/meminfo`, in bytes.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Memory {
    /// All of it.
    pub total: u64,
    /// What a program could get without swapping.
    pub available: u64,
    /// What nobody uses for anything.
    pub free: u64,
    /// Every line by its name.
    pub lines: BTreeMap<String, u64>,
}

impl Memory {
    /// Reads the file's text.
    #[must_use]
    pub fn parse(text: &str) -> Self {
        let line = |line: &str| {
            let (name, rest) = line.split_once(':')?;
            let mut words = rest.split_whitespace();
            let number: u64 = words.next()?.parse().ok()?;
            let unit = if words.next() == Some("kB") { 1024 } else { 1 };
            Some((name.to_string(), number.saturating_mul(unit)))
        };
        let lines: BTreeMap<String, u64> = text.lines().filter_map(line).collect();
        let get = |name: &str| lines.get(name).copied().unwrap_or_default();
        Self { total: get("MemTotal"), available: get("MemAvailable"), free: get("MemFree"), lines }
    }

    /// One line of the file.
    #[must_use]
    pub fn line(&self, name: &str) -> u64 {
        self.lines.get(name).copied().unwrap_or_default()
    }
}

/// One processor of `/proc/cpuinfo`: its lines by name.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Cpu {
    lines: BTreeMap<String, String>,
}

impl Cpu {
    /// Reads the file's text: blocks of `name : value`, a block for each processor.
    #[must_use]
    pub fn parse_all(text: &str) -> Vec<Self> {
        let block = |block: &str| {
            let lines = block.lines().filter_map(|line| line.split_once(':'));
            Self { lines: lines.map(|(name, value)| (name.trim().into(), value.trim().into())).collect() }
        };
        text.split("\n\n").map(block).filter(|cpu| cpu.lines.contains_key("processor")).collect()
    }

    /// A line's value; empty where there is none (machines differ in what they tell).
    #[must_use]
    pub fn text(&self, name: &str) -> &str {
        self.lines.get(name).map_or("", String::as_str)
    }

    /// The number that a line's value begins with; 0 where there is none.
    #[must_use]
    pub fn number(&self, name: &str) -> f64 {
        self.text(name).split_whitespace().next().and_then(|number| number.parse().ok()).unwrap_or_default()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn process_times_behind_any_name() {
        let text = "7 (a) b (c) S 1 2 3 4 5 6 7 8 9 10 250 50 13 14 15 16 17 18 900 21";
        assert_eq!(process_ticks(text), [300, 900]);
        for broken in ["", ")", "7 (x) S 1", "no numbers at all"] {
            assert_eq!(process_ticks(broken), [0, 0], "{broken}");
        }
    }

    #[test]
    fn files_of_names_and_values() {
        assert_eq!(number_after("cpu 1\nbtime 17\n", "btime"), 17);
        assert_eq!(assignment("ID_LIKE=x\nID=\"debian\"\n", "ID"), "debian");
        let memory = Memory::parse("MemTotal:  4 kB\nMemFree: 2 kB\nHugePages_Total: 3\nbroken\n: \n");
        assert_eq!((memory.total, memory.free, memory.line("HugePages_Total")), (4096, 2048, 3));
        let cpus =
            Cpu::parse_all("processor\t: 0\nmodel name\t: X: Y\n\nprocessor : 1\ncpu MHz : 2400.5\n\nOther : z\n");
        assert_eq!((cpus.len(), cpus[0].text("model name"), cpus[1].number("cpu MHz")), (2, "X: Y", 2400.5));
    }
}
