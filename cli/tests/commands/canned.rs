//! An agent that gives known answers, and the program run against it.

use std::{
    io::{Read, Write},
    net::{SocketAddr, TcpListener, TcpStream},
    path::Path,
    process::{Command, Output},
    sync::{Arc, Mutex},
    thread,
};

pub const LICTOR: &str = env!("CARGO_BIN_EXE_lictor");

/// What a run printed and how it ended.
#[derive(Debug, PartialEq)]
pub struct Said {
    pub code: i32,
    pub out: String,
    pub err: String,
}

/// The program, asking the agent at `agent`. Nothing of the tester's own environment reaches it.
pub fn command(program: impl AsRef<Path>, arguments: &[&str], agent: &str) -> Command {
    let mut command = Command::new(program.as_ref());
    for variable in ["CONSUL_HTTP_TOKEN", "CONSUL_HTTP_TOKEN_FILE", "CONSUL_HTTP_SSL", "CONSUL_HTTP_AUTH", "SHELL"] {
        command.env_remove(variable);
    }
    command.args(arguments).env("CONSUL_HTTP_ADDR", agent);
    command
}

pub fn said(program: impl AsRef<Path>, arguments: &[&str], agent: SocketAddr) -> Said {
    let output = command(program, arguments, &agent.to_string()).output().unwrap();
    let Output { status, stdout, stderr } = output;
    let text = |bytes| String::from_utf8(bytes).unwrap().replace(&agent.to_string(), "AGENT");
    Said { code: status.code().unwrap(), out: text(stdout), err: text(stderr) }
}

/// The agent. Its thread ends with it.
pub struct Canned {
    pub address: SocketAddr,
    requests: Arc<Mutex<Vec<String>>>,
}

impl Canned {
    /// Answers each request with the first of `answers` whose key is in the request's line, any index, and status 200;
    /// a request that has none is answered with 404.
    pub fn new(answers: &[(&str, &str)]) -> Self {
        let answers: Vec<(String, String)> =
            answers.iter().map(|(key, answer)| (key.to_string(), answer.to_string())).collect();
        Self::answering(move |line| {
            let found = answers.iter().find(|(key, _)| line.contains(key.as_str()));
            match found {
                Some((_, answer)) => reply("200 OK", answer),
                None => reply("404 Not Found", "no such endpoint"),
            }
        })
    }

    /// Answers each request with what `answer` makes of its first line and body.
    pub fn answering(mut answer: impl FnMut(&str) -> String + Send + 'static) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap();
        let requests = Arc::new(Mutex::new(Vec::new()));
        let log = requests.clone();
        thread::spawn(move || {
            for stream in listener.incoming() {
                let mut stream = stream.unwrap();
                let request = request(&mut stream);
                if request == "END" {
                    return;
                }
                log.lock().unwrap().push(request.clone());
                // The client may be gone by now.
                let _ = stream.write_all(answer(&request).as_bytes());
            }
        });
        Self { address, requests }
    }

    /// Runs a command line against it.
    pub fn said(&self, line: &str) -> Said {
        let arguments: Vec<&str> = line.split(' ').collect();
        said(LICTOR, &arguments, self.address)
    }

    /// The requests so far: `METHOD PATH`, and the body if there is one.
    pub fn asked(&self) -> Vec<String> {
        self.requests.lock().unwrap().clone()
    }
}

impl Drop for Canned {
    fn drop(&mut self) {
        if let Ok(mut stream) = TcpStream::connect(self.address) {
            let _ = stream.write_all(b"END\r\n\r\n");
        }
    }
}

/// An answer as it is sent.
pub fn reply(status: &str, body: &str) -> String {
    format!("HTTP/1.1 {status}\r\nX-Consul-Index: 7\r\nContent-Length: {}\r\n\r\n{body}", body.len())
}

/// Reads a request: `METHOD PATH BODY`.
pub fn request(stream: &mut impl Read) -> String {
    let mut read = Vec::new();
    loop {
        let text = String::from_utf8_lossy(&read);
        if let Some((head, body)) = text.split_once("\r\n\r\n") {
            let length = head.lines().find_map(|line| line.strip_prefix("content-length: "));
            if body.len() >= length.map_or(0, |length| length.parse().unwrap()) {
                let line = head.lines().next().unwrap().trim_end_matches(" HTTP/1.1");
                return format!("{line} {body}").trim_end().to_string();
            }
        }
        let mut piece = [0; 4096];
        let length = stream.read(&mut piece).unwrap();
        if length == 0 {
            return String::from_utf8(read).unwrap();
        }
        read.extend_from_slice(&piece[..length]);
    }
}
