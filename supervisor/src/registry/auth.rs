//! Getting past a host's authentication: learn its challenge, get a token or a password, keep it while it is good.
//!
//! One [`Authorizer`] a host. The first request goes out bare; a 401 teaches the challenge, and from then on requests
//! carry what it asks for. Tokens are kept per set of scopes until shortly before they expire.

use std::collections::{BTreeSet, HashMap};
use std::time::{Duration, Instant};

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use http::HeaderValue;
use http::header::{AUTHORIZATION, CONTENT_TYPE, WWW_AUTHENTICATE};
use reqwest::Url;
use serde::Deserialize;
use tokio::sync::Mutex;

use super::challenge::{Bearer, Challenge};
use super::client::{body_text, read_limited};
use super::credentials::{CredentialSource, Credentials};
use super::error::RegistryError;
use super::hosts::is_loopback;

/// The longest answer of a token server.
const TOKEN_LIMIT: u64 = 1 << 20;
/// How long a token is good when the server does not say.
const LIFETIME: u64 = 60;
/// How we call ourselves to token servers that keep a list.
const CLIENT_ID: &str = "dhow";

/// The scopes that a request needs, such as `repository:library/busybox:pull`.
pub(super) type Scopes = BTreeSet<String>;

/// What a request that needs `scopes` is about.
pub(super) fn action(scopes: &Scopes) -> &'static str {
    if scopes.iter().any(|scope| scope.ends_with(",push")) { "push" } else { "pull" }
}

/// What one host wants, and what we have for it.
#[derive(Debug)]
pub(super) struct Authorizer {
    authority: String,
    /// Whether requests to the host itself are encrypted.
    secure: bool,
    source: CredentialSource,
    state: Mutex<State>,
}

#[derive(Debug, Default)]
struct State {
    challenge: Option<Challenge>,
    credentials: Option<Credentials>,
    tokens: HashMap<Scopes, Token>,
}

struct Token {
    header: HeaderValue,
    until: Instant,
}

/// Without the secret.
impl std::fmt::Debug for Token {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter.debug_struct("Token").field("until", &self.until).finish_non_exhaustive()
    }
}

#[derive(Deserialize)]
struct Answer {
    #[serde(default)]
    token: String,
    #[serde(default)]
    access_token: String,
    expires_in: Option<u64>,
    #[serde(default)]
    refresh_token: String,
}

impl Authorizer {
    /// For the host that asks for credentials as `authority`.
    pub(super) fn new(authority: String, secure: bool, source: CredentialSource) -> Self {
        Self { authority, secure, source, state: Mutex::default() }
    }

    /// The header for a request that needs `scopes`; none while the host asked for nothing.
    pub(super) async fn header(
        &self,
        http: &reqwest::Client,
        scopes: &Scopes,
    ) -> Result<Option<HeaderValue>, RegistryError> {
        // The lock is held while a token is fetched: layers in parallel need one between them.
        let mut state = self.state.lock().await;
        let challenge = state.challenge.clone();
        match (&state.credentials, challenge) {
            (_, None) => Ok(None),
            (Some(Credentials::Header(value)), Some(_)) => Ok(Some(secret(value.clone())?)),
            (Some(Credentials::Password { user, secret }), Some(Challenge::Basic)) => {
                Ok(Some(basic(user, secret)?))
            }
            (_, Some(Challenge::Basic)) => Ok(None),
            (_, Some(Challenge::Bearer(bearer))) => {
                let mut wanted = scopes.clone();
                wanted.extend(bearer.scope.iter().flat_map(|scope| scope.split(' ')).map(str::to_owned));
                if let Some(token) = state.tokens.get(&wanted).filter(|token| token.until > Instant::now()) {
                    return Ok(Some(token.header.clone()));
                }
                let token = self.fetch(http, &mut state, &bearer, &wanted).await?;
                let header = token.header.clone();
                state.tokens.insert(wanted, token);
                Ok(Some(header))
            }
        }
    }

    /// Learns from a 401. `false` when nothing new was learned: the same request would end the same way.
    pub(super) async fn learn(
        &self,
        answer: &reqwest::Response,
        sent: Option<&HeaderValue>,
    ) -> Result<bool, RegistryError> {
        let headers = answer.headers().get_all(WWW_AUTHENTICATE);
        let texts: Vec<String> =
            headers.iter().filter_map(|value| value.to_str().ok()).map(str::to_owned).collect();
        let Some(challenge) = Challenge::choose(texts.iter().map(String::as_str)) else { return Ok(false) };
        let mut state = self.state.lock().await;
        if state.credentials.is_none() {
            state.credentials = Some(self.source.ask(&self.authority, texts).await?);
        }
        if let (Challenge::Basic, Some(Credentials::None | Credentials::Refresh(_))) =
            (&challenge, &state.credentials)
        {
            return Ok(false);
        }
        // Another request may have learned or renewed what this one was sent without.
        state.tokens.retain(|_, token| Some(&token.header) != sent);
        let new = state.challenge.as_ref() != Some(&challenge);
        let stale = sent.is_some() && matches!(challenge, Challenge::Bearer(_));
        state.challenge = Some(challenge);
        Ok(new || stale || sent.is_none())
    }

    async fn fetch(
        &self,
        http: &reqwest::Client,
        state: &mut State,
        bearer: &Bearer,
        scopes: &Scopes,
    ) -> Result<Token, RegistryError> {
        let failed = |reason: String| RegistryError::Token { realm: bearer.realm.clone(), reason };
        let realm = Url::parse(&bearer.realm).map_err(|error| failed(error.to_string()))?;
        let exposed = realm.scheme() == "http" && self.secure;
        let credentials = state.credentials.clone().unwrap_or(Credentials::None);
        if exposed && credentials != Credentials::None && !realm.host_str().is_some_and(is_loopback) {
            return Err(failed("it would get the credentials without encryption".to_owned()));
        }
        let request = match &credentials {
            Credentials::Refresh(token) => exchange(http, realm, bearer, scopes, token),
            Credentials::Password { user, secret } => {
                ask(http, realm, bearer, scopes).header(AUTHORIZATION, basic(user, secret)?)
            }
            Credentials::None | Credentials::Header(_) => ask(http, realm, bearer, scopes),
        };
        let answer = request.send().await.map_err(|error| failed(dhow_proto::error::chain(&error)))?;
        let status = answer.status();
        if matches!(status.as_u16(), 401 | 403) {
            return Err(RegistryError::Denied {
                action: action(scopes),
                status,
                message: body_text(answer).await,
            });
        }
        if !status.is_success() {
            return Err(failed(format!("{status} {}", body_text(answer).await)));
        }
        let body = read_limited(answer, TOKEN_LIMIT).await?;
        let answer: Answer = serde_json::from_slice(&body).map_err(|error| failed(error.to_string()))?;
        if !answer.refresh_token.is_empty() {
            state.credentials = Some(Credentials::Refresh(answer.refresh_token));
        }
        let token = if answer.token.is_empty() { answer.access_token } else { answer.token };
        if token.is_empty() {
            return Err(failed("there is no token in the answer".to_owned()));
        }
        // Tokens of less than a minute exist, as answers to old clients; they are used for what they are.
        let lifetime = answer.expires_in.filter(|seconds| *seconds > 0).unwrap_or(LIFETIME).min(24 * 60 * 60);
        let until =
            Instant::now() + Duration::from_secs(lifetime) - Duration::from_secs((lifetime / 10).min(10));
        Ok(Token { header: secret(format!("Bearer {token}"))?, until })
    }
}

/// A request for a token, as the token specification has it.
fn ask(http: &reqwest::Client, mut realm: Url, bearer: &Bearer, scopes: &Scopes) -> reqwest::RequestBuilder {
    {
        let mut query = realm.query_pairs_mut();
        if !bearer.service.is_empty() {
            query.append_pair("service", &bearer.service);
        }
        for scope in scopes {
            query.append_pair("scope", scope);
        }
    }
    http.get(realm)
}

/// The exchange of an identity token, as OAuth has it.
fn exchange(
    http: &reqwest::Client,
    realm: Url,
    bearer: &Bearer,
    scopes: &Scopes,
    token: &str,
) -> reqwest::RequestBuilder {
    let scopes: Vec<&str> = scopes.iter().map(String::as_str).collect();
    let scopes = scopes.join(" ");
    // A form has the encoding of a query; an address is at hand that can hold one.
    let mut form = realm.clone();
    form.set_query(None);
    form.query_pairs_mut().extend_pairs([
        ("grant_type", "refresh_token"),
        ("service", bearer.service.as_str()),
        ("client_id", CLIENT_ID),
        ("scope", scopes.as_str()),
        ("refresh_token", token),
    ]);
    let body = form.query().unwrap_or_default().to_owned();
    http.post(realm).header(CONTENT_TYPE, "application/x-www-form-urlencoded").body(body)
}

fn basic(user: &str, password: &str) -> Result<HeaderValue, RegistryError> {
    secret(format!("Basic {}", STANDARD.encode(format!("{user}:{password}"))))
}

/// A header value that no log shows.
fn secret(text: String) -> Result<HeaderValue, RegistryError> {
    let mut value = HeaderValue::try_from(text).map_err(|_| RegistryError::Protocol {
        url: "the token server".to_owned(),
        what: "credentials that no header can hold".to_owned(),
    })?;
    value.set_sensitive(true);
    Ok(value)
}
