//! `core::Error` to the classes of `outrider.errors`, and to the codes of `outrider.codes`: two matches.

use outrider_core::Error;
use pyo3::types::PyAnyMethods;
use pyo3::{PyErr, Python};

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
pub fn raised(error: Error) -> PyErr {
    let code = code(&error);
    let raised = exception(error);
    let Some(code) = code else { return raised };
    Python::attach(|py| match raised.value(py).call_method1("coded", (code,)) {
        Ok(_) => raised,
        Err(defect) => defect,
    })
}

/// The code that says more than the class; what the system refused has its own by the system's number.
fn code(error: &Error) -> Option<&'static str> {
    Some(match error {
        Error::BadRule { .. } => "OUT-1016",
        Error::Limit { .. } => "OUT-1304",
        Error::BadPath { .. } => "OUT-1305",
        Error::BadData { .. } => "OUT-1306",
        Error::Mismatch { .. } => "OUT-1307",
        Error::Conflict { .. } => "OUT-1502",
        Error::Drifted { .. } => "OUT-1503",
        Error::HeldBack { .. } => "OUT-1601",
        Error::Stopped | Error::Io { .. } => return None,
    })
}

fn exception(error: Error) -> PyErr {
    let text = error.to_string();
    match error {
        Error::BadRule { .. } => python::SettingsError::new_err(text),
        Error::BadPath { .. } | Error::BadData { .. } | Error::Mismatch { .. } | Error::Limit { .. } => {
            python::PeerError::new_err(text)
        }
        Error::Conflict { .. } | Error::Drifted { .. } => python::SyncError::new_err(text),
        Error::HeldBack { deleted, .. } => python::HeldBackError::new_err((text, deleted)),
        Error::Stopped => python::StoreError::new_err(text),
        Error::Io { path, source, .. } => {
            python::StoreError::new_err((text, source.raw_os_error(), path.display().to_string()))
        }
    }
}
