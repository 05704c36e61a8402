//! The native core of Outrider: what a tree of files is, and how it changes.
//!
//! Nothing here knows Python, sockets or an event loop. Data walks from the top of this list to
//! the bottom: a scan makes a manifest, two manifests make a plan, a plan makes a container, and
//! a container is applied to a tree as one transaction. A watch says when to begin again.

mod agents;
mod apply;
mod beneath;
mod bundle;
mod chunk;
mod container;
mod diff;
mod digest;
mod error;
#[cfg(any(test, feature = "fuzzing"))]
pub mod fuzzing;
mod generations;
mod grain;
pub mod index;
mod manifest;
mod manifest_native;
mod ordered;
mod plan;
mod relpath;
mod scan;
mod table;
mod watch;
mod wire;

pub use agents::Message as AgentMessage;
pub use apply::{Applied, Applier, Recovered, Times};
pub use bundle::{
    BundleFeed, BundlePacker, BundlePacking, Contents, FeedReader, FirstOf, NoContents, Op, Step, StepCounts,
    TreeContents,
};
pub use chunk::{Chunk, Signatures};
pub use container::{Budget, Packed, Packer, Packing, read_manifest};
pub use diff::{diff, keep_unseen};
pub use digest::{Digest, Hasher, Lanes};
pub use error::{Error, Result};
pub use generations::{Generation, GenerationContents, GenerationLimits, Generations, peek};
pub use manifest::{Entry, Manifest};
pub use manifest_native::{ShortDigest, ShortEntry, ShortManifest};
pub use plan::Plan;
pub use relpath::RelPath;
pub use scan::{Problem, Scan, ScanOptions, ScanProgress, scan};
pub use table::{FileRule, FilesTable};
pub use watch::{Burst, WatchOptions, Watcher};
pub use wire::Claim;
