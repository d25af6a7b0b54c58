//! Copies of services of another datacenter: `dc1` keeps one of `payments` in `dc2`.

use serde_json::json;

use super::*;

/// A server of `dc1` that keeps the copy, once it has it, and the one of `dc2`.
async fn world(change: impl FnOnce(&mut Settings)) -> (TestServer, TestServer) {
    let far = TestServer::with(|settings| settings.identity.datacenter = "dc2".into()).await;
    for (name, port, status, tag) in [("a", 1, "passing", "x"), ("b", 2, "critical", "y"), ("c", 3, "passing", "Y")] {
        let body = json!({"Node": name, "Address": "10.0.0.1", "NodeMeta": {"rack": name},
            "Service": {"Service": "payments", "Port": port, "Tags": [tag]},
            "Check": {"CheckID": "c", "Name": "c", "ServiceID": "payments", "Status": status}});
        assert_eq!(far.send(Method::PUT, "/v1/catalog/register", &body.to_string()).await.body, "true");
    }
    let copied = [RemoteService { datacenter: "dc2".into(), service: "payments".into() }];
    let near = TestServer::with_copies(&copied, change).await;
    near.backend.far().open(far.context.clone(), far.tasks.stopping());
    (near, far)
}

const PATH: &str = "/v1/health/service/payments?dc=dc2";

fn ports(reply: &Reply) -> Vec<u64> {
    let rows = reply.json();
    rows.as_array().unwrap().iter().map(|row| row["Service"]["Port"].as_u64().unwrap()).collect()
}

async fn until(what: &str, mut holds: impl AsyncFnMut() -> bool) {
    let wait = async {
        while !holds().await {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    };
    tokio::time::timeout(PATIENCE, wait).await.unwrap_or_else(|_| panic!("{what}"));
}

#[tokio::test]
async fn a_copy_answers_when_the_way_is_cut_and_says_how_old_it_is() {
    let (near, far) = world(|_| ()).await;
    let last_contact = |reply: &Reply| reply.header("x-consul-lastcontact").unwrap().parse::<u64>().unwrap();
    until("the copy comes", async || near.get(&format!("{PATH}&cached")).await.header("x-cache") == Some("HIT")).await;
    let (here, there) = (near.get(PATH).await, far.get(PATH).await);
    assert_eq!((here.json(), here.index()), (there.json(), there.index()));

    near.backend.cut(true);
    let refused = near.get("/v1/health/service/other?dc=dc2").await;
    assert_eq!(refused.status, StatusCode::SERVICE_UNAVAILABLE, "there is a copy of one service only");
    assert_eq!(near.get(&format!("{PATH}&consistent")).await.status, StatusCode::SERVICE_UNAVAILABLE);
    for (parameters, expected) in [
        ("", vec![1, 2, 3]),
        ("&stale", vec![1, 2, 3]),
        ("&cached&pretty", vec![1, 2, 3]),
        ("&passing", vec![1, 3]),
        ("&tag=y", vec![2, 3]),
        ("&tag=y&passing&stale", vec![3]),
        ("&node-meta=rack:b", vec![2]),
        ("&filter=Service.Port%3D%3D3", vec![3]),
        ("&filter=Service.Port%3D%3D9", vec![]),
    ] {
        let reply = near.get(&format!("{PATH}{parameters}")).await;
        assert_eq!(ports(&reply), expected, "{parameters}");
        assert_eq!(reply.index(), there.index());
    }
    until("it is known that nobody answers", async || {
        near.get(&format!("{PATH}&stale")).await.header("x-consul-knownleader") == Some("false")
    })
    .await;
    let before = near.get(PATH).await;
    assert_eq!(before.header("x-consul-knownleader"), Some("false"));
    until("it grows old", async || last_contact(&near.get(PATH).await) > last_contact(&before)).await;
    let old = last_contact(&before);
    let fresher = near.get(&format!("{PATH}&max_stale={old}ms")).await;
    assert_eq!(ports(&fresher), [1, 2, 3], "nobody has anything fresher");

    near.backend.cut(false);
    until("it is fresh again", async || {
        near.get(&format!("{PATH}&stale")).await.header("x-consul-knownleader") == Some("true")
    })
    .await;
}

#[tokio::test]
async fn a_change_wakes_who_waits_for_the_copy() {
    let (near, far) = world(|_| ()).await;
    until("the copy comes", async || near.get(&format!("{PATH}&cached")).await.header("x-cache") == Some("HIT")).await;
    let index = near.get(&format!("{PATH}&stale")).await.index();
    let path = format!("{PATH}&stale&index={index}&wait=1m");
    let waiting = near.get(&path);
    tokio::pin!(waiting);
    assert!(tokio::time::timeout(Duration::from_millis(50), &mut waiting).await.is_err());
    far.send(Method::PUT, "/v1/catalog/deregister", r#"{"Node": "a"}"#).await;
    let reply = waiting.await;
    assert_eq!(ports(&reply), [2, 3]);
    assert!(reply.index() > index);

    // The same when the way is cut: there is nothing to wake for, and an end to the wait.
    near.backend.cut(true);
    let reply = near.get(&format!("{PATH}&index={}&wait=50ms", reply.index())).await;
    assert_eq!((ports(&reply), reply.header("x-consul-knownleader")), (vec![2, 3], Some("false")));
}

#[tokio::test]
async fn who_wants_no_old_answers_gets_none_from_a_copy() {
    let (near, _) = world(|settings| settings.discovery_max_stale = Duration::ZERO).await;
    until("the copy comes", async || near.get(&format!("{PATH}&cached")).await.header("x-cache") == Some("HIT")).await;
    near.backend.cut(true);
    assert_eq!(near.get(PATH).await.status, StatusCode::SERVICE_UNAVAILABLE);
}
