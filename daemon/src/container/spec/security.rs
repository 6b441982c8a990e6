//! `--security-opt`: what may be switched off, on or replaced.

use oci_spec::runtime::LinuxSeccomp;

use super::{Machine, SpecError, seccomp};

/// The security options of a container, parsed.
#[derive(Debug, Default, PartialEq, Eq)]
pub(crate) struct Security {
    /// `seccomp=`: `unconfined`, `builtin`, or a profile.
    seccomp: Option<String>,
    /// `apparmor=PROFILE`.
    pub(crate) apparmor: Option<String>,
    /// `no-new-privileges`.
    pub(crate) no_new_privileges: bool,
    /// `writable-cgroups`.
    pub(crate) writable_cgroups: Option<bool>,
    /// `label=…`: for SELinux.
    pub(crate) labels: Vec<String>,
}

/// An option that is none.
#[derive(Debug, thiserror::Error, PartialEq, Eq)]
#[error("invalid --security-opt: {0:?}")]
pub(crate) struct SecurityOptError(String);

impl Security {
    /// Parses the list of a `HostConfig`.
    pub(crate) fn parse(options: &[String]) -> Result<Self, SecurityOptError> {
        let mut parsed = Self::default();
        for option in options {
            parsed.take(option).ok_or_else(|| SecurityOptError(option.clone()))?;
        }
        Ok(parsed)
    }

    fn take(&mut self, option: &str) -> Option<()> {
        match option {
            "no-new-privileges" => self.no_new_privileges = true,
            "writable-cgroups" => self.writable_cgroups = Some(true),
            "disable" => self.labels.push(option.to_owned()),
            _ => {
                let (key, value) = option.split_once('=').or_else(|| option.split_once(':'))?;
                match key {
                    "label" => self.labels.push(value.to_owned()),
                    "apparmor" => self.apparmor = Some(value.to_owned()),
                    "seccomp" => self.seccomp = Some(value.to_owned()),
                    "no-new-privileges" => self.no_new_privileges = boolean(value)?,
                    "writable-cgroups" => self.writable_cgroups = Some(boolean(value)?),
                    _ => return None,
                }
            }
        }
        Some(())
    }

    /// The filter: the default profile unless another was named; none when privileged and nothing was.
    pub(super) fn filter(
        &self,
        privileged: bool,
        bounding: &[String],
        machine: &Machine,
    ) -> Result<Option<LinuxSeccomp>, SpecError> {
        let document = match self.seccomp.as_deref() {
            Some("unconfined") => return Ok(None),
            Some("builtin") => None,
            None | Some("") if privileged => return Ok(None),
            None | Some("") => None,
            Some(document) => Some(document),
        };
        match (machine.seccomp, document) {
            (false, Some(_)) => Err(SpecError::NoSeccomp),
            (false, None) => Ok(None),
            (true, document) => Ok(seccomp::filter(document, bounding, &machine.kernel)?),
        }
    }
}

/// The words that Go's `strconv.ParseBool` takes.
fn boolean(text: &str) -> Option<bool> {
    match text {
        "1" | "t" | "T" | "true" | "TRUE" | "True" => Some(true),
        "0" | "f" | "F" | "false" | "FALSE" | "False" => Some(false),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(options: &[&str]) -> Result<Security, SecurityOptError> {
        Security::parse(&options.iter().map(ToString::to_string).collect::<Vec<_>>())
    }

    #[test]
    fn both_separators_and_flags_are_known() {
        let parsed = parse(&["no-new-privileges", "apparmor:mine", "seccomp={\"a\":1}"]).unwrap();
        assert!(parsed.no_new_privileges);
        assert_eq!(parsed.apparmor.as_deref(), Some("mine"));
        assert_eq!(parsed.seccomp.as_deref(), Some("{\"a\":1}"));
        assert!(!parse(&["no-new-privileges=false"]).unwrap().no_new_privileges);
    }

    #[test]
    fn strangers_are_named() {
        for option in ["mystery", "mystery=1", "no-new-privileges=maybe"] {
            assert_eq!(parse(&[option]), Err(SecurityOptError(option.into())));
        }
    }
}
