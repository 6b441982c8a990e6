//! `events`: what happens at the daemon.

use dhow_engine_api::event::Event;
use serde_json::Value;

use crate::client::query::Filters;
use crate::client::{Call, Query};
use crate::command::Verb;
use crate::error::Failure;
use crate::output::template::Missing;
use crate::output::{format, put, put_line, time};
use crate::session::Session;

/// Show what happens at the daemon.
#[derive(Debug, clap::Args)]
pub(crate) struct Events {
    /// Show only what meets the conditions (key=value)
    #[arg(short, long, value_name = "filter", value_parser = crate::option::filter)]
    filter: Vec<String>,
    /// Format the output: 'json', or a Go template
    #[arg(long, value_name = "string", default_value = "")]
    format: String,
    /// Show events since a time, or for a while
    #[arg(long, value_name = "string")]
    since: Option<String>,
    /// Show events until a time
    #[arg(long, value_name = "string")]
    until: Option<String>,
}

impl Verb for Events {
    const USAGE: &'static str = "[OPTIONS]";
    const ABOUT: &'static str = "Get real time events from the server";

    async fn run(self, session: &Session) -> Result<(), Failure> {
        if !self.format.is_empty() {
            // A template that cannot work is told before anything is waited for.
            let sample = serde_json::to_value(Event::default()).unwrap_or(Value::Null);
            format::document(&self.format, &sample, Missing::Typed).map_err(|failure| {
                failure.reword(|message| format!("Error parsing format: {message}")).code(64)
            })?;
        }
        let moment = |text: &Option<String>| match text {
            Some(text) => time::moment(text),
            None => Ok(String::new()),
        };
        let query = Query::new()
            .text("since", &moment(&self.since)?)
            .text("until", &moment(&self.until)?)
            .filters(&Filters::parse(&self.filter)?);
        let reply = session.client()?.send(Call::get("/events").query(query)).await?;
        let mut messages = reply.messages();
        if self.format.is_empty() {
            while let Some(event) = messages.next::<Event>().await? {
                put(&line(&event))?;
            }
            return Ok(());
        }
        while let Some(event) = messages.next::<Value>().await? {
            put_line(&format::document(&self.format, &event, Missing::Typed)?)?;
        }
        Ok(())
    }
}

fn line(event: &Event) -> String {
    let mut text = String::new();
    let nanoseconds =
        if event.time_nano == 0 { event.time.saturating_mul(1_000_000_000) } else { event.time_nano };
    if nanoseconds != 0 {
        text.push_str(&time::rfc3339_nano(nanoseconds));
        text.push(' ');
    }
    text.push_str(&format!("{} {} {}", event.kind, event.action, event.actor.id));
    if !event.actor.attributes.is_empty() {
        let attributes: Vec<_> =
            event.actor.attributes.iter().map(|(key, value)| format!("{key}={value}")).collect();
        text.push_str(&format!(" ({})", attributes.join(", ")));
    }
    text.push('\n');
    text
}
