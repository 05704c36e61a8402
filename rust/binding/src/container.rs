//! Containers as Python sees them: pulled in parts on the way out, read from a file on the way in.

use std::fs::File;
use std::sync::{Arc, Mutex, PoisonError};

use outrider_core as core;
use pyo3::exceptions::PyRuntimeError;
use pyo3::prelude::*;
use pyo3::types::PyBytes;

use crate::error::raised;
use crate::manifest::{Manifest, Plan};

#[pyclass(frozen, module = "outrider._native")]
pub struct Packer(Mutex<core::Packer>);

impl From<core::Packer> for Packer {
    fn from(packer: core::Packer) -> Self {
        Self(Mutex::new(packer))
    }
}

#[pymethods]
impl Packer {
    fn read<'py>(&self, py: Python<'py>, size: usize) -> PyResult<Bound<'py, PyBytes>> {
        let bytes = py.detach(|| self.with(|packer| packer.read(size))).map_err(raised)?;
        Ok(PyBytes::new(py, &bytes))
    }

    fn packed(&self, py: Python<'_>) -> PyResult<Packed> {
        let packed = py.detach(|| self.with(|packer| packer.packed().cloned()));
        packed.map(Packed).ok_or_else(|| PyRuntimeError::new_err("read the container to its end first"))
    }

    fn close(&self, py: Python<'_>) {
        py.detach(|| self.with(core::Packer::close));
    }
}

impl Packer {
    fn with<T>(&self, work: impl FnOnce(&mut core::Packer) -> T) -> T {
        work(&mut self.0.lock().unwrap_or_else(PoisonError::into_inner))
    }
}

#[pyclass(frozen, module = "outrider._native")]
pub struct Packed(core::Packed);

#[pymethods]
impl Packed {
    #[getter]
    fn plan(&self) -> Plan {
        Plan(Arc::clone(&self.0.plan))
    }

    #[getter]
    fn size(&self) -> u64 {
        self.0.size
    }

    #[getter]
    fn left_out(&self) -> Vec<(String, String)> {
        self.0.left_out.clone()
    }
}

#[pyfunction]
pub fn pack_manifest(manifest: &Manifest, home: &str) -> Packer {
    core::Packer::of_manifest(Arc::clone(&manifest.0), home).into()
}

type Claim = (Manifest, Vec<(String, &'static str)>);

#[pyfunction]
#[pyo3(signature = (container, *, max_bytes=None, max_files=None, max_ratio=None))]
pub fn read_manifest(
    py: Python<'_>,
    container: &str,
    max_bytes: Option<u64>,
    max_files: Option<u64>,
    max_ratio: Option<u64>,
) -> PyResult<Claim> {
    let mut budget = core::Budget::default();
    budget.metadata_bytes = max_bytes.unwrap_or(budget.metadata_bytes);
    budget.members = max_files.unwrap_or(budget.members);
    budget.ratio = max_ratio.unwrap_or(budget.ratio);
    let read = || {
        let file = File::open(container).map_err(core::Error::io("open", container))?;
        core::read_manifest(file, budget)
    };
    let core::Claim { manifest, unnameable } = py.detach(read).map_err(raised)?;
    Ok((Manifest(Arc::new(manifest)), unnameable))
}
