//! A bundle's header against this node's base and files table, before anything is staged.

use super::meter::Meter;
use super::unpack::admitted;
use super::verify::check_rule;
use crate::bundle::header::{Header, Sent, bad};
use crate::plan::refuse_twins;
use crate::{Digest, FilesTable, Manifest, Result};

/// Refuses a bundle that is for another tree, that leads elsewhere, or that does what this node's table does not admit.
pub(super) fn admit(
    header: &Header,
    base: &Manifest,
    root: Digest,
    table: &FilesTable,
    meter: &mut Meter,
) -> Result<()> {
    if header.from != base.root() {
        return Err(bad(
            "it is for a tree with another root; ask for a step from the root that this tree has".to_owned()
        ));
    }
    if header.to != root {
        return Err(bad("it leads to another root than the one that was asked for".to_owned()));
    }
    for line in &header.lines {
        let path = admitted(line.path.as_str())?;
        if let Some(rule) = line.sent.rule() {
            check_rule(&path, rule, table)?;
        }
        let wanted = match &line.sent {
            Sent::New(..) => None,
            Sent::Copy(_, source) => Some(source),
            Sent::Patch(..) | Sent::Rebuild(..) | Sent::Delete | Sent::Keep => Some(&path),
        };
        let known =
            wanted.map(|wanted| base.get(wanted.as_str()).ok_or_else(|| bad(format!("{wanted} is not in its base"))));
        if let (Some(known), Sent::Delete) = (known.transpose()?, &line.sent) {
            check_rule(&path, &known.rule, table)?;
        }
        meter.declare(path.as_str(), line.sent.size().unwrap_or(0))?;
    }
    refuse_twins(header.lines.iter().filter(|line| line.sent.rule().is_some()).map(|line| &line.path))
}
