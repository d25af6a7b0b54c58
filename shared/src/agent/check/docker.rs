//! One run of a Docker check: runs the command inside a container through the Docker Engine's API (`exec`), over its
//! unix socket. Exit 0 passes, 1 warns, the rest is critical.
//!
//! The API cannot kill what it has started: a command that outlives its time-out goes on inside its container.

use std::path::{Path, PathBuf};

use bytes::Bytes;
use http::{Method, Request, header};
use http_body_util::{BodyExt, Full, Limited};
use hyper::body::Incoming;
use hyper_util::rt::TokioIo;
use serde_json::{Value, json};
use tokio::net::UnixStream;

use super::{output, script::status_of};
use crate::{
    model::{CheckDefinition, Status},
    process::Tail,
};

const SOCKET: &str = "/var/run/docker.sock";
/// The most of an answer in JSON that is read, in bytes.
const ANSWER_MAX: usize = 64 << 10;

/// Runs the command of `definition` in its container.
pub(super) async fn probe(definition: &CheckDefinition) -> (Status, String) {
    match socket(std::env::var("DOCKER_HOST").ok().as_deref()) {
        Ok(socket) => probe_by(&socket, definition).await,
        Err(failure) => (Status::Critical, failure),
    }
}

fn socket(host: Option<&str>) -> Result<PathBuf, String> {
    let Some(host) = host.filter(|host| !host.is_empty()) else { return Ok(SOCKET.into()) };
    let path = host.strip_prefix("unix://").filter(|path| path.starts_with('/'));
    path.map(PathBuf::from).ok_or_else(|| format!("DOCKER_HOST={host}: only unix:///path can be used for checks"))
}

async fn probe_by(socket: &Path, definition: &CheckDefinition) -> (Status, String) {
    match exec(socket, definition).await {
        Ok((code, output)) => (status_of(code), output),
        Err(failure) => (Status::Critical, format!("docker: {failure}")),
    }
}

async fn exec(socket: &Path, definition: &CheckDefinition) -> Result<(i64, String), String> {
    let container = definition.docker_container_id.as_str();
    if !container.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"_.-".contains(&byte)) {
        return Err(format!("{container:?} is no name or ID of a container"));
    }
    let command: Vec<&str> = definition.script_args.iter().map(|argument| argument.as_str()).collect();
    let create =
        json!({"AttachStdin": false, "AttachStdout": true, "AttachStderr": true, "Tty": false, "Cmd": command});
    let created = answer(call(socket, Method::POST, &format!("/containers/{container}/exec"), &create).await?).await?;
    let id = created["Id"].as_str().filter(|id| id.bytes().all(|byte| byte.is_ascii_alphanumeric()));
    let id = id.ok_or("the engine gave no ID")?;
    let start = json!({"Detach": false, "Tty": false});
    let mut stream = call(socket, Method::POST, &format!("/exec/{id}/start"), &start).await?;
    let mut frames = Frames::new(output::limit(Some(definition)));
    while let Some(frame) = stream.frame().await {
        let frame = frame.map_err(|error| error.to_string())?;
        if let Some(data) = frame.data_ref() {
            frames.push(data);
        }
    }
    let ended = answer(call(socket, Method::GET, &format!("/exec/{id}/json"), &Value::Null).await?).await?;
    let code = ended["ExitCode"].as_i64().ok_or("the engine gave no exit code")?;
    Ok((code, frames.tail.into_text()))
}

/// Sends a request on a connection of its own; gives the body of a good answer.
async fn call(socket: &Path, method: Method, path: &str, body: &Value) -> Result<Incoming, String> {
    let stream = UnixStream::connect(socket).await.map_err(|error| format!("{}: {error}", socket.display()))?;
    let failed = |error: hyper::Error| error.to_string();
    let (mut sender, connection) = hyper::client::conn::http1::handshake(TokioIo::new(stream)).await.map_err(failed)?;
    // Ends with the answer's body, or when that is dropped.
    tokio::spawn(connection);
    let body = if body.is_null() { Bytes::new() } else { body.to_string().into() };
    let request = Request::builder()
        .method(method)
        .uri(path)
        .header(header::HOST, "docker")
        .header(header::CONTENT_TYPE, "application/json")
        .body(Full::new(body))
        .map_err(|error| error.to_string())?;
    let response = sender.send_request(request).await.map_err(failed)?;
    if response.status().is_success() {
        return Ok(response.into_body());
    }
    let code = response.status();
    let reason = answer(response.into_body()).await.unwrap_or_default();
    Err(format!("{path}: {code}: {}", reason["message"].as_str().unwrap_or_default()))
}

async fn answer(body: Incoming) -> Result<Value, String> {
    let body = Limited::new(body, ANSWER_MAX).collect().await.map_err(|error| error.to_string())?.to_bytes();
    serde_json::from_slice(&body).map_err(|error| error.to_string())
}

/// Takes the engine's stream apart: frames of eight bytes (which stream, and the length in the last four), then so many
/// bytes of output.
struct Frames {
    header: Vec<u8>,
    left: usize,
    tail: Tail,
}

impl Frames {
    fn new(limit: usize) -> Self {
        Self { header: Vec::with_capacity(8), left: 0, tail: Tail::new(limit) }
    }

    fn push(&mut self, mut data: &[u8]) {
        while !data.is_empty() {
            if self.left == 0 {
                let (part, rest) = data.split_at(data.len().min(8 - self.header.len()));
                self.header.extend_from_slice(part);
                data = rest;
                if let [_, _, _, _, a, b, c, d] = self.header[..] {
                    self.left = u32::from_be_bytes([a, b, c, d]) as usize;
                    self.header.clear();
                }
            } else {
                let (part, rest) = data.split_at(data.len().min(self.left));
                self.tail.push(part);
                self.left -= part.len();
                data = rest;
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use tokio::{
        io::{AsyncReadExt, AsyncWriteExt},
        net::UnixListener,
    };

    use super::*;

    #[test]
    fn sockets() {
        assert_eq!(socket(None), Ok(SOCKET.into()));
        assert_eq!(socket(Some("")), Ok(SOCKET.into()));
        assert_eq!(socket(Some("unix:///run/user/1/docker.sock")), Ok("/run/user/1/docker.sock".into()));
        assert!(socket(Some("tcp://10.0.0.1:2375")).is_err());
    }

    #[test]
    fn frames_may_be_cut_anywhere() {
        let stream =
            [&[1, 0, 0, 0, 0, 0, 0, 3][..], b"out", &[2, 0, 0, 0, 0, 0, 0, 0], &[2, 0, 0, 0, 0, 0, 0, 4], b"err\n"];
        let stream = stream.concat();
        for size in 1..=stream.len() {
            let mut frames = Frames::new(100);
            stream.chunks(size).for_each(|piece| frames.push(piece));
            assert_eq!(frames.tail.into_text(), "outerr\n", "{size}");
        }
    }

    /// An engine whose commands say `hello` and exit with this code; gives the requests' first lines.
    async fn engine(listener: UnixListener, code: i64) -> Vec<String> {
        let mut lines = Vec::new();
        for _ in 0..3 {
            let (mut stream, _) = listener.accept().await.unwrap();
            let mut request = vec![0; 4096];
            let length = stream.read(&mut request).await.unwrap();
            let request = String::from_utf8_lossy(&request[..length]).into_owned();
            let line = request.lines().next().unwrap().to_string();
            let reply = if line.contains("/containers/") {
                "HTTP/1.1 201 Created\r\nContent-Length: 11\r\n\r\n{\"Id\":\"e1\"}".to_string()
            } else if line.contains("/start") {
                let head = "HTTP/1.1 200 OK\r\nContent-Type: application/vnd.docker.raw-stream\r\n\r\n";
                format!("{head}\u{1}\0\0\0\0\0\0\u{5}hello")
            } else {
                let body = json!({"ExitCode": code}).to_string();
                format!("HTTP/1.1 200 OK\r\nContent-Length: {}\r\n\r\n{body}", body.len())
            };
            stream.write_all(reply.as_bytes()).await.unwrap();
            lines.push(line);
        }
        lines
    }

    #[tokio::test]
    async fn the_exit_code_inside_the_container_decides() {
        let directory = tempfile::tempdir().unwrap();
        for (code, expected) in [(0, Status::Passing), (1, Status::Warning), (2, Status::Critical)] {
            let path = directory.path().join(format!("{code}.sock"));
            let listener = UnixListener::bind(&path).unwrap();
            let definition = CheckDefinition {
                docker_container_id: "web-1".into(),
                script_args: vec!["true".into()],
                ..CheckDefinition::default()
            };
            let (lines, (status, output)) = tokio::join!(engine(listener, code), probe_by(&path, &definition));
            assert_eq!((status, output.as_str()), (expected, "hello"));
            assert_eq!(
                lines,
                ["POST /containers/web-1/exec HTTP/1.1", "POST /exec/e1/start HTTP/1.1", "GET /exec/e1/json HTTP/1.1"]
            );
        }
        let definition = CheckDefinition { docker_container_id: "../x".into(), ..CheckDefinition::default() };
        assert_eq!(probe_by(Path::new("/nonexistent"), &definition).await.0, Status::Critical);
    }
}
