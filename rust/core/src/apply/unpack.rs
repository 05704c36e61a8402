//! A container into the stage.
//!
//! Nothing is known of a member until the metadata, which is usually the last; so every file of a
//! table folder is staged under a number, and judged later.

use std::io::Read;

use super::intake::{Intake, Target, staged};
use super::stage::Stages;
use super::staged::StagedFiles;
use super::workspace::HIDDEN;
use crate::container::{METADATA, Reader, no_metadata, twice};
use crate::{Budget, Error, FilesTable, Plan, RelPath, Result};

/// What a container held.
pub(super) struct Unpacked {
    pub(super) plan: Plan,
    pub(super) files: StagedFiles,
}

/// Unpacks `source` into the stages.
pub(super) fn unpack(
    source: impl Read,
    budget: Budget,
    table: &FilesTable,
    stages: &mut Stages<'_>,
) -> Result<Unpacked> {
    let (plan, files) = staged(stages, |intake| inflate(Reader::new(source, budget), table, intake))?;
    Ok(Unpacked { plan, files })
}

fn inflate(mut reader: Reader<impl Read>, table: &FilesTable, intake: &mut Intake<'_, '_, '_>) -> Result<Plan> {
    let mut plan = None;
    while let Some(name) = reader.next_name()? {
        if name == METADATA {
            let limit = reader.metadata_bytes();
            let mut content = reader.content(limit);
            if plan.replace(Plan::read_wire(&mut content)?).is_some() {
                return Err(twice());
            }
            content.finish()?;
            continue;
        }
        let path = admitted(&name)?;
        if let Some(rule) = table.rule_for(&path) {
            file(&mut reader, Target { path, mode: rule.permissions }, intake)?;
        } else {
            // No plan can list it.
            let limit = reader.file_bytes();
            reader.content(limit).finish()?;
        }
    }
    plan.ok_or_else(no_metadata)
}

fn file(reader: &mut Reader<impl Read>, target: Target, intake: &mut Intake<'_, '_, '_>) -> Result<()> {
    if let Some(size) = reader.content_at_once(intake.room()?)? {
        intake.small(target, size);
        return Ok(());
    }
    intake.begin(target)?;
    let limit = reader.file_bytes();
    let mut content = reader.content(limit);
    intake.parts(|room| content.unpack(room))?;
    content.finish()?;
    intake.end()
}

/// A path of a peer that may be written to at all.
pub(super) fn admitted(name: &str) -> Result<RelPath> {
    if name.split('/').any(|component| component == HIDDEN) {
        return Err(Error::BadPath { path: name.to_owned(), why: "it lies in a folder that is the node's own" });
    }
    RelPath::new(name)
}
