//! The messages of CRIU's `rpc.proto` that a runtime sends and gets, with their field numbers.

use std::fmt;

use super::wire::{Message, Value, fields};

/// What is asked for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Kind {
    Dump = 1,
    Restore = 2,
    PreDump = 4,
    Notify = 6,
    FeatureCheck = 9,
    Version = 10,
}

impl Kind {
    fn of(number: u64) -> Option<Self> {
        let all = [Self::Dump, Self::Restore, Self::PreDump, Self::Notify, Self::FeatureCheck, Self::Version];
        all.into_iter().find(|kind| *kind as u64 == number)
    }
}

impl fmt::Display for Kind {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(match self {
            Self::Dump => "DUMP",
            Self::Restore => "RESTORE",
            Self::PreDump => "PRE_DUMP",
            Self::Notify => "NOTIFY",
            Self::FeatureCheck => "FEATURE_CHECK",
            Self::Version => "VERSION",
        })
    }
}

/// Features that are asked for by name, since they depend on the kernel too.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Feature {
    /// Which memory changed since the last dump.
    MemTrack = 1,
    /// Memory that is sent when it is touched.
    LazyPages = 2,
}

impl Feature {
    /// As CRIU's users know it.
    pub(super) const fn name(self) -> &'static str {
        match self {
            Self::MemTrack => "MemTrack",
            Self::LazyPages => "LazyPages",
        }
    }
}

/// A request with `options`.
pub(super) fn request(kind: Kind, options: Option<&Options>) -> Message {
    let mut request = Message::default();
    request.number(1, kind as i64);
    if let Some(options) = options {
        request.message(2, &options.0);
    }
    request
}

/// The question whether there is `feature`.
pub(super) fn feature_check(feature: Feature) -> Message {
    let mut features = Message::default();
    features.number(feature as u32, 1);
    let mut request = request(Kind::FeatureCheck, None);
    request.message(5, &features);
    request
}

/// The answer to a notification.
pub(super) fn notified(success: bool) -> Message {
    let mut request = request(Kind::Notify, None);
    request.number(3, i64::from(success));
    request
}

/// `criu_opts`.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct Options(Message);

/// What an option is called on CRIU's command line, and its number.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[repr(u32)]
pub(super) enum Name {
    ImagesDirFd = 1,
    Pid = 2,
    LeaveRunning = 3,
    ExtUnixSk = 4,
    TcpEstablished = 5,
    EvasiveDevices = 6,
    ShellJob = 7,
    FileLocks = 8,
    LogLevel = 9,
    LogFile = 10,
    NotifyScripts = 12,
    Root = 13,
    ParentImg = 14,
    TrackMem = 15,
    AutoDedup = 16,
    WorkDirFd = 17,
    LinkRemap = 18,
    ManageCgroups = 24,
    RstSibling = 26,
    ManageCgroupsMode = 34,
    External = 37,
    EmptyNs = 38,
    FreezeCgroup = 44,
    TcpSkipInFlight = 46,
    LazyPages = 48,
    StatusFd = 49,
    OrphanPtsMaster = 50,
    ConfigFile = 51,
    LsmProfile = 53,
    LsmMountContext = 63,
}

impl Options {
    pub(super) fn number(&mut self, name: Name, value: impl Into<i64>) -> &mut Self {
        self.0.number(name as u32, value);
        self
    }

    pub(super) fn flag(&mut self, name: Name, value: bool) -> &mut Self {
        self.0.flag(name as u32, value);
        self
    }

    pub(super) fn text(&mut self, name: Name, value: &str) -> &mut Self {
        self.0.text(name as u32, value);
        self
    }

    /// Where the memory goes instead of into files.
    pub(super) fn page_server(&mut self, address: &str, port: u16) -> &mut Self {
        let mut server = Message::default();
        server.text(1, address).number(2, port);
        self.0.message(11, &server);
        self
    }

    /// A mount whose content is not the container's own: `inside` in the container; on restore `outside` is bound
    /// there, on dump it is the name under which the image remembers it.
    pub(super) fn external_mount(&mut self, inside: &str, outside: &str) -> &mut Self {
        self.pair(23, (1, inside), (2, outside))
    }

    /// The cgroup below which those of the image are made.
    pub(super) fn cgroup_root(&mut self, controller: &str, path: &str) -> &mut Self {
        self.pair(25, (1, controller), (2, path))
    }

    /// Descriptor `number` of the CRIU process stands in for what the image calls `key`.
    pub(super) fn inherited(&mut self, key: &str, number: i32) -> &mut Self {
        let mut inherited = Message::default();
        inherited.text(1, key).number(2, number);
        self.0.message(27, &inherited);
        self
    }

    /// A namespace to join instead of the image's.
    pub(super) fn joined(&mut self, kind: &str, path: &str) -> &mut Self {
        self.pair(39, (1, kind), (2, path))
    }

    fn pair(&mut self, field: u32, one: (u32, &str), other: (u32, &str)) -> &mut Self {
        let mut pair = Message::default();
        pair.text(one.0, one.1).text(other.0, other.1);
        self.0.message(field, &pair);
        self
    }
}

/// `criu_resp`.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Response {
    pub(super) kind: Option<Kind>,
    pub(super) success: bool,
    /// What CRIU tells about where it is, and the pid that it is about.
    pub(super) notify: Option<(String, i32)>,
    pub(super) errno: i32,
    pub(super) message: String,
    /// The features that there are, of those asked for.
    pub(super) features: Vec<u64>,
    /// Major, minor and sub-level as one number, two digits each.
    pub(super) version: u32,
}

impl Response {
    /// Decodes what CRIU sent.
    pub(super) fn decode(bytes: &[u8]) -> Option<Self> {
        let mut response = Self::default();
        for (field, value) in fields(bytes)? {
            match field {
                1 => response.kind = Kind::of(value.number()),
                2 => response.success = value.number() != 0,
                5 => response.notify = Some(notification(value)?),
                7 => response.errno = value.signed(),
                8 => {
                    let there = fields(value.bytes())?.into_iter().filter(|(_, value)| value.number() != 0);
                    response.features = there.map(|(field, _)| field).collect();
                }
                9 => response.message = value.text(),
                10 => response.version = version(value)?,
                _ => {}
            }
        }
        Some(response)
    }
}

fn notification(value: Value<'_>) -> Option<(String, i32)> {
    let mut found = (String::new(), 0);
    for (field, value) in fields(value.bytes())? {
        match field {
            1 => found.0 = value.text(),
            2 => found.1 = value.signed(),
            _ => {}
        }
    }
    Some(found)
}

fn version(value: Value<'_>) -> Option<u32> {
    let (mut version, mut from_git) = (0, false);
    for (field, value) in fields(value.bytes())? {
        let number = u32::try_from(value.number()).unwrap_or_default();
        match field {
            1 => version += number * 10_000,
            2 => version += number * 100,
            3 => from_git = true,
            4 => version += number,
            _ => {}
        }
    }
    // Something between two releases counts as the later one.
    Some(if from_git { version - version % 100 + 100 } else { version })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_response_is_read() {
        let mut notify = Message::default();
        notify.text(1, "post-restore").number(2, 42);
        let mut bytes = Message::default();
        bytes.number(1, 6).number(2, 1).message(5, &notify).number(7, -5).text(9, "why");
        let response = Response::decode(bytes.encoded()).expect("whole");
        assert_eq!(response.kind, Some(Kind::Notify));
        assert!(response.success);
        assert_eq!(response.notify, Some(("post-restore".to_owned(), 42)));
        assert_eq!((response.errno, response.message.as_str()), (-5, "why"));
    }

    #[test]
    fn versions_compare_as_numbers() {
        for (parts, number) in [([3, 17, 1], 31_701), ([4, 0, 0], 40_000)] {
            let mut version = Message::default();
            version.number(1, parts[0]).number(2, parts[1]).number(4, parts[2]);
            let mut bytes = Message::default();
            bytes.number(1, 10).number(2, 1).message(10, &version);
            assert_eq!(Response::decode(bytes.encoded()).expect("whole").version, number);
        }
        let mut version = Message::default();
        version.number(1, 3).number(2, 17).text(3, "v3.17-5").number(4, 1);
        let mut bytes = Message::default();
        bytes.message(10, &version);
        assert_eq!(Response::decode(bytes.encoded()).expect("whole").version, 31_800);
    }
}
