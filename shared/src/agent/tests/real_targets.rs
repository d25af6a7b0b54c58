//! Checks of listeners on this machine, in real time.

use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpListener,
};

use super::*;

/// Answers every request with the next of these texts, the last one for ever; returns its address.
async fn http_server(answers: Vec<&'static str>) -> (String, Arc<Mutex<Vec<String>>>) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap().to_string();
    let requests = Arc::new(Mutex::new(Vec::new()));
    let seen = requests.clone();
    tokio::spawn(async move {
        let mut answers = answers.into_iter().peekable();
        while let Ok((mut stream, _)) = listener.accept().await {
            let mut request = vec![0; 8192];
            let length = stream.read(&mut request).await.unwrap_or(0);
            seen.lock().unwrap().push(String::from_utf8_lossy(&request[..length]).into_owned());
            let answer = answers.next().unwrap();
            let _ = stream.write_all(answer.as_bytes()).await;
            if answers.peek().is_none() {
                return;
            }
        }
    });
    (address, requests)
}

async fn output(registry: &Arc<Registry>, agent: &Agent, wanted: Status) -> String {
    registry.shows(wanted.as_str(), |state| status(state, "c") == Some(wanted)).await;
    agent.checks()[0].output.to_string()
}

#[tokio::test]
async fn a_tcp_check_follows_its_listener() {
    let registry = Registry::new();
    let (agent, _tasks) = started(&registry).await;
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let body = json!({"Name": "c", "TCP": address.to_string(), "Interval": "20ms", "SuccessBeforePassing": 3});
    agent.register_check(check(&body), &Credential::none()).await.unwrap();
    assert_eq!(output(&registry, &agent, Status::Passing).await, format!("TCP connect {address}: Success"));
    drop(listener);
    let output = output(&registry, &agent, Status::Critical).await;
    assert!(output.starts_with(&format!("dial tcp {address}: ")), "{output}");
}

#[tokio::test]
async fn an_http_check_sends_what_it_is_told_and_judges_by_the_status() {
    let registry = Registry::new();
    let (agent, _tasks) = started(&registry).await;
    let (address, requests) = http_server(vec![
        "HTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\nfine",
        "HTTP/1.1 429 Too Many Requests\r\nContent-Length: 0\r\n\r\n",
        "HTTP/1.1 503 Service Unavailable\r\nContent-Length: 0\r\n\r\n",
        "HTTP/1.1 302 Found\r\nLocation: /there\r\nContent-Length: 0\r\n\r\n",
        "HTTP/1.1 204 No Content\r\n\r\n",
        "not http",
    ])
    .await;
    let url = format!("http://{address}/health?x=1");
    let body = json!({"Name": "c", "HTTP": url, "Interval": "150ms", "Method": "POST", "Body": "ping",
                      "Header": {"X-Probe": ["yes"]}});
    agent.register_check(check(&body), &Credential::none()).await.unwrap();
    assert_eq!(output(&registry, &agent, Status::Passing).await, format!("HTTP POST {url}: 200 OK Output: fine"));
    output(&registry, &agent, Status::Warning).await;
    let refused = output(&registry, &agent, Status::Critical).await;
    assert_eq!(refused, format!("HTTP POST {url}: 503 Service Unavailable Output: "));
    output(&registry, &agent, Status::Passing).await;
    output(&registry, &agent, Status::Critical).await;
    let requests = requests.lock().unwrap();
    let first = requests[0].to_ascii_lowercase();
    for part in ["post /health?x=1 http/1.1", "x-probe: yes", "user-agent: lictor health check", "\r\n\r\nping"] {
        assert!(first.contains(part), "{part} in {first}");
    }
    assert!(first.contains(&format!("host: {address}")), "{first}");
    assert!(requests[4].starts_with("GET /there HTTP/1.1"), "{}", requests[4]);
}

#[tokio::test]
async fn a_target_that_does_not_answer_is_critical_after_the_time_out() {
    let registry = Registry::new();
    let (agent, _tasks) = started(&registry).await;
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}/", listener.local_addr().unwrap());
    let body = json!({"Name": "c", "HTTP": url, "Interval": "20ms", "Timeout": "50ms", "Status": "passing"});
    agent.register_check(check(&body), &Credential::none()).await.unwrap();
    assert_eq!(output(&registry, &agent, Status::Critical).await, format!("{url}: no answer within 50ms"));
}

#[tokio::test]
async fn a_deregistered_check_runs_no_more() {
    let registry = Registry::new();
    let (agent, _tasks) = started(&registry).await;
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let body = json!({"Name": "c", "TCP": listener.local_addr().unwrap().to_string(), "Interval": "10ms"});
    agent.register_check(check(&body), &Credential::none()).await.unwrap();
    output(&registry, &agent, Status::Passing).await;
    agent.deregister_check(&"c".into()).await.unwrap();
    let next_connection = async {
        // Those that were under way may still be in the queue.
        for _ in 0..10_000 {
            let Ok(_) = tokio::time::timeout(Duration::from_millis(300), listener.accept()).await else { return };
        }
        panic!("it still connects");
    };
    next_connection.await;
    assert!(agent.checks().is_empty());
}
