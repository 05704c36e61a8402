//! The store of the master's generations, as Python sees it.

use std::path::Path;
use std::sync::Arc;

use outrider_core as core;
use pyo3::prelude::*;
use pyo3::types::PyBytes;

use crate::bundle::Contents;
use crate::error::raised;
use crate::manifest::Manifest;
use crate::tree::Tree;

#[pyclass(frozen, eq, module = "outrider._native")]
#[derive(PartialEq)]
pub struct Generation(core::Generation);

#[pymethods]
impl Generation {
    #[getter]
    fn number(&self) -> u64 {
        self.0.number
    }

    #[getter]
    fn root(&self) -> String {
        self.0.root.to_string()
    }

    #[getter]
    fn time(&self) -> f64 {
        self.0.time
    }

    #[getter]
    fn files(&self) -> u64 {
        self.0.files
    }

    #[getter]
    fn bytes(&self) -> u64 {
        self.0.bytes
    }

    fn __repr__(&self) -> String {
        format!("Generation({}, {:.16}..., {} files)", self.0.number, self.0.root.to_string(), self.0.files)
    }
}

#[pyclass(frozen, module = "outrider._native")]
pub struct Generations(pub core::Generations);

#[pymethods]
impl Generations {
    #[new]
    #[pyo3(signature = (home, *, count, max_bytes, lineage))]
    fn new(py: Python<'_>, home: &str, count: usize, max_bytes: u64, lineage: [u8; 16]) -> PyResult<Self> {
        let limits = core::GenerationLimits { count, bytes: max_bytes };
        py.detach(|| core::Generations::open(Path::new(home), limits, lineage)).map(Self).map_err(raised)
    }

    #[pyo3(signature = (*, count, max_bytes))]
    fn limit(&self, count: usize, max_bytes: u64) {
        self.0.limit(core::GenerationLimits { count, bytes: max_bytes });
    }

    fn close(&self, py: Python<'_>) -> PyResult<()> {
        py.detach(|| self.0.close()).map_err(raised)
    }

    #[getter]
    fn lineage<'py>(&self, py: Python<'py>) -> Bound<'py, PyBytes> {
        PyBytes::new(py, &self.0.lineage())
    }

    #[getter]
    fn damaged(&self) -> u64 {
        self.0.damaged()
    }

    fn list(&self, py: Python<'_>) -> Vec<Generation> {
        py.detach(|| self.0.list()).into_iter().map(Generation).collect()
    }

    fn latest(&self, py: Python<'_>) -> Option<Generation> {
        py.detach(|| self.0.latest()).map(Generation)
    }

    fn find(&self, py: Python<'_>, root: &str) -> Option<u64> {
        let root = core::Digest::from_hex(root)?;
        py.detach(|| self.0.find(&root))
    }

    fn manifest(&self, py: Python<'_>, number: u64) -> Option<Manifest> {
        py.detach(|| self.0.manifest(number)).map(Manifest)
    }

    fn add(&self, py: Python<'_>, tree: &Tree, manifest: &Manifest, time: f64) -> PyResult<Generation> {
        py.detach(|| self.0.add(&manifest.0, &tree.contents()?, time)).map(Generation).map_err(raised)
    }

    fn contents(&self) -> Contents {
        Contents(Arc::new(self.0.contents()))
    }

    fn sweep(&self, py: Python<'_>) -> PyResult<usize> {
        py.detach(|| self.0.sweep()).map_err(raised)
    }
}

#[pyfunction]
pub fn latest_generation(py: Python<'_>, home: &str) -> PyResult<Option<(Generation, Manifest)>> {
    let found = py.detach(|| core::peek(Path::new(home))).map_err(raised)?;
    Ok(found.map(|(generation, manifest)| (Generation(generation), Manifest(Arc::new(manifest)))))
}
