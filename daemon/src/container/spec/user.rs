//! Users: `--user` and `--group-add` resolved against a container's own `/etc/passwd` and `/etc/group`.
//!
//! Pure: the texts come from the image and are hostile, so lines that do not parse are skipped, as libc does.

/// The two files of a container; empty when it has none.
#[derive(Debug, Default, Clone)]
pub(crate) struct Database {
    /// `/etc/passwd`.
    pub(crate) passwd: String,
    /// `/etc/group`.
    pub(crate) group: String,
}

/// Who a process runs as.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Identity {
    /// User id.
    pub(crate) uid: u32,
    /// Primary group id.
    pub(crate) gid: u32,
    /// Supplementary groups, the primary one first.
    pub(crate) groups: Vec<u32>,
}

/// A user or group that does not exist.
#[derive(Debug, thiserror::Error, PartialEq, Eq)]
pub(crate) enum UserError {
    /// Not in passwd.
    #[error("unable to find user {0}: no matching entries in passwd file")]
    NoUser(String),
    /// Not in group.
    #[error("unable to find group {0}: no matching entries in group file")]
    NoGroup(String),
    /// A number that is no id.
    #[error("uids and gids must be in range 0-2147483647")]
    OutOfRange,
}

struct User<'a> {
    name: &'a str,
    uid: u32,
    gid: u32,
}

struct Group<'a> {
    name: &'a str,
    gid: u32,
    members: &'a str,
}

impl Database {
    /// Resolves `USER[:GROUP]`, each a name or a number, and further groups.
    pub(crate) fn resolve(&self, user: &str, more_groups: &[String]) -> Result<Identity, UserError> {
        let (user, group) = user.split_once(':').unwrap_or((user, ""));
        let number = id(user)?;
        let found = self.users().find(|entry| match number {
            Some(uid) => entry.uid == uid,
            None if user.is_empty() => entry.uid == 0,
            None => entry.name == user,
        });
        let (uid, mut gid, name) = match (found, number) {
            (Some(entry), _) => (entry.uid, entry.gid, Some(entry.name)),
            (None, Some(uid)) => (uid, 0, None),
            (None, None) if user.is_empty() => (0, 0, None),
            (None, None) => return Err(UserError::NoUser(user.to_owned())),
        };
        let mut groups = Vec::new();
        if !group.is_empty() {
            gid = self.gid(group)?;
        } else if let Some(name) = name {
            groups = self.groups().filter(|entry| entry.has(name)).map(|entry| entry.gid).collect();
        }
        groups.insert(0, gid);
        for group in more_groups {
            groups.push(self.gid(group)?);
        }
        Ok(Identity { uid, gid, groups })
    }

    fn gid(&self, group: &str) -> Result<u32, UserError> {
        let number = id(group)?;
        let mut groups = self.groups();
        let found = groups.find(|entry| number.map_or(entry.name == group, |gid| entry.gid == gid));
        found.map(|entry| entry.gid).or(number).ok_or_else(|| UserError::NoGroup(group.to_owned()))
    }

    fn users(&self) -> impl Iterator<Item = User<'_>> {
        self.passwd.lines().filter_map(|line| {
            let mut fields = line.trim().split(':');
            let name = fields.next()?;
            let (uid, gid) = (fields.nth(1)?.parse().ok()?, fields.next()?.parse().ok()?);
            Some(User { name, uid, gid })
        })
    }

    fn groups(&self) -> impl Iterator<Item = Group<'_>> {
        self.group.lines().filter_map(|line| {
            let mut fields = line.trim().split(':');
            let name = fields.next()?;
            let gid = fields.nth(1)?.parse().ok()?;
            Some(Group { name, gid, members: fields.next().unwrap_or_default() })
        })
    }
}

impl Group<'_> {
    fn has(&self, user: &str) -> bool {
        self.members.split(',').any(|member| member == user)
    }
}

/// The number that `text` is; `None` for a name.
fn id(text: &str) -> Result<Option<u32>, UserError> {
    let digits = text.strip_prefix(['-', '+']).unwrap_or(text);
    if digits.is_empty() || !digits.bytes().all(|byte| byte.is_ascii_digit()) {
        return Ok(None);
    }
    let number: i32 = text.parse().map_err(|_| UserError::OutOfRange)?;
    u32::try_from(number).map(Some).map_err(|_| UserError::OutOfRange)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn database() -> Database {
        Database {
            passwd: "root:x:0:0:root:/root:/bin/sh\nbroken\nwww:x:33:34::/:/bin/false\n".into(),
            group: "root:x:0:\nwheel:x:10:root,www\nwww:x:34:\ndisk:x:6:root\nodd\n".into(),
        }
    }

    fn resolve(user: &str, more: &[&str]) -> Result<(u32, u32, Vec<u32>), UserError> {
        let more: Vec<String> = more.iter().map(ToString::to_string).collect();
        database().resolve(user, &more).map(|id| (id.uid, id.gid, id.groups))
    }

    #[test]
    fn root_is_the_default_and_has_its_groups() {
        assert_eq!(resolve("", &[]), Ok((0, 0, vec![0, 10, 6])));
        assert_eq!(Database::default().resolve("", &[]).unwrap().groups, [0]);
    }

    #[test]
    fn names_and_numbers_are_found_and_a_given_group_ends_the_search() {
        assert_eq!(resolve("www", &[]), Ok((33, 34, vec![34, 10])));
        assert_eq!(resolve("33", &[]), Ok((33, 34, vec![34, 10])));
        assert_eq!(resolve("www:disk", &["wheel", "77"]), Ok((33, 6, vec![6, 10, 77])));
        assert_eq!(resolve("1000:1001", &[]), Ok((1000, 1001, vec![1001])));
        assert_eq!(resolve("1000", &[]), Ok((1000, 0, vec![0])));
    }

    #[test]
    fn the_missing_are_named() {
        assert_eq!(resolve("nobody", &[]), Err(UserError::NoUser("nobody".into())));
        assert_eq!(resolve("root:none", &[]), Err(UserError::NoGroup("none".into())));
        assert_eq!(resolve("-1", &[]), Err(UserError::OutOfRange));
        assert_eq!(resolve("4294967296", &[]), Err(UserError::OutOfRange));
    }
}
