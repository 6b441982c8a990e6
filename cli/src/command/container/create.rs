//! `create`: make a container, and pull its image when it is not there.

use dhow_engine_api::container::{CreateRequest, CreateResponse};

use crate::client::{ApiVersion, Call, Query};
use crate::command::Verb;
use crate::command::image::pull;
use crate::error::Failure;
use crate::option::container::{ContainerOptions, build};
use crate::output::progress::Sink;
use crate::output::{put_line, warn};
use crate::session::Session;
use crate::terminal;

/// Flags of `run` and `create` that are about making the container, not about what it is.
#[derive(Debug, Clone, Default, clap::Args)]
pub(crate) struct CreateOptions {
    /// Name the container
    #[arg(long, value_name = "string", default_value = "")]
    pub(crate) name: String,
    /// Choose an image by platform when it has several
    #[arg(long, value_name = "string", env = "DOCKER_DEFAULT_PLATFORM", hide_env = true, default_value = "")]
    pub(crate) platform: String,
    /// When to pull the image ("always", "missing", "never") (default "missing")
    #[arg(long, value_name = "string", default_value = "missing")]
    pub(crate) pull: String,
    /// Do not show the progress of a pull
    #[arg(short, long)]
    pub(crate) quiet: bool,
    /// Mount the daemon's socket in the container, and the credentials it needs
    #[arg(long)]
    pub(crate) use_api_socket: bool,
}

/// Make a container without starting it.
#[derive(Debug, clap::Args)]
pub(crate) struct Create {
    #[command(flatten)]
    container: ContainerOptions,
    #[command(flatten)]
    create: CreateOptions,
    /// The image, then the command and its arguments.
    #[arg(required = true, num_args = 1.., trailing_var_arg = true, allow_hyphen_values = true)]
    words: Vec<String>,
}

impl Verb for Create {
    const USAGE: &'static str = "[OPTIONS] IMAGE [COMMAND] [ARG...]";
    const ABOUT: &'static str = "Create a new container";

    async fn run(self, session: &Session) -> Result<(), Failure> {
        let request = request(session, "create", self.container, &self.create, self.words)?;
        let id = create(session, request, &self.create).await?;
        put_line(&id)
    }
}

/// A failure of `run` or `create` before a container exists: exit code 125, and where to find help.
pub(super) fn with_help(session: &Session, verb: &str, failure: Failure) -> Failure {
    let program = session.program;
    failure
        .reword(|message| {
            format!("{program}: {message}\n\nRun '{program} {verb} --help' for more information")
        })
        .code(125)
}

/// Makes the request of the flags and `words`, the image first.
pub(super) fn request(
    session: &Session,
    verb: &str,
    mut container: ContainerOptions,
    options: &CreateOptions,
    mut words: Vec<String>,
) -> Result<CreateRequest, Failure> {
    if !matches!(options.pull.as_str(), "always" | "missing" | "never" | "") {
        let message = format!(
            "invalid pull option: '{}': must be one of \"always\", \"missing\" or \"never\"",
            options.pull
        );
        return Err(with_help(session, verb, message.into()));
    }
    let host = session.client()?.host().to_string();
    let mut proxies = session.config().proxy_environment(&host, &container.env);
    proxies.append(&mut container.env);
    container.env = proxies;
    if container.kernel_memory.is_some() {
        warn("Flag --kernel-memory has been deprecated, and no longer supported by the kernel");
    }
    let image = words.remove(0);
    build(container, image, words).map_err(|message| with_help(session, verb, message.into()))
}

/// Creates the container; the answer is its ID.
pub(super) async fn create(
    session: &Session,
    mut request: CreateRequest,
    options: &CreateOptions,
) -> Result<String, Failure> {
    if options.use_api_socket {
        return Err(Failure::new("--use-api-socket is not supported")
            .hint("mount the socket with -v /run/dhow/dhowd.sock:/var/run/docker.sock"));
    }
    let host = request.host_config.get_or_insert_default();
    host.console_size = terminal::size();
    let file = IdFile::open(&host.container_id_file)?;
    let image = request.config.image.clone();
    if options.pull == "always" {
        pull_image(session, &image, options).await?;
    }
    let client = session.client()?;
    if request.host_config.as_ref().is_some_and(|host| host.annotations.is_some()) {
        client.require("annotation", ApiVersion(1, 43)).await?;
    }
    if request.config.healthcheck.as_ref().is_some_and(|check| check.start_interval > 0) {
        client.require("health-start-interval", ApiVersion(1, 44)).await?;
    }
    let query = Query::new().text("name", &options.name).text("platform", &options.platform);
    let post = || Ok::<_, Failure>(Call::post("/containers/create").query(query.clone()).json(&request)?);
    let response: CreateResponse = match client.fetch(post()?).await {
        Ok(response) => response,
        Err(error)
            if error.is_not_found()
                && matches!(options.pull.as_str(), "missing" | "")
                && error.message().starts_with("No such image") =>
        {
            if !options.quiet {
                warn(&format!("Unable to find image '{}' locally", pull::familiar_tagged(&image)));
            }
            pull_image(session, &image, options).await?;
            client.fetch(post()?).await?
        }
        Err(error) => return Err(error.into()),
    };
    for warning in &response.warnings {
        warn(&format!("WARNING: {warning}"));
    }
    file.write(&response.id)?;
    Ok(response.id)
}

async fn pull_image(session: &Session, image: &str, options: &CreateOptions) -> Result<(), Failure> {
    let sink = if options.quiet { Sink::Nowhere } else { Sink::Stderr };
    pull::pull(session, image, &options.platform, sink).await
}

/// The file of `--cidfile`: claimed before the container is made, removed when it is not.
#[derive(Debug)]
struct IdFile {
    path: Option<String>,
}

impl IdFile {
    fn open(path: &str) -> Result<Self, Failure> {
        if path.is_empty() {
            return Ok(Self { path: None });
        }
        let opened = std::fs::OpenOptions::new().write(true).create_new(true).open(path);
        opened.map_err(|error| match error.kind() {
            std::io::ErrorKind::AlreadyExists => Failure::new(format!(
                "container ID file found, make sure the other container isn't running or delete {path}"
            )),
            _ => Failure::io(format!("failed to create the container ID file: open {path}"), &error),
        })?;
        Ok(Self { path: Some(path.to_owned()) })
    }

    fn write(mut self, id: &str) -> Result<(), Failure> {
        let Some(path) = self.path.take() else { return Ok(()) };
        std::fs::write(&path, id)
            .map_err(|error| Failure::io(format!("failed to write the container ID ({id}) to file"), &error))
    }
}

impl Drop for IdFile {
    fn drop(&mut self) {
        if let Some(path) = &self.path {
            drop(std::fs::remove_file(path));
        }
    }
}
