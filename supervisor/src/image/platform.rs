//! Platforms: which of the images in an index this machine, or a request, wants.
//!
//! Names are normalised as the field does it (`x86_64` is `amd64`, `arm64/v8` is `arm64`). A machine also runs older
//! variants of its own architecture; the nearest one wins.

use std::fmt;
use std::str::FromStr;

use dhow_proto::containerd::types;
use serde::{Deserialize, Serialize};

/// A platform, as descriptors and image configurations carry it.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Default, Serialize, Deserialize)]
#[serde(default)]
pub(crate) struct Platform {
    /// `linux`, `windows`, …
    pub(crate) os: String,
    /// `amd64`, `arm64`, …
    pub(crate) architecture: String,
    /// `v7` of `arm/v7`.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub(crate) variant: String,
    /// Version of the system, on Windows.
    #[serde(rename = "os.version", skip_serializing_if = "String::is_empty")]
    pub(crate) os_version: String,
    /// Features of the system, on Windows.
    #[serde(rename = "os.features", skip_serializing_if = "Vec::is_empty")]
    pub(crate) os_features: Vec<String>,
}

/// A text that names no platform.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{0:?} is not a platform of the form OS[/ARCH[/VARIANT]]")]
pub(crate) struct PlatformError(String);

impl Platform {
    /// The platform of this machine.
    pub(crate) fn host() -> Self {
        Self {
            os: std::env::consts::OS.to_owned(),
            architecture: std::env::consts::ARCH.to_owned(),
            ..Self::default()
        }
        .normalized()
    }

    /// With the names that everybody uses.
    pub(crate) fn normalized(mut self) -> Self {
        self.os = match self.os.to_ascii_lowercase().as_str() {
            "macos" => "darwin".to_owned(),
            other => other.to_owned(),
        };
        let (architecture, variant) =
            (self.architecture.to_ascii_lowercase(), self.variant.to_ascii_lowercase());
        let (architecture, variant) = match (architecture.as_str(), variant.as_str()) {
            ("i386", _) => ("386", ""),
            ("x86_64" | "x86-64" | "amd64", "v1") => ("amd64", ""),
            ("x86_64" | "x86-64" | "amd64", variant) => ("amd64", variant),
            ("aarch64" | "arm64", "8" | "v8" | "v8.0") => ("arm64", ""),
            ("aarch64" | "arm64", variant) => ("arm64", variant),
            ("armhf", _) | ("arm", "" | "7") => ("arm", "v7"),
            ("armel", _) | ("arm", "6") => ("arm", "v6"),
            ("arm", "5") => ("arm", "v5"),
            ("arm", "8") => ("arm", "v8"),
            other => other,
        };
        (self.architecture, self.variant) = (architecture.to_owned(), variant.to_owned());
        self
    }

    /// How well an image for `candidate` suits this platform: 0 is best, `None` not at all.
    pub(crate) fn rank(&self, candidate: &Self) -> Option<usize> {
        let (wanted, candidate) = (self.clone().normalized(), candidate.clone().normalized());
        if wanted.os != candidate.os
            || !(wanted.os_version.is_empty() || wanted.os_version == candidate.os_version)
        {
            return None;
        }
        let (architecture, variant) = (candidate.architecture.as_str(), candidate.variant.as_str());
        wanted.runs().iter().position(|(runs, of)| *runs == architecture && of == variant)
    }

    /// Architectures and variants that this platform runs, best first.
    fn runs(&self) -> Vec<(&str, String)> {
        let own = (self.architecture.as_str(), self.variant.clone());
        let number = |least| {
            self.variant.strip_prefix('v').and_then(|number| number.parse::<u8>().ok()).unwrap_or(least)
        };
        let mut runs = vec![own];
        match self.architecture.as_str() {
            "amd64" => {
                runs.extend((2..number(1)).rev().map(|number| ("amd64", format!("v{number}"))));
                runs.push(("amd64", String::new()));
                runs.push(("386", String::new()));
            }
            "arm64" => {
                runs.push(("arm64", String::new()));
                runs.extend((5..=8).rev().map(|number| ("arm", format!("v{number}"))));
            }
            "arm" => runs.extend((5..number(7)).rev().map(|number| ("arm", format!("v{number}")))),
            _ => {}
        }
        runs
    }
}

impl fmt::Display for Platform {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "{}/{}", self.os, self.architecture)?;
        if self.variant.is_empty() { Ok(()) } else { write!(formatter, "/{}", self.variant) }
    }
}

impl FromStr for Platform {
    type Err = PlatformError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let parts: Vec<&str> = text.split('/').collect();
        let sound = |part: &&str| {
            !part.is_empty()
                && part.bytes().all(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'.' | b'_' | b'-'))
        };
        if !parts.iter().all(sound) {
            return Err(PlatformError(text.to_owned()));
        }
        let host = Self::host();
        let new = |os: &str, architecture: &str, variant: &str| {
            let (os, architecture) = (os.to_owned(), architecture.to_owned());
            Self { os, architecture, variant: variant.to_owned(), ..Self::default() }.normalized()
        };
        match parts.as_slice() {
            [os @ ("linux" | "windows" | "darwin" | "freebsd")] => {
                Ok(new(os, &host.architecture, &host.variant))
            }
            [architecture] => Ok(new(&host.os, architecture, "")),
            [os, architecture] => Ok(new(os, architecture, "")),
            [os, architecture, variant] => Ok(new(os, architecture, variant)),
            _ => Err(PlatformError(text.to_owned())),
        }
    }
}

impl From<types::Platform> for Platform {
    fn from(wire: types::Platform) -> Self {
        Self {
            os: wire.os,
            architecture: wire.architecture,
            variant: wire.variant,
            os_version: wire.os_version,
            os_features: wire.os_features,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn platform(text: &str) -> Platform {
        text.parse().expect("a platform")
    }

    #[test]
    fn names_are_normalised() {
        for (text, name) in [
            ("linux/x86_64", "linux/amd64"),
            ("linux/aarch64", "linux/arm64"),
            ("linux/arm64/v8", "linux/arm64"),
            ("linux/arm", "linux/arm/v7"),
            ("linux/armel", "linux/arm/v6"),
            ("linux/i386", "linux/386"),
            ("linux/amd64/v1", "linux/amd64"),
            ("Linux/ppc64le", "linux/ppc64le"),
        ] {
            assert_eq!(platform(text).to_string(), name);
        }
        for bad in ["", "a/b/c/d", "linux/", "linux/a b"] {
            assert!(bad.parse::<Platform>().is_err(), "{bad:?}");
        }
    }

    #[test]
    fn the_nearest_variant_ranks_first() {
        let rank = |wanted: &str, candidate: &str| platform(wanted).rank(&platform(candidate));
        assert_eq!(rank("linux/amd64", "linux/amd64"), Some(0));
        assert!(rank("linux/amd64", "linux/386").is_some());
        assert_eq!(rank("linux/amd64", "linux/arm64"), None);
        assert_eq!(rank("linux/amd64", "windows/amd64"), None);
        assert_eq!(rank("linux/amd64", "linux/amd64/v3"), None, "a newer variant does not run");
        assert!(rank("linux/amd64/v3", "linux/amd64/v2") < rank("linux/amd64/v3", "linux/amd64"));
        assert!(rank("linux/arm/v7", "linux/arm/v7") < rank("linux/arm/v7", "linux/arm/v6"));
        assert_eq!(rank("linux/arm/v6", "linux/arm/v7"), None);
        assert_eq!(rank("linux/arm64", "linux/arm64/v8"), Some(0));
        assert!(rank("linux/arm64", "linux/arm/v7").is_some());
    }

    #[test]
    fn the_host_runs_its_own_images() {
        assert_eq!(Platform::host().rank(&Platform::host()), Some(0));
    }
}
