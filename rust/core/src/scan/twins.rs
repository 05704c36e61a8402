//! Paths that some system takes for one: the first in byte order stays, the others are reported.
//!
//! A peer refuses a plan that holds both (threats 24), so one of them must not travel.

use std::collections::HashMap;

use super::Problem;
use crate::Entry;
use crate::plan::fold;

pub(super) fn drop_twins(entries: &mut Vec<Entry>, problems: &mut Vec<Problem>) {
    let mut first: HashMap<String, String> = HashMap::new();
    entries.retain(|entry| {
        let path = entry.path.as_str();
        match first.get(&fold(path)) {
            None => {
                first.insert(fold(path), path.to_owned());
                true
            }
            Some(kept) => {
                let why = format!("it differs from {kept} only in case or Unicode form, and only one of them travels");
                problems.push(Problem::new(path, why));
                false
            }
        }
    });
}
