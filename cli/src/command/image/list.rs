//! `images`: the images.

use std::collections::BTreeMap;

use dhow_engine_api::image::ImageSummary;

use crate::client::query::Filters;
use crate::client::{Call, Query};
use crate::command::Verb;
use crate::error::Failure;
use crate::option::reference::Reference;
use crate::output::format::{Columns, Format, Row, is_default};
use crate::output::{put, short_id, time, units};
use crate::session::Session;

/// List images.
#[derive(Debug, clap::Args)]
pub(crate) struct List {
    /// Show all images (default hides intermediate images)
    #[arg(short, long)]
    all: bool,
    /// Show digests
    #[arg(long)]
    digests: bool,
    /// Show only what meets the conditions (key=value)
    #[arg(short, long, value_name = "filter", value_parser = crate::option::filter)]
    filter: Vec<String>,
    /// Format the output: 'table', 'table TEMPLATE', 'json', or a Go template
    #[arg(long, value_name = "string", default_value = "")]
    format: String,
    /// Show whole IDs
    #[arg(long)]
    no_trunc: bool,
    /// Show only IDs
    #[arg(short, long)]
    quiet: bool,
    /// Show the platforms of each image as a tree
    #[arg(long)]
    tree: bool,
    name: Option<String>,
}

pub(crate) static COLUMNS: Columns = Columns {
    type_name: "*formatter.imageContext",
    headers: &[
        ("ID", "IMAGE ID"),
        ("Repository", "REPOSITORY"),
        ("Tag", "TAG"),
        ("Digest", "DIGEST"),
        ("CreatedSince", "CREATED"),
        ("CreatedAt", "CREATED AT"),
        ("Size", "SIZE"),
        ("Containers", "CONTAINERS"),
        ("SharedSize", "SHARED SIZE"),
        ("UniqueSize", "UNIQUE SIZE"),
        ("VirtualSize", "SIZE"),
    ],
};

impl Verb for List {
    const USAGE: &'static str = "[OPTIONS] [REPOSITORY[:TAG]]";
    const ABOUT: &'static str = "List images";

    async fn run(self, session: &Session) -> Result<(), Failure> {
        if self.tree {
            return Err("--tree is not supported: no daemon here keeps images of several platforms".into());
        }
        let configured = &session.config().document.images_format;
        let source = match self.format.as_str() {
            "" if !configured.is_empty() && !self.quiet => configured.clone(),
            "raw" if self.quiet => "image_id: {{.ID}}".into(),
            "raw" => self.raw_format(),
            format if is_default(format) || self.quiet => self.default_format(),
            format => format.to_owned(),
        };
        let format = Format::parse(&source)?;
        let mut filters = Filters::parse(&self.filter)?;
        if let Some(name) = &self.name {
            filters.add("reference", name);
        }
        let query = Query::new().flag("all", self.all).filters(&filters);
        let images: Vec<ImageSummary> =
            session.client()?.fetch(Call::get("/images/json").query(query)).await?;
        let digests = self.digests || format.mentions("Digest");
        let rows: Vec<Row> =
            images.iter().flat_map(|image| rows(image, !self.no_trunc, digests, self.digests)).collect();
        put(&format.render(&COLUMNS, &rows)?)
    }
}

impl List {
    fn default_format(&self) -> String {
        if self.quiet {
            return "{{.ID}}".into();
        }
        let digest = if self.digests { "{{.Digest}}\t" } else { "" };
        format!(
            "table {{{{.Repository}}}}\t{{{{.Tag}}}}\t{digest}{{{{.ID}}}}\t{{{{if .CreatedSince }}}}{{{{.CreatedSince}}}}{{{{else}}}}N/A{{{{end}}}}\t{{{{.Size}}}}"
        )
    }

    fn raw_format(&self) -> String {
        let digest = if self.digests { "digest: {{.Digest}}\n" } else { "" };
        format!(
            "repository: {{{{ .Repository }}}}\ntag: {{{{.Tag}}}}\n{digest}image_id: {{{{.ID}}}}\ncreated_at: {{{{.CreatedAt}}}}\nvirtual_size: {{{{.Size}}}}\n"
        )
    }
}

/// The row of an image under its first name alone.
pub(crate) fn first_row(image: &ImageSummary) -> Option<Row> {
    match image.repo_tags.iter().flatten().next().filter(|tag| *tag != "<none>:<none>") {
        None => Some(row(image, true, "<none>", "<none>", "")),
        Some(tag) => {
            let reference = Reference::parse(tag).ok()?;
            Some(row(image, true, &reference.familiar_name(), reference.tag().unwrap_or("<none>"), ""))
        }
    }
}

/// A row for each name of an image.
fn rows(image: &ImageSummary, truncate: bool, with_digest: bool, digest_rows: bool) -> Vec<Row> {
    let words = |list: &Option<Vec<String>>| list.clone().unwrap_or_default();
    let (tags, digests) = (words(&image.repo_tags), words(&image.repo_digests));
    let dangling = tags.is_empty() && digests.is_empty()
        || tags == ["<none>:<none>"] && (digests.is_empty() || digests == ["<none>@<none>"]);
    if dangling {
        return vec![row(image, truncate, "<none>", "<none>", "<none>")];
    }
    let familiar = |text: &str| Reference::parse(text).map(|reference| reference.familiar_name());
    let mut by_name: BTreeMap<String, Vec<&str>> = BTreeMap::new();
    for text in &digests {
        if let (Ok(name), Some((_, digest))) = (familiar(text), text.split_once('@')) {
            by_name.entry(name).or_default().push(digest);
        }
    }
    let mut rows = Vec::new();
    let mut named: Vec<String> = Vec::new();
    for text in &tags {
        let Ok(reference) = Reference::parse(text) else { continue };
        let name = reference.familiar_name();
        let digests = by_name.get(&name).filter(|_| with_digest).map(Vec::as_slice).unwrap_or_default();
        let tag = reference.tag().unwrap_or("<none>");
        if digests.is_empty() {
            rows.push(row(image, truncate, &name, tag, "<none>"));
        }
        rows.extend(digests.iter().map(|digest| row(image, truncate, &name, tag, digest)));
        named.push(name);
    }
    for (name, digests) in by_name.iter().filter(|(name, _)| !named.contains(name)) {
        if digest_rows {
            rows.extend(digests.iter().map(|digest| row(image, truncate, name, "<none>", digest)));
        } else {
            rows.push(row(image, truncate, name, "<none>", ""));
        }
    }
    rows
}

fn row(image: &ImageSummary, truncate: bool, repository: &str, tag: &str, digest: &str) -> Row {
    let ImageSummary { id, created, size, shared_size: shared, containers: count, .. } = image;
    let (created, size, shared, count) = (*created, *size, *shared, *count);
    let human = |size: i64| units::human_size(size as f64);
    Row::new(&COLUMNS)
        .set("ID", if truncate { short_id(id) } else { id.clone() })
        .set("Repository", repository)
        .set("Tag", tag)
        .set("Digest", digest)
        .set("CreatedSince", time::ago(created))
        .set("CreatedAt", time::go_string(created))
        .set("Size", units::human_size_with(size as f64, 3))
        .set("VirtualSize", human(image.virtual_size.max(size)))
        .set("Containers", if count == -1 { "N/A".to_owned() } else { count.to_string() })
        .set("SharedSize", if shared == -1 { "N/A".to_owned() } else { human(shared) })
        .set("UniqueSize", if shared == -1 || size == -1 { "N/A".to_owned() } else { human(size - shared) })
}
