//! `GET /images/json`.

use std::collections::BTreeMap;

use dhow_engine_api::image::ImageSummary;
use jiff::Timestamp;

use super::error::ImageError;
use super::reference::Reference;
use super::{Image, Images};
use crate::http::filter::Filters;
use crate::time;

/// The filters of a list, and what `before` and `since` name.
#[derive(Debug, Default)]
pub(crate) struct ListFilters {
    /// As they were sent.
    pub(crate) filters: Filters,
    /// Only images without a name, or only those with one.
    pub(crate) dangling: Option<bool>,
    /// Pattern of names beside the filters'.
    pub(crate) pattern: Option<String>,
}

/// Names that `filters` may use.
pub(crate) const FILTERS: &[&str] = &["before", "dangling", "label", "label!", "reference", "since", "until"];

impl Images {
    /// The images that pass `wanted`, the newest first.
    pub(crate) async fn list(&self, wanted: &ListFilters) -> Result<Vec<ImageSummary>, ImageError> {
        let (before, since) =
            (self.created_of(wanted, "before").await?, self.created_of(wanted, "since").await?);
        let until = wanted.filters.values("until").first().map(|text| bound(text)).transpose()?;
        let mut summaries = Vec::new();
        for image in self.all().await? {
            let created = image.created();
            let in_time = before.is_none_or(|before| created < before)
                && since.is_none_or(|since| created > since)
                && until.is_none_or(|until| created < until);
            if in_time && image.passes(wanted) {
                summaries.push((created, self.summary(&image).await?));
            }
        }
        summaries.sort_by(|(a, left), (b, right)| b.cmp(a).then_with(|| left.id.cmp(&right.id)));
        Ok(summaries.into_iter().map(|(_, summary)| summary).collect())
    }

    /// Every image, with what it shares with others and how many of `containers` (the images of each) have it; and the
    /// bytes of all layers.
    pub(crate) async fn usage(&self, containers: &[String]) -> Result<(Vec<ImageSummary>, i64), ImageError> {
        let images = self.all().await?;
        let mut users: BTreeMap<&String, usize> = BTreeMap::new();
        for layer in images.iter().flat_map(Image::chain) {
            *users.entry(layer).or_default() += 1;
        }
        let mut summaries = Vec::new();
        for image in &images {
            let shared: Vec<String> =
                image.chain().iter().filter(|layer| users[layer] > 1).cloned().collect();
            let used = containers.iter().filter(|used| **used == image.id).count();
            summaries.push(ImageSummary {
                containers: i64::try_from(used).unwrap_or(i64::MAX),
                shared_size: self.layers_size(&shared).await?,
                ..self.summary(image).await?
            });
        }
        let all: Vec<String> = users.into_keys().cloned().collect();
        Ok((summaries, self.layers_size(&all).await?))
    }

    async fn created_of(&self, wanted: &ListFilters, name: &str) -> Result<Option<Timestamp>, ImageError> {
        match wanted.filters.values(name).first() {
            Some(image) => Ok(Some(self.find(image).await?.created())),
            None => Ok(None),
        }
    }

    async fn summary(&self, image: &Image) -> Result<ImageSummary, ImageError> {
        Ok(ImageSummary {
            containers: -1,
            created: image.created().as_second(),
            id: image.id.clone(),
            labels: image.config.labels.clone(),
            parent_id: String::new(),
            repo_digests: Some(image.digests.clone()),
            repo_tags: Some(image.tags.clone()),
            shared_size: -1,
            size: self.layers_size(image.chain()).await?,
            virtual_size: 0,
        })
    }
}

impl Image {
    /// When it was made; the beginning of time when it does not say.
    pub(super) fn created(&self) -> Timestamp {
        self.resolved.config.created.as_deref().and_then(time::parse).unwrap_or(Timestamp::UNIX_EPOCH)
    }

    pub(super) fn passes(&self, wanted: &ListFilters) -> bool {
        let labels: BTreeMap<String, String> = self.config.labels.clone().unwrap_or_default();
        wanted.filters.labels("label", &labels)
            && wanted.filters.no_labels(&labels)
            && wanted
                .dangling
                .is_none_or(|dangling| dangling == (self.tags.is_empty() && self.digests.is_empty()))
            && wanted.filters.any("reference", |pattern| self.fits(pattern))
            && wanted.pattern.as_ref().is_none_or(|pattern| self.fits(pattern))
    }

    fn fits(&self, pattern: &str) -> bool {
        self.tags.iter().chain(&self.digests).any(|name| matches(pattern, name))
    }
}

/// Whether a pattern of names (`busybox`, `lib*/b?x:1*`) fits a name as people see it.
fn matches(pattern: &str, name: &str) -> bool {
    let Ok(reference) = Reference::parse(name) else { return false };
    let whole = pattern.contains(':') || pattern.contains('@');
    let canonical = reference.canonical();
    let candidates = if whole {
        [name.to_owned(), canonical]
    } else {
        [reference.familiar_name(), reference.repository().canonical()]
    };
    candidates.iter().any(|candidate| glob(pattern.as_bytes(), candidate.as_bytes()))
}

/// Go's `path.Match`: `*` and `?` stop at slashes.
fn glob(pattern: &[u8], text: &[u8]) -> bool {
    match (pattern.first(), text.first()) {
        (None, None) => true,
        (Some(b'*'), _) if glob(&pattern[1..], text) => true,
        (Some(b'*'), Some(first)) => *first != b'/' && glob(pattern, &text[1..]),
        (Some(b'?'), Some(first)) => *first != b'/' && glob(&pattern[1..], &text[1..]),
        (Some(b'['), Some(first)) => match class(&pattern[1..], *first) {
            Some((true, rest)) => glob(rest, &text[1..]),
            _ => false,
        },
        (Some(wanted), Some(first)) => wanted == first && glob(&pattern[1..], &text[1..]),
        _ => false,
    }
}

/// Whether `byte` is in the class that `pattern` goes on with, and what follows the class.
fn class(pattern: &[u8], byte: u8) -> Option<(bool, &[u8])> {
    let end = pattern.iter().position(|byte| *byte == b']')?;
    let (negated, mut body) = match pattern[..end].strip_prefix(b"^") {
        Some(body) => (true, body),
        None => (false, &pattern[..end]),
    };
    let mut found = false;
    while let [first, rest @ ..] = body {
        match rest {
            [b'-', last, rest @ ..] => {
                found |= (*first..=*last).contains(&byte);
                body = rest;
            }
            _ => {
                found |= *first == byte;
                body = rest;
            }
        }
    }
    Some((found != negated, &pattern[end + 1..]))
}

/// A time, or a span before now (`24h`).
pub(super) fn bound(text: &str) -> Result<Timestamp, ImageError> {
    let span =
        || text.parse::<jiff::SignedDuration>().ok().and_then(|span| Timestamp::now().checked_sub(span).ok());
    time::parse_bound(text)
        .or_else(span)
        .ok_or_else(|| ImageError::Invalid(format!("invalid time: {text:?}")))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn patterns_stop_at_slashes() {
        for (pattern, name, fits) in [
            ("busybox", "busybox:latest", true),
            ("busy*", "busybox:1", true),
            ("busybox:l*t", "busybox:latest", true),
            ("*", "localhost:5000/a:1", false),
            ("*/*", "user/app:1", true),
            ("docker.io/library/b[a-z]sybox", "busybox:latest", true),
            ("b?x", "box:latest", true),
            ("busybox:1", "busybox:latest", false),
        ] {
            assert_eq!(matches(pattern, name), fits, "{pattern} {name}");
        }
    }
}
