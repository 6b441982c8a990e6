//! Which mounts of a list are done here, and how.

use dhow_proto::containerd::types::Mount;

use super::MountError;
use super::transform::Transform;

/// The most mounts of one activation, as in containerd.
const LIMIT: usize = 255;

/// What is to be done about one mount.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Step {
    /// The mount, its type without the names of transforms.
    pub(super) mount: Mount,
    pub(super) transforms: Vec<Transform>,
}

/// A list of mounts: those that are done here, and those that are left to the client.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Plan {
    pub(super) here: Vec<Step>,
    pub(super) system: Vec<Step>,
}

impl Plan {
    /// The plan for `mounts`.
    pub(super) fn of(mounts: Vec<Mount>, temporary: bool) -> Result<Self, MountError> {
        if mounts.len() > LIMIT {
            return Err(MountError::Many(LIMIT));
        }
        let mut first_system = None;
        let mut steps = Vec::new();
        for (index, mut mount) in mounts.into_iter().enumerate() {
            let mut transforms = Vec::new();
            while let Some((name, rest)) = mount.r#type.split_once('/')
                && let Some(transform) = Transform::named(name)
            {
                transforms.push(transform);
                mount.r#type = rest.to_owned();
                // It may use what is before it, so that must be mounted.
                first_system = Some(index);
            }
            if temporary || matches!(mount.r#type.as_str(), "loop" | "erofs") {
                first_system = Some(index + 1);
            }
            steps.push(Step { mount, transforms });
        }
        let system = steps.split_off(first_system.ok_or(MountError::NothingToDo)?);
        Ok(Self { here: steps, system })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn plan(types: &[&str], temporary: bool) -> Option<(usize, usize)> {
        let mounts = types.iter().map(|name| Mount { r#type: (*name).to_owned(), ..Mount::default() });
        let plan = Plan::of(mounts.collect(), temporary).ok()?;
        Some((plan.here.len(), plan.system.len()))
    }

    #[test]
    fn what_a_client_can_do_is_left_to_it() {
        assert_eq!(plan(&["bind"], false), None);
        assert_eq!(plan(&["zfs/bind"], false), None);
        assert_eq!(plan(&["bind"], true), Some((1, 0)));
        assert_eq!(plan(&["loop", "ext4"], false), Some((1, 1)));
        assert_eq!(plan(&["erofs", "erofs", "format/overlay"], false), Some((2, 1)));
        assert_eq!(plan(&["format/mkdir/overlay"], false), Some((0, 1)));
        assert_eq!(plan(&["bind", "mkfs/loop", "ext4", "bind"], false), Some((2, 2)));
        assert_eq!(plan(&["bind"; 256], true), None);
    }
}
