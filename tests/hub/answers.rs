//! What the Hub of the tests answers.

use super::server::{Answer, Asked, Files, Repo, State};
use base64::Engine;
use base64::engine::general_purpose::STANDARD as BASE64;
use mtl_zoo::files::sha256_hex;
use serde_json::{Value, json};

/// Files of these kinds are objects of Git LFS.
pub fn is_large(path: &str) -> bool {
    [".safetensors", ".parquet", ".bin"].iter().any(|end| path.ends_with(end))
}

/// Git's hash of a file.
pub fn git_sha1(bytes: &[u8]) -> String {
    let whole = [format!("blob {}\0", bytes.len()).as_bytes(), bytes].concat();
    let digest = aws_lc_rs::digest::digest(&aws_lc_rs::digest::SHA1_FOR_LEGACY_USE_ONLY, &whole);
    digest.as_ref().iter().map(|byte| format!("{byte:02x}")).collect()
}

pub fn answer(state: &mut State, asked: &Asked, endpoint: &str) -> Answer {
    if let Some(status) = state.status {
        return Answer::error(status);
    }
    let segments: Vec<String> = asked.path.trim_matches('/').split('/').map(decoded).collect();
    let segments: Vec<&str> = segments.iter().map(String::as_str).collect();
    if let ["objects", hash] = segments[..] {
        return object(state, asked, hash);
    }
    let changes = asked.method != "GET" && asked.method != "HEAD";
    if state.token.is_some() && state.token != asked.token && (changes || !state.readable) {
        return Answer::error(401);
    }
    match (asked.method.as_str(), &segments[..]) {
        ("POST", ["api", "repos", "create"]) => create(state, asked, endpoint),
        (_, ["api", kind @ ("models" | "datasets"), owner, name, rest @ ..]) => {
            let key = format!("{kind}/{owner}/{name}");
            let Some(repo) = state.repos.get_mut(&key) else { return missing("RepoNotFound") };
            match (asked.method.as_str(), rest) {
                ("GET", []) => info(repo, "main", &key, state.unlisted),
                ("GET", ["revision", revision]) => info(repo, revision, &key, state.unlisted),
                ("GET", ["tree", revision, folder @ ..]) => tree(repo, revision, &folder.join("/"), asked),
                ("POST", ["preupload", revision]) if repo.branches.contains_key(*revision) => preupload(asked),
                ("POST", ["branch", branch]) => {
                    let main = repo.branches["main"].clone();
                    repo.branches.insert((*branch).into(), main);
                    Answer::json(&json!({}))
                }
                ("POST", ["commit", branch]) if repo.branches.contains_key(*branch) => {
                    commit(repo, &state.objects, branch, asked)
                }
                _ => missing("RevisionNotFound"),
            }
        }
        ("POST", [.., name, "info", "lfs", "objects", "batch"]) if name.ends_with(".git") => {
            batch(state, asked, endpoint)
        }
        ("PUT", ["upload", hash]) => {
            assert_eq!(asked.headers.get("x-signed").map(String::as_str), Some("yes"), "headers are sent along");
            state.objects.insert((*hash).into(), asked.body.clone());
            Answer::json(&json!({}))
        }
        ("PUT", ["part", hash, number]) => {
            let number = number.parse().unwrap();
            state.parts.entry((*hash).into()).or_default().insert(number, asked.body.clone());
            let mut answer = Answer::json(&json!({}));
            answer.headers.push(("etag", format!("\"part-{number}\"")));
            answer
        }
        ("POST", ["complete", hash]) => {
            let parts = state.parts.remove(*hash).unwrap();
            let body: Value = serde_json::from_slice(&asked.body).unwrap();
            assert_eq!(body["parts"].as_array().unwrap().len(), parts.len());
            assert_eq!(body["parts"][0], json!({"partNumber": 1, "etag": "\"part-1\""}));
            state.objects.insert((*hash).into(), parts.into_values().flatten().collect());
            Answer::json(&json!({}))
        }
        ("POST", ["verify"]) => {
            let body: Value = serde_json::from_slice(&asked.body).unwrap();
            let object = state.objects.get(body["oid"].as_str().unwrap());
            if object.is_some_and(|bytes| body["size"] == bytes.len()) {
                Answer::json(&json!({}))
            } else {
                Answer::error(422)
            }
        }
        ("GET" | "HEAD", ["datasets", owner, name, "resolve", revision, path @ ..]) => {
            resolve(state, &format!("datasets/{owner}/{name}"), revision, &path.join("/"), asked)
        }
        ("GET" | "HEAD", [owner, name, "resolve", revision, path @ ..]) => {
            resolve(state, &format!("models/{owner}/{name}"), revision, &path.join("/"), asked)
        }
        _ => Answer::error(404),
    }
}

fn missing(code: &str) -> Answer {
    let mut answer = Answer::error(404);
    answer.headers.push(("x-error-code", code.into()));
    answer
}

fn decoded(segment: &str) -> String {
    let mut parts = segment.split('%');
    let mut bytes = parts.next().unwrap().as_bytes().to_vec();
    for part in parts {
        bytes.push(u8::from_str_radix(&part[..2], 16).unwrap());
        bytes.extend_from_slice(&part.as_bytes()[2..]);
    }
    String::from_utf8(bytes).unwrap()
}

/// The commit of a branch or of itself.
fn commit_of(repo: &Repo, revision: &str) -> Option<String> {
    let commit = repo.branches.get(revision).map_or(revision, String::as_str);
    repo.commits.contains_key(commit).then(|| commit.to_owned())
}

fn info(repo: &Repo, revision: &str, key: &str, unlisted: bool) -> Answer {
    let Some(commit) = commit_of(repo, revision) else { return missing("RevisionNotFound") };
    let id = key.split_once('/').unwrap().1;
    let mut info =
        json!({"id": id, "_id": "1", "sha": commit, "private": repo.private, "tags": [], "downloads": 0, "likes": 0});
    if !unlisted {
        info["siblings"] = repo.commits[&commit].keys().map(|name| json!({"rfilename": name})).collect();
    }
    Answer::json(&info)
}

/// Pages of two, so that following them is tested.
fn tree(repo: &Repo, revision: &str, folder: &str, asked: &Asked) -> Answer {
    let Some(commit) = commit_of(repo, revision) else { return missing("RevisionNotFound") };
    let recursive = asked.query.contains("recursive=true");
    let inside = |path: &str| match folder {
        "" => Some(path.to_owned()),
        folder => path.strip_prefix(folder)?.strip_prefix('/').map(str::to_owned),
    };
    let mut lines = Vec::new();
    for (path, bytes) in &repo.commits[&commit] {
        let Some(inner) = inside(path) else { continue };
        if let (false, Some((directory, _))) = (recursive, inner.split_once('/')) {
            let whole = format!("{folder}/{directory}");
            let line =
                json!({"type": "directory", "oid": "0".repeat(40), "size": 0, "path": whole.trim_start_matches('/')});
            if !lines.contains(&line) {
                lines.push(line);
            }
            continue;
        }
        let size = repo.sizes.get(path).copied().unwrap_or(bytes.len() as u64);
        let hash = |true_hash: String| repo.hashes.get(path).cloned().unwrap_or(true_hash);
        lines.push(match is_large(path) {
            true => json!({"type": "file", "oid": "1".repeat(40), "size": size, "path": path,
                "lfs": {"oid": hash(sha256_hex(bytes)), "size": size, "pointerSize": 130}}),
            false => json!({"type": "file", "oid": hash(git_sha1(bytes)), "size": size, "path": path}),
        });
    }
    if lines.is_empty() {
        return missing("EntryNotFound");
    }
    let cursor = asked.query.split('&').find_map(|part| part.strip_prefix("cursor="));
    let start: usize = cursor.map_or(0, |text| text.parse().unwrap());
    let end = (start + 2).min(lines.len());
    let mut answer = Answer::json(&Value::Array(lines[start..end].to_vec()));
    if end < lines.len() {
        let kept = if recursive { "recursive=true&" } else { "" };
        let address = format!("http://{}{}", asked.headers["host"], asked.path);
        answer.headers.push(("link", format!("<{address}?{kept}cursor={end}>; rel=\"next\"")));
    }
    answer
}

fn resolve(state: &mut State, key: &str, revision: &str, path: &str, asked: &Asked) -> Answer {
    let Some(repo) = state.repos.get(key) else { return missing("RepoNotFound") };
    let Some(commit) = commit_of(repo, revision) else { return missing("RevisionNotFound") };
    let Some(bytes) = repo.commits[&commit].get(path).cloned() else { return missing("EntryNotFound") };
    let etag = if is_large(path) { sha256_hex(&bytes) } else { git_sha1(&bytes) };
    let mut headers = vec![("x-repo-commit", commit), ("accept-ranges", "bytes".into())];
    match (is_large(path), state.elsewhere.clone()) {
        (true, Some(elsewhere)) => {
            headers.push(("x-linked-etag", format!("\"{etag}\"")));
            headers.push(("x-linked-size", bytes.len().to_string()));
            headers.push(("location", format!("{elsewhere}/objects/{etag}")));
            state.objects.insert(etag, bytes);
            Answer { status: 302, headers, body: Vec::new() }
        }
        _ => {
            headers.push(("etag", format!("\"{etag}\"")));
            ranged(bytes, asked, headers)
        }
    }
}

/// What another host serves, to everybody.
fn object(state: &State, asked: &Asked, hash: &str) -> Answer {
    match state.objects.get(hash) {
        Some(bytes) => ranged(bytes.clone(), asked, Vec::new()),
        None => Answer::error(404),
    }
}

fn ranged(bytes: Vec<u8>, asked: &Asked, mut headers: Vec<(&'static str, String)>) -> Answer {
    match asked.start {
        None => Answer { status: 200, headers, body: bytes },
        Some(start) if start >= bytes.len() => Answer::error(416),
        Some(start) => {
            headers.push(("content-range", format!("bytes {start}-{}/{}", bytes.len() - 1, bytes.len())));
            Answer { status: 206, headers, body: bytes[start..].to_vec() }
        }
    }
}

fn create(state: &mut State, asked: &Asked, endpoint: &str) -> Answer {
    let body: Value = serde_json::from_slice(&asked.body).unwrap();
    let kind = if body["type"] == "dataset" { "datasets" } else { "models" };
    let id = format!("{}/{}", body["organization"].as_str().unwrap(), body["name"].as_str().unwrap());
    if id.starts_with("other/") {
        return Answer::error(403);
    }
    let key = format!("{kind}/{id}");
    if state.repos.contains_key(&key) {
        return Answer::error(409);
    }
    let first = Files::from([(".gitattributes".to_owned(), b"*.safetensors filter=lfs\n".to_vec())]);
    let mut repo = Repo::new(&sha256_hex(key.as_bytes())[..40], first);
    repo.private = body["private"] == true;
    state.repos.insert(key, repo);
    Answer::json(&json!({"url": format!("{endpoint}/{id}")}))
}

fn preupload(asked: &Asked) -> Answer {
    let body: Value = serde_json::from_slice(&asked.body).unwrap();
    let mode = |file: &Value| {
        let path = file["path"].as_str().unwrap();
        let sample = BASE64.decode(file["sample"].as_str().unwrap()).unwrap();
        assert!(sample.len() <= 512 && (file["size"] == 0 || !sample.is_empty()));
        json!({"path": path, "uploadMode": if is_large(path) { "lfs" } else { "regular" }, "shouldIgnore": false})
    };
    Answer::json(&json!({"files": body["files"].as_array().unwrap().iter().map(mode).collect::<Vec<_>>()}))
}

fn batch(state: &State, asked: &Asked, endpoint: &str) -> Answer {
    let body: Value = serde_json::from_slice(&asked.body).unwrap();
    assert_eq!((&body["operation"], &body["hash_algo"]), (&json!("upload"), &json!("sha256")));
    let mut transfer = "basic";
    let mut objects = Vec::new();
    for object in body["objects"].as_array().unwrap() {
        let (oid, size) = (object["oid"].as_str().unwrap(), object["size"].as_u64().unwrap() as usize);
        let verify = json!({"href": format!("{endpoint}/verify")});
        objects.push(match state.part {
            _ if state.objects.contains_key(oid) => json!({"oid": oid, "size": size}),
            Some(part) if size > part => {
                transfer = "multipart";
                let mut header = json!({"chunk_size": part.to_string()});
                for number in 1..=size.div_ceil(part) {
                    header[format!("{number:05}")] = json!(format!("{endpoint}/part/{oid}/{number}"));
                }
                let upload = json!({"href": format!("{endpoint}/complete/{oid}"), "header": header});
                json!({"oid": oid, "size": size, "actions": {"upload": upload, "verify": verify}})
            }
            _ => {
                let upload = json!({"href": format!("{endpoint}/upload/{oid}"), "header": {"x-signed": "yes"}});
                json!({"oid": oid, "size": size, "actions": {"upload": upload, "verify": verify}})
            }
        });
    }
    Answer::json(&json!({"transfer": transfer, "objects": objects}))
}

fn commit(repo: &mut Repo, objects: &Files, branch: &str, asked: &Asked) -> Answer {
    let mut files = repo.commits[&repo.branches[branch]].clone();
    for line in asked.body.split(|byte| *byte == b'\n').filter(|line| !line.is_empty()) {
        let line: Value = serde_json::from_slice(line).unwrap();
        let value = &line["value"];
        let path = value["path"].as_str().unwrap_or_default().to_owned();
        match line["key"].as_str().unwrap() {
            "header" => assert!(!value["summary"].as_str().unwrap().is_empty()),
            "deletedFile" => drop(files.remove(&path)),
            "file" => {
                assert!(!is_large(&path), "{path} goes by LFS");
                files.insert(path, BASE64.decode(value["content"].as_str().unwrap()).unwrap());
            }
            "lfsFile" => match objects.get(value["oid"].as_str().unwrap()) {
                Some(bytes) => drop(files.insert(path, bytes.clone())),
                None => return Answer::error(400),
            },
            key => panic!("{key}"),
        }
    }
    let commit = sha256_hex(&asked.body)[..40].to_owned();
    repo.branches.insert(branch.into(), commit.clone());
    repo.commits.insert(commit.clone(), files);
    Answer::json(&json!({"success": true, "commitOid": commit, "commitUrl": format!("/commit/{commit}")}))
}
