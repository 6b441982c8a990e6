//! The ends of a transfer, as clients describe them.

use std::path::PathBuf;

use dhow_proto::any;
use dhow_proto::containerd::types::transfer::{
    ImageExportStream, ImageImportStream, ImageStore, OciRegistry, RegistryResolver,
};
use dhow_proto::error::Kind;
use http::{HeaderMap, HeaderName, HeaderValue};
use prost_types::Any;

use super::credentials;
use super::stream::{Closing, StreamError, Streams};
use crate::fault::Fault;
use crate::image::platform::Platform;
use crate::image::{Selection, Unpack};
use crate::namespace::Namespace;
use crate::registry::{CredentialSource, HostsOptions, Registry, RegistryError};

/// Where an image comes from, or goes to.
#[derive(Debug)]
pub(crate) enum End {
    /// A repository at a registry, and the stream that its credentials come over.
    Registry(Registry, String, Option<Closing>),
    /// The images of the namespace.
    Images(Box<ImageStore>),
    /// An archive that the client sends.
    Import(Closing, ImageImportStream),
    /// An archive that the client receives.
    Export(Closing, ImageExportStream),
}

/// Why an end is not what it should be.
#[derive(Debug, thiserror::Error)]
pub(crate) enum EndError {
    /// It is of a type that is not offered.
    #[error("transfer of {0:?}")]
    Type(String),
    /// It cannot be decoded.
    #[error("decode {name}")]
    Decode {
        /// What.
        name: String,
        /// Why.
        source: prost::DecodeError,
    },
    /// Its stream.
    #[error(transparent)]
    Stream(#[from] StreamError),
    /// Its registry.
    #[error(transparent)]
    Registry(#[from] RegistryError),
    /// What goes over the wire is not shown to clients: credentials go over it.
    #[error("http_debug and logs_stream: requests to a registry are not copied to clients")]
    Debug,
    /// A header that is none.
    #[error("header {0:?}")]
    Header(String),
}

impl Fault for EndError {
    fn kind(&self) -> Kind {
        match self {
            Self::Type(_) | Self::Debug => Kind::Unimplemented,
            Self::Decode { .. } | Self::Header(_) => Kind::InvalidArgument,
            Self::Stream(error) => error.kind(),
            Self::Registry(error) => error.kind(),
        }
    }
}

impl End {
    /// Reads an end from a request.
    pub(crate) fn open(wire: &Any, streams: &Streams, namespace: &Namespace) -> Result<Self, EndError> {
        if let Some(registry) = unpacked::<OciRegistry>(wire)? {
            return Self::registry(registry, streams, namespace);
        }
        if let Some(store) = unpacked::<ImageStore>(wire)? {
            return Ok(Self::Images(Box::new(store)));
        }
        if let Some(import) = unpacked::<ImageImportStream>(wire)? {
            return Ok(Self::Import(Closing(streams.find(namespace, &import.stream)?), import));
        }
        if let Some(export) = unpacked::<ImageExportStream>(wire)? {
            return Ok(Self::Export(Closing(streams.find(namespace, &export.stream)?), export));
        }
        Err(EndError::Type(any::name(wire).to_owned()))
    }

    fn registry(registry: OciRegistry, streams: &Streams, namespace: &Namespace) -> Result<Self, EndError> {
        let OciRegistry { reference, resolver } = registry;
        let RegistryResolver { auth_stream, headers, host_dir, default_scheme, http_debug, logs_stream } =
            resolver.unwrap_or_default();
        if http_debug != 0 || !logs_stream.is_empty() {
            return Err(EndError::Debug);
        }
        let stream = match auth_stream.as_str() {
            "" => None,
            id => Some(streams.find(namespace, id)?),
        };
        let source = match &stream {
            Some(stream) => credentials::source(stream.clone(), reference.clone()),
            None => CredentialSource::anonymous(),
        };
        let options = HostsOptions {
            directory: (!host_dir.is_empty()).then(|| PathBuf::from(host_dir)),
            default_scheme: (!default_scheme.is_empty()).then_some(default_scheme),
        };
        let parsed = reference.parse().map_err(RegistryError::from)?;
        let registry = Registry::open(parsed, &options, header_map(headers)?, &source)?;
        Ok(Self::Registry(registry, reference, stream.map(Closing)))
    }

    /// For messages, in containerd's words.
    pub(crate) fn name(&self) -> String {
        match self {
            Self::Registry(_, reference, _) => format!("OCI Registry ({reference})"),
            Self::Images(store) => format!("Local Image Store ({})", store.name),
            Self::Import(..) => "Image Import Stream".to_owned(),
            Self::Export(..) => "Image Export Stream".to_owned(),
        }
    }
}

fn unpacked<M: prost::Message + prost::Name + Default>(wire: &Any) -> Result<Option<M>, EndError> {
    let decoded = any::unpack(wire).transpose();
    decoded.map_err(|source| EndError::Decode { name: any::name(wire).to_owned(), source })
}

fn header_map(headers: std::collections::HashMap<String, String>) -> Result<HeaderMap, EndError> {
    let mut map = HeaderMap::new();
    for (name, value) in headers {
        let parsed = HeaderName::try_from(&name).ok().zip(HeaderValue::try_from(value).ok());
        let (name, value) = parsed.ok_or(EndError::Header(name))?;
        map.append(name, value);
    }
    Ok(map)
}

/// What of an image a store wants.
pub(super) fn selection(store: &ImageStore) -> Selection {
    Selection {
        platforms: store.platforms.iter().cloned().map(Platform::from).collect(),
        all_metadata: store.all_metadata,
        limit: usize::try_from(store.manifest_limit).unwrap_or(usize::MAX),
        unpacks: store
            .unpacks
            .iter()
            .map(|unpack| Unpack {
                platform: unpack.platform.clone().map_or_else(Platform::host, Platform::from),
                snapshotter: unpack.snapshotter.clone(),
            })
            .collect(),
    }
}
