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

use clap::{ArgMatches, Args, FromArgMatches, Subcommand};

use crate::container::{Container, ContainerError, ContainerId};
use crate::options::Global;

/// The verbs: `/// help`, name on the command line, variant, arguments. Each defines its flags only when it is the one
/// that was called: defining all of them takes longer than most verbs do.
macro_rules! verbs {
    ($(#[doc = $help:literal] $name:literal $verb:ident($arguments:ty),)*) => {
        /// A verb with its arguments.
        #[derive(Debug)]
        pub(crate) enum Command {
            $(#[doc = $help] $verb($arguments),)*
        }

        impl Subcommand for Command {
            fn augment_subcommands(command: clap::Command) -> clap::Command {
                command$(.subcommand(
                    clap::Command::new($name)
                        .about($help.trim())
                        // The documentation of the arguments' type is not the help of the verb.
                        .defer(|verb| <$arguments>::augment_args(verb).about($help.trim())),
                ))*
            }

            fn augment_subcommands_for_update(command: clap::Command) -> clap::Command {
                Self::augment_subcommands(command)
            }

            fn has_subcommand(name: &str) -> bool {
                [$($name),*].contains(&name)
            }
        }

        impl FromArgMatches for Command {
            fn from_arg_matches(matches: &ArgMatches) -> Result<Self, clap::Error> {
                match matches.subcommand() {
                    $(Some(($name, own)) => <$arguments>::from_arg_matches(own).map(Self::$verb),)*
                    _ => Err(clap::Error::new(clap::error::ErrorKind::MissingSubcommand)),
                }
            }

            fn update_from_arg_matches(&mut self, matches: &ArgMatches) -> Result<(), clap::Error> {
                *self = Self::from_arg_matches(matches)?;
                Ok(())
            }
        }
    };
}

verbs! {
    /// checkpoint a running container
    "checkpoint" Checkpoint(Box<checkpoint::CheckpointArgs>),
    /// create a container
    "create" Create(create::CreateArgs),
    /// delete any resources held by the container often used with detached container
    "delete" Delete(delete::DeleteArgs),
    /// display container events such as OOM notifications, cpu, memory, and IO usage statistics
    "events" Events(events::EventsArgs),
    /// execute new process inside the container
    "exec" Exec(Box<exec::ExecArgs>),
    /// show the enabled features
    "features" Features(features::FeaturesArgs),
    /// kill sends the specified signal (default: SIGTERM) to the container's init process
    "kill" Kill(kill::KillArgs),
    /// lists containers started by runc with the given root
    "list" List(list::ListArgs),
    /// pause suspends all processes inside the container
    "pause" Pause(pause::PauseArgs),
    /// ps displays the processes running inside a container
    "ps" Ps(ps::PsArgs),
    /// restore a container from a previous checkpoint
    "restore" Restore(Box<restore::RestoreArgs>),
    /// resumes all processes that have been previously paused
    "resume" Resume(pause::ResumeArgs),
    /// create and run a container
    "run" Run(run::RunArgs),
    /// create a new specification file
    "spec" Spec(spec::SpecArgs),
    /// executes the user defined process in a created container
    "start" Start(start::StartArgs),
    /// output the state of a container
    "state" State(state::StateArgs),
    /// update container resource constraints
    "update" Update(Box<update::UpdateArgs>),
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

    /// The whole text.
    pub(crate) fn text(&self) -> String {
        let text = crate::error::chain(self.error.as_ref());
        self.context.map_or_else(|| text.clone(), |context| format!("{context}: {text}"))
    }
}

impl<E: Error + 'static> From<E> for Failure {
    fn from(error: E) -> Self {
        Self { error: Box::new(error), context: None, status: 1 }
    }
}

/// What the caller asked for cannot be, for a reason that needs no type of its own.
#[derive(Debug, thiserror::Error)]
#[error("{0}")]
pub(crate) struct Refusal(pub(crate) String);

/// Exit status of the program.
pub(crate) type Outcome = Result<i32, Failure>;

impl Command {
    /// Carries it out.
    pub(crate) fn run(self, global: &Global) -> Outcome {
        match self {
            Self::Checkpoint(args) => args.run(global),
            Self::Create(args) => args.run(global),
            Self::Delete(args) => args.run(global),
            Self::Events(args) => args.run(global),
            Self::Exec(args) => args.run(global),
            Self::Features(args) => args.run(),
            Self::Kill(args) => args.run(global),
            Self::List(args) => args.run(global),
            Self::Pause(args) => args.run(global),
            Self::Ps(args) => args.run(global),
            Self::Restore(args) => args.run(global),
            Self::Resume(args) => args.run(global),
            Self::Run(args) => args.run(global),
            Self::Spec(args) => args.run(),
            Self::Start(args) => args.run(global),
            Self::State(args) => args.run(global),
            Self::Update(args) => args.run(global),
        }
    }
}

/// Opens the container that a verb is about.
pub(crate) fn open(global: &Global, id: &ContainerId) -> Result<Container, ContainerError> {
    Container::open(&global.root, id)
}
