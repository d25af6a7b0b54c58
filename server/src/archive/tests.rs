//! What is saved is restored; whatever was cut, altered or made by others is refused and says why.

#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::io::{Read, Write};

use flate2::{Compression, read::GzDecoder, write::GzEncoder};
use lictor_shared::{
    catalog::{Record, State},
    command::{Command, KeyCommand, KeyEntry, Registration},
    model::{Check, Index, Node, Service, Time},
};

use super::{tar, *};

fn state() -> State {
    let mut state = State::default();
    for n in 0..60_u64 {
        let node = Node { name: format!("n{n}").as_str().into(), address: "10.0.0.1".into(), ..Node::default() };
        let service = Some(Service { id: "web".into(), name: "web".into(), ..Service::default() });
        let checks = vec![Check { id: "c".into(), service_id: "web".into(), ..Check::default() }];
        let registration = Registration { node, skip_node_update: false, service, checks };
        state.apply(Index(2 * n + 1), Time(n), &Command::Register(Box::new(registration)));
        let entry = KeyEntry { key: format!("k{n}").into(), value: "value".into(), flags: n };
        state.apply(Index(2 * n + 2), Time(n), &Command::Key(KeyCommand::Set(entry)));
    }
    state
}

fn archive(state: &State) -> Vec<u8> {
    let mut bytes = Vec::new();
    let manifest = Manifest { term: 3, datacenter: "dc1".into(), ..Manifest::default() };
    write(&mut bytes, manifest, state).unwrap();
    bytes
}

fn read_all(bytes: &[u8]) -> Result<(Manifest, Vec<Record>), ArchiveError> {
    let mut records = Vec::new();
    let manifest = read(bytes, |record, _| {
        records.push(record);
        Ok(())
    })?;
    Ok((manifest, records))
}

fn unpacked(archive: &[u8]) -> Vec<u8> {
    let mut plain = Vec::new();
    GzDecoder::new(archive).read_to_end(&mut plain).unwrap();
    plain
}

fn packed(plain: &[u8]) -> Vec<u8> {
    let mut packed = GzEncoder::new(Vec::new(), Compression::fast());
    packed.write_all(plain).unwrap();
    packed.finish().unwrap()
}

#[test]
fn what_is_saved_is_read() {
    let state = state();
    let (manifest, records) = read_all(&archive(&state)).unwrap();
    assert_eq!(records, state.records().collect::<Vec<_>>());
    assert_eq!((manifest.index, manifest.term, manifest.datacenter.as_str()), (120, 3, "dc1"));
    assert!(manifest.id.starts_with("3-120-"), "{}", manifest.id);
}

#[test]
fn the_system_s_tar_reads_it_too() {
    let dir = tempfile::tempdir().unwrap();
    let file = dir.path().join("snapshot.tgz");
    std::fs::write(&file, archive(&state())).unwrap();
    let tar = std::process::Command::new("tar").arg("xzf").arg(&file).current_dir(dir.path()).status();
    assert!(tar.unwrap().success());
    let manifest: Manifest = serde_json::from_slice(&std::fs::read(dir.path().join(META)).unwrap()).unwrap();
    assert_eq!(manifest.size, std::fs::metadata(dir.path().join(STATE)).unwrap().len());
    let sums = std::process::Command::new("sha256sum").args(["-c", SUMS]).current_dir(dir.path()).output();
    assert!(sums.unwrap().status.success());
}

#[test]
fn cut_or_altered_anywhere_it_is_refused() {
    let whole = archive(&state());
    let plain = unpacked(&whole);
    for length in (0..whole.len()).step_by(11) {
        assert!(read_all(&whole[..length]).is_err(), "cut at {length}");
    }
    let expected = read_all(&whole).unwrap();
    // Some bits mean nothing: the time in gzip's header, how far back it looks for a zero among zeros, tar's padding.
    let altered = |bytes: &[u8], position: usize| {
        let mut altered = bytes.to_vec();
        altered[position] ^= 0x10;
        altered
    };
    for position in (0..whole.len()).step_by(7) {
        let found = read_all(&altered(&whole, position));
        assert!(found.is_err() || found.unwrap() == expected, "altered at {position}");
    }
    // Before it was packed, so that gzip finds nothing wrong.
    for position in (0..plain.len() - 1024).step_by(13) {
        let found = read_all(&packed(&altered(&plain, position)));
        let same = found.as_ref().is_ok_and(|found| *found == expected);
        assert!(found.is_err() || (same && plain[position] == 0), "altered at {position}");
    }
    let mut longer = whole;
    longer.push(0);
    assert!(matches!(read_all(&longer), Err(ArchiveError::Damaged(_))));
}

/// An archive of these files.
fn of(files: &[(&str, &[u8])]) -> Vec<u8> {
    let mut plain = Vec::new();
    for (name, bytes) in files {
        tar::begin(&mut plain, name, bytes.len() as u64, 0).unwrap();
        plain.extend_from_slice(bytes);
        tar::pad(&mut plain, bytes.len() as u64).unwrap();
    }
    tar::end(&mut plain).unwrap();
    packed(&plain)
}

#[test]
fn what_others_have_made_is_refused_by_name() {
    let consul = br#"{"Version":1,"ID":"2-9-1","Index":9,"Term":2,"Size":3}"#;
    let later = br#"{"Version":1,"Format":"lictor","FormatVersion":2,"Index":9,"Size":3}"#;
    for (bytes, expected) in [
        (b"hello".to_vec(), "no gzip'd tar archive"),
        (Vec::new(), "no gzip'd tar archive"),
        (packed(b"hello"), "damaged (it is truncated)"),
        (of(&[("letter.txt", b"dear")]), r#"it has "letter.txt" where meta.json should be"#),
        (of(&[]), "it has no meta.json"),
        (of(&[(META, b"{")]), "meta.json: EOF"),
        (of(&[(META, consul), (STATE, b"abc"), (SUMS, b"")]), "one of Consul's cannot be restored"),
        (of(&[(META, later), (STATE, b"abc"), (SUMS, b"")]), "is of format 2, and this build reads 1"),
    ] {
        let error = read_all(&bytes).unwrap_err().to_string();
        assert!(error.contains(expected), "{error}");
    }
}
