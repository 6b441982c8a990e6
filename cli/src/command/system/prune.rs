//! `system prune`: remove everything that nothing uses.

use crate::client::ApiVersion;
use crate::command::{Verb, builder, container, image, network, prune, volume};
use crate::error::Failure;
use crate::output::{put, put_line};
use crate::session::Session;

/// Remove everything that nothing uses.
#[derive(Debug, clap::Args)]
pub(crate) struct Prune {
    /// Remove all unused images, not just those without a name
    #[arg(short, long)]
    all: bool,
    #[command(flatten)]
    choice: prune::Choice,
    /// Remove anonymous volumes too
    #[arg(long)]
    volumes: bool,
}

impl Verb for Prune {
    const USAGE: &'static str = "[OPTIONS]";
    const ABOUT: &'static str = "Remove unused data";

    async fn run(self, session: &Session) -> Result<(), Failure> {
        let filters = self.choice.filters()?;
        if self.volumes && filters.has("until") {
            return Err("ERROR: The \"until\" filter is not supported with \"--volumes\"".into());
        }
        // The build cache has an interface of its own since 1.31.
        let cache = session.client()?.version().await? >= ApiVersion(1, 31);
        self.choice.put("system", &self.question(cache))?;
        let mut freed = 0;
        let (text, bytes) = container::prune::containers(session, &filters).await?;
        freed += bytes;
        put(&text)?;
        put(&network::prune::networks(session, &filters).await?)?;
        if self.volumes {
            let (text, bytes) = volume::prune::volumes(session, &filters).await?;
            freed += bytes;
            put(&text)?;
        }
        let (text, bytes) = image::prune::images(session, self.all, filters.clone()).await?;
        freed += bytes;
        put(&text)?;
        if cache {
            let (text, bytes) = builder::prune::cache(session, self.all, &filters, "").await?;
            freed += bytes;
            put(&text)?;
        }
        put_line(prune::total(freed).trim_end())
    }
}

impl Prune {
    fn question(&self, cache: bool) -> String {
        let mut lines = vec!["all stopped containers", "all networks not used by at least one container"];
        if self.volumes {
            lines.push("all anonymous volumes not used by at least one container");
        }
        lines.push(if self.all {
            "all images without at least one container associated to them"
        } else {
            "all dangling images"
        });
        if cache {
            lines.push(if self.all { "all build cache" } else { "unused build cache" });
        }
        let list = |lines: &[String]| lines.iter().map(|line| format!("  - {line}\n")).collect::<String>();
        let lines: Vec<String> = lines.into_iter().map(str::to_owned).collect();
        let mut text = format!("This will remove:\n{}", list(&lines));
        if !self.choice.filter.is_empty() {
            let mut filters = self.choice.filter.clone();
            filters.sort();
            text.push_str(&format!("\n  Items to be pruned will be filtered with:\n{}", list(&filters)));
        }
        text + "\nAre you sure you want to continue?"
    }
}
