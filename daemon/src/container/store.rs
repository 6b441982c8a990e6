//! All containers: by ID, by name, by the beginning of an ID.

use std::collections::{BTreeMap, HashSet};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use dhow_linux::file::{self, PathError};
use dhow_proto::error::Kind;

use super::record::Record;
use super::state::{Container, Phase};
use crate::error::Failure;

/// Why a container was not found.
#[derive(Debug, thiserror::Error)]
pub(crate) enum LookupError {
    #[error("No such container: {0}")]
    Missing(String),
    #[error("multiple IDs found with provided prefix: {0}")]
    Ambiguous(String),
}

impl Failure for LookupError {
    fn kind(&self) -> Kind {
        match self {
            Self::Missing(_) => Kind::NotFound,
            Self::Ambiguous(_) => Kind::InvalidArgument,
        }
    }
}

/// Why a name cannot be given.
#[derive(Debug, thiserror::Error)]
#[error(
    "Conflict. The container name \"/{name}\" is already in use by container \"{holder}\". You have to remove (or rename) that container to be able to reuse that name."
)]
pub(crate) struct NameTaken {
    name: String,
    holder: String,
}

impl Failure for NameTaken {
    fn kind(&self) -> Kind {
        Kind::AlreadyExists
    }
}

/// All containers.
#[derive(Debug)]
pub(crate) struct Store {
    folder: PathBuf,
    index: Mutex<Index>,
}

#[derive(Debug, Default)]
struct Index {
    by_id: BTreeMap<String, Arc<Container>>,
    /// Name to ID; also of containers that are still being made.
    by_name: BTreeMap<String, String>,
}

impl Store {
    /// Reads every record. One that cannot be read stays where it is and is left out.
    pub(crate) fn open(folder: &Path) -> Result<Self, PathError> {
        file::make_folder(folder, 0o710)?;
        let mut index = Index::default();
        for entry in std::fs::read_dir(folder).map_err(PathError::at("list", folder))? {
            let path = entry.map_err(PathError::at("list", folder))?.path();
            match Record::load(&path) {
                Ok(record) => {
                    index.by_name.insert(record.name.clone(), record.id.clone());
                    index.by_id.insert(record.id.clone(), Arc::new(Container::new(record, path)));
                }
                Err(error) => {
                    let error = dhow_proto::error::chain(&error);
                    tracing::warn!(folder = %path.display(), %error, "left a container out");
                }
            }
        }
        Ok(Self { folder: folder.to_owned(), index: Mutex::new(index) })
    }

    /// The folder of a container.
    pub(crate) fn folder(&self, id: &str) -> PathBuf {
        self.folder.join(id)
    }

    /// The container that a client means: a whole ID, a name with or without `/`, or the beginning of an ID.
    pub(crate) fn find(&self, reference: &str) -> Result<Arc<Container>, LookupError> {
        let index = self.index();
        let name = reference.strip_prefix('/').unwrap_or(reference);
        let named = index.by_name.get(name).and_then(|id| index.by_id.get(id));
        if let Some(container) = index.by_id.get(reference).or(named) {
            return Ok(Arc::clone(container));
        }
        let mut matching =
            index.by_id.range(reference.to_owned()..).take_while(|(id, _)| id.starts_with(reference));
        match (matching.next(), matching.next()) {
            (Some((_, container)), None) if !reference.is_empty() => Ok(Arc::clone(container)),
            (Some(_), Some(_)) if !reference.is_empty() => Err(LookupError::Ambiguous(reference.to_owned())),
            _ => Err(LookupError::Missing(reference.to_owned())),
        }
    }

    /// The container with a whole ID.
    pub(crate) fn get(&self, id: &str) -> Option<Arc<Container>> {
        self.index().by_id.get(id).cloned()
    }

    /// All of them.
    pub(crate) fn all(&self) -> Vec<Arc<Container>> {
        self.index().by_id.values().cloned().collect()
    }

    /// Gives `name` to `id`, unless somebody has it.
    pub(crate) fn take_name(&self, name: &str, id: &str) -> Result<(), NameTaken> {
        let mut index = self.index();
        if let Some(holder) = index.by_name.get(name) {
            return Err(NameTaken { name: name.to_owned(), holder: holder.clone() });
        }
        index.by_name.insert(name.to_owned(), id.to_owned());
        Ok(())
    }

    /// Takes `name` back.
    pub(crate) fn drop_name(&self, name: &str) {
        self.index().by_name.remove(name);
    }

    /// Adds a container whose name is taken.
    pub(crate) fn insert(&self, container: Arc<Container>) {
        self.index().by_id.insert(container.id.clone(), container);
    }

    /// Forgets a container and its name.
    pub(crate) fn remove(&self, container: &Container) {
        let name = container.name();
        let mut index = self.index();
        index.by_id.remove(&container.id);
        if index.by_name.get(&name) == Some(&container.id) {
            index.by_name.remove(&name);
        }
    }

    /// IDs of those that have a process.
    pub(crate) fn running(&self) -> HashSet<String> {
        let all = self.all().into_iter();
        all.filter(|container| container.state().phase.pid().is_some())
            .map(|container| container.id.clone())
            .collect()
    }

    /// How many run, are paused, and neither.
    pub(crate) fn counts(&self) -> (i64, i64, i64) {
        let mut counts = (0, 0, 0);
        for container in self.all() {
            match container.state().phase {
                Phase::Running { paused: true, .. } => counts.1 += 1,
                Phase::Running { paused: false, .. } | Phase::Restarting { .. } => counts.0 += 1,
                Phase::Idle | Phase::Removing => counts.2 += 1,
            }
        }
        counts
    }

    fn index(&self) -> MutexGuard<'_, Index> {
        self.index.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn store(containers: &[(&str, &str)]) -> (tempfile::TempDir, Store) {
        let folder = tempfile::tempdir().expect("temporary folder");
        let store = Store::open(folder.path()).expect("open");
        for (id, name) in containers {
            let id = format!("{id:0<64}");
            let record = Record::new(
                id.clone(),
                (*name).to_owned(),
                String::new(),
                Default::default(),
                Default::default(),
            );
            store.take_name(name, &id).expect("free name");
            store.insert(Arc::new(Container::new(record, folder.path().join(id))));
        }
        (folder, store)
    }

    #[test]
    fn ids_names_and_beginnings_are_found() {
        let (_folder, store) = store(&[("abc1", "web"), ("abc2", "db"), ("fff", "abc1")]);
        let name = |reference: &str| store.find(reference).map(|container| container.name());
        assert_eq!(name("web").ok().as_deref(), Some("web"));
        assert_eq!(name("/web").ok().as_deref(), Some("web"));
        assert_eq!(name("abc2").ok().as_deref(), Some("db"));
        assert_eq!(name("abc1").ok().as_deref(), Some("abc1"), "a name goes before a beginning");
        assert!(matches!(name("abc"), Err(LookupError::Ambiguous(_))));
        assert!(matches!(name("x"), Err(LookupError::Missing(_))));
        assert!(matches!(name(""), Err(LookupError::Missing(_))));
    }

    #[test]
    fn a_name_has_one_holder() {
        let (_folder, store) = store(&[("a", "web")]);
        let error = store.take_name("web", "b").expect_err("taken");
        assert!(error.to_string().starts_with("Conflict. The container name \"/web\" is already in use by"));
        store.drop_name("web");
        assert!(store.take_name("web", "b").is_ok());
    }
}
