//! `lictor kv`: what is asked, printed and refused.

use crate::canned::{Canned, Said, reply};

const ROW: &str =
    r#"{"LockIndex":1,"Key":"a/b","Flags":3,"Value":"aGVsbG8=","Session":"s","CreateIndex":5,"ModifyIndex":9}"#;
const EMPTY: &str = r#"{"LockIndex":0,"Key":"a/c","Flags":0,"Value":null,"CreateIndex":6,"ModifyIndex":6}"#;

#[test]
fn each_command_asks_for_its_key_and_says_consuls_sentence() {
    let both = format!("[{ROW},{EMPTY}]");
    let one = format!("[{ROW}]");
    let detailed = "CreateIndex      5\nFlags            3\nKey              a/b\nLockIndex        1\n\
                    ModifyIndex      9\nSession          s\nValue            hello\n";
    let exported = "[\n    {\n        \"key\": \"a/b\",\n        \"flags\": 3,\n        \"value\": \"aGVsbG8=\"\n    },\n    \
                    {\n        \"key\": \"a/c\",\n        \"flags\": 0,\n        \"value\": \"\"\n    }\n]\n";
    for (line, answer, request, out) in [
        ("kv get a/b", one.as_str(), "GET /v1/kv/a%2Fb", "hello\n"),
        ("kv get -base64 -stale /a/b", &one, "GET /v1/kv/a%2Fb?stale=", "aGVsbG8=\n"),
        ("kv get -detailed a/b", &one, "GET /v1/kv/a%2Fb", detailed),
        ("kv get -recurse a/", &both, "GET /v1/kv/a%2F?recurse=", "a/b:hello\na/c:\n"),
        ("kv get -keys", r#"["a/"]"#, "GET /v1/kv/?keys=&separator=%2F", "a/\n"),
        ("kv put a/b x", "true", "PUT /v1/kv/a%2Fb x", "Success! Data written to: a/b\n"),
        ("kv put -base64 -flags=3 a eA==", "true", "PUT /v1/kv/a?flags=3 x", "Success! Data written to: a\n"),
        ("kv put -cas -modify-index=9 a x", "true", "PUT /v1/kv/a?cas=9 x", "Success! Data written to: a\n"),
        ("kv put -acquire -session=s a x", "true", "PUT /v1/kv/a?acquire=s x", "Success! Lock acquired on: a\n"),
        ("kv put -release -session=s a", "true", "PUT /v1/kv/a?release=s", "Success! Lock released on: a\n"),
        ("kv delete a", "true", "DELETE /v1/kv/a", "Success! Deleted key: a\n"),
        ("kv delete -recurse a/", "true", "DELETE /v1/kv/a%2F?recurse=", "Success! Deleted keys with prefix: a/\n"),
        ("kv delete -cas -modify-index=9 a", "true", "DELETE /v1/kv/a?cas=9", "Success! Deleted key: a\n"),
        ("kv export a/", &both, "GET /v1/kv/a%2F?recurse=", exported),
    ] {
        let agent = Canned::new(&[("", answer)]);
        assert_eq!(agent.said(line), Said { code: 0, out: out.into(), err: String::new() }, "{line}");
        assert_eq!(agent.asked(), [request], "{line}");
    }
}

#[test]
fn what_is_exported_is_imported_below_another_prefix() {
    let path = std::env::temp_dir().join(format!("lictor-kv-{}", std::process::id()));
    std::fs::write(&path, r#"[{"key": "a/b", "flags": 3, "value": "aGVsbG8="}, {"key": "c", "value": ""}]"#).unwrap();
    let agent = Canned::new(&[("", "true")]);
    let said = agent.said(&format!("kv import -prefix=x/ @{}", path.display()));
    std::fs::remove_file(&path).unwrap();
    assert_eq!(said, Said { code: 0, out: "Imported: x/a/b\nImported: x/c\n".into(), err: String::new() });
    assert_eq!(agent.asked(), ["PUT /v1/kv/x%2Fa%2Fb?flags=3 hello", "PUT /v1/kv/x%2Fc?flags=0"]);
}

#[test]
fn what_cannot_be_done_is_one_line_and_exit_code_1() {
    for (line, status, answer, err) in [
        ("kv get a", "404 Not Found", "", "Error! No key exists at: a"),
        ("kv get", "200 OK", "[]", "Missing KEY argument"),
        ("kv put -cas a x", "200 OK", "false", "Error! Did not write to a: CAS failed"),
        ("kv put -acquire -session=s a x", "200 OK", "false", "Error! Did not acquire lock on a"),
        ("kv put -acquire a x", "200 OK", "true", "Error! Missing -session (required with -acquire and -release)"),
        ("kv put -base64 a *", "200 OK", "true", "Error! Cannot base 64 decode data: Invalid symbol 42, offset 0."),
        ("kv delete -cas -modify-index=9 a", "200 OK", "false", "Error! Did not delete key a: CAS failed"),
        ("kv delete -cas a", "200 OK", "true", "Must specify a -modify-index greater than 0 with -cas."),
        (
            "kv import {}",
            "200 OK",
            "true",
            "Cannot unmarshal data: invalid type: map, expected a sequence at line 1 column 0",
        ),
        (
            "kv put a x",
            "500 Internal Server Error",
            "No cluster leader",
            "Error! Failed writing data to a: Unexpected response code: 500 (No cluster leader)",
        ),
    ] {
        let agent = Canned::answering(move |_| reply(status, answer));
        assert_eq!(agent.said(line), Said { code: 1, out: String::new(), err: format!("{err}\n") }, "{line}");
    }
}
