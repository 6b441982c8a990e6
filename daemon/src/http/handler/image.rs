//! `/images`: list, inspect, history, tag, delete, prune, and create (pull and import).

use std::collections::BTreeMap;

use base64::Engine;
use base64::alphabet::URL_SAFE;
use base64::engine::{DecodePaddingMode, GeneralPurpose, GeneralPurposeConfig};
use dhow_engine_api::auth::AuthConfig;
use dhow_engine_api::image::ImageSummary;
use dhow_engine_api::message::JsonMessage;
use dhow_proto::error::Kind;
use futures_util::stream::{self, StreamExt};
use http::StatusCode;
use http_body_util::BodyStream;
use tokio_stream::wrappers::ReceiverStream;

use crate::container::running_users;
use crate::http::body::{self, Outcome};
use crate::http::call::Call;
use crate::http::error::HttpError;
use crate::http::filter::Filters;
use crate::http::version::Version;
use crate::image::reference::{Reference, ReferenceError};
use crate::image::{FILTERS, Image, ImageError, ImportRequest, ListFilters, Platform, PullLines, change};

/// Credentials come with padding or without, from clients of every age.
const AUTH: GeneralPurpose = GeneralPurpose::new(
    &URL_SAFE,
    GeneralPurposeConfig::new().with_decode_padding_mode(DecodePaddingMode::Indifferent),
);
/// Names that `filters` of a prune may use.
const PRUNE_FILTERS: &[&str] = &["dangling", "label", "label!", "until"];

pub(crate) async fn list(call: &Call) -> Outcome {
    let mut wanted = wanted(call.filters(FILTERS)?)?;
    // Before 1.25 the pattern was a parameter of its own.
    if let pattern @ [_, ..] = call.query.text("filter").as_bytes() {
        wanted.pattern = Some(String::from_utf8_lossy(pattern).into_owned());
    }
    let mut images = call.daemon.images.list(&wanted).await?;
    for_version(&mut images, call.version);
    if call.query.flag("shared-size") {
        let (all, _) = call.daemon.images.usage(&[]).await?;
        for image in &mut images {
            let found = all.iter().find(|measured| measured.id == image.id);
            image.shared_size = found.map_or(-1, |measured| measured.shared_size);
        }
    }
    body::ok(&images)
}

/// Makes a list what clients of older versions expect.
pub(super) fn for_version(images: &mut [ImageSummary], version: Version) {
    for image in images {
        if version < Version::one(44) {
            image.virtual_size = image.size;
        }
        if version < Version::one(43) {
            for (names, none) in
                [(&mut image.repo_tags, "<none>:<none>"), (&mut image.repo_digests, "<none>@<none>")]
            {
                if names.as_deref().is_some_and(<[String]>::is_empty) {
                    *names = Some(vec![none.to_owned()]);
                }
            }
        }
    }
}

fn wanted(filters: Filters) -> Result<ListFilters, HttpError> {
    let dangling = filters.flag("dangling")?;
    Ok(ListFilters { filters, dangling, pattern: None })
}

pub(crate) async fn inspect(call: &Call, name: &[&str]) -> Outcome {
    let platform = platform(call.query.text("platform"))?;
    let image = call.daemon.images.find_for(&name.join("/"), platform.as_ref()).await?;
    let mut document = call.daemon.images.inspect(&image).await?;
    if call.version < Version::one(44) {
        document.virtual_size = document.size;
    }
    body::ok(&document)
}

pub(crate) async fn history(call: &Call, name: &[&str]) -> Outcome {
    let image = call.daemon.images.find(&name.join("/")).await?;
    body::ok(&call.daemon.images.history(&image).await?)
}

pub(crate) async fn tag(call: &Call, name: &[&str]) -> Outcome {
    let image = call.daemon.images.find(&name.join("/")).await?;
    let reference = call.daemon.images.tag(&image, call.query.text("repo"), call.query.text("tag")).await?;
    tell(call, "tag", &image.id, &reference.to_string(), &image);
    Ok(body::empty(StatusCode::CREATED))
}

pub(crate) async fn remove(call: &Call, name: &[&str]) -> Outcome {
    let name = name.join("/");
    let image = call.daemon.images.find(&name).await?;
    let users = running_users(&call.daemon);
    let items = call.daemon.images.delete(&name, call.query.flag("force"), &users).await?;
    for item in &items {
        if !item.untagged.is_empty() {
            tell(call, "untag", &image.id, &image.id, &image);
        } else if item.deleted == image.id {
            tell(call, "delete", &image.id, &image.id, &image);
        }
    }
    body::ok(&items)
}

pub(crate) async fn prune(call: &Call) -> Outcome {
    let filters = call.filters(PRUNE_FILTERS)?;
    let all = filters.flag("dangling")? == Some(false);
    let wanted = ListFilters { filters, dangling: None, pattern: None };
    let users = running_users(&call.daemon);
    body::ok(&call.daemon.images.prune(&wanted, all, &users).await?)
}

fn tell(call: &Call, action: &str, id: &str, name: &str, image: &Image) {
    let mut attributes: BTreeMap<String, String> = image.config.labels.clone().unwrap_or_default();
    attributes.insert("name".to_owned(), name.to_owned());
    call.daemon.events.publish("image", action, id, attributes);
}

/// Pulls, or makes an image of the files in the body.
pub(crate) async fn create(call: Call) -> Outcome {
    let platform = platform(call.query.text("platform"))?;
    let source = call.query.text("fromSrc");
    if !source.is_empty() {
        return import(call, platform).await;
    }
    let image = call.query.text("fromImage");
    if image.is_empty() {
        return Err(HttpError::invalid("fromImage or fromSrc must be given"));
    }
    let reference = named(image, call.query.text("tag")).map_err(ImageError::from)?;
    let auth = auth(&call)?;
    let lines = call.daemon.images.pull(reference.clone(), platform, auth);
    let (daemon, shown) = (call.daemon.clone(), reference.to_string());
    answer(lines, move |status: &str| {
        if status.starts_with("Status: ") {
            let attributes = [("name".to_owned(), shown.clone())].into();
            daemon.events.publish("image", "pull", &shown, attributes);
        }
    })
    .await
}

/// Makes an image of the tar archive in the body. An archive elsewhere is for the client to fetch.
async fn import(mut call: Call, platform: Option<Platform>) -> Outcome {
    let source = call.query.text("fromSrc").to_owned();
    if source != "-" {
        let text = format!("import from {source} is not supported: fetch it, and import from -");
        return Err(HttpError::new(Kind::Unimplemented, text));
    }
    let name = match call.query.text("repo") {
        "" => None,
        repository => Some(named(repository, call.query.text("tag")).map_err(ImageError::from)?),
    };
    let comment = match call.query.text("message") {
        "" => "Imported from -".to_owned(),
        message => message.to_owned(),
    };
    let mut request = ImportRequest { name, comment, platform, ..ImportRequest::default() };
    change::apply(&mut request.config, &call.query.values("changes"))?;
    let shown = request.name.as_ref().map(ToString::to_string);
    let body = BodyStream::new(&mut call.body).filter_map(|frame| {
        std::future::ready(match frame {
            Ok(frame) => frame.into_data().ok().map(Ok),
            Err(error) => Some(Err(std::io::Error::other(error))),
        })
    });
    let id = call.daemon.images.import(request, Box::pin(body)).await?;
    let attributes = [("name".to_owned(), shown.unwrap_or_else(|| id.clone()))].into();
    call.daemon.events.publish("image", "import", &id, attributes);
    body::ok(&JsonMessage::status(id))
}

/// A name and a tag or digest beside it. Without any, `latest` is meant: all tags of a repository are not pulled at
/// once.
fn named(image: &str, tag: &str) -> Result<Reference, ReferenceError> {
    let reference = Reference::parse(image)?;
    let reference = if tag.is_empty() { reference } else { reference.with(tag)? };
    Ok(reference.or_latest())
}

/// A failure before the first line is the request's; one after it is the last line.
async fn answer(mut lines: PullLines, said: impl Fn(&str) + Send + 'static) -> Outcome {
    let first = match lines.recv().await {
        Some(Ok(first)) => first,
        Some(Err(error)) => return Err(error.into()),
        None => JsonMessage::default(),
    };
    let rest = ReceiverStream::new(lines).map(|line| {
        line.unwrap_or_else(|error| JsonMessage::failure(&HttpError::from(error).into_message()))
    });
    let all = stream::once(std::future::ready(first)).chain(rest);
    Ok(body::lines(all.inspect(move |line| said(&line.status))))
}

fn platform(text: &str) -> Result<Option<Platform>, HttpError> {
    // Newer clients send the JSON form.
    if text.starts_with('{') {
        return serde_json::from_str(text)
            .map(Some)
            .map_err(|error| HttpError::invalid(format!("invalid platform: {error}")));
    }
    match text {
        "" => Ok(None),
        text => Platform::parse(text).map(Some).ok_or_else(|| {
            HttpError::invalid(format!("invalid platform: {text:?}: OS[/ARCH[/VARIANT]] is meant"))
        }),
    }
}

fn auth(call: &Call) -> Result<AuthConfig, HttpError> {
    let Some(header) = call.headers().get("x-registry-auth") else { return Ok(AuthConfig::default()) };
    let wrong = || HttpError::invalid("invalid X-Registry-Auth header");
    let text = header.to_str().map_err(|_| wrong())?.trim();
    if text.is_empty() {
        return Ok(AuthConfig::default());
    }
    let url_safe = text.replace('+', "-").replace('/', "_");
    let decoded = AUTH.decode(url_safe).map_err(|_| wrong())?;
    if decoded.is_empty() {
        return Ok(AuthConfig::default());
    }
    dhow_engine_api::decode::from_slice(&decoded).map_err(|_| wrong())
}
