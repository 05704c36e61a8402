//! A generation's file in the making: frames one behind the other, then what finds them.

use std::fs::File;
use std::io::{self, BufWriter, Read, Seek, Write};

use super::folder::{Folder, Kind};
use super::layout::{KEY, ROW, Row, Trailer, key_of};
use super::pack::Pack;
use crate::digest::Parts;
use crate::{Digest, Error, Result};

/// Large writes, one behind the other.
const BUFFER: usize = 1 << 20;

/// Removes its file unless it is [`finish`](Writer::finish)ed.
pub(super) struct Writer<'a> {
    folder: &'a Folder,
    out: BufWriter<File>,
    /// Bytes of frames so far.
    at: u64,
    rows: Vec<Row>,
    /// What frames and their rows may take.
    room: u64,
    finished: bool,
}

impl<'a> Writer<'a> {
    /// `room` bounds the bytes of all contents; what goes beyond it is not kept.
    pub(super) fn begin(folder: &'a Folder, room: u64) -> Result<Self> {
        let out = BufWriter::with_capacity(BUFFER, folder.begin()?);
        Ok(Self { folder, out, at: 0, rows: Vec::new(), room, finished: false })
    }

    /// Adds one whole frame, if there is room.
    pub(super) fn frame(&mut self, digest: Digest, size: u64, frame: &[u8]) -> Result<()> {
        let stored = frame.len() as u64;
        if self.fits(stored) {
            self.out.write_all(frame).map_err(self.failed())?;
            self.took(digest, size, stored);
        }
        Ok(())
    }

    /// Adds a frame that another file holds, if there is room.
    pub(super) fn copied(&mut self, row: &Row, frame: impl Read) -> Result<()> {
        if self.fits(row.stored) {
            let start = self.at;
            let copied = io::copy(&mut frame.take(row.stored), &mut self.out).map_err(self.failed())?;
            if copied == row.stored {
                self.took(row.digest, row.size, copied);
            } else {
                self.back_to(start)?;
            }
        }
        Ok(())
    }

    /// Adds a frame that `write` makes bit by bit and returns digest and size of. A frame that leaves the
    /// room is not kept.
    pub(super) fn streamed(&mut self, write: impl FnOnce(&mut Bounded<'_>) -> Result<(Digest, u64)>) -> Result<()> {
        let start = self.at;
        let left = self.room.saturating_sub(self.taken() + ROW as u64);
        let mut bounded = Bounded { out: &mut self.out, left, written: 0 };
        let (digest, size) = write(&mut bounded)?;
        let (written, full) = (bounded.written, bounded.is_full());
        if full {
            return self.back_to(start);
        }
        self.took(digest, size, written);
        Ok(())
    }

    /// Writes rows, keys, record and trailer, makes all durable and the generation of the trailer's number.
    ///
    /// Of the trailer, the places of the sections are filled in here.
    pub(super) fn finish(
        mut self,
        trailer: Trailer,
        record: impl FnOnce(&mut dyn Write) -> io::Result<()>,
    ) -> Result<Pack> {
        let failed = self.failed();
        let number = trailer.number;
        self.sections(trailer, record).map_err(failed)?;
        self.folder.commit(self.out.get_ref(), number, Kind::Generation)?;
        self.finished = true;
        let name = self.folder.path(&format!("{number}.generation"));
        let file =
            self.folder.read(number, Kind::Generation).map_err(|error| Error::io("open", &name)(error.into()))?;
        let damaged = || Error::io("read", &name)(io::Error::other("it is not what was written"));
        Pack::open(file).ok_or_else(damaged)
    }

    fn sections(
        &mut self,
        mut trailer: Trailer,
        record: impl FnOnce(&mut dyn Write) -> io::Result<()>,
    ) -> io::Result<()> {
        self.rows.sort_unstable_by_key(|row| row.digest);
        trailer.contents = self.rows.len() as u64;
        trailer.rows_at = self.at;
        trailer.record_at = self.at + (self.rows.len() * (ROW + KEY) + super::layout::CHECK) as u64;
        for row in &self.rows {
            self.out.write_all(&row.to_bytes())?;
        }
        let mut keys = Parts::new(&mut self.out);
        self.rows.iter().try_for_each(|row| keys.write_all(&key_of(&row.digest).to_be_bytes()))?;
        keys.finish()?;
        let mut checked = Parts::new(&mut self.out);
        record(&mut checked)?;
        checked.finish()?;
        self.out.write_all(&trailer.to_bytes())?;
        self.out.flush()
    }

    fn taken(&self) -> u64 {
        self.at + (self.rows.len() * (ROW + KEY)) as u64
    }

    fn fits(&self, stored: u64) -> bool {
        self.taken().saturating_add(stored).saturating_add((ROW + KEY) as u64) <= self.room
    }

    fn took(&mut self, digest: Digest, size: u64, stored: u64) {
        self.rows.push(Row { digest, offset: self.at, stored, size });
        self.at += stored;
    }

    /// Forgets what was written behind `start`.
    fn back_to(&mut self, start: u64) -> Result<()> {
        let failed = self.failed();
        let mut back = || -> io::Result<()> {
            self.out.seek(io::SeekFrom::Start(start))?;
            self.out.get_ref().set_len(start)
        };
        back().map_err(failed)
    }

    fn failed(&self) -> impl FnOnce(io::Error) -> Error + use<> {
        Error::io("write", self.folder.path("new"))
    }
}

impl Drop for Writer<'_> {
    fn drop(&mut self) {
        if !self.finished {
            self.folder.give_up();
        }
    }
}

/// Writes on as long as there is room, and then swallows what comes.
pub(super) struct Bounded<'a> {
    out: &'a mut BufWriter<File>,
    left: u64,
    written: u64,
}

impl Bounded<'_> {
    /// Whether more came than there is room for: nobody needs the rest.
    pub(super) fn is_full(&self) -> bool {
        self.written > self.left
    }
}

impl Write for Bounded<'_> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.written += bytes.len() as u64;
        if !self.is_full() {
            self.out.write_all(bytes)?;
        }
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}
