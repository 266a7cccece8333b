//! Requests to the Hub: who asks, what goes to whom, how long to wait and how often to try.
//!
//! hf-hub knows repositories, but its retries do not wait as the Hub asks, its listings leave out the SHA-256, and its
//! downloads are neither checked nor continued. So it is asked single questions here, and files go the way below.

use super::HubOptions;
use super::names::RepoKind;
use super::problems::Request;
use super::token::Token;
use super::trouble::Trouble;
use crate::error::{Error, Problem, Result};
use hf_hub::{HFClient, HFClientSync};
use reqwest::header::{AUTHORIZATION, LOCATION};
use reqwest::redirect::Policy;
use reqwest::{Client, Method, RequestBuilder, Response, Url};
use std::future::Future;
use std::hash::{BuildHasher, RandomState};
use std::time::Duration;
use tokio::runtime::Runtime;

/// How often a failed request is tried again.
const RETRIES: usize = 5;
/// The first wait before that; each further one is twice as long.
const PAUSE: Duration = Duration::from_millis(500);
/// The longest wait of our own.
const LONGEST_PAUSE: Duration = Duration::from_secs(30);
/// The longest wait that the Hub may ask for; beyond it, a person decides.
const LONGEST_WAIT: Duration = Duration::from_secs(300);
/// How long nothing may come before a connection counts as broken.
const SILENCE: Duration = Duration::from_secs(30);
/// The longest JSON document that is read.
const LONGEST_ANSWER: usize = 64 << 20;
const REDIRECTS: usize = 10;

/// A way to the Hub.
pub(super) struct Access {
    /// hf-hub, for what it knows.
    pub(super) hub: HFClientSync,
    http: Client,
    /// Taken when dropped: a runtime must not end inside another one.
    runtime: Option<Runtime>,
    endpoint: Url,
    token: Option<Token>,
    retries: usize,
    pause: Duration,
}

impl Access {
    pub(super) fn new(options: &HubOptions) -> Result<Self> {
        let token = Token::find(options)?;
        let silence = options.timeout.or_else(timeout).unwrap_or(SILENCE);
        let http = |redirects| {
            Client::builder()
                .user_agent(concat!("mtl-zoo/", env!("CARGO_PKG_VERSION")))
                .connect_timeout(silence.min(Duration::from_secs(10)))
                .read_timeout(silence)
                .redirect(redirects)
                .build()
                .map_err(|error| unusable(&error.to_string()))
        };
        // hf-hub would also retry; that is done here.
        let mut builder = HFClient::builder().client(http(Policy::limited(REDIRECTS))?).retry_max_attempts(0);
        if let Some(endpoint) = &options.endpoint {
            builder = builder.endpoint(endpoint);
        }
        if let Some(token) = &token {
            builder = builder.token(token.secret());
        }
        let hub = builder.build_sync().map_err(|_| unusable("an address that is none"))?;
        // The client has taken the environment into account.
        let address = match &options.endpoint {
            Some(endpoint) => endpoint.clone(),
            None => std::env::var("HF_ENDPOINT").unwrap_or_else(|_| "https://huggingface.co".into()),
        };
        let endpoint = Url::parse(&address).ok().filter(|url| matches!(url.scheme(), "http" | "https"));
        let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build();
        Ok(Self {
            hub,
            http: http(Policy::none())?,
            runtime: Some(runtime.map_err(|error| unusable(&error.to_string()))?),
            endpoint: endpoint.ok_or_else(|| unusable(&format!("the address {address:?}")))?,
            token,
            retries: options.retries.unwrap_or(RETRIES),
            pause: options.pause.unwrap_or(PAUSE),
        })
    }

    pub(super) fn has_token(&self) -> bool {
        self.token.is_some()
    }

    /// An address below the Hub's. Each segment is encoded, so that a branch `a/b` stays one.
    pub(super) fn url(&self, segments: &[&str]) -> Url {
        let mut url = self.endpoint.clone();
        url.path_segments_mut().expect("http has paths").pop_if_empty().extend(segments);
        url
    }

    /// An address of the API of a repository.
    pub(super) fn api(&self, request: &Request, segments: &[&str]) -> Url {
        let repository = ["api", request.kind.plural(), &request.owner, &request.name];
        self.url(&[&repository[..], segments].concat())
    }

    /// The address of a file's bytes.
    pub(super) fn file(&self, request: &Request, commit: &str, path: &str) -> Url {
        let kind = if request.kind == RepoKind::Dataset { Some(request.kind.plural()) } else { None };
        let repository = [request.owner.as_str(), &request.name, "resolve", commit];
        self.url(&kind.into_iter().chain(repository).chain(path.split('/')).collect::<Vec<_>>())
    }

    /// An address that the Hub names, if it is one.
    pub(super) fn named(&self, address: &str) -> Result<Url, Trouble> {
        let url = self.endpoint.join(address).ok().filter(|url| matches!(url.scheme(), "http" | "https"));
        url.ok_or_else(|| Trouble::Malformed("an address that is none".into()))
    }

    /// Whether an address is on the Hub itself, which alone gets the token.
    pub(super) fn is_hub(&self, url: &Url) -> bool {
        url.origin() == self.endpoint.origin()
    }

    /// Waits for an answer, also where another runtime is at work.
    pub(super) fn wait<T: Send>(&self, future: impl Future<Output = T> + Send) -> T {
        let runtime = self.runtime.as_ref().expect("only taken when dropped");
        std::thread::scope(|scope| {
            let thread = scope.spawn(|| runtime.block_on(future));
            thread.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic))
        })
    }

    /// One request and its answer, whatever that says. `fill` adds headers and body, for each redirect anew.
    pub(super) async fn send(
        &self,
        method: Method,
        url: Url,
        fill: impl Fn(RequestBuilder) -> RequestBuilder,
    ) -> Result<Response, Trouble> {
        let mut url = url;
        for _ in 0..=REDIRECTS {
            let mut request = fill(self.http.request(method.clone(), url.clone()));
            if let Some(token) = self.token.as_ref().filter(|_| self.is_hub(&url)) {
                request = request.header(AUTHORIZATION, token.header());
            }
            let response = request.send().await?;
            let next = response.headers().get(LOCATION).filter(|_| response.status().is_redirection());
            let Some(next) = next else { return Ok(response) };
            let next = next.to_str().ok().and_then(|next| url.join(next).ok());
            let next = next.filter(|next| next.scheme() == "https" || next.scheme() == url.scheme());
            url =
                next.ok_or_else(|| Trouble::Malformed("a redirect to an address that is none, or not safe".into()))?;
        }
        Err(Trouble::Malformed("redirects without end".into()))
    }

    /// As [`Access::send`]; an error status is an error.
    pub(super) async fn ask(
        &self,
        method: Method,
        url: Url,
        fill: impl Fn(RequestBuilder) -> RequestBuilder,
    ) -> Result<Response, Trouble> {
        let response = self.send(method, url, fill).await?;
        match response.status().is_success() {
            true => Ok(response),
            false => Err(Trouble::of(response.status().as_u16(), response.headers())),
        }
    }

    /// Tries until it works, fails for good, or has failed often enough.
    pub(super) fn retry<T>(&self, mut attempt: impl FnMut() -> Result<T, Trouble>) -> Result<T, Trouble> {
        let mut patience = self.patience();
        loop {
            match attempt() {
                Err(trouble) => patience.pause(trouble)?,
                done => return done,
            }
        }
    }

    /// As many attempts and waits as the options allow.
    pub(super) fn patience(&self) -> Patience {
        Patience { retries: self.retries, first: self.pause, failed: 0 }
    }
}

impl Drop for Access {
    fn drop(&mut self) {
        if let Some(runtime) = self.runtime.take() {
            runtime.shutdown_background();
        }
    }
}

/// How often is tried again, after which waits.
pub(super) struct Patience {
    retries: usize,
    first: Duration,
    failed: usize,
}

impl Patience {
    /// Waits before the next attempt, as long as the Hub asks if it does; gives the trouble back if there should be none.
    pub(super) fn pause(&mut self, trouble: Trouble) -> Result<(), Trouble> {
        if !trouble.may_pass() || self.failed >= self.retries || trouble.wait().is_some_and(|wait| wait > LONGEST_WAIT)
        {
            return Err(trouble);
        }
        let doubled = self.first.saturating_mul(1 << self.failed.min(16)).min(LONGEST_PAUSE);
        // Between half and all of it, so that programs that failed together do not come back together.
        let chance = RandomState::new().hash_one(self.failed) as u32;
        let own = doubled.mul_f64(0.5 + 0.5 * f64::from(chance) / f64::from(u32::MAX));
        std::thread::sleep(trouble.wait().unwrap_or(own));
        self.failed += 1;
        Ok(())
    }

    /// Forgets failures, after much came.
    pub(super) fn renew(&mut self) {
        self.failed = 0;
    }
}

/// Reads a JSON document of a sane length.
pub(super) async fn read_json<T: serde::de::DeserializeOwned>(mut response: Response) -> Result<T, Trouble> {
    let mut bytes = Vec::new();
    while let Some(chunk) = response.chunk().await? {
        bytes.extend_from_slice(&chunk);
        if bytes.len() > LONGEST_ANSWER {
            return Err(Trouble::Malformed("more than 64 MB of JSON".into()));
        }
    }
    serde_json::from_slice(&bytes).map_err(|error| Trouble::Malformed(format!("JSON that cannot be used ({error})")))
}

fn timeout() -> Option<Duration> {
    let seconds: f64 = std::env::var("HF_HUB_DOWNLOAD_TIMEOUT").ok()?.trim().parse().ok()?;
    Duration::try_from_secs_f64(seconds).ok().filter(|wait| !wait.is_zero())
}

fn unusable(found: &str) -> Error {
    let help = "check HF_ENDPOINT, and the variables for proxies and certificates";
    Problem::new(found, "a way to the Hub", help).key("HF_ENDPOINT").hub()
}
