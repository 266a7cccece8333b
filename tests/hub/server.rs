//! A Hub of one repository on this machine, in as much of its protocol as downloads need.

use mtl_zoo::files::sha256_hex;
use std::collections::BTreeMap;
use std::io::{BufRead, BufReader, Write};
use std::net::{TcpListener, TcpStream};
use std::sync::{Arc, Mutex};

pub const ID: &str = "org/tiny";
pub const COMMIT: &str = "0123456789abcdef0123456789abcdef01234567";

/// What the server has and what it was asked.
#[derive(Default)]
pub struct State {
    pub files: BTreeMap<String, Vec<u8>>,
    pub commit: String,
    /// The token that requests have to carry.
    pub token: Option<String>,
    /// Answer every request with this status.
    pub status: Option<u16>,
    /// Answer with other bytes than promised.
    pub damaged: bool,
    /// Leave the list of files out.
    pub unlisted: bool,
    /// Method and path of each request.
    pub log: Vec<String>,
}

#[derive(Clone)]
pub struct Server {
    pub endpoint: String,
    state: Arc<Mutex<State>>,
}

impl Server {
    /// Serves these files of `org/tiny` until the test ends.
    pub fn start(files: &[(&str, &[u8])]) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let endpoint = format!("http://{}", listener.local_addr().unwrap());
        let files = files.iter().map(|(name, bytes)| (name.to_string(), bytes.to_vec())).collect();
        let state = Arc::new(Mutex::new(State { files, commit: COMMIT.into(), ..State::default() }));
        let server = Self { endpoint, state };
        let clone = server.clone();
        std::thread::spawn(move || {
            for stream in listener.incoming().flatten() {
                let server = clone.clone();
                std::thread::spawn(move || server.serve(stream));
            }
        });
        server
    }

    pub fn set(&self, change: impl FnOnce(&mut State)) {
        change(&mut self.state.lock().unwrap());
    }

    /// The requests since the last call.
    pub fn requests(&self) -> Vec<String> {
        std::mem::take(&mut self.state.lock().unwrap().log)
    }

    fn serve(&self, stream: TcpStream) {
        let mut reader = BufReader::new(&stream);
        let mut request = String::new();
        let _ = reader.read_line(&mut request);
        let mut token = None;
        loop {
            let mut line = String::new();
            if reader.read_line(&mut line).unwrap_or(0) < 3 {
                break;
            }
            let (name, value) = line.split_once(':').unwrap_or(("", ""));
            if name.eq_ignore_ascii_case("authorization") {
                token = value.trim().strip_prefix("Bearer ").map(str::to_owned);
            }
        }
        let Some((method, path)) = request.split_once(' ') else { return };
        let path = path.split(' ').next().unwrap_or_default();
        let mut state = self.state.lock().unwrap();
        state.log.push(format!("{method} {path}"));
        let (status, headers, body) = state.answer(path, token.as_deref());
        drop(state);
        let mut answer = format!("HTTP/1.1 {status} X\r\nconnection: close\r\ncontent-length: {}\r\n", body.len());
        headers.iter().for_each(|(name, value)| answer += &format!("{name}: {value}\r\n"));
        let mut bytes = (answer + "\r\n").into_bytes();
        if method != "HEAD" {
            bytes.extend(body);
        }
        let _ = (&stream).write_all(&bytes);
    }
}

impl State {
    fn answer(&self, path: &str, token: Option<&str>) -> (u16, Vec<(&'static str, String)>, Vec<u8>) {
        let error = |status: u16| (status, Vec::new(), br#"{"error": "no"}"#.to_vec());
        if let Some(status) = self.status {
            return error(status);
        }
        if self.token.is_some() && self.token.as_deref() != token {
            return error(401);
        }
        if let Some(revision) = path.strip_prefix(&format!("/api/models/{ID}/revision/")) {
            if revision != "main" && revision != self.commit {
                return error(404);
            }
            let mut info = serde_json::json!({"id": ID, "sha": self.commit});
            if !self.unlisted {
                info["siblings"] = self.files.keys().map(|name| serde_json::json!({"rfilename": name})).collect();
            }
            return (200, vec![("content-type", "application/json".into())], info.to_string().into_bytes());
        }
        let file = path.strip_prefix(&format!("/{ID}/resolve/{}/", self.commit));
        let Some(bytes) = file.and_then(|file| self.files.get(file)) else { return error(404) };
        let hash = sha256_hex(bytes);
        // As the Hub: SHA-256 for large files, a shorter Git hash for the others.
        let etag = if path.ends_with(".safetensors") { &hash } else { &hash[..40] };
        let headers = vec![("etag", format!("\"{etag}\"")), ("x-repo-commit", self.commit.clone())];
        (200, headers, if self.damaged { vec![b'<'; bytes.len()] } else { bytes.clone() })
    }
}
