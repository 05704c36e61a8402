//! A step as bytes: what changed between two trees, and nothing that the receiver has already.
//!
//! ```text
//! magic    4 bytes  "ORB1"
//! header   a frame  the two roots and all changes, sorted by path ([`header`])
//! changed  for each changed file, in order: frames with the old version as prefix ([`segments`]), a frame with
//!          a recipe out of the old version's chunks ([`recipe`]), or one byte 0xff: "it comes with the new ones"
//! new      one frame, unless there is nothing in it: the contents of the new files, then of those that came late
//! ```
//!
//! All frames are standard zstd without their magic number. No digest travels: the receiver computes those of
//! the files that it unpacked, and compares the root of what comes out with the one that the bundle promises
//! (threat 29). Both ways stream in memory that is bounded by a segment, never by the tree.

mod changed;
mod contents;
mod feed;
mod frames;
mod fresh;
pub(crate) mod header;
mod packer;
pub(crate) mod recipe;
pub(crate) mod segments;
mod step;
pub(crate) mod unframe;
pub(crate) mod varint;
mod work;

pub use contents::{Contents, FirstOf, NoContents, TreeContents};
pub use feed::{BundleFeed, FeedReader};
#[cfg(any(test, feature = "fuzzing"))]
pub(crate) use frames::checked_frame;
pub(crate) use frames::{NO_FRAME, window_log};
pub use packer::{BundlePacker, BundlePacking};
pub use step::{Op, Step, StepCounts};

/// What is being read, for errors.
pub(crate) const WHAT: &str = "the bundle";
pub(crate) const MAGIC: &[u8; 4] = b"ORB1";
/// Changed files up to this size, old and new alike, may come with the new ones.
pub(crate) const SMALL: u64 = 512 << 10;
