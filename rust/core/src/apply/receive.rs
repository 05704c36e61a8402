//! The contents of a bundle into the stage, while they arrive.
//!
//! Old versions are read from the tree as it is; that they are what the base says is proved by what comes out.

use std::fs::File;
use std::io::{self, BufReader, Read};
use std::iter::Peekable;
use std::ops::Range;
use std::os::unix::fs::FileExt;

use super::intake::{Intake, Target};
use super::meter::{Bounded, Meter, Metered};
use crate::beneath::Home;
use crate::bundle::header::{Header, Line, Sent, bad};
use crate::bundle::recipe::RecipeReader;
use crate::bundle::segments::segments;
use crate::bundle::unframe::{FrameReader, Source, context, unreadable};
use crate::bundle::{MAGIC, NO_FRAME, SMALL, window_log};
use crate::{Budget, Error, FilesTable, RelPath, Result};

/// The window of frames without a prefix, as a power of two: 8 MiB.
const WINDOW: u32 = 23;
/// Old versions of small files are read ahead up to this much, and patched with one context.
const BATCH: usize = 1 << 20;

/// Reads the magic and the header, and no further.
pub(super) fn header<R: Read>(source: &mut Source<R>, budget: Budget) -> Result<Header> {
    for byte in MAGIC {
        if source.peek().map_err(unreadable)? != *byte {
            return Err(bad("it does not begin as one of this version does".to_owned()));
        }
        source.skip(1);
    }
    let mut context = context(WINDOW)?;
    let frame = FrameReader::new(&mut context, source, None)?;
    Header::read(
        BufReader::new(Bounded { frame, left: budget.metadata_bytes, limit: budget.metadata_bytes }),
        budget.members,
    )
}

/// Where files come from and belong.
#[derive(Clone, Copy)]
pub(super) struct Place<'a> {
    pub(super) home: &'a Home,
    pub(super) table: &'a FilesTable,
}

impl Place<'_> {
    /// A file of the base, and its size.
    pub(super) fn old(self, path: &RelPath) -> Result<(File, u64)> {
        let links = if self.table.follow_links { self.table.rule_for(path).map(|rule| &*rule.folder) } else { None };
        let drifted = || Error::Drifted { path: path.to_string() };
        let file = self.home.file(path, links).map_err(|_| drifted())?;
        let stat = file.metadata().map_err(self.unreadable(path))?;
        if stat.is_file() { Ok((file, stat.len())) } else { Err(drifted()) }
    }

    fn target(self, line: &Line) -> Target {
        let mode = self.table.rule_for(&line.path).map_or(0, |rule| rule.permissions);
        Target { path: line.path.clone(), mode }
    }

    fn unreadable(self, path: &RelPath) -> impl Fn(io::Error) -> Error {
        let path = self.home.join(path.as_str());
        move |error| Error::io("read", path.clone())(error)
    }
}

/// Fills the stage with what the lines of a header bring.
pub(super) struct Receiver<'a, R> {
    pub(super) source: Source<R>,
    pub(super) place: Place<'a>,
    pub(super) meter: Meter,
    pub(super) lines: &'a [Line],
}

impl<'a, R: Read> Receiver<'a, R> {
    pub(super) fn run(mut self, intake: &mut Intake<'_, '_, '_>) -> Result<()> {
        for line in self.lines {
            if let Sent::Copy(_, from) = &line.sent {
                let (mut file, size) = self.place.old(from)?;
                self.meter.declare(line.path.as_str(), size)?;
                intake.file(self.place.target(line), size, &mut file, self.place.unreadable(from))?;
            }
        }
        let late = self.changed(intake)?;
        self.fresh(&late, intake)?;
        if self.source.is_at_end().map_err(unreadable)? { Ok(()) } else { Err(bad("bytes follow its end".to_owned())) }
    }

    /// Patches and recipes, in order; returns what comes with the new files.
    fn changed(&mut self, intake: &mut Intake<'_, '_, '_>) -> Result<Vec<&'a Line>> {
        let mut late = Vec::new();
        let changes = self.lines.iter().filter(|line| matches!(line.sent, Sent::Patch(..) | Sent::Rebuild(..)));
        let mut lines = changes.peekable();
        loop {
            let (batch, olds) = self.batch(&mut lines)?;
            if !batch.is_empty() {
                self.patches(batch, &olds, &mut late, intake)?;
            } else if let Some(line) = lines.next() {
                self.large(line, intake)?;
            } else {
                return Ok(late);
            }
        }
    }

    /// The small files that come next, and their old versions.
    #[allow(clippy::type_complexity, reason = "two halves of one batch")]
    fn batch(
        &self,
        lines: &mut Peekable<impl Iterator<Item = &'a Line>>,
    ) -> Result<(Vec<(&'a Line, Range<usize>)>, Vec<u8>)> {
        let (mut batch, mut olds) = (Vec::new(), Vec::new());
        while let Some(line) = lines.peek()
            && olds.len() < BATCH
            && matches!(line.sent, Sent::Patch(_, size) if size <= SMALL)
        {
            let (file, size) = self.place.old(&line.path)?;
            if size > SMALL {
                break;
            }
            let start = olds.len();
            file.take(SMALL).read_to_end(&mut olds).map_err(self.place.unreadable(&line.path))?;
            batch.push((*line, start..olds.len()));
            lines.next();
        }
        Ok((batch, olds))
    }

    fn patches(
        &mut self,
        batch: Vec<(&'a Line, Range<usize>)>,
        olds: &[u8],
        late: &mut Vec<&'a Line>,
        intake: &mut Intake<'_, '_, '_>,
    ) -> Result<()> {
        let mut context = context(window_log(SMALL))?;
        for (line, range) in batch {
            if self.source.peek().map_err(unreadable)? == NO_FRAME {
                self.source.skip(1);
                late.push(line);
                continue;
            }
            self.meter.know(range.len() as u64);
            let frame = FrameReader::new(&mut context, &mut self.source, Some(&olds[range]))?;
            let mut unpacked = Metered { frame, meter: &mut self.meter };
            intake.file(self.place.target(line), declared(line), &mut unpacked, unreadable)?;
            ended(&mut unpacked, &line.path)?;
        }
        Ok(())
    }

    /// A large file, segment by segment, or any by its recipe.
    fn large(&mut self, line: &Line, intake: &mut Intake<'_, '_, '_>) -> Result<()> {
        let (file, old) = self.place.old(&line.path)?;
        let size = declared(line);
        self.meter.know(old);
        if matches!(line.sent, Sent::Rebuild(..)) {
            let mut context = context(WINDOW)?;
            let frame = FrameReader::new(&mut context, &mut self.source, None)?;
            let recipe = BufReader::new(Metered { frame, meter: &mut self.meter });
            let mut unpacked = RecipeReader::new(recipe, &file);
            intake.file(self.place.target(line), size, &mut unpacked, unreadable)?;
            return ended(&mut unpacked, &line.path);
        }
        intake.begin(self.place.target(line))?;
        for (part, prefix) in segments(old, size) {
            let mut bytes = vec![0; usize::try_from(prefix.end - prefix.start).unwrap_or(0)];
            file.read_exact_at(&mut bytes, prefix.start).map_err(self.place.unreadable(&line.path))?;
            let size = part.end - part.start;
            let mut context = context(window_log(size))?;
            let frame = FrameReader::new(&mut context, &mut self.source, Some(&bytes))?;
            let mut unpacked = Metered { frame, meter: &mut self.meter };
            intake.exactly(size, &mut unpacked, unreadable)?;
            ended(&mut unpacked, &line.path)?;
        }
        intake.end()
    }

    /// What is new, then what came late, out of one frame.
    fn fresh(&mut self, late: &[&'a Line], intake: &mut Intake<'_, '_, '_>) -> Result<()> {
        let new = self.lines.iter().filter(|line| matches!(line.sent, Sent::New(..)));
        let mut lines = new.chain(late.iter().copied()).peekable();
        let Some(first) = lines.peek().map(|line| &line.path) else { return Ok(()) };
        let mut context = context(WINDOW)?;
        let frame = FrameReader::new(&mut context, &mut self.source, None)?;
        let mut unpacked = Metered { frame, meter: &mut self.meter };
        for line in lines {
            intake.file(self.place.target(line), declared(line), &mut unpacked, unreadable)?;
        }
        ended(&mut unpacked, first)
    }
}

fn declared(line: &Line) -> u64 {
    line.sent.size().unwrap_or(0)
}

/// A content that goes on behind its declared size is refused.
fn ended(content: &mut impl Read, path: &RelPath) -> Result<()> {
    match content.read(&mut [0]).map_err(unreadable)? {
        0 => Ok(()),
        _ => Err(bad(format!("the content from {path} on is longer than declared"))),
    }
}
