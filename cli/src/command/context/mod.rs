//! `context …`: named daemons.

pub(crate) mod create;
pub(crate) mod export;
pub(crate) mod import;
pub(crate) mod inspect;
pub(crate) mod list;
pub(crate) mod rm;
pub(crate) mod show;
pub(crate) mod switch;
pub(crate) mod update;

use crate::config::Context;
use crate::error::Failure;
use crate::session::Session;

/// The name of the context that is in no file.
const DEFAULT: &str = "default";

/// The context `name`, the one without a file too.
fn find(session: &Session, name: &str) -> Result<Context, Failure> {
    if name == DEFAULT {
        return default_context(session);
    }
    let all = Context::all(session.config().directory());
    let missing = || Failure::new(format!("context \"{name}\" does not exist"));
    all.into_iter().find(|context| context.name == name).ok_or_else(missing)
}

/// The context that follows `-H` and `DOCKER_HOST`.
fn default_context(session: &Session) -> Result<Context, Failure> {
    let host = match session.context_name().as_str() {
        DEFAULT => session.host()?.to_string(),
        _ => crate::client::Host::default_socket().to_string(),
    };
    Ok(Context::new(DEFAULT, "Current DOCKER_HOST based configuration", &host))
}

/// The address in `--docker host=ADDRESS`.
fn endpoint(text: &str) -> Result<String, String> {
    let mut host = None;
    for pair in crate::option::csv::fields(text)? {
        match pair.split_once('=') {
            Some(("host", address)) => {
                crate::client::Host::parse(address).map_err(|error| error.to_string())?;
                host = Some(address.to_owned());
            }
            Some(("skip-tls-verify", _)) => {}
            Some((key @ ("ca" | "cert" | "key"), _)) => return Err(format!("{key}: TLS is not supported")),
            _ => return Err(format!("unrecognized config key: {pair}")),
        }
    }
    host.ok_or_else(|| "host is required".to_owned())
}

/// Refuses what is no name.
fn checked(name: &str) -> Result<(), Failure> {
    let valid = name.starts_with(|c: char| c.is_ascii_alphanumeric())
        && name.len() > 1
        && name.chars().all(|c| c.is_ascii_alphanumeric() || "_.+-".contains(c));
    if name == DEFAULT {
        return Err("default is a reserved name".into());
    }
    if valid {
        return Ok(());
    }
    Err(format!("context name \"{name}\" is invalid, names are validated against regexp \"^[a-zA-Z0-9][a-zA-Z0-9_.+-]+$\"").into())
}
