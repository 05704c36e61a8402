//! A step between two manifests, and the bytes that carry it.

mod contents;

pub use contents::{Contents, TreeContents};
