//! The files table: which folders of a home are kept in step, and how (specification 4.4).

use std::sync::Arc;

use crate::{Error, RelPath, Result};

/// The folder that holds what a tree keeps for itself; no table and no scan enters one.
pub(crate) const OWN_FOLDER: &str = ".outrider";

/// One row of the table: a folder and what of it travels.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FileRule {
    /// The folder with its trailing slash, e.g. `etc/rules/`: the wire's `cluster_item_key`.
    pub folder: Arc<str>,
    /// Base names that travel; `None` for every file.
    pub names: Option<Vec<String>>,
    /// Whether the folders below take part.
    pub recursive: bool,
    /// Permission bits that an applied file gets.
    pub permissions: u32,
    /// Whether a folder that a deletion empties is removed (specification 5.5, step 6).
    pub remove_subdirs_if_empty: bool,
    /// Whether files that only a worker has are kept (specification 4.5).
    pub extra_valid: bool,
}

/// The whole table.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct FilesTable {
    /// The rows, in the order of the settings; a path belongs to the first that admits it.
    pub rules: Vec<FileRule>,
    /// Base names that never travel.
    pub excluded_files: Vec<String>,
    /// Endings of names that never travel.
    pub excluded_suffixes: Vec<String>,
    /// Whether links to files that stay inside their table folder are followed (profile `wazuh-4.9`).
    pub follow_links: bool,
}

impl FilesTable {
    /// Checks every row, and that no folder stands there twice.
    ///
    /// # Errors
    /// [`Error::BadRule`] names the row and the remedy.
    pub fn check(&self) -> Result<()> {
        for (i, rule) in self.rules.iter().enumerate() {
            rule.check()?;
            if self.rules.iter().take(i).any(|earlier| earlier.folder == rule.folder) {
                return Err(rule.refused("it stands there twice; one row says all about a folder"));
            }
        }
        Ok(())
    }

    /// The rule with this folder key, e.g. `etc/rules/`.
    #[must_use]
    pub fn rule(&self, folder: &str) -> Option<&FileRule> {
        self.rules.iter().find(|rule| &*rule.folder == folder)
    }

    /// The rule that admits `path`, if one does: the answer to "may this file travel?".
    #[must_use]
    pub fn rule_for(&self, path: &RelPath) -> Option<&FileRule> {
        if self.excludes(path.name()) {
            return None;
        }
        self.rules.iter().find(|rule| rule.admits(path))
    }

    /// Whether a file of this base name never travels.
    #[must_use]
    pub fn excludes(&self, name: &str) -> bool {
        self.excluded_files.iter().any(|excluded| excluded == name)
            || self.excluded_suffixes.iter().any(|suffix| name.ends_with(suffix.as_str()))
    }
}

impl FileRule {
    /// Checks the folder key and the permissions.
    ///
    /// # Errors
    /// [`Error::BadRule`] names the remedy.
    pub fn check(&self) -> Result<()> {
        let Some(folder) = self.folder.strip_suffix('/') else {
            return Err(self.refused("it needs a slash at its end, as in \"etc/rules/\""));
        };
        if let Err(error) = RelPath::new(folder) {
            return Err(self.refused(&format!("{error}; name a folder below the home, as in \"etc/rules/\"")));
        }
        if folder.split('/').any(|component| component == OWN_FOLDER) {
            return Err(self.refused("Outrider keeps its own state there"));
        }
        if self.permissions > 0o777 {
            return Err(self.refused("its permissions go beyond 0o777; 0o660 is usual"));
        }
        Ok(())
    }

    fn refused(&self, why: &str) -> Error {
        Error::BadRule { folder: self.folder.to_string(), why: why.to_owned() }
    }

    /// Whether a file at `path` belongs to this row.
    pub(crate) fn admits(&self, path: &RelPath) -> bool {
        let Some(inner) = path.as_str().strip_prefix(&*self.folder) else { return false };
        (self.recursive || !inner.contains('/'))
            && self.names.as_ref().is_none_or(|names| names.iter().any(|name| name == path.name()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn rule(folder: &str, names: Option<&[&str]>, recursive: bool) -> FileRule {
        FileRule {
            folder: folder.into(),
            names: names.map(|names| names.iter().map(ToString::to_string).collect()),
            recursive,
            permissions: 0o660,
            remove_subdirs_if_empty: false,
            extra_valid: false,
        }
    }

    #[test]
    fn a_path_belongs_to_the_first_rule_that_admits_it() {
        let table = FilesTable {
            rules: vec![rule("etc/", Some(&["client.keys"]), false), rule("etc/shared/", None, true)],
            excluded_files: vec!["ar.conf".into()],
            excluded_suffixes: vec![".tmp".into(), "~".into()],
            follow_links: false,
        };
        let folder_of = |path: &str| table.rule_for(&RelPath::new(path).unwrap()).map(|rule| &*rule.folder);
        assert_eq!(folder_of("etc/client.keys"), Some("etc/"));
        assert_eq!(folder_of("etc/shared/a/b.conf"), Some("etc/shared/"));
        for outside in ["etc/passwd", "etc/x/client.keys", "etc/shared/ar.conf", "etc/shared/a.tmp", "var/x"] {
            assert_eq!(folder_of(outside), None, "{outside} was admitted");
        }
    }

    #[test]
    fn a_row_that_cannot_work_is_refused() {
        for bad in ["etc", "/etc/", "../x/", "", "/", "a/.outrider/", "a//"] {
            assert!(rule(bad, None, true).check().is_err(), "{bad:?} was accepted");
        }
        assert!(FileRule { permissions: 0o4755, ..rule("a/", None, true) }.check().is_err());
        let twice = FilesTable { rules: vec![rule("a/", None, true), rule("a/", None, false)], ..Default::default() };
        assert!(twice.check().is_err());
        assert!(FilesTable { rules: vec![rule("etc/", None, true)], ..Default::default() }.check().is_ok());
    }
}
