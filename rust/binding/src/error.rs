//! `core::Error` to the classes of `outrider.errors`: one match.

use outrider_core::Error;
use pyo3::PyErr;

// Looked up at the first error, then kept; the module is not imported while it imports us.
mod python {
    #![allow(missing_docs, reason = "the macro writes the items; outrider.errors documents the classes")]
    pyo3::import_exception!(outrider.errors, HeldBackError);
    pyo3::import_exception!(outrider.errors, PeerError);
    pyo3::import_exception!(outrider.errors, SettingsError);
    pyo3::import_exception!(outrider.errors, StoreError);
    pyo3::import_exception!(outrider.errors, SyncError);
}

/// The Python exception for an error of the core; for `map_err`.
#[allow(clippy::needless_pass_by_value, reason = "map_err hands the error over")]
pub fn raised(error: Error) -> PyErr {
    let text = error.to_string();
    match error {
        Error::BadRule { .. } => python::SettingsError::new_err(text),
        Error::BadPath { .. } | Error::BadData { .. } | Error::Mismatch { .. } | Error::Limit { .. } => {
            python::PeerError::new_err(text)
        }
        Error::Conflict { .. } | Error::Drifted { .. } => python::SyncError::new_err(text),
        Error::HeldBack { .. } => python::HeldBackError::new_err(text),
        Error::Io { path, source, .. } => {
            python::StoreError::new_err((text, source.raw_os_error(), path.display().to_string()))
        }
    }
}
