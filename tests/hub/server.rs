//! A Hub on this machine: the endpoints that downloads and uploads use, with faults on request.

use super::answers;
use std::collections::BTreeMap;
use std::io::{BufRead, BufReader, Read, Write};
use std::net::{TcpListener, TcpStream};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

pub const ID: &str = "org/tiny";
pub const COMMIT: &str = "0123456789abcdef0123456789abcdef01234567";

pub type Files = BTreeMap<String, Vec<u8>>;

/// A repository: its branches, and the files of each commit.
#[derive(Clone, Default)]
pub struct Repo {
    pub branches: BTreeMap<String, String>,
    pub commits: BTreeMap<String, Files>,
    pub private: bool,
    /// What the listing says instead of the truth: path, then size or hash.
    pub sizes: BTreeMap<String, u64>,
    pub hashes: BTreeMap<String, String>,
}

impl Repo {
    /// One commit on `main`.
    pub fn new(commit: &str, files: Files) -> Self {
        let mut repo = Self::default();
        repo.put(commit, files);
        repo
    }

    /// A new commit on `main`.
    pub fn put(&mut self, commit: &str, files: Files) {
        self.branches.insert("main".into(), commit.into());
        self.commits.insert(commit.into(), files);
    }

    /// The files of the newest commit.
    pub fn files(&mut self) -> &mut Files {
        self.commits.get_mut(&self.branches["main"]).unwrap()
    }
}

/// What goes wrong with an answer.
#[derive(Clone, Copy, Debug)]
pub enum Fault {
    /// An error instead.
    Status(u16),
    /// An error that asks to wait so many seconds.
    Wait(u16, u64),
    /// The connection ends after so many bytes of the body.
    Cut(usize),
    /// Each half of the body comes after so many milliseconds.
    Slow(u64),
    /// As many bytes as promised, but others.
    Damaged,
    /// One byte more than promised, with a length that says so.
    Longer,
    /// Half of it, with a length that says so.
    Shorter,
    /// The whole file, whatever range is asked for.
    Whole,
    /// Another range than the one asked for.
    OtherRange,
    /// Back to the same address, without end.
    Circle,
}

/// A request.
#[derive(Clone, Debug, Default)]
pub struct Asked {
    pub method: String,
    /// Without the query, decoded by segment only where needed.
    pub path: String,
    pub query: String,
    pub token: Option<String>,
    /// First byte of the range that is asked for.
    pub start: Option<usize>,
    pub headers: BTreeMap<String, String>,
    pub body: Vec<u8>,
}

/// An answer.
pub struct Answer {
    pub status: u16,
    pub headers: Vec<(&'static str, String)>,
    pub body: Vec<u8>,
}

type Faults = Box<dyn FnMut(&Asked) -> Option<Fault> + Send>;

/// What the server has and what it was asked.
#[derive(Default)]
pub struct State {
    /// By `models/owner/name` or `datasets/owner/name`.
    pub repos: BTreeMap<String, Repo>,
    /// Objects of Git LFS by SHA-256.
    pub objects: Files,
    /// Objects in parts.
    pub parts: BTreeMap<String, BTreeMap<usize, Vec<u8>>>,
    /// Bytes of a part; objects that are larger come in parts.
    pub part: Option<usize>,
    /// The token that requests have to carry.
    pub token: Option<String>,
    /// Whether only those that change something need it.
    pub readable: bool,
    /// Answer every request with this status.
    pub status: Option<u16>,
    /// Leave the list of files out of a repository's description.
    pub unlisted: bool,
    /// Where large files really are.
    pub elsewhere: Option<String>,
    pub faults: Option<Faults>,
    /// Method and path of each request.
    pub log: Vec<String>,
    /// Each request in full.
    pub asked: Vec<Asked>,
}

#[derive(Clone)]
pub struct Server {
    pub endpoint: String,
    state: Arc<Mutex<State>>,
}

impl Server {
    /// Serves these files of `org/tiny` until the test ends.
    pub fn start(files: &[(&str, &[u8])]) -> Self {
        Self::at("127.0.0.1:0", files)
    }

    pub fn at(address: &str, files: &[(&str, &[u8])]) -> Self {
        let listener = TcpListener::bind(address).unwrap();
        let endpoint = format!("http://{}", listener.local_addr().unwrap());
        let files = files.iter().map(|(name, bytes)| (name.to_string(), bytes.to_vec())).collect();
        let repos = BTreeMap::from([(format!("models/{ID}"), Repo::new(COMMIT, files))]);
        let state = Arc::new(Mutex::new(State { repos, ..State::default() }));
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

    pub fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub fn set(&self, change: impl FnOnce(&mut State)) {
        change(&mut self.state());
    }

    /// Changes the repository `org/tiny`.
    pub fn repo(&self, change: impl FnOnce(&mut Repo)) {
        self.repo_named(&format!("models/{ID}"), change);
    }

    pub fn repo_named(&self, key: &str, change: impl FnOnce(&mut Repo)) {
        change(self.state().repos.get_mut(key).unwrap());
    }

    /// Decides what goes wrong with each request.
    pub fn faults(&self, faults: impl FnMut(&Asked) -> Option<Fault> + Send + 'static) {
        self.state().faults = Some(Box::new(faults));
    }

    /// The requests since the last call.
    pub fn requests(&self) -> Vec<String> {
        std::mem::take(&mut self.state().log)
    }

    fn serve(&self, stream: TcpStream) -> Option<()> {
        let asked = read(&stream)?;
        let (mut answer, fault) = {
            let mut state = self.state();
            state.log.push(format!("{} {}", asked.method, asked.path));
            state.asked.push(Asked { body: Vec::new(), ..asked.clone() });
            let fault = state.faults.as_mut().and_then(|faults| faults(&asked));
            let mut heard = asked.clone();
            if matches!(fault, Some(Fault::Whole)) {
                heard.start = None;
            }
            if let (Some(Fault::OtherRange), Some(start)) = (fault, &mut heard.start) {
                *start = start.saturating_sub(1);
            }
            (answers::answer(&mut state, &heard, &self.endpoint), fault)
        };
        match fault {
            Some(Fault::Status(status)) => answer = Answer::error(status),
            Some(Fault::Wait(status, seconds)) => {
                answer = Answer::error(status);
                answer.headers.push(("retry-after", seconds.to_string()));
            }
            Some(Fault::Damaged) => answer.body.iter_mut().for_each(|byte| *byte ^= 1),
            Some(Fault::Longer) => answer.body.push(b'!'),
            Some(Fault::Shorter) => answer.body.truncate(answer.body.len() / 2),
            Some(Fault::Circle) => {
                let location = format!("{}{}", self.endpoint, asked.path);
                answer = Answer { status: 302, headers: vec![("location", location)], body: Vec::new() };
            }
            _ => {}
        }
        let mut head = format!("HTTP/1.1 {} X\r\nconnection: close\r\n", answer.status);
        if !answer.headers.iter().any(|(name, _)| *name == "content-length") {
            head += &format!("content-length: {}\r\n", answer.body.len());
        }
        answer.headers.iter().for_each(|(name, value)| head += &format!("{name}: {value}\r\n"));
        let mut out = &stream;
        out.write_all((head + "\r\n").as_bytes()).ok()?;
        if asked.method == "HEAD" {
            return Some(());
        }
        match fault {
            Some(Fault::Cut(length)) => out.write_all(&answer.body[..length.min(answer.body.len())]).ok()?,
            Some(Fault::Slow(wait)) => {
                for half in answer.body.chunks(answer.body.len().div_ceil(2).max(1)) {
                    std::thread::sleep(Duration::from_millis(wait));
                    out.write_all(half).ok()?;
                }
            }
            _ => out.write_all(&answer.body).ok()?,
        }
        Some(())
    }
}

impl Answer {
    pub fn error(status: u16) -> Self {
        Self { status, headers: Vec::new(), body: br#"{"error": "no"}"#.to_vec() }
    }

    pub fn json(value: &serde_json::Value) -> Self {
        let headers = vec![("content-type", "application/json".into())];
        Self { status: 200, headers, body: value.to_string().into_bytes() }
    }
}

fn read(stream: &TcpStream) -> Option<Asked> {
    let mut reader = BufReader::new(stream);
    let mut line = String::new();
    reader.read_line(&mut line).ok()?;
    let mut words = line.split(' ');
    let (method, target) = (words.next()?.to_owned(), words.next()?.to_owned());
    let (path, query) = target.split_once('?').unwrap_or((&target, ""));
    let mut headers = BTreeMap::new();
    loop {
        let mut line = String::new();
        if reader.read_line(&mut line).ok()? < 3 {
            break;
        }
        let (name, value) = line.split_once(':')?;
        headers.insert(name.to_ascii_lowercase(), value.trim().to_owned());
    }
    let length = headers.get("content-length").and_then(|text| text.parse().ok()).unwrap_or(0);
    let mut body = vec![0; length];
    reader.read_exact(&mut body).ok()?;
    let start = headers.get("range").and_then(|range| range.strip_prefix("bytes=")?.strip_suffix('-')?.parse().ok());
    let token = headers.get("authorization").and_then(|value| value.strip_prefix("Bearer ")).map(str::to_owned);
    Some(Asked { method, path: path.into(), query: query.into(), token, start, headers, body })
}
