//! `outrider._native`: the contents list of the native module.
#![allow(missing_docs, reason = "the Python face is documented in _native.pyi")]

mod agents;
mod bundle;
mod container;
mod error;
mod generations;
mod manifest;
mod table;
mod tree;
mod watch;

use pyo3::prelude::*;

/// The native core of Outrider.
#[pymodule]
mod _native {
    use super::{Bound, PyModule, PyModuleMethods, PyResult};

    #[pymodule_export]
    use crate::agents::AgentMessage;
    #[pymodule_export]
    use crate::bundle::{BundleFeed, BundlePacker, Contents, Step};
    #[pymodule_export]
    use crate::container::{Packed, Packer, pack_manifest, read_manifest};
    #[pymodule_export]
    use crate::generations::{Generation, Generations, latest_generation};
    #[pymodule_export]
    use crate::manifest::{Entry, Manifest, Plan, ShortManifest, diff};
    #[pymodule_export]
    use crate::table::{FileRule, FilesTable};
    #[pymodule_export]
    use crate::tree::{Applied, Scan, ScanProgress, Tree};
    #[pymodule_export]
    use crate::watch::{Burst, Watcher};

    #[pymodule_init]
    fn init(module: &Bound<'_, PyModule>) -> PyResult<()> {
        module.add("__version__", env!("CARGO_PKG_VERSION"))
    }
}
