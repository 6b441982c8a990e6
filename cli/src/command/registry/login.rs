//! `login`: keep credentials for a registry.

use std::io::{BufRead, Read, Write};

use dhow_engine_api::auth::AuthConfig;
use serde_json::Value;

use crate::client::Call;
use crate::command::Verb;
use crate::config::DEFAULT_REGISTRY;
use crate::error::Failure;
use crate::output::{put, put_line, warn};
use crate::session::Session;
use crate::terminal;

/// Keep credentials for a registry.
#[derive(Debug, clap::Args)]
pub(crate) struct Login {
    /// Password, or personal access token
    #[arg(short, long, value_name = "string", default_value = "")]
    password: String,
    /// Take the password from STDIN
    #[arg(long)]
    password_stdin: bool,
    /// User name
    #[arg(short, long, value_name = "string", default_value = "")]
    username: String,
    server: Option<String>,
}

/// Longest password taken from standard input, in bytes.
const MAX_PASSWORD: u64 = 64 * 1024;

impl Verb for Login {
    const USAGE: &'static str = "[OPTIONS] [SERVER]";
    const ABOUT: &'static str = "Authenticate to a registry";

    async fn run(self, session: &Session) -> Result<(), Failure> {
        let registry = registry(self.server.as_deref());
        let mut config = session.config_to_change();
        let mut auth = self.credentials(&config.credentials(&registry), &registry)?;
        auth.serveraddress.clone_from(&registry);
        let answer: Value = session.client()?.fetch(Call::post("/auth").json(&auth)?).await?;
        let text = |key: &str| answer.get(key).and_then(Value::as_str).unwrap_or("").to_owned();
        let token = text("IdentityToken");
        if !token.is_empty() {
            auth.password.clear();
            auth.identitytoken = token;
        }
        if let Some(path) = config.store(&registry, &auth)? {
            warn(&format!(
                "\nWARNING! Your credentials are stored unencrypted in '{path}'.\nConfigure a credential helper to remove this warning. See\nhttps://docs.docker.com/go/credential-store/\n"
            ));
        }
        let status = text("Status");
        if status.is_empty() { Ok(()) } else { put_line(&status) }
    }
}

/// The key of a registry in the configuration.
pub(super) fn registry(server: Option<&str>) -> String {
    match server.unwrap_or("") {
        "" | "docker.io" | "index.docker.io" | "registry-1.docker.io" => DEFAULT_REGISTRY.into(),
        DEFAULT_REGISTRY => DEFAULT_REGISTRY.into(),
        server => {
            let bare =
                server.strip_prefix("https://").or_else(|| server.strip_prefix("http://")).unwrap_or(server);
            bare.split('/').next().unwrap_or(bare).to_owned()
        }
    }
}

impl Login {
    fn credentials(&self, known: &AuthConfig, registry: &str) -> Result<AuthConfig, Failure> {
        let mut username = self.username.trim().to_owned();
        let mut password = self.password.clone();
        if self.password_stdin {
            if !password.is_empty() {
                return Err("conflicting options: cannot specify both --password and --password-stdin".into());
            }
            if username.is_empty() {
                return Err("the --password-stdin option requires --username to be set".into());
            }
            let mut text = String::new();
            let read = std::io::stdin().take(MAX_PASSWORD).read_to_string(&mut text);
            read.map_err(|error| Failure::io("read password", &error))?;
            password = text.trim_end_matches(['\r', '\n']).to_owned();
            if password.is_empty() {
                return Err("password is empty".into());
            }
        } else if !password.is_empty() {
            warn("WARNING! Using --password via the CLI is insecure. Use --password-stdin.");
        } else if username.is_empty() && !known.username.is_empty() {
            put_line(&format!("Authenticating with existing credentials... [Username: {}]", known.username))?;
            return Ok(known.clone());
        }
        if !terminal::stdin_is_terminal() && (username.is_empty() || password.is_empty()) {
            return Err("Error: Cannot perform an interactive login from a non TTY device".into());
        }
        if username.is_empty() {
            if registry != DEFAULT_REGISTRY {
                put_line(&format!("Log in to {registry}"))?;
            }
            username = ask("Username: ")?;
            if username.is_empty() {
                return Err("username is required".into());
            }
        }
        if password.is_empty() {
            put("Password: ")?;
            password = terminal::without_echo(read_line)??;
            put("\n")?;
            if password.is_empty() {
                return Err("password is required".into());
            }
        }
        Ok(AuthConfig { username, password, ..AuthConfig::default() })
    }
}

fn ask(question: &str) -> Result<String, Failure> {
    put(question)?;
    read_line().map(|line| line.trim().to_owned())
}

fn read_line() -> Result<String, Failure> {
    drop(std::io::stdout().flush());
    let mut line = String::new();
    let read = std::io::stdin().lock().read_line(&mut line);
    read.map_err(|error| Failure::io("read standard input", &error))?;
    Ok(line.trim_end_matches(['\r', '\n']).to_owned())
}
