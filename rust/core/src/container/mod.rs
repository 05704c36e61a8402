//! The base protocol's archive: files, then one metadata JSON (specification 4.1-4.3).
//!
//! ```text
//! <path> PATH_SEP <zlib stream> FILE_SEP ... files_metadata.json PATH_SEP <zlib stream>
//! ```
//!
//! A zlib stream ends by itself, so our reader needs the marks only between members. Older readers
//! cut at the marks and know no escape; what we write therefore never holds one inside a member
//! (threat 28); no `RelPath` can hold one. Both ways stream in bounded memory, and reading has budgets (threat 27).

mod encode;
mod marks;
mod packer;
mod produce;
mod reader;
mod source;
mod trailer;

pub use packer::{Packed, Packer, Packing};
pub use reader::{Budget, read_manifest};
pub(crate) use reader::{
    FILE_SETTING, FILES_SETTING, METADATA_SETTING, RATIO_SETTING, Reader, TOTAL_SETTING, no_metadata, twice,
};

/// Ends a path.
pub(crate) const PATH_SEP: &[u8; 8] = b"|//@@//|";
/// Ends a member; nothing like it follows the last one.
pub(crate) const FILE_SEP: &[u8; 8] = b"|@@//@@|";
/// The member that holds the metadata.
pub(crate) const METADATA: &str = "files_metadata.json";
