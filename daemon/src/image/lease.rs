//! A lease: what is made under it is not collected while an image is put together.

use std::collections::HashMap;
use std::time::{Duration, SystemTime};

use dhow_proto::containerd::services::leases::v1::leases_client::LeasesClient;
use dhow_proto::containerd::services::leases::v1::{CreateRequest, DeleteRequest};
use dhow_proto::namespace::LEASE_HEADER;
use tonic::metadata::{Ascii, MetadataValue};
use tonic::{Request, Status};

use super::error::ImageError;
use crate::supervisor::Link;

/// When a lease ends that a killed daemon did not give back.
const LIFE: Duration = Duration::from_secs(24 * 60 * 60);
const EXPIRES: &str = "containerd.io/gc.expire";

/// A lease in force. It is given back by [`Lease::end`], or ends by itself.
#[derive(Debug)]
pub(super) struct Lease {
    link: Link,
    id: String,
    header: MetadataValue<Ascii>,
}

impl Lease {
    pub(super) async fn take(link: &Link) -> Result<Self, ImageError> {
        let mut random = [0; 12];
        getrandom::fill(&mut random).map_err(|error| ImageError::Invalid(error.to_string()))?;
        let id = format!("dhowd-{}", hex::encode(random));
        let header = id.parse().map_err(|_| ImageError::Invalid("make a lease".to_owned()))?;
        let labels = HashMap::from([(EXPIRES.to_owned(), crate::time::format(SystemTime::now() + LIFE))]);
        let request = CreateRequest { id: id.clone(), labels };
        LeasesClient::new(link.clone()).create(request).await.map_err(ImageError::asked("take a lease"))?;
        Ok(Self { link: link.clone(), id, header })
    }

    /// A request under this lease.
    pub(super) fn request<T>(&self, message: T) -> Request<T> {
        let mut request = Request::new(message);
        request.metadata_mut().insert(LEASE_HEADER, self.header.clone());
        request
    }

    /// Gives the lease back: what nothing else refers to may go.
    pub(super) async fn end(self) -> Result<(), Status> {
        let request = DeleteRequest { id: self.id.clone(), sync: false };
        LeasesClient::new(self.link).delete(request).await.map(drop)
    }
}
