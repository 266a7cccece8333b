//! Large files to the Hub, as Git LFS has it: asked for an address, sent there in one piece or several, confirmed.
//!
//! hf-hub sends large files in the Hub's own protocol only, or else puts them into the commit as text. This way goes to every
//! server that speaks Git LFS.

use super::OnProgress;
use super::access::{Access, read_json};
use super::problems::Request;
use super::push::Local;
use super::trouble::Trouble;
use reqwest::header::{ACCEPT, CONTENT_LENGTH, CONTENT_TYPE, ETAG};
use reqwest::{Body, Method, RequestBuilder, Url};
use serde::Deserialize;
use serde_json::{Map, Value, json};
use std::fs::File;
use std::io::{self, Read, Seek, SeekFrom};
use std::path::Path;

const MEDIA_TYPE: &str = "application/vnd.git-lfs+json";
/// Bytes that are read from a file at a time.
const CHUNK: u64 = 1 << 20;

/// The Hub's answer to what is to be sent.
#[derive(Deserialize)]
struct Batch {
    objects: Vec<Object>,
}

#[derive(Deserialize)]
struct Object {
    oid: String,
    actions: Option<Actions>,
    error: Option<Refusal>,
}

#[derive(Deserialize)]
struct Refusal {
    message: String,
}

/// What is to be done; nothing for a file that the Hub has.
#[derive(Deserialize)]
struct Actions {
    upload: Option<Action>,
    verify: Option<Action>,
}

#[derive(Deserialize)]
struct Action {
    href: String,
    #[serde(default)]
    header: Map<String, Value>,
}

/// Sends files that the Hub does not have yet.
pub(super) fn upload(
    access: &Access,
    request: &Request,
    files: &[&Local],
    progress: Option<&OnProgress>,
) -> Result<(), Trouble> {
    if files.is_empty() {
        return Ok(());
    }
    let repository = format!("{}.git", request.name);
    let url = access.url(&[&request.owner, &repository, "info", "lfs", "objects", "batch"]);
    let objects: Vec<Value> = files.iter().map(|file| json!({"oid": file.sha256, "size": file.size})).collect();
    let body = json!({
        "operation": "upload",
        "transfers": ["basic", "multipart"],
        "objects": objects,
        "hash_algo": "sha256",
        "ref": {"name": request.revision},
    });
    let batch: Batch = access.retry(|| {
        access.wait(async { read_json(access.ask(Method::POST, url.clone(), |r| document(r, &body)).await?).await })
    })?;
    for file in files {
        let object = batch.objects.iter().find(|object| object.oid == file.sha256);
        let object = object.ok_or_else(|| Trouble::Malformed(format!("no way to send {}", file.name)))?;
        if let Some(Refusal { message }) = &object.error {
            let message: String = message.chars().filter(|c| !c.is_control()).take(200).collect();
            return Err(Trouble::Malformed(format!("a refusal of {}: {message}", file.name)));
        }
        let Some(actions) = &object.actions else { continue };
        if let Some(action) = &actions.upload {
            send(access, file, action, progress)?;
        }
        if let Some(verify) = &actions.verify {
            let (url, body) = (access.named(&verify.href)?, json!({"oid": file.sha256, "size": file.size}));
            let fill = |request| document(headers(request, &verify.header), &body);
            access.retry(|| access.wait(access.ask(Method::POST, url.clone(), fill)))?;
        }
    }
    Ok(())
}

fn send(access: &Access, file: &Local, action: &Action, progress: Option<&OnProgress>) -> Result<(), Trouble> {
    let url = access.named(&action.href)?;
    let chunk = match action.header.get("chunk_size") {
        Some(Value::String(text)) => text.parse().ok(),
        chunk => chunk.and_then(Value::as_u64),
    };
    let Some(chunk) = chunk else {
        return put(access, file, &url, (0, file.size), &action.header, progress).map(drop);
    };
    let parts = parts(access, file, chunk, &action.header)?;
    let mut sent = Vec::new();
    for (index, url) in parts.iter().enumerate() {
        let start = index as u64 * chunk;
        let range = (start, chunk.min(file.size - start));
        let etag = put(access, file, url, range, &Map::new(), progress)?;
        let etag = etag.ok_or_else(|| Trouble::Malformed("no ETag of a part".into()))?;
        sent.push(json!({"partNumber": index + 1, "etag": etag}));
    }
    let body = json!({"oid": file.sha256, "parts": sent});
    access.retry(|| access.wait(access.ask(Method::POST, url.clone(), |request| document(request, &body)))).map(drop)
}

/// Addresses of the parts, which the Hub gives as headers named by numbers.
fn parts(access: &Access, file: &Local, chunk: u64, header: &Map<String, Value>) -> Result<Vec<Url>, Trouble> {
    let numbered = |(name, address): (&String, &Value)| Some((name.parse::<u64>().ok()?, address.as_str()?.to_owned()));
    let mut parts: Vec<(u64, String)> = header.iter().filter_map(numbered).collect();
    parts.sort();
    if chunk == 0 || parts.len() as u64 != file.size.div_ceil(chunk) {
        return Err(Trouble::Malformed(format!("{} parts of {chunk} bytes for {} bytes", parts.len(), file.size)));
    }
    parts.iter().map(|(_, address)| access.named(address)).collect()
}

/// Sends a range of a file; gives the ETag of the answer.
fn put(
    access: &Access,
    file: &Local,
    url: &Url,
    (start, length): (u64, u64),
    header: &Map<String, Value>,
    progress: Option<&OnProgress>,
) -> Result<Option<String>, Trouble> {
    let fill = |request: RequestBuilder| {
        let body = body(&file.path, start, length, told(file, progress));
        headers(request, header).header(CONTENT_LENGTH, length).body(body)
    };
    let response = access.retry(|| access.wait(access.ask(Method::PUT, url.clone(), fill)))?;
    Ok(response.headers().get(ETAG).and_then(|etag| etag.to_str().ok()).map(str::to_owned))
}

fn told(file: &Local, progress: Option<&OnProgress>) -> impl Fn(u64) + Send + use<> {
    let (name, size, progress) = (file.name.clone(), file.size, progress.cloned());
    move |done| progress.iter().for_each(|call| call(&name, done, size))
}

/// A range of a file, read as it is sent.
fn body(path: &Path, start: u64, length: u64, told: impl Fn(u64) + Send + 'static) -> Body {
    let (path, mut open, mut done) = (path.to_owned(), None::<File>, 0);
    let mut next = move || -> io::Result<Option<Vec<u8>>> {
        if done == length {
            return Ok(None);
        }
        if open.is_none() {
            let mut file = File::open(&path)?;
            file.seek(SeekFrom::Start(start))?;
            open = Some(file);
        }
        let mut chunk = vec![0; CHUNK.min(length - done) as usize];
        open.as_mut().expect("just opened").read_exact(&mut chunk)?;
        done += chunk.len() as u64;
        told(start + done);
        Ok(Some(chunk))
    };
    Body::wrap_stream(futures::stream::iter(std::iter::from_fn(move || next().transpose())))
}

fn document(request: RequestBuilder, body: &Value) -> RequestBuilder {
    request.header(ACCEPT, MEDIA_TYPE).header(CONTENT_TYPE, MEDIA_TYPE).json(body)
}

/// The headers that the Hub asks to send along.
fn headers(request: RequestBuilder, header: &Map<String, Value>) -> RequestBuilder {
    let text = header.iter().filter_map(|(name, value)| Some((name, value.as_str()?)));
    text.fold(request, |request, (name, value)| request.header(name, value))
}
