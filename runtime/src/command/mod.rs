//! One file a verb: its flags, and the few lines that carry it out.

mod checkpoint;
mod create;
mod delete;
mod events;
mod exec;
mod features;
mod kill;
mod list;
mod pause;
mod ps;
mod restore;
mod run;
mod spec;
mod start;
mod state;
mod update;

use std::error::Error;

use clap::{ArgMatches, Args};

use crate::container::{Container, ContainerError, ContainerId};
use crate::options::Global;

/// A verb: its arguments are its flags.
trait Verb: Args + 'static {
    /// As the command line has it.
    const NAME: &str;
    /// For the list of verbs.
    const HELP: &str;

    /// Carries it out.
    fn run(self, global: &Global) -> Outcome;
}

/// A verb in the list. Only the one that is called defines its flags: defining all takes longer than most verbs do.
#[derive(Debug)]
pub(crate) struct Entry {
    /// As the command line has it.
    pub(crate) name: &'static str,
    help: &'static str,
    define: fn(clap::Command) -> clap::Command,
    read: fn(&ArgMatches) -> Result<Call, clap::Error>,
}

/// A verb with its arguments.
pub(crate) type Call = Box<dyn FnOnce(&Global) -> Outcome>;

/// All verbs.
pub(crate) static VERBS: [Entry; 17] = [
    Entry::of::<checkpoint::CheckpointArgs>(),
    Entry::of::<create::CreateArgs>(),
    Entry::of::<delete::DeleteArgs>(),
    Entry::of::<events::EventsArgs>(),
    Entry::of::<exec::ExecArgs>(),
    Entry::of::<features::FeaturesArgs>(),
    Entry::of::<kill::KillArgs>(),
    Entry::of::<list::ListArgs>(),
    Entry::of::<pause::PauseArgs>(),
    Entry::of::<ps::PsArgs>(),
    Entry::of::<restore::RestoreArgs>(),
    Entry::of::<pause::ResumeArgs>(),
    Entry::of::<run::RunArgs>(),
    Entry::of::<spec::SpecArgs>(),
    Entry::of::<start::StartArgs>(),
    Entry::of::<state::StateArgs>(),
    Entry::of::<update::UpdateArgs>(),
];

impl Entry {
    const fn of<V: Verb>() -> Self {
        Self {
            name: V::NAME,
            help: V::HELP,
            define: V::augment_args,
            read: |matches| {
                let verb = V::from_arg_matches(matches)?;
                Ok(Box::new(|global| verb.run(global)))
            },
        }
    }

    /// The verb as the list shows it.
    pub(crate) fn announce(&self) -> clap::Command {
        clap::Command::new(self.name).about(self.help)
    }

    /// The verb with its flags.
    pub(crate) fn define(&self) -> clap::Command {
        // The documentation of the arguments' type is not the help of the verb.
        (self.define)(self.announce()).about(self.help)
    }

    /// Its arguments, from what clap found.
    pub(crate) fn read(&self, matches: &ArgMatches) -> Result<Call, clap::Error> {
        (self.read)(matches)
    }
}

/// A verb failed: the error, what it is shown as, and the exit status.
#[derive(Debug)]
pub(crate) struct Failure {
    error: Box<dyn Error>,
    context: Option<&'static str>,
    /// For the caller of the program.
    pub(crate) status: i32,
}

impl Failure {
    /// `create` and others announce themselves in front of the error.
    fn context(context: &'static str, status: i32) -> impl FnOnce(Self) -> Self {
        move |failure| Self { context: Some(context), status, ..failure }
    }

    /// What `verb` says of an error before it has begun.
    pub(crate) fn of_verb(verb: &str, error: impl Error + 'static) -> Self {
        let failure = Self::from(error);
        match verb {
            "create" => Self::context(create::FAILED, 1)(failure),
            "exec" => Self::context(exec::FAILED, 255)(failure),
            "run" => Self::context(run::FAILED, 1)(failure),
            _ => failure,
        }
    }

    /// An error with a status of its own.
    pub(crate) fn with_status(error: impl Error + 'static, status: i32) -> Self {
        Self { error: Box::new(error), context: None, status }
    }

    /// The whole text.
    pub(crate) fn text(&self) -> String {
        let text = crate::error::chain(self.error.as_ref());
        self.context.map_or_else(|| text.clone(), |context| format!("{context}: {text}"))
    }
}

impl<E: Error + 'static> From<E> for Failure {
    fn from(error: E) -> Self {
        Self::with_status(error, 1)
    }
}

/// What the caller asked for cannot be, for a reason that needs no type of its own.
#[derive(Debug, thiserror::Error)]
#[error("{0}")]
pub(crate) struct Refusal(pub(crate) String);

/// Exit status of the program.
pub(crate) type Outcome = Result<i32, Failure>;

/// Opens the container that a verb is about.
pub(crate) fn open(global: &Global, id: &ContainerId) -> Result<Container, ContainerError> {
    Container::open(&global.root, id)
}
