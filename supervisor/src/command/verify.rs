//! `verify`: says what is wrong below the root, and changes nothing.

use anyhow::bail;

use super::say;
use crate::metadata;
use crate::options::Options;
use crate::supervisor::{BACKUP, JOURNAL, METADATA, directory, lock};
use crate::verify::check;

pub(super) fn run(options: &Options) -> anyhow::Result<()> {
    let (root, state) = (directory(&options.root)?, directory(&options.state)?);
    let _lock = lock(&root)?;
    let path = root.join(METADATA);
    metadata::require(&path, &root.join(BACKUP))?;
    if path.exists() && !metadata::is_whole(&path) {
        bail!("{} is damaged: `dhow-supervisor repair` rebuilds it", path.display());
    }
    let store = metadata::Store::open(&path, &state.join(JOURNAL))?;
    let findings = check(&root, &store.read()?)?;
    findings.iter().try_for_each(|finding| say(&finding.to_string()))?;
    let damages = findings.iter().filter(|finding| finding.is_damage()).count();
    let leftovers = findings.len() - damages;
    say(&format!("{damages} damaged, {leftovers} left over by a crash (the next start deletes these)"))?;
    match damages {
        0 => Ok(()),
        _ => bail!("run `dhow-supervisor repair`"),
    }
}
