//! The merge rules of the member table.

use proptest::prelude::*;

use super::*;

const REAP: Duration = Duration::from_secs(72 * 60 * 60);

fn record(name: &str, port: u16, generation: u64) -> Record {
    let address = SocketAddr::from(([127, 0, 0, 1], port));
    let identity = Identity { address, generation, renewal: 0 };
    Record { name: name.into(), identity, tags: BTreeMap::new(), revision: 1, facts: Facts::default(), age_s: 0 }
}

fn with(record: Record, leaves: bool, down: bool) -> Record {
    Record { facts: Facts { leaves, down, pruned: false }, ..record }
}

fn statuses(table: &Table) -> Vec<(String, u16, MemberStatus)> {
    table.members().map(|member| (member.name, member.address.port(), member.status)).collect()
}

#[test]
fn records_meet() {
    use MemberStatus::{Alive, Failed, Leaving, Left};
    let a = |generation| record("a", 1, generation);
    let moved = |generation| record("a", 2, generation);
    let conflict = Merge::Conflict(SocketAddr::from(([127, 0, 0, 1], 1)));
    let (same, changed) = (Merge::Unchanged, Merge::Changed);
    #[rustfmt::skip]
    let table = [
        ("the same again", vec![a(5)], a(5), same, vec![("a", 1, Alive)]),
        ("it failed", vec![a(5)], with(a(5), false, true), changed, vec![("a", 1, Failed)]),
        ("alive is no news of a failed one", vec![with(a(5), false, true)], a(5), same, vec![("a", 1, Failed)]),
        ("it leaves", vec![a(5)], with(a(5), true, false), changed, vec![("a", 1, Leaving)]),
        ("it left", vec![with(a(5), true, false)], with(a(5), false, true), changed, vec![("a", 1, Left)]),
        ("the intent comes after the failure", vec![with(a(5), false, true)], with(a(5), true, false), changed, vec![("a", 1, Left)]),
        ("it was restarted", vec![with(a(5), false, true)], a(6), changed, vec![("a", 1, Alive)]),
        ("it was restarted after it left", vec![with(a(5), true, true)], a(6), changed, vec![("a", 1, Alive)]),
        ("news of a former life", vec![a(6)], with(a(5), false, true), same, vec![("a", 1, Alive)]),
        ("it moved, the old one failed", vec![with(a(5), false, true)], moved(4), changed, vec![("a", 2, Alive)]),
        ("it moved, the old one left", vec![with(a(5), true, true)], moved(6), changed, vec![("a", 2, Alive)]),
        ("two alive with one name", vec![a(5)], moved(6), conflict, vec![("a", 1, Alive)]),
        ("a dead namesake elsewhere", vec![a(5)], with(moved(6), false, true), same, vec![("a", 1, Alive)]),
        ("the later of two dead", vec![with(a(5), false, true)], with(moved(6), true, true), changed, vec![("a", 2, Left)]),
        ("the earlier of two dead", vec![with(a(5), false, true)], with(moved(4), true, true), same, vec![("a", 1, Failed)]),
        ("another name at the address", vec![a(5)], record("b", 1, 6), changed, vec![("a", 1, Failed), ("b", 1, Alive)]),
        ("a former name at the address", vec![record("b", 1, 6)], a(5), changed, vec![("a", 1, Failed), ("b", 1, Alive)]),
    ];
    for (case, held, incoming, merge, expected) in table {
        let mut members = Table::new(REAP, REAP / 3);
        for record in held {
            members.merge(record, Duration::ZERO);
        }
        assert_eq!(members.merge(incoming, Duration::ZERO), merge, "{case}");
        let expected: Vec<_> =
            expected.into_iter().map(|(name, port, status)| (name.to_owned(), port, status)).collect();
        assert_eq!(statuses(&members), expected, "{case}");
    }
}

#[test]
fn a_failed_member_is_forgotten_after_the_time_to_reap_and_not_brought_back() {
    let mut table = Table::new(REAP, REAP / 3);
    table.merge(record("own", 1, 1), Duration::ZERO);
    table.merge(record("a", 2, 1), Duration::ZERO);
    let failed_at = Duration::from_secs(100);
    let down = Facts { down: true, ..Facts::default() };
    assert!(table.observe(record("a", 2, 1).identity, down, failed_at));
    table.reap("own", failed_at + REAP - Duration::from_secs(1));
    assert_eq!(statuses(&table).len(), 2);
    let sent: Vec<_> = table.records(failed_at + REAP).filter(|record| record.name == "a").collect();
    table.reap("own", failed_at + REAP);
    assert_eq!(statuses(&table).len(), 1);
    assert_eq!(table.merge(sent[0].clone(), failed_at + REAP), Merge::Unchanged);
    assert_eq!(table.merge(record("a", 2, 2), failed_at + REAP), Merge::Changed, "a new life is welcome");
}

#[test]
fn a_member_that_left_is_forgotten_sooner() {
    let mut table = Table::new(REAP, REAP / 3);
    table.merge(with(record("a", 1, 1), true, true), Duration::ZERO);
    table.merge(with(record("b", 2, 1), false, true), Duration::ZERO);
    let left_for = |table: &Table, time| table.records(time).find(|record| record.name == "a").unwrap();
    let sent = left_for(&table, REAP / 3);
    table.reap("own", REAP / 3 - Duration::from_secs(1));
    assert_eq!(statuses(&table).len(), 2);
    table.reap("own", REAP / 3);
    assert_eq!(statuses(&table), [("b".to_owned(), 2, MemberStatus::Failed)]);
    assert_eq!(table.merge(sent, REAP / 3), Merge::Unchanged, "nobody brings it back");
}

#[test]
fn a_pruned_member_is_hidden_until_its_next_life() {
    let mut table = Table::new(REAP, REAP / 3);
    table.merge(with(record("a", 1, 1), false, true), Duration::ZERO);
    let pruned = Facts { leaves: true, down: true, pruned: true };
    assert!(table.observe(record("a", 1, 1).identity, pruned, Duration::ZERO));
    table.merge(with(record("a", 1, 1), false, true), Duration::ZERO);
    assert_eq!(statuses(&table), []);
    table.merge(record("a", 1, 2), Duration::ZERO);
    assert_eq!(statuses(&table).len(), 1);
}

#[test]
fn the_table_has_a_limit() {
    let mut table = Table::new(REAP, REAP / 3);
    for index in 0..MAX_MEMBERS {
        let port = u16::try_from(index + 1).unwrap();
        assert_eq!(table.merge(record(&index.to_string(), port, 1), Duration::ZERO), Merge::Changed);
    }
    assert_eq!(table.merge(record("one more", 40_000, 1), Duration::ZERO), Merge::Full);
    assert_eq!(table.merge(record("7", 8, 2), Duration::ZERO), Merge::Changed, "known ones are still taken");
}

fn any_record() -> impl Strategy<Value = Record> {
    (1_u64..4, 0_u32..3, 1_u64..4, any::<(bool, bool, bool)>()).prop_map(
        |(generation, renewal, revision, (leaves, down, pruned))| {
            let mut record = record("a", 1, generation);
            record.identity.renewal = renewal;
            record.revision = revision;
            record.tags = [("revision".to_owned(), format!("{generation}.{revision}"))].into();
            record.facts = Facts { leaves, down, pruned };
            record
        },
    )
}

fn any_node_record() -> impl Strategy<Value = Record> {
    (0_usize..4, 1_u16..4, 1_u64..5, any::<(bool, bool)>()).prop_map(|(name, port, generation, (leaves, down))| {
        with(record(["a", "b", "c", "d"][name], port, generation), leaves, down)
    })
}

proptest! {
    #[test]
    fn every_address_has_at_most_one_living_holder(
        records in prop::collection::vec((any_node_record(), any::<bool>()), 1..40)
    ) {
        let mut table = Table::new(REAP, REAP / 3);
        for (record, observed) in records {
            if observed {
                table.observe(record.identity, record.facts, Duration::ZERO);
            } else {
                table.merge(record, Duration::ZERO);
            }
            for (name, held) in &table.by_name {
                let holder = table.by_address.get(&held.record.identity.address);
                prop_assert!(held.record.facts.down || holder == Some(name), "{name} lives, {holder:?} has its address");
            }
            for (address, name) in &table.by_address {
                prop_assert_eq!(table.by_name.get(name).map(|held| held.record.identity.address), Some(*address));
            }
        }
    }

    #[test]
    fn records_of_one_member_merge_to_the_same_in_any_order(
        records in prop::collection::vec(any_record(), 1..6), order in any::<prop::sample::Index>(), again in any::<bool>()
    ) {
        let merged = |records: &[Record]| {
            let mut table = Table::new(REAP, REAP / 3);
            for record in records {
                table.merge(record.clone(), Duration::ZERO);
            }
            table.records(Duration::ZERO).next()
        };
        let mut shuffled = records.clone();
        shuffled.rotate_left(order.index(records.len()));
        if again {
            shuffled.reverse();
            shuffled.extend(records.iter().cloned());
        }
        prop_assert_eq!(merged(&records), merged(&shuffled));
    }
}
