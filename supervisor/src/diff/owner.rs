//! Owners in the snapshot of a user namespace: its files belong to users outside; a layer says who they are inside.

use dhow_proto::containerd::types::Mount;
use rustix::fs::Stat;

/// Who is who, as the options `uidmap=` and `gidmap=` of mounts tell; by default everyone is who they are.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Owners {
    users: Vec<Range>,
    groups: Vec<Range>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Range {
    inside: u32,
    outside: u32,
    count: u32,
}

impl Owners {
    /// The owners of what is seen through `mounts`.
    pub(super) fn of(mounts: &[Mount]) -> Self {
        let options = || mounts.iter().flat_map(|mount| &mount.options);
        let map = |name: &str| {
            let ranges = options().filter_map(|option| option.strip_prefix(name));
            ranges.flat_map(|map| map.split(',')).filter_map(Range::parse).collect()
        };
        Self { users: map("uidmap="), groups: map("gidmap=") }
    }

    /// Gives `stat` the owner that it has inside; one that is nobody there stays.
    pub(super) fn turn_in(&self, stat: &mut Stat) {
        let inside = |ranges: &[Range], id| ranges.iter().find_map(|range| range.inside(id)).unwrap_or(id);
        stat.st_uid = inside(&self.users, stat.st_uid);
        stat.st_gid = inside(&self.groups, stat.st_gid);
    }
}

impl Range {
    fn parse(text: &str) -> Option<Self> {
        let numbers: Vec<u32> = text.split(':').map(str::parse).collect::<Result<_, _>>().ok()?;
        let [inside, outside, count] = numbers[..] else { return None };
        Some(Self { inside, outside, count })
    }

    fn inside(self, id: u32) -> Option<u32> {
        let offset = id.checked_sub(self.outside).filter(|offset| *offset < self.count)?;
        self.inside.checked_add(offset)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn owners_are_who_they_are_inside() {
        let options = ["ro", "uidmap=0:1000:1,1:100000:10", "gidmap=0:2000:5"].map(str::to_owned).into();
        let owners = Owners::of(&[Mount { options, ..Mount::default() }]);
        let mut stat = rustix::fs::stat("/").expect("stat");
        for ((uid, gid), expected) in
            [((1000, 2000), (0, 0)), ((100_009, 2004), (10, 4)), ((100_010, 1999), (100_010, 1999))]
        {
            (stat.st_uid, stat.st_gid) = (uid, gid);
            owners.turn_in(&mut stat);
            assert_eq!((stat.st_uid, stat.st_gid), expected);
        }
        assert_eq!(Owners::of(&[Mount::default()]), Owners::default());
    }
}
