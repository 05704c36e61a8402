//! A bundle's header: the two roots, and one line for each change.
//!
//! ```text
//! from, to  64 bytes each
//! rules     varint count, then for each: varint length, UTF-8
//! lines     varint count, then for each, in strictly rising order of paths:
//!           kind 1 byte, path (varint bytes shared with the one before, varint bytes that follow, those bytes),
//!           then of a file that arrives: varint rule; of a new, patched or rebuilt one: varint size in bytes;
//!           of a copied one: its source, written as a path behind its own
//! ```

use std::collections::HashMap;
use std::io::{self, Read};
use std::sync::Arc;

use super::{WHAT, unframe::unreadable, varint};
use crate::{Digest, Error, RelPath, Result};

const RULES: u64 = 1 << 16;
const TEXT_BYTES: usize = 4096;

/// What a bundle does.
pub(crate) struct Header {
    pub(crate) from: Digest,
    pub(crate) to: Digest,
    /// Sorted by path, each path once.
    pub(crate) lines: Vec<Line>,
}

/// One change.
pub(crate) struct Line {
    pub(crate) path: RelPath,
    pub(crate) sent: Sent,
}

/// How a change is carried.
#[derive(Clone, Debug, PartialEq)]
pub(crate) enum Sent {
    /// Content of this rule and so many bytes.
    New(Arc<str>, u64),
    /// A frame against the receiver's version.
    Patch(Arc<str>, u64),
    /// A recipe out of the receiver's version.
    Rebuild(Arc<str>, u64),
    /// The content that the receiver has at that path.
    Copy(Arc<str>, RelPath),
    Delete,
    Keep,
}

impl Sent {
    fn kind(&self) -> u8 {
        match self {
            Self::New(..) => 0,
            Self::Patch(..) => 1,
            Self::Rebuild(..) => 2,
            Self::Copy(..) => 3,
            Self::Delete => 4,
            Self::Keep => 5,
        }
    }

    /// The rule of a file that arrives.
    pub(crate) fn rule(&self) -> Option<&Arc<str>> {
        match self {
            Self::New(rule, _) | Self::Patch(rule, _) | Self::Rebuild(rule, _) | Self::Copy(rule, _) => Some(rule),
            Self::Delete | Self::Keep => None,
        }
    }

    /// The bytes that it unpacks to, as far as they are declared.
    pub(crate) fn size(&self) -> Option<u64> {
        match self {
            Self::New(_, size) | Self::Patch(_, size) | Self::Rebuild(_, size) => Some(*size),
            Self::Copy(..) | Self::Delete | Self::Keep => None,
        }
    }
}

impl Header {
    /// The bytes that its lines say will come.
    pub(crate) fn declared(&self) -> u64 {
        self.lines.iter().filter_map(|line| line.sent.size()).fold(0, u64::saturating_add)
    }

    pub(crate) fn write(&self) -> io::Result<Vec<u8>> {
        let mut out = [self.from.0, self.to.0].concat();
        let mut rules: Vec<&str> = Vec::new();
        let mut numbers: HashMap<&str, u64> = HashMap::new();
        for rule in self.lines.iter().filter_map(|line| line.sent.rule()) {
            numbers.entry(rule).or_insert_with(|| {
                rules.push(rule);
                rules.len() as u64 - 1
            });
        }
        varint::write(rules.len() as u64, &mut out)?;
        for rule in rules {
            write_path("", rule, &mut out)?;
        }
        varint::write(self.lines.len() as u64, &mut out)?;
        let mut before = "";
        for Line { path, sent } in &self.lines {
            out.push(sent.kind());
            write_path(before, path.as_str(), &mut out)?;
            before = path.as_str();
            if let Some(rule) = sent.rule() {
                varint::write(numbers[&**rule], &mut out)?;
            }
            match sent {
                Sent::New(_, size) | Sent::Patch(_, size) | Sent::Rebuild(_, size) => varint::write(*size, &mut out)?,
                Sent::Copy(_, source) => write_path(path.as_str(), source.as_str(), &mut out)?,
                Sent::Delete | Sent::Keep => {}
            }
        }
        Ok(out)
    }

    /// Reads what a stranger wrote; `most` lines at most, and nothing may follow.
    pub(crate) fn read(mut from: impl Read, most: u64) -> Result<Self> {
        let from = &mut from;
        let mut roots = [[0; 64]; 2];
        for root in &mut roots {
            from.read_exact(root).map_err(unreadable)?;
        }
        let rules = read_rules(from)?;
        let count = varint::read(from).map_err(unreadable)?;
        if count > most {
            let what = "the number of files in the bundle".to_owned();
            return Err(Error::Limit { what, limit: most, setting: crate::container::FILES_SETTING });
        }
        let mut lines: Vec<Line> = Vec::new();
        let mut text = Vec::new();
        for _ in 0..count {
            let line = read_line(from, &rules, &mut text)?;
            if lines.last().is_some_and(|before| before.path >= line.path) {
                return Err(bad(format!("{} stands there out of order", line.path)));
            }
            lines.push(line);
        }
        if from.read(&mut [0]).map_err(unreadable)? != 0 {
            return Err(bad("bytes follow its header".to_owned()));
        }
        Ok(Self { from: Digest(roots[0]), to: Digest(roots[1]), lines })
    }
}

fn read_rules(from: &mut impl Read) -> Result<Vec<Arc<str>>> {
    let count = varint::read(from).map_err(unreadable)?;
    if count > RULES {
        return Err(bad(format!("it has more than {RULES} rules")));
    }
    let mut rules = Vec::new();
    for _ in 0..count {
        let mut text = Vec::new();
        rules.push(read_text(from, &mut text)?.into());
    }
    Ok(rules)
}

/// `text` is the path before, and then this one.
fn read_line(from: &mut impl Read, rules: &[Arc<str>], text: &mut Vec<u8>) -> Result<Line> {
    let mut kind = [0];
    from.read_exact(&mut kind).map_err(unreadable)?;
    let path = RelPath::new(read_text(from, text)?)?;
    if kind[0] > 3 {
        let sent = match kind[0] {
            4 => Sent::Delete,
            5 => Sent::Keep,
            _ => return Err(bad(format!("it does to {path} what this version does not know"))),
        };
        return Ok(Line { path, sent });
    }
    let rule = varint::read(from).map_err(unreadable)?;
    let rule = usize::try_from(rule).ok().and_then(|rule| rules.get(rule)).map(Arc::clone);
    let rule = rule.ok_or_else(|| bad(format!("the rule of {path} is not in its table")))?;
    if kind[0] == 3 {
        let mut source = text.clone();
        let source = RelPath::new(read_text(from, &mut source)?)?;
        return Ok(Line { path, sent: Sent::Copy(rule, source) });
    }
    let size = varint::read(from).map_err(unreadable)?;
    let sent = match kind[0] {
        0 => Sent::New(rule, size),
        1 => Sent::Patch(rule, size),
        _ => Sent::Rebuild(rule, size),
    };
    Ok(Line { path, sent })
}

fn write_path(before: &str, path: &str, out: &mut Vec<u8>) -> io::Result<()> {
    let shared = path.bytes().zip(before.bytes()).take_while(|(a, b)| a == b).count();
    varint::write(shared as u64, out)?;
    varint::write((path.len() - shared) as u64, out)?;
    out.extend_from_slice(&path.as_bytes()[shared..]);
    Ok(())
}

fn read_text<'a>(from: &mut impl Read, text: &'a mut Vec<u8>) -> Result<&'a str> {
    let shared = varint::read(from).map_err(unreadable)?;
    let shared = usize::try_from(shared).ok().filter(|shared| *shared <= text.len());
    text.truncate(shared.ok_or_else(|| bad("a path shares more than the path before it has".to_owned()))?);
    let length = varint::read(from).map_err(unreadable)?;
    varint::append(from, length, TEXT_BYTES, text).map_err(unreadable)?;
    std::str::from_utf8(text).map_err(|_| bad("a path is not UTF-8".to_owned()))
}

pub(crate) fn bad(why: String) -> Error {
    Error::BadData { what: WHAT, why }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn line(path: &str, sent: Sent) -> Line {
        Line { path: RelPath::new(path).unwrap(), sent }
    }

    fn header(lines: Vec<Line>) -> Vec<u8> {
        Header { from: Digest([1; 64]), to: Digest([2; 64]), lines }.write().unwrap()
    }

    #[test]
    fn a_header_keeps_every_line() {
        let (rules, shared): (Arc<str>, Arc<str>) = ("etc/rules/".into(), "etc/shared/".into());
        let source = RelPath::new("etc/rules/a0").unwrap();
        let sent = [
            Sent::New(Arc::clone(&rules), 0),
            Sent::Copy(Arc::clone(&rules), source),
            Sent::Delete,
            Sent::Keep,
            Sent::Patch(Arc::clone(&shared), u64::MAX),
            Sent::Rebuild(rules, 300),
        ];
        let lines = || sent.iter().enumerate().map(|(at, sent)| line(&format!("etc/rules/a{at}"), sent.clone()));
        let bytes = header(lines().collect());
        let read = Header::read(bytes.as_slice(), 6).unwrap();
        assert_eq!((read.from, read.to), (Digest([1; 64]), Digest([2; 64])));
        assert!(read.lines.iter().zip(lines()).all(|(a, b)| (&a.path, &a.sent) == (&b.path, &b.sent)));
        assert!(matches!(Header::read(bytes.as_slice(), 5), Err(Error::Limit { .. })));
        for end in 0..bytes.len() {
            assert!(Header::read(&bytes[..end], 6).is_err());
        }
        assert!(Header::read([bytes.as_slice(), b"x"].concat().as_slice(), 6).is_err());
    }

    #[test]
    fn threat_24_lines_out_of_order_or_twice_are_refused() {
        for paths in [["b", "a"], ["a", "a"]] {
            let bytes = header(paths.map(|path| line(path, Sent::Delete)).into());
            assert!(Header::read(bytes.as_slice(), 9).is_err());
        }
    }
}
