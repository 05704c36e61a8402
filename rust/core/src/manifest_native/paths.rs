//! The columns of rules and paths: each path says how much of the one before it repeats.

use std::collections::HashMap;
use std::io::{self, Read, Write};
use std::sync::Arc;

use super::Input;
use crate::relpath::PATH_BYTES;
use crate::{RelPath, Result};

const RULES: usize = 1 << 16;
const RULE_BYTES: usize = 4096;

/// Writes rules and paths; the paths come sorted, each once.
pub(crate) fn write_paths<'a>(
    entries: impl Iterator<Item = (&'a RelPath, &'a Arc<str>)> + Clone,
    out: &mut impl Write,
) -> io::Result<()> {
    let rules = write_rules(entries.clone().map(|(_, rule)| &**rule), out)?;
    write_varint(entries.clone().count() as u64, out)?;
    let mut before = "";
    for (path, rule) in entries {
        let path = path.as_str();
        let shared = path.bytes().zip(before.bytes()).take_while(|(a, b)| a == b).count();
        let suffix = &path.as_bytes()[shared..];
        write_varint(shared as u64, out)?;
        write_varint(suffix.len() as u64, out)?;
        out.write_all(suffix)?;
        write_varint(rules[&**rule], out)?;
        before = path;
    }
    Ok(())
}

/// Reads rules and paths, and hands each over; `size` is what an entry takes besides its path.
pub(crate) fn read_paths(
    input: &mut Input<impl Read>,
    size: usize,
    mut take: impl FnMut(RelPath, Arc<str>),
) -> Result<()> {
    let rules = read_rules(input)?;
    let (mut bytes, mut before): (Vec<u8>, Option<RelPath>) = (Vec::new(), None);
    for _ in 0..input.varint()? {
        let shared = input.at_most(bytes.len(), "a path shares more than the path before it has")?;
        let suffix = input.at_most(PATH_BYTES, "a path is longer than 4,096 bytes")?;
        input.charge(size + shared + suffix)?;
        bytes.truncate(shared);
        input.append(suffix, &mut bytes)?;
        let path = RelPath::new(std::str::from_utf8(&bytes).map_err(|_| input.bad("a path is not UTF-8"))?)?;
        if before.is_some_and(|before| before >= path) {
            return Err(input.bad(&format!("{path} stands there out of order")));
        }
        let rule = input.varint()?;
        let rule = usize::try_from(rule).ok().and_then(|rule| rules.get(rule));
        take(path.clone(), Arc::clone(rule.ok_or_else(|| input.bad("a rule is not in its table"))?));
        before = Some(path);
    }
    Ok(())
}

/// Writes each rule once, in the order of its first use, and numbers it.
fn write_rules<'a>(rules: impl Iterator<Item = &'a str>, out: &mut impl Write) -> io::Result<HashMap<&'a str, u64>> {
    let (mut numbers, mut order, mut last) = (HashMap::new(), Vec::new(), None);
    for rule in rules {
        // Neighbours mostly share theirs.
        if last.replace(rule) != Some(rule) && !numbers.contains_key(rule) {
            numbers.insert(rule, order.len() as u64);
            order.push(rule);
        }
    }
    write_varint(order.len() as u64, out)?;
    for rule in order {
        write_varint(rule.len() as u64, out)?;
        out.write_all(rule.as_bytes())?;
    }
    Ok(numbers)
}

fn read_rules(input: &mut Input<impl Read>) -> Result<Vec<Arc<str>>> {
    let mut rules = Vec::new();
    for _ in 0..input.at_most(RULES, "it has more than 65,536 rules")? {
        let length = input.at_most(RULE_BYTES, "a rule is longer than 4,096 bytes")?;
        input.charge(size_of::<Arc<str>>() + length)?;
        let mut bytes = Vec::new();
        input.append(length, &mut bytes)?;
        rules.push(std::str::from_utf8(&bytes).map_err(|_| input.bad("a rule is not UTF-8"))?.into());
    }
    Ok(rules)
}

pub(crate) fn write_varint(mut number: u64, out: &mut impl Write) -> io::Result<()> {
    let (mut bytes, mut length) = ([0; 10], 0);
    loop {
        bytes[length] = u8::try_from(number & 0x7f).unwrap_or(0);
        number >>= 7;
        if number == 0 {
            break;
        }
        bytes[length] |= 0x80;
        length += 1;
    }
    out.write_all(&bytes[..=length])
}
