//! Entries, manifests and plans as Python sees them: immutable, shared, never copied as a whole.

use std::hash::{DefaultHasher, Hash, Hasher};
use std::sync::Arc;

use outrider_core as core;
use pyo3::prelude::*;
use pyo3::types::PyBytes;

use crate::error::raised;
use crate::table::FilesTable;

#[pyclass(frozen, eq, module = "outrider._native")]
#[derive(PartialEq)]
pub struct Entry(core::Entry);

#[pymethods]
impl Entry {
    #[getter]
    fn path(&self) -> &str {
        self.0.path.as_str()
    }

    #[getter]
    fn hash(&self) -> String {
        self.0.digest.to_string()
    }

    #[getter]
    fn mod_time(&self) -> f64 {
        self.0.mod_time
    }

    #[getter]
    fn rule(&self) -> &str {
        &self.0.rule
    }

    fn __repr__(&self) -> String {
        format!("Entry({:?}, {:.16}...)", self.0.path, self.0.digest.to_string())
    }
}

fn wrapped(entries: &[core::Entry]) -> Vec<Entry> {
    entries.iter().cloned().map(Entry).collect()
}

#[pyclass(frozen, eq, module = "outrider._native")]
#[derive(PartialEq)]
pub struct Manifest(pub Arc<core::Manifest>);

#[pymethods]
impl Manifest {
    fn __len__(&self) -> usize {
        self.0.entries().len()
    }

    fn __contains__(&self, path: &str) -> bool {
        self.0.get(path).is_some()
    }

    fn __hash__(&self, py: Python<'_>) -> u64 {
        let root = py.detach(|| self.0.root());
        root.0.first_chunk().copied().map_or(0, u64::from_le_bytes)
    }

    fn __repr__(&self) -> String {
        format!("Manifest({} entries)", self.0.entries().len())
    }

    fn get(&self, path: &str) -> Option<Entry> {
        self.0.get(path).cloned().map(Entry)
    }

    fn entries(&self) -> Vec<Entry> {
        wrapped(self.0.entries())
    }

    fn without_own(&self, py: Python<'_>, table: &FilesTable, agreed: &Self) -> Self {
        Self(Arc::new(py.detach(|| self.0.without_own(&table.0, &agreed.0))))
    }

    #[getter]
    fn root(&self, py: Python<'_>) -> String {
        py.detach(|| self.0.root()).to_string()
    }

    fn to_wire<'py>(&self, py: Python<'py>, home: &str) -> PyResult<Bound<'py, PyBytes>> {
        written(py, |out| self.0.write_wire(out, home))
    }

    #[staticmethod]
    fn from_wire(py: Python<'_>, data: &[u8]) -> PyResult<Self> {
        py.detach(|| core::Manifest::read_wire(data)).map(|manifest| Self(Arc::new(manifest))).map_err(raised)
    }

    fn to_native<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyBytes>> {
        written(py, |out| self.0.write_native(out))
    }

    fn to_native_short<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyBytes>> {
        written(py, |out| self.0.write_native_short(out))
    }

    #[staticmethod]
    #[pyo3(signature = (data, *, max_bytes))]
    fn from_native(py: Python<'_>, data: &[u8], max_bytes: u64) -> PyResult<Self> {
        let read = py.detach(|| core::Manifest::read_native(data, max_bytes));
        read.map(|manifest| Self(Arc::new(manifest))).map_err(raised)
    }
}

#[pyclass(frozen, eq, module = "outrider._native")]
#[derive(PartialEq)]
pub struct ShortManifest(pub Arc<core::ShortManifest>);

#[pymethods]
impl ShortManifest {
    #[staticmethod]
    #[pyo3(signature = (data, *, max_bytes))]
    fn from_native(py: Python<'_>, data: &[u8], max_bytes: u64) -> PyResult<Self> {
        let read = py.detach(|| core::ShortManifest::read_native(data, max_bytes));
        read.map(|manifest| Self(Arc::new(manifest))).map_err(raised)
    }

    fn __len__(&self) -> usize {
        self.0.entries().len()
    }

    fn __contains__(&self, path: &str) -> bool {
        self.0.get(path).is_some()
    }

    fn matches(&self, py: Python<'_>, manifest: &Manifest) -> bool {
        py.detach(|| self.0.matches(&manifest.0))
    }

    fn __repr__(&self) -> String {
        format!("ShortManifest({} entries)", self.0.entries().len())
    }
}

#[pyclass(frozen, eq, module = "outrider._native")]
#[derive(PartialEq)]
pub struct Plan(pub Arc<core::Plan>);

#[pymethods]
impl Plan {
    #[getter]
    fn missing(&self) -> Vec<Entry> {
        wrapped(&self.0.missing)
    }

    #[getter]
    fn shared(&self) -> Vec<Entry> {
        wrapped(&self.0.shared)
    }

    #[getter]
    fn extra(&self) -> Vec<Entry> {
        wrapped(&self.0.extra)
    }

    #[getter]
    fn counts(&self) -> (usize, usize, usize) {
        (self.0.missing.len(), self.0.shared.len(), self.0.extra.len())
    }

    fn __bool__(&self) -> bool {
        !self.0.is_empty()
    }

    fn __hash__(&self, py: Python<'_>) -> u64 {
        py.detach(|| {
            let mut hasher = DefaultHasher::new();
            for group in [&self.0.missing, &self.0.shared, &self.0.extra] {
                group.len().hash(&mut hasher);
                for entry in group {
                    (&entry.path, entry.digest).hash(&mut hasher);
                }
            }
            hasher.finish()
        })
    }

    fn __str__(&self) -> String {
        self.0.to_string()
    }

    fn __repr__(&self) -> String {
        let (missing, shared, extra) = self.counts();
        format!("Plan({missing} missing, {shared} shared, {extra} extra)")
    }

    fn to_json(&self) -> String {
        self.0.to_json()
    }

    fn to_wire<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyBytes>> {
        written(py, |out| self.0.write_wire(out))
    }

    #[staticmethod]
    fn from_wire(py: Python<'_>, data: &[u8]) -> PyResult<Self> {
        py.detach(|| core::Plan::read_wire(data)).map(|plan| Self(Arc::new(plan))).map_err(raised)
    }
}

#[pyfunction]
#[pyo3(signature = (source, target, table, *, unseen=Vec::new()))]
pub fn diff(py: Python<'_>, source: &Manifest, target: &Manifest, table: &FilesTable, unseen: Vec<String>) -> Plan {
    let (source, target, table) = (&source.0, &target.0, &table.0);
    Plan(Arc::new(py.detach(move || core::keep_unseen(core::diff(source, target, table), &unseen))))
}

fn written(
    py: Python<'_>,
    write: impl FnOnce(&mut Vec<u8>) -> std::io::Result<()> + Send,
) -> PyResult<Bound<'_, PyBytes>> {
    let mut out = Vec::new();
    py.detach(|| write(&mut out))?;
    Ok(PyBytes::new(py, &out))
}
