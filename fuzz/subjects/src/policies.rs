//! The rules of policies: refused with a sentence, or read; and what they allow together holds, whatever is asked.

use lictor_shared::acl::{Level, Resource, Rights, Rules};

/// Reads rules, and asks about the names that are in them.
pub fn run(data: &[u8]) {
    let Ok(text) = std::str::from_utf8(data) else { return };
    let rules = match Rules::parse(text) {
        Ok(rules) => rules,
        Err(error) => return assert!(!error.to_string().is_empty()),
    };
    let denying = Rights::new([&rules, &Rules::denial()], true);
    for allowed_otherwise in [false, true] {
        let rights = Rights::new([&rules], allowed_otherwise);
        assert_eq!(rights.fingerprint(), Rights::new([&rules, &rules], allowed_otherwise).fingerprint());
        let names = rules.exact.keys().chain(rules.prefix.keys()).map(|(_, name)| name.as_str());
        for name in names.chain(["", "x", text.get(..8).unwrap_or_default()]).take(64) {
            for resource in Resource::NAMED {
                look(&rights, resource, name);
                assert!(!denying.allow(resource, Level::Write, name) || rules.exact.len() + rules.prefix.len() > 0);
            }
        }
    }
}

fn look(rights: &Rights, resource: Resource, name: &str) {
    let [reads, lists, writes] =
        [Level::Read, Level::List, Level::Write].map(|level| rights.allow(resource, level, name));
    assert!(!writes || lists, "who may write may list");
    assert!(!lists || reads, "who may list may read");
    // What holds of all names that begin so holds of this one.
    assert!(!rights.allow_all_below(resource, Level::Write, name) || writes);
    assert_eq!(rights.require(resource, Level::Read, name).is_ok(), reads);
}
