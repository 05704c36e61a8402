//! A path that cannot leave its root: checked once, trusted afterwards.
//!
//! This is the only way to name a file of the tree. What a `RelPath` promises: UTF-8, relative,
//! slashes only, no empty, `.` or `..` component, no NUL, backslash or drive letter, no component
//! over 255 bytes, no more than 4,096 bytes in all (threats 24). Links on the way are not its
//! business: folders are opened beneath a handle.

use std::fmt;
use std::sync::Arc;

use crate::{Error, Result};

const COMPONENT_BYTES: usize = 255;
pub(crate) const PATH_BYTES: usize = 4096;

/// A checked path of one file, relative to the root of its tree. Its copies share one text.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct RelPath(Arc<str>);

impl RelPath {
    /// Checks `path`.
    ///
    /// # Errors
    /// [`Error::BadPath`] names the rule that the path breaks.
    pub fn new(path: &str) -> Result<Self> {
        match fault(path) {
            None => Ok(Self(path.into())),
            Some(why) => Err(Error::BadPath { path: path.chars().take(200).collect(), why }),
        }
    }

    /// The path as text, with slashes.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// The last component.
    #[must_use]
    pub fn name(&self) -> &str {
        self.last_slash().and_then(|at| self.0.get(at + 1..)).unwrap_or(&self.0)
    }

    /// Everything before the last component, without its slash; empty for a file at the root.
    #[must_use]
    pub fn folder(&self) -> &str {
        self.last_slash().and_then(|at| self.0.get(..at)).unwrap_or_default()
    }

    /// Byte by byte: names are short, and a scan asks for every file.
    fn last_slash(&self) -> Option<usize> {
        self.0.bytes().rposition(|byte| byte == b'/')
    }
}

impl fmt::Display for RelPath {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl fmt::Debug for RelPath {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Debug::fmt(&*self.0, f)
    }
}

fn fault(path: &str) -> Option<&'static str> {
    if path.is_empty() {
        return Some("it is empty");
    }
    if path.len() > PATH_BYTES {
        return Some("it is longer than 4,096 bytes");
    }
    if path.starts_with('/') {
        return Some("it is absolute");
    }
    if path.contains('\0') {
        return Some("it holds a NUL");
    }
    if path.contains('\\') {
        return Some("it holds a backslash");
    }
    if path.as_bytes().get(1) == Some(&b':') && path.as_bytes()[0].is_ascii_alphabetic() {
        return Some("it starts with a drive letter");
    }
    path.split('/').find_map(|component| match component {
        "" => Some("it holds an empty component"),
        "." | ".." => Some("it holds a . or .. component"),
        long if long.len() > COMPONENT_BYTES => Some("a component is longer than 255 bytes"),
        _ => None,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn threat_24_paths_that_could_leave_the_root_are_refused() {
        let long = "x".repeat(256);
        for bad in [
            "",
            "/",
            "/etc/passwd",
            "../x",
            "a/../../b",
            "a/..",
            "..",
            ".",
            "a//b",
            "a/",
            "./a",
            "a\0b",
            "a\\b",
            "C:/x",
            "c:x",
            &long,
        ] {
            assert!(RelPath::new(bad).is_err(), "{bad:?} was accepted");
        }
    }

    #[test]
    fn ordinary_names_are_kept_as_they_are() {
        for good in ["a", "etc/rules/a.xml", "etc/shared/sub dir/ünïcode_ñ.conf", "a/...", "a/.b", "ab:c"] {
            assert_eq!(RelPath::new(good).unwrap().as_str(), good);
        }
        let path = RelPath::new("etc/rules/a.xml").unwrap();
        assert_eq!((path.folder(), path.name()), ("etc/rules", "a.xml"));
        assert_eq!(RelPath::new("a").unwrap().folder(), "");
    }
}
