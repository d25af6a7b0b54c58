//! What health answers have beyond Consul's.

use super::*;

#[tokio::test]
async fn checks_say_since_when_where_that_is_asked_for() {
    let server = TestServer::start().await;
    let set = |status, output: &str| {
        let check =
            Check { id: "c".into(), status, output: output.into(), service_id: "web".into(), ..Check::default() };
        let node = Node { name: "host".into(), address: "10.0.0.1".into(), ..Node::default() };
        let service = Service { id: "web".into(), name: "web".into(), ..Service::default() };
        let registration = Registration { node, service: Some(service), checks: vec![check], skip_node_update: false };
        server.backend.apply(&Command::Register(Box::new(registration)));
    };
    let paths = [
        ("/v1/health/service/web", "/0/Checks/0"),
        ("/v1/health/checks/web", "/0"),
        ("/v1/health/node/host", "/0"),
        ("/v1/health/state/any", "/0"),
        ("/v1/internal/ui/nodes", "/0/Checks/0"),
        ("/v1/internal/ui/node/host", "/Checks/0"),
    ];
    // The registry's index is 10 seconds then, and one second more with each command.
    let steps = [
        (Status::Passing, "", "1970-01-01T00:00:10Z"),
        (Status::Critical, "", "1970-01-01T00:00:11Z"),
        // Another output is no other status.
        (Status::Critical, "again", "1970-01-01T00:00:11Z"),
    ];
    for (status, output, since) in steps {
        set(status, output);
        for (path, check) in paths {
            let asked = server.get(&format!("{path}?since")).await.json();
            let check = |answer: &Value| answer.pointer(check).cloned().unwrap_or_else(|| panic!("{path}: {answer}"));
            assert_eq!(check(&asked)["Since"], since, "{path}: {asked}");
            assert_eq!(check(&asked)["Output"], output, "{path}: {asked}");
            let plain = server.get(path).await.json();
            assert_eq!(check(&plain).get("Since"), None, "{path}: {plain}");
        }
    }
}
