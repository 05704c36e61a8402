//! Two manifests become a plan: pure, and the same for the same values.

use std::cmp::Ordering;
use std::collections::HashSet;

use crate::{Entry, FilesTable, Manifest, Plan};

/// What must change in `target`'s tree so that it equals `source`'s (specification 4.5).
///
/// Only paths and digests are compared; times never are. Files that only the target has stay out of
/// the plan where the rule they are filed under has `extra_valid`.
#[must_use]
pub fn diff(source: &Manifest, target: &Manifest, table: &FilesTable) -> Plan {
    let mut plan = Plan::default();
    let (mut ours, mut theirs) = (source.entries(), target.entries());
    loop {
        match (ours.split_first(), theirs.split_first()) {
            (Some((our, our_rest)), Some((their, their_rest))) => match our.path.cmp(&their.path) {
                Ordering::Less => {
                    plan.missing.push(our.clone());
                    ours = our_rest;
                }
                Ordering::Greater => {
                    push_extra(&mut plan, their, table);
                    theirs = their_rest;
                }
                Ordering::Equal => {
                    if our.digest != their.digest {
                        plan.shared.push(our.clone());
                    }
                    (ours, theirs) = (our_rest, their_rest);
                }
            },
            (Some(_), None) => {
                plan.missing.extend_from_slice(ours);
                return plan;
            }
            (None, Some((their, their_rest))) => {
                push_extra(&mut plan, their, table);
                theirs = their_rest;
            }
            (None, None) => return plan,
        }
    }
}

/// Takes out of `plan` the deletion of whatever the source left out of its manifest, or of what lies below it.
///
/// A file that could not be read is not a file that is gone (threats 36): no copy of it is deleted.
#[must_use]
pub fn keep_unseen(mut plan: Plan, unseen: &[String]) -> Plan {
    let unseen: HashSet<&str> = unseen.iter().map(String::as_str).collect();
    let above = |path: &str| path.match_indices('/').any(|(end, _)| unseen.contains(&path[..end]));
    if !unseen.is_empty() {
        plan.extra.retain(|entry| !unseen.contains(entry.path.as_str()) && !above(entry.path.as_str()));
    }
    plan
}

fn push_extra(plan: &mut Plan, entry: &Entry, table: &FilesTable) {
    if !table.rule(&entry.rule).is_some_and(|rule| rule.extra_valid) {
        plan.extra.push(entry.clone());
    }
}
