//! A bundle becomes a plan and staged files, as a container does; what it promised is proved by its root.

use std::io::Read;

use super::admit::admit;
use super::intake::staged;
use super::meter::Meter;
use super::receive::{Place, Receiver, header};
use super::stage::Stages;
use super::staged::StagedFiles;
use super::unpack::Unpacked;
use super::verify::hold_back;
use crate::bundle::header::{Header, Line, Sent, bad};
use crate::bundle::unframe::Source;
use crate::{Budget, Digest, Entry, Error, FilesTable, Hasher, Manifest, Plan, RelPath, Result};

/// Unpacks `source`, which leads from `base` to `root`; with what was staged comes the manifest of the tree to be.
///
/// Files that only the base has and that stay are not in the root, and in that manifest only if they stay because the
/// source could not look there: those of a rule with `extra_valid` are this node's own, and no step ever names them.
pub(super) fn unpack(
    source: impl Read,
    base: &Manifest,
    (root, most_deleted): (Digest, Option<usize>),
    budget: Budget,
    place: Place<'_>,
    stages: &mut Stages<'_>,
) -> Result<(Unpacked, Manifest)> {
    let mut source = Source::new(source, budget.metadata_bytes);
    let header = header(&mut source, budget)?;
    source.expect(header.declared(), header.lines.len() as u64);
    let mut meter = Meter::new(budget);
    admit(&header, base, root, place.table, &mut meter)?;
    let deleted = header.lines.iter().filter(|line| line.sent == Sent::Delete).count();
    hold_back(deleted, most_deleted, || Ok(base.entries().len()))?;
    let receiver = Receiver { source, place, meter, lines: &header.lines };
    let unpacked = staged(stages, |intake| receiver.run(intake)).and_then(|((), files)| {
        let manifest = verified(&header, base, &files, place.table)?;
        let plan = plan(&header, base, &files)?;
        Ok((Unpacked { plan, files }, manifest))
    });
    // Only now, since it costs a look at every old version, and all is well without it.
    unpacked.map_err(|error| drifted(&error, &header, base, place).unwrap_or(error))
}

/// The manifest of the tree to be, whose root is the promised one.
fn verified(header: &Header, base: &Manifest, files: &StagedFiles, table: &FilesTable) -> Result<Manifest> {
    let own = |known: &Entry| table.rule(&known.rule).is_some_and(|rule| rule.extra_valid);
    let unseen = |line: &Line| line.sent == Sent::Keep && base.get(line.path.as_str()).is_some_and(|known| !own(known));
    let promised = Manifest::of_sorted(applied(header, base, files, |_| false)?);
    if promised.root() != header.to {
        return Err(bad("what it brings does not lead to the root that it promises".to_owned()));
    }
    if header.lines.iter().any(unseen) {
        return Ok(Manifest::of_sorted(applied(header, base, files, |known| !own(known))?));
    }
    Ok(promised)
}

/// The base's entries with the changes made to them; of those that are kept, the ones that `count`.
fn applied(
    header: &Header,
    base: &Manifest,
    files: &StagedFiles,
    count: impl Fn(&Entry) -> bool,
) -> Result<Vec<Entry>> {
    let mut entries = Vec::with_capacity(base.entries().len());
    let mut rest = base.entries();
    for line in &header.lines {
        let before = rest.partition_point(|entry| entry.path < line.path);
        entries.extend_from_slice(&rest[..before]);
        rest = &rest[before..];
        if let Some((known, behind)) = rest.split_first().filter(|(known, _)| known.path == line.path) {
            rest = behind;
            if line.sent == Sent::Keep && count(known) {
                entries.push(known.clone());
            }
        }
        entries.extend(arrived(line, files)?);
    }
    entries.extend_from_slice(rest);
    Ok(entries)
}

/// The entry of a file that a line brought.
fn arrived(line: &Line, files: &StagedFiles) -> Result<Option<Entry>> {
    let Some(rule) = line.sent.rule() else { return Ok(None) };
    let staged = files.get(&line.path).ok_or_else(|| bad(format!("the content of {} is absent", line.path)))?;
    let (digest, mod_time) = (staged.digest, staged.stat.mod_time());
    Ok(Some(Entry { path: line.path.clone(), digest, mod_time, rule: rule.clone() }))
}

fn plan(header: &Header, base: &Manifest, files: &StagedFiles) -> Result<Plan> {
    let mut plan = Plan::default();
    for line in &header.lines {
        let known = base.get(line.path.as_str());
        match (arrived(line, files)?, known) {
            (Some(entry), None) => plan.missing.push(entry),
            (Some(entry), Some(_)) => plan.shared.push(entry),
            (None, Some(known)) if line.sent == Sent::Delete => plan.extra.push(known.clone()),
            (None, _) => {}
        }
    }
    Ok(plan)
}

/// The first old version that is not what the base says, if that may be why a bundle does not come out right.
fn drifted(error: &Error, header: &Header, base: &Manifest, place: Place<'_>) -> Option<Error> {
    if !matches!(error, Error::BadData { .. } | Error::Io { action: "read", .. }) {
        return None;
    }
    let used = header.lines.iter().filter_map(|line| match &line.sent {
        Sent::Patch(..) | Sent::Rebuild(..) => Some(&line.path),
        Sent::Copy(_, source) => Some(source),
        Sent::New(..) | Sent::Delete | Sent::Keep => None,
    });
    let changed =
        |path: &&RelPath| base.get(path.as_str()).is_some_and(|entry| digest(path, place) != Some(entry.digest));
    let path = used.into_iter().find(changed)?;
    Some(Error::Drifted { path: path.to_string() })
}

fn digest(path: &RelPath, place: Place<'_>) -> Option<Digest> {
    let (mut file, _) = place.old(path).ok()?;
    let (mut sum, mut part) = (Hasher::default(), vec![0; 256 << 10]);
    loop {
        match file.read(&mut part).ok()? {
            0 => return Some(sum.finish()),
            size => sum.update(&part[..size]),
        }
    }
}
