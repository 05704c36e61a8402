//! A home and its files table, as Python scans and changes it.

use std::path::PathBuf;
use std::sync::Arc;

use outrider_core as core;
use pyo3::prelude::*;

use crate::error::raised;
use crate::manifest::Manifest;
use crate::table::FilesTable;

#[pyclass(frozen, module = "outrider._native")]
pub struct Scan {
    manifest: Arc<core::Manifest>,
    problems: Vec<core::Problem>,
    hashed: usize,
    bytes_hashed: u64,
}

#[pymethods]
impl Scan {
    #[getter]
    fn manifest(&self) -> Manifest {
        Manifest(Arc::clone(&self.manifest))
    }

    #[getter]
    fn problems(&self) -> Vec<(&str, &str)> {
        self.problems.iter().map(|problem| (problem.path.as_str(), problem.why.as_str())).collect()
    }

    #[getter]
    fn hashed(&self) -> usize {
        self.hashed
    }

    #[getter]
    fn bytes_hashed(&self) -> u64 {
        self.bytes_hashed
    }
}

#[pyclass(frozen, module = "outrider._native")]
pub struct Tree {
    home: PathBuf,
    table: Arc<core::FilesTable>,
    threads: usize,
}

#[pymethods]
impl Tree {
    #[new]
    #[pyo3(signature = (home, table, *, threads=0))]
    fn new(home: PathBuf, table: &FilesTable, threads: usize) -> Self {
        Self { home, table: Arc::clone(&table.0), threads }
    }

    #[pyo3(signature = (*, rehash=false))]
    fn scan(&self, py: Python<'_>, rehash: bool) -> PyResult<Scan> {
        let options = core::ScanOptions { threads: self.threads, rehash };
        let scan = py.detach(|| core::scan(&self.home, &self.table, options)).map_err(raised)?;
        let core::Scan { manifest, problems, hashed, bytes_hashed } = scan;
        Ok(Scan { manifest: Arc::new(manifest), problems, hashed, bytes_hashed })
    }
}
