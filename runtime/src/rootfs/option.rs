//! Mount options: from fstab words to what the mount calls take.

use dhow_linux::mount::{
    ACCESS_TIME, Attributes, Depth, NO_ATIME, NO_DEV, NO_DIRATIME, NO_EXEC, NO_SUID, NO_SYMFOLLOW, READ_ONLY,
    RELATIME, STRICT_ATIME,
};
use rustix::mount::MountPropagationFlags;

/// All options of one mount.
#[derive(Debug, Default, PartialEq, Eq)]
pub(crate) struct Options {
    /// A bind mount, of one mount or a tree.
    pub(crate) bind: Option<Depth>,
    /// Attributes to set and clear on the mount.
    pub(crate) own: Attributes,
    /// Attributes to set and clear on it and everything below.
    pub(crate) recursive: Option<Attributes>,
    /// Changes of propagation, in order.
    pub(crate) propagation: Vec<(u64, Depth)>,
    /// Options of the file system itself that are flags of mount(2), by their names in fsconfig.
    pub(crate) super_block: Vec<&'static str>,
    /// Whether any word was a flag, so that a bind mount must not keep its source's flags.
    pub(crate) flagged: bool,
    /// The flags of mount(2) for access times that are set, by their place in [`ACCESS_WORDS`].
    access: u8,
    /// Change what is mounted there already.
    pub(crate) remount: bool,
    /// Fill a tmpfs with what it hides.
    pub(crate) copy_up: bool,
    /// Show mapped owners, on one mount or the tree.
    pub(crate) mapped: Option<Depth>,
    /// Whatever is left, for the file system.
    pub(crate) data: Vec<String>,
}

/// Words that set (`true`) or clear one attribute. Access time is an enumeration, so its words clear the others.
const ATTRIBUTES: [(&str, bool, u64); 23] = [
    ("ro", true, READ_ONLY),
    ("rw", false, READ_ONLY),
    ("nosuid", true, NO_SUID),
    ("suid", false, NO_SUID),
    ("nodev", true, NO_DEV),
    ("dev", false, NO_DEV),
    ("noexec", true, NO_EXEC),
    ("exec", false, NO_EXEC),
    ("nodiratime", true, NO_DIRATIME),
    ("diratime", false, NO_DIRATIME),
    ("nosymfollow", true, NO_SYMFOLLOW),
    ("symfollow", false, NO_SYMFOLLOW),
    ("noatime", true, NO_ATIME),
    ("atime", false, NO_ATIME),
    ("relatime", true, RELATIME),
    ("norelatime", false, RELATIME),
    ("strictatime", true, STRICT_ATIME),
    ("nostrictatime", false, STRICT_ATIME),
    ("defaults", true, 0),
    ("loud", false, 0),
    ("silent", true, 0),
    ("remount", true, 0),
    ("async", false, 0),
];

/// The four flags of mount(2) for access times: the words that set and that clear them.
const ACCESS_WORDS: [(&str, &str); 4] = [
    ("noatime", "atime"),
    ("nodiratime", "diratime"),
    ("relatime", "norelatime"),
    ("strictatime", "nostrictatime"),
];

/// Words that are options of the super block.
const SUPER_BLOCK: [(&str, Option<&str>); 9] = [
    ("sync", Some("sync")),
    ("dirsync", Some("dirsync")),
    ("mand", Some("mand")),
    ("nomand", Some("nomand")),
    ("lazytime", Some("lazytime")),
    ("nolazytime", Some("nolazytime")),
    ("iversion", Some("iversion")),
    ("noiversion", None),
    ("acl", None),
];

/// Words that change propagation.
const PROPAGATION: [(&str, MountPropagationFlags, Depth); 8] = [
    ("private", MountPropagationFlags::PRIVATE, Depth::One),
    ("rprivate", MountPropagationFlags::PRIVATE, Depth::Tree),
    ("slave", MountPropagationFlags::DOWNSTREAM, Depth::One),
    ("rslave", MountPropagationFlags::DOWNSTREAM, Depth::Tree),
    ("shared", MountPropagationFlags::SHARED, Depth::One),
    ("rshared", MountPropagationFlags::SHARED, Depth::Tree),
    ("unbindable", MountPropagationFlags::UNBINDABLE, Depth::One),
    ("runbindable", MountPropagationFlags::UNBINDABLE, Depth::Tree),
];

/// The words this program understands, for `features`.
pub(crate) fn known() -> Vec<String> {
    let attributes = ATTRIBUTES.iter().map(|(word, ..)| *word).filter(|word| *word != "defaults");
    let recursive = ATTRIBUTES.iter().map(|(word, ..)| *word).take(18).map(|word| format!("r{word}"));
    let super_block = SUPER_BLOCK.iter().map(|(word, _)| *word).filter(|word| *word != "acl");
    let propagation = PROPAGATION.iter().map(|(word, ..)| *word);
    let others = ["bind", "rbind", "defaults", "tmpcopyup", "idmap", "ridmap"];
    let mut words: Vec<String> =
        attributes.chain(super_block).chain(propagation).chain(others).map(str::to_owned).collect();
    words.extend(recursive);
    words.sort_unstable();
    words
}

/// The propagation that `linux.rootfsPropagation` names.
pub(crate) fn propagation(word: &str) -> Option<(u64, Depth)> {
    let (_, flags, depth) = PROPAGATION.iter().find(|(known, ..)| *known == word)?;
    Some((u64::from(flags.bits()), *depth))
}

impl Options {
    /// Reads the words of a mount.
    pub(crate) fn parse(words: &[String]) -> Self {
        let mut options = Self::default();
        for word in words {
            options.add(word);
        }
        options
    }

    fn add(&mut self, word: &str) {
        if let Some((_, set, bits)) = ATTRIBUTES.iter().find(|(known, ..)| *known == word) {
            change(&mut self.own, *set, *bits, word);
            self.add_access(word);
            self.flagged |= word != "defaults" && word != "remount";
            self.remount |= word == "remount";
            return;
        }
        if let Some(change) = propagation(word) {
            self.propagation.push(change);
            return;
        }
        // "acl" is no word of the super block for most file systems: it is handed to the file system.
        if let Some((_, name)) = SUPER_BLOCK.iter().find(|(known, _)| *known == word && word != "acl") {
            self.super_block.extend(*name);
            self.flagged = true;
            return;
        }
        if let Some(plain) = word.strip_prefix('r')
            && let Some((_, set, bits)) = ATTRIBUTES.iter().take(18).find(|(known, ..)| *known == plain)
        {
            change(self.recursive.get_or_insert_default(), *set, *bits, plain);
            return;
        }
        match word {
            "bind" => self.bind = self.bind.or(Some(Depth::One)),
            "rbind" => self.bind = Some(Depth::Tree),
            "tmpcopyup" => self.copy_up = true,
            "idmap" => self.mapped = Some(Depth::One),
            "ridmap" => self.mapped = Some(Depth::Tree),
            other => self.data.extend(parts(other).filter(|part| !part.is_empty()).map(str::to_owned)),
        }
    }
}

/// The options in one word. Commas between quotes part nothing: labels have some (`context="a:b:c:s0:c1,c2"`).
fn parts(word: &str) -> impl Iterator<Item = &str> {
    let mut quoted = false;
    word.split(move |letter| {
        quoted ^= letter == '"';
        letter == ',' && !quoted
    })
}

impl Options {
    fn add_access(&mut self, word: &str) {
        for (place, (set, clear)) in ACCESS_WORDS.into_iter().enumerate() {
            if word == set {
                self.access |= 1 << place;
            } else if word == clear {
                self.access &= !(1 << place);
            }
        }
    }

    /// How access times are to be kept, as mount(2) reads its flags; `None` when it would leave that as it is.
    pub(super) fn access_time(&self) -> Option<u64> {
        let has = |place: u8| self.access & 1 << place != 0;
        if self.access == 0 {
            return None;
        }
        let files = match (has(3), has(0)) {
            (true, _) => STRICT_ATIME,
            (false, true) => NO_ATIME,
            (false, false) => RELATIME,
        };
        Some(if has(1) { files | NO_DIRATIME } else { files })
    }
}

/// Sets or clears one attribute.
fn change(attributes: &mut Attributes, set: bool, bits: u64, word: &str) {
    // The access time settings exclude each other, and the kernel wants the whole field cleared before it is set;
    // taking one back means the default, relatime.
    if word.ends_with("atime") && !word.ends_with("diratime") {
        attributes.clear |= ACCESS_TIME;
        attributes.set &= !ACCESS_TIME;
        attributes.set |= if set { bits } else { RELATIME };
        return;
    }
    if set {
        attributes.set |= bits;
        attributes.clear &= !bits;
    } else {
        attributes.clear |= bits;
        attributes.set &= !bits;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(words: &[&str]) -> Options {
        Options::parse(&words.iter().map(|word| (*word).to_owned()).collect::<Vec<_>>())
    }

    #[test]
    fn the_last_word_wins() {
        let options = parse(&["ro", "nosuid", "rw"]);
        assert_eq!(options.own, Attributes { set: NO_SUID, clear: READ_ONLY, propagation: 0 });
        assert!(options.flagged);
    }

    #[test]
    fn recursive_words_and_binds() {
        let options = parse(&["rbind", "rro", "rslave", "size=64k,mode=1777"]);
        assert_eq!(options.bind, Some(Depth::Tree));
        assert_eq!(options.recursive.map(|change| change.set), Some(READ_ONLY));
        assert_eq!(options.propagation.len(), 1);
        assert_eq!(options.data, ["size=64k", "mode=1777"]);
        assert!(!options.flagged);
    }

    #[test]
    fn a_quoted_comma_is_part_of_its_option() {
        let options = parse(&["mode=755,context=\"u:r:t:s0:c1,c2\",size=1k"]);
        assert_eq!(options.data, ["mode=755", "context=\"u:r:t:s0:c1,c2\"", "size=1k"]);
    }

    #[test]
    fn access_times_stay_unless_a_flag_is_left() {
        assert_eq!(parse(&["ro", "atime", "noatime", "atime"]).access_time(), None);
        assert_eq!(parse(&["diratime", "norelatime"]).access_time(), None);
        assert_eq!(parse(&["nodiratime"]).access_time(), Some(RELATIME | NO_DIRATIME));
        assert_eq!(parse(&["noatime", "relatime"]).access_time(), Some(NO_ATIME));
        assert_eq!(parse(&["noatime", "strictatime"]).access_time(), Some(STRICT_ATIME));
    }

    #[test]
    fn access_time_is_an_enumeration() {
        let options = parse(&["noatime", "strictatime", "nodiratime"]);
        let expected = Attributes { set: STRICT_ATIME | NO_DIRATIME, clear: ACCESS_TIME, propagation: 0 };
        assert_eq!(options.own, expected);
    }
}
