//! `version`: of this program and of the daemon.

use dhow_engine_api::system::{Component, Version};
use serde_json::{Value, json};

use crate::client::{ApiVersion, Call};
use crate::command::Verb;
use crate::error::Failure;
use crate::output::template::{Missing, Template};
use crate::output::{format, put, table, time};
use crate::session::Session;

/// Show the versions of this program and of the daemon.
#[derive(Debug, clap::Args)]
pub(crate) struct ShowVersion {
    /// Format the output: 'json', or a Go template
    #[arg(short, long, value_name = "string", default_value = "")]
    format: String,
}

impl Verb for ShowVersion {
    const USAGE: &'static str = "[OPTIONS]";
    const ABOUT: &'static str = "Show the version information";

    async fn run(self, session: &Session) -> Result<(), Failure> {
        if !matches!(self.format.as_str(), "" | "json") {
            Template::parse(&self.format).map_err(|error| Failure::from(error).code(64))?;
        }
        let client = session.client()?;
        let server: Result<Version, Failure> = async { Ok(client.fetch(Call::get("/version")).await?) }.await;
        let spoken = client.version().await.unwrap_or(ApiVersion::NEWEST);
        let context = session.context_name();
        if self.format.is_empty() {
            let mut text = client_text(spoken, &context);
            if let Ok(server) = &server {
                text.push_str(&server_text(server));
            }
            put(&table::align_with(&(text + "\n"), 20, 1))?;
        } else {
            let document = json!({
                "Client": client_document(spoken, &context),
                "Server": server.as_ref().ok().map(server_document),
            });
            put(&(format::document(&self.format, &document, Missing::Typed)? + "\n"))?;
        }
        server.map(drop)
    }
}

/// The processor architecture by Go's name.
fn architecture() -> &'static str {
    match std::env::consts::ARCH {
        "x86_64" => "amd64",
        "aarch64" => "arm64",
        other => other,
    }
}

fn client_text(spoken: ApiVersion, context: &str) -> String {
    let downgraded = if spoken == ApiVersion::NEWEST {
        String::new()
    } else {
        format!(" (downgraded from {})", ApiVersion::NEWEST)
    };
    format!(
        "Client: Dhow\n Version:\t{}\n API version:\t{spoken}{downgraded}\n Git commit:\t{}\n OS/Arch:\t{}/{}\n Context:\t{context}",
        env!("CARGO_PKG_VERSION"),
        super::build(),
        std::env::consts::OS,
        architecture(),
    )
}

fn client_document(spoken: ApiVersion, context: &str) -> Value {
    json!({
        "Platform": {"Name": "Dhow"},
        "Version": env!("CARGO_PKG_VERSION"),
        "ApiVersion": spoken.to_string(),
        "APIVersion": spoken.to_string(),
        "DefaultAPIVersion": ApiVersion::NEWEST.to_string(),
        "GitCommit": super::build(),
        "GoVersion": "",
        "Os": std::env::consts::OS,
        "Arch": architecture(),
        "BuildTime": "",
        "Context": context,
    })
}

/// The components, with an engine even when an old daemon names none.
fn components(server: &Version) -> Vec<Component> {
    let mut components = server.components.clone();
    if !components.iter().any(|component| component.name == "Engine") {
        let detail = |key: &str, value: &str| (key.to_owned(), value.to_owned());
        components.push(Component {
            name: "Engine".into(),
            version: server.version.clone(),
            details: [
                detail("ApiVersion", &server.api_version),
                detail("MinAPIVersion", &server.min_api_version),
                detail("GitCommit", &server.git_commit),
                detail("GoVersion", &server.go_version),
                detail("Os", &server.os),
                detail("Arch", &server.arch),
                detail("BuildTime", &server.build_time),
                detail("Experimental", &server.experimental.to_string()),
            ]
            .into(),
        });
    }
    for component in &mut components {
        if let Some(built) = component.details.get_mut("BuildTime").filter(|_| component.name == "Engine") {
            *built = time::ansi_c(built);
        }
    }
    components
}

fn server_text(server: &Version) -> String {
    let mut text = "\n\nServer:".to_owned();
    if !server.platform.name.is_empty() {
        text.push_str(&format!(" {}", server.platform.name));
    }
    for component in components(server) {
        text.push_str(&format!("\n {}:", component.name));
        let detail = |key: &str| component.details.get(key).map_or("", String::as_str);
        if component.name == "Engine" {
            text.push_str(&format!(
                "\n  Version:\t{}\n  API version:\t{} (minimum version {})\n  Go version:\t{}\n  Git commit:\t{}\n  Built:\t{}\n  OS/Arch:\t{}/{}\n  Experimental:\t{}",
                component.version,
                detail("ApiVersion"),
                detail("MinAPIVersion"),
                detail("GoVersion"),
                detail("GitCommit"),
                detail("BuildTime"),
                detail("Os"),
                detail("Arch"),
                detail("Experimental"),
            ));
        } else {
            text.push_str(&format!("\n  Version:\t{}", component.version));
            for (key, value) in &component.details {
                text.push_str(&format!("\n  {key}:\t{value}"));
            }
        }
    }
    text
}

fn server_document(server: &Version) -> Value {
    let mut document = serde_json::to_value(server).unwrap_or(Value::Null);
    document["Components"] = serde_json::to_value(components(server)).unwrap_or(Value::Null);
    document["APIVersion"] = server.api_version.clone().into();
    document
}
