//! What all `inspect` commands share: documents as they came, or a template over each.

use std::future::Future;

use serde_json::Value;

use crate::client::{Call, Client, ClientError};
use crate::error::Failure;
use crate::output::template::{Datum, Missing, Mode, Template};
use crate::output::{json, put};

/// Exit code for a template that cannot be read.
const BAD_TEMPLATE: u8 = 64;

/// Fetches the document of each name with `fetch` and shows them as `format` says.
pub(super) async fn show<'n, F, T>(names: &'n [String], format: &str, fetch: F) -> Result<(), Failure>
where
    F: Fn(&'n str) -> T,
    T: Future<Output = Result<String, Failure>>,
{
    let template = match format {
        "" => None,
        "json" => Some(Template::parse("{{json .}}")),
        source => Some(Template::parse(source)),
    };
    let template = template.transpose().map_err(|error| Failure::from(error).code(BAD_TEMPLATE))?;
    let mut failures = Vec::new();
    let mut documents = Vec::new();
    let mut text = String::new();
    for name in names {
        let fetched = fetch(name).await;
        let shown = fetched.and_then(|raw| match &template {
            None => {
                documents.push(raw);
                Ok(())
            }
            Some(template) => execute(template, &raw, &mut text),
        });
        if let Err(failure) = shown {
            failures.push(failure);
        }
    }
    match template {
        None => put(&(json::indent(&format!("[{}]", documents.join(",")), "", "    ") + "\n"))?,
        Some(_) if text.is_empty() => put("\n")?,
        Some(_) => put(&text)?,
    }
    Failure::join(failures)
}

fn execute(template: &Template, raw: &str, text: &mut String) -> Result<(), Failure> {
    let value: Value =
        serde_json::from_str(raw).map_err(|error| format!("unable to read inspect data: {error}"))?;
    let mut out = String::new();
    template.execute(Datum::document(&value), Mode::Data, Missing::Typed, &mut out)?;
    text.push_str(&out);
    text.push('\n');
    Ok(())
}

/// The text of the answer to `GET path`.
pub(super) async fn raw(client: &Client, call: Call) -> Result<String, ClientError> {
    Ok(client.send(call).await?.text().await?.trim_end().to_owned())
}
