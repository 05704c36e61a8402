//! `outrider._native`: the contents list of the native module.
#![allow(missing_docs, reason = "the Python face is documented in _native.pyi")]

use pyo3::prelude::*;

/// The native core of Outrider.
#[pymodule]
mod _native {
    use super::{Bound, PyModule, PyModuleMethods, PyResult};

    #[pymodule_init]
    fn init(module: &Bound<'_, PyModule>) -> PyResult<()> {
        module.add("__version__", env!("CARGO_PKG_VERSION"))
    }
}
