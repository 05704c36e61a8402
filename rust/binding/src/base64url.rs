//! Base64 as tokens use it: `-`, `_` and padding. For whole messages the interpreter's own takes longer than AES does.

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE;
use pyo3::exceptions::PyValueError;
use pyo3::prelude::*;
use pyo3::types::PyBytes;

#[pyfunction]
pub fn base64url_encode<'py>(py: Python<'py>, data: &[u8]) -> PyResult<Bound<'py, PyBytes>> {
    PyBytes::new_with(py, data.len().div_ceil(3) * 4, |text| {
        URL_SAFE.encode_slice(data, text).map(drop).map_err(|error| PyValueError::new_err(error.to_string()))
    })
}

#[pyfunction]
pub fn base64url_decode<'py>(py: Python<'py>, text: &[u8]) -> PyResult<Bound<'py, PyBytes>> {
    let padding = text.iter().rev().take(2).take_while(|byte| **byte == b'=').count();
    let size = (text.len() / 4 * 3).saturating_sub(padding);
    PyBytes::new_with(py, size, |data| match URL_SAFE.decode_slice(text, data) {
        Ok(written) if written == size => Ok(()),
        _ => Err(PyValueError::new_err("no base64 in the alphabet of URLs, with its padding")),
    })
}
