//! `hugetlb`: huge pages, by size; reservations are limited along where the kernel counts them.

use oci_spec::runtime::LinuxHugepageLimit;
use rustix::io::Errno;

use super::{CgroupError, Limits, Version};

pub(super) fn set(limits: &Limits<'_>, pages: &[LinuxHugepageLimit]) -> Result<(), CgroupError> {
    for page in pages {
        let control = limits.require("hugetlb", "hugetlb")?;
        let suffix = match control.version {
            Version::V1 => "limit_in_bytes",
            Version::V2 => "max",
        };
        let (size, limit) = (page.page_size(), page.limit().to_string());
        control.directory.write(&format!("hugetlb.{size}.{suffix}"), &limit)?;
        match control.directory.write(&format!("hugetlb.{size}.rsvd.{suffix}"), &limit) {
            // Kernels before 5.7 do not count reservations.
            Err(error) if error.is_errno(Errno::NOENT) => {}
            done => done?,
        }
    }
    Ok(())
}
