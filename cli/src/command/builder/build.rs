//! `build`: make an image from a Dockerfile. The context goes to the daemon, which does the work.

use std::io::Read;
use std::path::{Path, PathBuf};

use dhow_engine_api::container::Ulimit;
use serde_json::{Value, json};

use super::ignore::Ignore;
use crate::client::{ApiVersion, Body, Call, Query};
use crate::command::{Verb, archive, upload};
use crate::config;
use crate::error::Failure;
use crate::option::reference::Reference;
use crate::option::{env, key_values, number, ulimit};
use crate::output::progress::{self, Sink};
use crate::output::put_line;
use crate::session::Session;

/// Make an image from a Dockerfile.
#[derive(Debug, clap::Args)]
pub(crate) struct Build {
    /// Add a line to /etc/hosts (host:ip)
    #[arg(long, value_name = "list")]
    add_host: Vec<String>,
    /// Set variables of the build
    #[arg(long, value_name = "list")]
    build_arg: Vec<String>,
    /// Images to take steps from
    #[arg(long, value_name = "strings", value_delimiter = ',')]
    cache_from: Vec<String>,
    /// Cgroup below which RUN instructions run
    #[arg(long, value_name = "string", default_value = "")]
    cgroup_parent: String,
    /// Compress the context
    #[arg(long)]
    compress: bool,
    /// Period of the CPU quota, in microseconds
    #[arg(long, value_name = "int", value_parser = number::integer)]
    cpu_period: Option<i64>,
    /// CPU time in each period, in microseconds
    #[arg(long, value_name = "int", value_parser = number::integer)]
    cpu_quota: Option<i64>,
    /// Relative share of CPU time
    #[arg(short, long, value_name = "int", value_parser = number::integer)]
    cpu_shares: Option<i64>,
    /// CPUs to run on (0-3, 0,1)
    #[arg(long, value_name = "string", default_value = "")]
    cpuset_cpus: String,
    /// Memory nodes to use (0-3, 0,1)
    #[arg(long, value_name = "string", default_value = "")]
    cpuset_mems: String,
    /// Skip image verification (there is none; accepted for old scripts) (default true)
    #[arg(long)]
    disable_content_trust: bool,
    /// Name of the Dockerfile (default is "PATH/Dockerfile")
    #[arg(short, long, value_name = "string", default_value = "")]
    file: String,
    /// Always remove intermediate containers
    #[arg(long)]
    force_rm: bool,
    /// Write the image's ID to this file
    #[arg(long, value_name = "string", default_value = "")]
    iidfile: String,
    /// How containers are isolated
    #[arg(long, value_name = "string", default_value = "")]
    isolation: String,
    /// Set labels
    #[arg(long, value_name = "list")]
    label: Vec<String>,
    /// Limit of memory
    #[arg(short, long, value_name = "bytes", value_parser = number::memory)]
    memory: Option<i64>,
    /// Limit of memory and swap together; '-1' for unlimited swap
    #[arg(long, value_name = "bytes", value_parser = number::memory_swap)]
    memory_swap: Option<i64>,
    /// Network of RUN instructions (default "default")
    #[arg(long, value_name = "string", default_value = "default")]
    network: String,
    /// Take no steps from the cache
    #[arg(long)]
    no_cache: bool,
    /// Build for this platform
    #[arg(long, value_name = "string", env = "DOCKER_DEFAULT_PLATFORM", hide_env = true, default_value = "")]
    platform: String,
    /// Always pull newer versions of the images it starts from
    #[arg(long)]
    pull: bool,
    /// Print nothing but the image's ID
    #[arg(short, long)]
    quiet: bool,
    /// Remove intermediate containers after success (default true)
    #[arg(long, action = clap::ArgAction::Set, num_args = 0..=1, require_equals = true, default_value = "true", default_missing_value = "true", value_parser = crate::command::boolean)]
    rm: bool,
    /// Security options
    #[arg(long, value_name = "strings", value_delimiter = ',')]
    security_opt: Vec<String>,
    /// Size of /dev/shm
    #[arg(long, value_name = "bytes", value_parser = number::memory)]
    shm_size: Option<i64>,
    /// Make one layer of the new ones
    #[arg(long)]
    squash: bool,
    /// Name the image ("name:tag")
    #[arg(short, long, value_name = "list")]
    tag: Vec<String>,
    /// Build only up to this stage
    #[arg(long, value_name = "string", default_value = "")]
    target: String,
    /// Resource limits of processes
    #[arg(long, value_name = "ulimit", value_parser = ulimit::parse)]
    ulimit: Vec<Ulimit>,
    context: String,
}

/// Name that a Dockerfile from elsewhere has in the context.
const FOREIGN: &str = ".dockerfile.outside";
/// Largest Dockerfile, in bytes.
const MAX_DOCKERFILE: u64 = 16 << 20;

/// What is sent.
struct Context {
    body: Option<Body>,
    /// Path of the Dockerfile in the context.
    dockerfile: String,
    /// A context that the daemon fetches itself.
    remote: String,
}

impl Verb for Build {
    const USAGE: &'static str = "[OPTIONS] PATH | URL | -";
    const ABOUT: &'static str = "Build an image from a Dockerfile";

    async fn run(self, session: &Session) -> Result<(), Failure> {
        for tag in &self.tag {
            Reference::parse(tag)
                .map_err(|cause| format!("invalid argument \"{tag}\" for \"-t, --tag\" flag: {cause}"))?;
        }
        let client = session.client()?;
        if self.squash {
            client.require("squash", ApiVersion(1, 25)).await?;
        }
        let context = self.context()?;
        let mut call = Call::post("/build").query(self.query(session, &context)?);
        let credentials = config::encode(&session.config().all_credentials());
        if let Ok(value) = http::HeaderValue::from_str(&credentials) {
            call = call.header(http::HeaderName::from_static("x-registry-config"), value);
        }
        if let Some(body) = context.body {
            call = call.body(body, "application/x-tar");
        }
        let reply = client.send(call).await?;
        let mut id = String::new();
        if self.quiet {
            id = progress::collect(reply.messages()).await?.trim().to_owned();
        } else {
            let on_result = |aux: &Value| {
                if let Some(found) = aux.get("ID").and_then(Value::as_str) {
                    id = found.to_owned();
                }
            };
            progress::show(reply.messages(), Sink::Stdout, on_result).await?;
        }
        if !self.iidfile.is_empty() {
            if id.is_empty() {
                return Err("server did not provide an image ID. Cannot write image ID file".into());
            }
            std::fs::write(&self.iidfile, &id)
                .map_err(|error| Failure::io(format!("write {}", self.iidfile), &error))?;
        }
        if self.quiet { put_line(&id) } else { Ok(()) }
    }
}

impl Build {
    fn query(&self, session: &Session, context: &Context) -> Result<Query, Failure> {
        let number = |value: Option<i64>| value.map(|value| value.to_string()).unwrap_or_default();
        let host = session.client()?.host().to_string();
        let mut arguments = session.config().proxy_environment(&host, &self.build_arg);
        arguments.extend(env::variables(&[], &self.build_arg)?);
        let mut query = Query::new();
        for tag in &self.tag {
            query = query.set("t", tag);
        }
        for host in &self.add_host {
            query = query.set("extrahosts", host);
        }
        for option in &self.security_opt {
            query = query.set("securityopt", option);
        }
        let json = |value: Value| value.to_string();
        let pairs: serde_json::Map<_, _> = arguments
            .iter()
            .map(|word| match word.split_once('=') {
                Some((key, value)) => (key.to_owned(), Value::from(value)),
                None => (word.clone(), Value::Null),
            })
            .collect();
        query = query
            .text("remote", &context.remote)
            .text("dockerfile", &context.dockerfile)
            .set("buildargs", json(Value::Object(pairs)))
            .set("labels", json(json!(key_values(&self.label))))
            .set("cachefrom", json(json!(self.cache_from)))
            .set("ulimits", json(json!(self.ulimit)))
            .set("rm", if self.rm { "1" } else { "0" })
            .flag("forcerm", self.force_rm)
            .flag("nocache", self.no_cache)
            .flag("pull", self.pull)
            .flag("q", self.quiet)
            .flag("squash", self.squash)
            .text("networkmode", &self.network)
            .text("target", &self.target)
            .text("platform", &self.platform)
            .text("isolation", &self.isolation)
            .text("cgroupparent", &self.cgroup_parent)
            .text("cpusetcpus", &self.cpuset_cpus)
            .text("cpusetmems", &self.cpuset_mems)
            .text("cpuperiod", &number(self.cpu_period))
            .text("cpuquota", &number(self.cpu_quota))
            .text("cpushares", &number(self.cpu_shares))
            .text("memory", &number(self.memory))
            .text("memswap", &number(self.memory_swap))
            .text("shmsize", &number(self.shm_size))
            .set("version", "1");
        Ok(query)
    }

    fn context(&self) -> Result<Context, Failure> {
        if self.compress {
            return Err("--compress is not supported: the socket is local and gains nothing from it".into());
        }
        let text = self.context.as_str();
        if text == "-" {
            return self.stdin_context();
        }
        let remote = ["http://", "https://", "git://", "git@", "github.com/"]
            .iter()
            .any(|start| text.starts_with(start));
        if remote && !Path::new(text).exists() {
            return Ok(Context { body: None, dockerfile: self.file.clone(), remote: text.to_owned() });
        }
        self.directory_context(Path::new(text))
    }

    /// Standard input: an archive, or a Dockerfile alone.
    fn stdin_context(&self) -> Result<Context, Failure> {
        if self.file == "-" {
            return Err("invalid argument: can't use stdin for both build context and dockerfile".into());
        }
        let mut head = vec![0; 512];
        let mut filled = 0;
        let mut stdin = std::io::stdin();
        while filled < head.len() {
            match stdin
                .read(&mut head[filled..])
                .map_err(|error| Failure::io("read standard input", &error))?
            {
                0 => break,
                read => filled += read,
            }
        }
        head.truncate(filled);
        if is_archive(&head) {
            let body = upload::reader(std::io::Cursor::new(head).chain(stdin));
            return Ok(Context { body: Some(body), dockerfile: self.file.clone(), remote: String::new() });
        }
        let mut text = head;
        let read = stdin.take(MAX_DOCKERFILE).read_to_end(&mut text);
        read.map_err(|error| Failure::io("read standard input", &error))?;
        let body = upload::produce(move |sink| {
            let mut builder = tar::Builder::new(archive::SinkWriter(sink));
            archive::add_bytes(&mut builder, "Dockerfile", &text)?;
            builder.into_inner().map(drop)
        });
        Ok(Context { body: Some(body), dockerfile: "Dockerfile".into(), remote: String::new() })
    }

    fn directory_context(&self, directory: &Path) -> Result<Context, Failure> {
        let shown = directory.display();
        let root = std::fs::canonicalize(directory)
            .map_err(|_| Failure::new(format!("unable to prepare context: path \"{shown}\" not found")))?;
        if !root.is_dir() {
            return Err(format!("unable to prepare context: context must be a directory: {shown}").into());
        }
        let (dockerfile, foreign) = self.dockerfile(&root)?;
        let ignore_file = root.join(".dockerignore");
        let mut ignore = match std::fs::read_to_string(&ignore_file) {
            Ok(text) => Ignore::parse(&text),
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => Ignore::default(),
            Err(error) => return Err(Failure::io(format!("open {}", ignore_file.display()), &error)),
        };
        let look_inside = ignore.takes_back() || dockerfile.contains('/');
        // The daemon needs both; it leaves them out of the image itself.
        ignore.keep(".dockerignore");
        ignore.keep(&dockerfile);
        let body = upload::produce(move |sink| {
            let mut builder = tar::Builder::new(archive::SinkWriter(sink));
            let choice = archive::Choice { wanted: &|path| !ignore.ignores(path), look_inside };
            archive::add(&mut builder, &root, Path::new(""), &choice)?;
            if let Some(contents) = foreign {
                archive::add_bytes(&mut builder, FOREIGN, &contents)?;
            }
            builder.into_inner().map(drop)
        });
        Ok(Context { body: Some(body), dockerfile, remote: String::new() })
    }

    /// The Dockerfile's path in the context, and its contents when it lies elsewhere.
    fn dockerfile(&self, root: &Path) -> Result<(String, Option<Vec<u8>>), Failure> {
        if self.file == "-" {
            let mut contents = Vec::new();
            let read = std::io::stdin().take(MAX_DOCKERFILE).read_to_end(&mut contents);
            read.map_err(|error| Failure::io("read standard input", &error))?;
            return Ok((FOREIGN.into(), Some(contents)));
        }
        let path = if self.file.is_empty() { root.join("Dockerfile") } else { PathBuf::from(&self.file) };
        let real = std::fs::canonicalize(&path).map_err(|error| {
            let cause = crate::error::io_text(&error);
            Failure::new(format!("unable to prepare context: unable to evaluate symlinks in Dockerfile path: lstat {}: {cause}", path.display()))
        })?;
        if let Ok(below) = real.strip_prefix(root) {
            return Ok((below.display().to_string(), None));
        }
        let mut contents = Vec::new();
        let read = archive::open(&real)?.take(MAX_DOCKERFILE).read_to_end(&mut contents);
        read.map_err(|error| Failure::io(format!("read {}", real.display()), &error))?;
        Ok((FOREIGN.into(), Some(contents)))
    }
}

/// Whether the first bytes are those of a tar archive, perhaps compressed.
fn is_archive(head: &[u8]) -> bool {
    let magics: [&[u8]; 4] = [b"\x1f\x8b", b"BZh", b"\xfd7zXZ", b"\x28\xb5\x2f\xfd"];
    magics.iter().any(|magic| head.starts_with(magic)) || head.get(257..262) == Some(b"ustar".as_slice())
}
