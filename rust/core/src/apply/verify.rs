//! Does the stage hold what the plan says, may this node write it, and does the plan leave enough of the tree? Nothing here touches the tree.

use super::staged::StagedFiles;
use super::unpack::admitted;
use crate::{Error, FilesTable, Plan, RelPath, Result};

/// Checks every entry against the files table, and every file to be written against its content.
///
/// The plan's paths are already known to be different (`Plan::read_wire`).
pub(super) fn verify(plan: &Plan, staged: &StagedFiles, table: &FilesTable) -> Result<()> {
    for entry in plan.written() {
        check_rule(&entry.path, &entry.rule, table)?;
        match staged.get(&entry.path) {
            None => return Err(bad(format!("{} is listed, and its content is absent", entry.path))),
            Some(staged) if staged.digest != entry.digest => {
                return Err(Error::Mismatch { path: entry.path.to_string() });
            }
            Some(_) => {}
        }
    }
    plan.extra.iter().try_for_each(|entry| check_rule(&entry.path, &entry.rule, table))
}

/// A path must belong to the rule that a peer names for it: a peer may name a folder, not a mode.
pub(super) fn check_rule(path: &RelPath, rule: &str, table: &FilesTable) -> Result<()> {
    let path = admitted(path.as_str())?;
    match table.rule_for(&path) {
        Some(ours) if &*ours.folder == rule => Ok(()),
        Some(ours) => Err(bad(format!(
            "{path} belongs to {} in this node's files table, and to {rule} in the master's",
            ours.folder
        ))),
        None => Err(bad(format!("{path} is not in this node's files table; the tables of all nodes must be equal"))),
    }
}

/// Threat 31: a step that empties the tree is more often a folder that is not mounted than a wish.
///
/// `held` counts the files of the tree, for the error.
pub(super) fn hold_back(deleted: usize, most: Option<usize>, held: impl FnOnce() -> Result<usize>) -> Result<()> {
    match most {
        Some(most) if deleted > most => Err(Error::HeldBack { deleted, held: held()? }),
        _ => Ok(()),
    }
}

fn bad(why: String) -> Error {
    Error::BadData { what: "what the master sent", why }
}
