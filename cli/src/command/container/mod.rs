//! `container …`, and the short names of its commands.

pub(crate) mod attach;
pub(crate) mod commit;
pub(crate) mod cp;
pub(crate) mod create;
pub(crate) mod diff;
pub(crate) mod exec;
pub(crate) mod export;
pub(crate) mod inspect;
pub(crate) mod kill;
pub(crate) mod list;
pub(crate) mod logs;
pub(crate) mod pause;
pub(crate) mod port;
pub(crate) mod prune;
pub(crate) mod rename;
pub(crate) mod restart;
pub(crate) mod rm;
pub(crate) mod run;
pub(crate) mod start;
pub(crate) mod stats;
pub(crate) mod stop;
pub(crate) mod top;
pub(crate) mod unpause;
pub(crate) mod update;
pub(crate) mod wait;

mod status;

use std::future::Future;

use futures_util::StreamExt;

use crate::client::query::escape_path;
use crate::error::Failure;
use crate::output::put_line;

/// How many containers are worked on at the same time.
const PARALLEL: usize = 50;

/// The path of `verb` of a container.
fn path(container: &str, verb: &str) -> String {
    format!("/containers/{}/{verb}", escape_path(container))
}

/// Does `work` for each of `names` and prints the names that succeeded, in order; fails with all
/// the errors after the last.
async fn each<F, T>(names: &[String], work: F) -> Result<(), Failure>
where
    F: Fn(String) -> T,
    T: Future<Output = Result<Option<String>, Failure>>,
{
    let mut results = futures_util::stream::iter(names.iter().cloned().map(work)).buffered(PARALLEL);
    let mut failures: Vec<Failure> = Vec::new();
    while let Some(result) = results.next().await {
        match result {
            Ok(Some(line)) => put_line(&line)?,
            Ok(None) => {}
            Err(failure) => failures.push(failure),
        }
    }
    Failure::join(failures)
}
