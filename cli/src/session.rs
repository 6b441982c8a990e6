//! What every command works with: the global options, the configuration, the client.

use std::cell::OnceCell;
use std::path::PathBuf;
use std::rc::Rc;

use http::{HeaderMap, HeaderName, HeaderValue};

use crate::client::{ApiVersion, Client, Host};
use crate::config::{Config, Context};
use crate::error::Failure;

/// The options before the command's name.
#[derive(Debug, Default, Clone, clap::Args)]
pub(crate) struct GlobalOptions {
    /// Location of client config files
    #[arg(long, value_name = "string")]
    pub(crate) config: Option<PathBuf>,
    /// Name of the context to use to connect to the daemon
    #[arg(short, long, value_name = "string")]
    pub(crate) context: Option<String>,
    /// Enable debug mode
    #[arg(short = 'D', long)]
    pub(crate) debug: bool,
    /// Daemon socket to connect to
    #[arg(short = 'H', long, value_name = "list")]
    pub(crate) host: Vec<String>,
    /// Set the logging level ("debug", "info", "warn", "error", "fatal") (default "info")
    #[arg(short, long, value_name = "string")]
    pub(crate) log_level: Option<String>,
    /// Use TLS (not supported)
    #[arg(long)]
    pub(crate) tls: bool,
    /// Trust certs signed only by this CA (not supported)
    #[arg(long, value_name = "string")]
    pub(crate) tlscacert: Option<PathBuf>,
    /// Path to TLS certificate file (not supported)
    #[arg(long, value_name = "string")]
    pub(crate) tlscert: Option<PathBuf>,
    /// Path to TLS key file (not supported)
    #[arg(long, value_name = "string")]
    pub(crate) tlskey: Option<PathBuf>,
    /// Use TLS and verify the remote (not supported)
    #[arg(long)]
    pub(crate) tlsverify: bool,
    /// Print version information and quit
    #[arg(short = 'v', long)]
    pub(crate) version: bool,
}

/// One run of the program.
#[derive(Debug)]
pub(crate) struct Session {
    /// The name the program was called by: `dhow`, or `docker` through a link.
    pub(crate) program: &'static str,
    options: GlobalOptions,
    config: OnceCell<Config>,
    client: OnceCell<Rc<Client>>,
}

impl Session {
    /// A session; nothing is read or connected yet.
    pub(crate) fn new(program: &'static str, options: GlobalOptions) -> Self {
        Self { program, options, config: OnceCell::new(), client: OnceCell::new() }
    }

    /// The user's configuration.
    pub(crate) fn config(&self) -> &Config {
        self.config.get_or_init(|| Config::load(self.options.config.as_deref()))
    }

    /// The configuration, read again, to be changed.
    pub(crate) fn config_to_change(&self) -> Config {
        Config::load(self.options.config.as_deref())
    }

    /// The client of the chosen daemon.
    pub(crate) fn client(&self) -> Result<&Rc<Client>, Failure> {
        if let Some(client) = self.client.get() {
            return Ok(client);
        }
        let tls =
            self.options.tls || self.options.tlsverify || crate::environment("DOCKER_TLS_VERIFY").is_some();
        if tls {
            return Err(Failure::new("TLS connections are not supported")
                .hint("forward the daemon's socket with `ssh -L` and use unix://"));
        }
        let fixed = match crate::environment("DOCKER_API_VERSION") {
            Some(version) => Some(version.parse::<ApiVersion>().map_err(|error| error.to_string())?),
            None => None,
        };
        let client = Client::new(self.host()?, fixed, self.headers()?);
        Ok(self.client.get_or_init(|| Rc::new(client)))
    }

    /// The name of the chosen context.
    pub(crate) fn context_name(&self) -> String {
        let named = |name: &str| if name.is_empty() { "default".to_owned() } else { name.to_owned() };
        if let Some(name) = &self.options.context {
            return named(name);
        }
        if !self.options.host.is_empty() || crate::environment("DOCKER_HOST").is_some() {
            return "default".into();
        }
        match crate::environment("DOCKER_CONTEXT") {
            Some(name) => name,
            None => named(&self.config().document.current_context),
        }
    }

    /// The address of the chosen daemon.
    pub(crate) fn host(&self) -> Result<Host, Failure> {
        let invalid = |error: &dyn std::error::Error| Failure::new(error.to_string());
        match &self.options.host[..] {
            [] => {}
            [_] if self.options.context.is_some() => {
                return Err("conflicting options: cannot specify both --host and --context".into());
            }
            [host] => return Host::parse(host).map_err(|error| invalid(&error)),
            _ => return Err("specify only one -H".into()),
        }
        let name = self.context_name();
        if name != "default" {
            return Context::host(self.config().directory(), &name).map_err(|error| invalid(&error));
        }
        match crate::environment("DOCKER_HOST") {
            Some(host) => Host::parse(&host).map_err(|error| invalid(&error)),
            None => Ok(Host::default_socket()),
        }
    }

    fn headers(&self) -> Result<HeaderMap, Failure> {
        let mut headers = HeaderMap::new();
        for (name, value) in &self.config().document.http_headers {
            let name = name.parse::<HeaderName>();
            let value = value.parse::<HeaderValue>();
            let (Ok(name), Ok(value)) = (name, value) else {
                return Err("invalid HttpHeaders in the configuration file".into());
            };
            headers.insert(name, value);
        }
        Ok(headers)
    }
}
