//! What is seen while this node itself changes the tree: kept apart until it is known which of it was its own.
//!
//! Someone else may write in the tree meanwhile, and no event tells whose it is; but a change of our own is a step of
//! its plan, so whatever lies beside the plan was somebody else's.

use std::collections::{HashMap, HashSet};

use crate::Plan;

/// More paths than that are not told apart any more: the tree is looked at instead.
const MOST: usize = 1 << 18;

/// Changes that are under way, and what was seen since the first of them began.
#[derive(Default)]
pub(super) struct Own {
    under_way: usize,
    /// By path; whether it is a folder.
    seen: HashMap<String, bool>,
    lost: bool,
}

impl Own {
    /// A change of our own begins.
    pub(super) fn begin(&mut self) {
        self.under_way += 1;
    }

    /// Keeps `path` until it is known whose it is; whether it is kept, which is while a change of our own goes on.
    pub(super) fn keep(&mut self, path: &str, is_folder: bool) -> bool {
        if self.under_way > 0 {
            if self.seen.len() < MOST {
                self.seen.insert(path.to_owned(), is_folder);
            } else {
                self.lost = true;
            }
        }
        self.under_way > 0
    }

    /// One of them is over and has done what `plan` says. Once all are: what else was seen, and whether some was lost.
    pub(super) fn end(&mut self, plan: &Plan) -> (Vec<String>, bool) {
        let mut own = HashSet::new();
        for path in plan.written().chain(&plan.extra).map(|entry| entry.path.as_str()) {
            self.seen.remove(path);
            let above = path.match_indices('/').rev().map(|(end, _)| &path[..end]);
            own.extend(above.take_while(|folder| !own.contains(folder)).collect::<Vec<_>>());
        }
        self.seen.retain(|path, is_folder| !(*is_folder && own.contains(path.as_str())));
        self.under_way = self.under_way.saturating_sub(1);
        if self.under_way > 0 {
            return (Vec::new(), false);
        }
        let Self { seen, lost, .. } = std::mem::take(self);
        (seen.into_keys().collect(), lost)
    }
}
