//! Steps and bundles as Python sees them: pulled in parts on the way out, fed in parts on the way in.

use std::sync::{Arc, Mutex, PoisonError};

use outrider_core as core;
use pyo3::exceptions::PyValueError;
use pyo3::prelude::*;
use pyo3::types::PyBytes;

use crate::error::raised;
use crate::manifest::{Manifest, ShortManifest};
use crate::table::FilesTable;

#[pyclass(frozen, module = "outrider._native")]
pub struct Contents(pub Arc<dyn core::Contents>);

#[pymethods]
impl Contents {
    fn or_else(&self, then: &Self) -> Self {
        Self(Arc::new(core::FirstOf(vec![Arc::clone(&self.0), Arc::clone(&then.0)])))
    }
}

#[pyclass(frozen, module = "outrider._native")]
pub struct Step(core::Step);

#[pymethods]
impl Step {
    #[new]
    #[pyo3(signature = (base, to, table, *, unseen=Vec::new()))]
    fn new(py: Python<'_>, base: &Manifest, to: &Manifest, table: &FilesTable, unseen: Vec<String>) -> Self {
        let (base, to, table) = (&base.0, &to.0, &table.0);
        Self(py.detach(move || core::Step::new(base, to, table, &unseen)))
    }

    #[staticmethod]
    #[pyo3(signature = (base_root, reported, to, table, *, unseen=Vec::new()))]
    fn against(
        py: Python<'_>,
        base_root: &str,
        reported: &ShortManifest,
        to: &Manifest,
        table: &FilesTable,
        unseen: Vec<String>,
    ) -> PyResult<Self> {
        let from =
            core::Digest::from_hex(base_root).ok_or_else(|| PyValueError::new_err("a root has 128 hex digits"))?;
        let (reported, to, table) = (&reported.0, &to.0, &table.0);
        Ok(Self(py.detach(move || core::Step::against(from, reported, to, table, &unseen))))
    }

    fn wanted(&self, py: Python<'_>, new: &Contents) -> PyResult<Vec<String>> {
        let wanted = || Ok(self.0.wanted(&*new.0)?.into_iter().map(ToString::to_string).collect());
        py.detach(wanted).map_err(raised)
    }

    fn with_signatures(&self, py: Python<'_>, signatures: &[u8]) -> PyResult<Self> {
        let with = || Ok(Self(self.0.clone().with_signatures(core::Signatures::from_bytes(signatures)?)));
        py.detach(with).map_err(raised)
    }

    #[getter]
    fn base_root(&self) -> String {
        self.0.base_root().to_string()
    }

    #[getter]
    fn root(&self) -> String {
        self.0.root().to_string()
    }

    #[getter]
    fn counts(&self) -> (usize, usize, usize, usize, usize) {
        let core::StepCounts { new, patched, copied, deleted, kept } = self.0.counts();
        (new, patched, copied, deleted, kept)
    }

    #[getter]
    fn deleted_fraction(&self) -> f64 {
        self.0.deleted_fraction()
    }

    fn __str__(&self) -> String {
        self.0.to_string()
    }

    fn __repr__(&self) -> String {
        format!("Step({:?})", self.0.counts())
    }
}

#[pyclass(frozen, module = "outrider._native")]
pub struct BundlePacker(Mutex<core::BundlePacker>);

#[pymethods]
impl BundlePacker {
    #[new]
    #[pyo3(signature = (step, old, new, *, threads=0, level=3))]
    fn new(
        py: Python<'_>,
        step: &Step,
        old: Option<&Contents>,
        new: &Contents,
        threads: usize,
        level: i32,
    ) -> PyResult<Self> {
        let old = old.map_or_else(|| Arc::new(core::NoContents) as Arc<dyn core::Contents>, |old| Arc::clone(&old.0));
        let (step, new) = (&step.0, Arc::clone(&new.0));
        let packing = core::BundlePacking { threads, level };
        let packer = py.detach(move || core::BundlePacker::new(step, old, new, packing));
        packer.map(|packer| Self(Mutex::new(packer))).map_err(raised)
    }

    #[getter]
    fn unpacked(&self) -> u64 {
        self.with(|packer| packer.unpacked())
    }

    fn read<'py>(&self, py: Python<'py>, size: usize) -> PyResult<Bound<'py, PyBytes>> {
        let bytes = py.detach(|| self.with(|packer| packer.read(size))).map_err(raised)?;
        Ok(PyBytes::new(py, &bytes))
    }

    fn close(&self, py: Python<'_>) {
        py.detach(|| self.with(core::BundlePacker::close));
    }
}

impl BundlePacker {
    fn with<T>(&self, work: impl FnOnce(&mut core::BundlePacker) -> T) -> T {
        work(&mut self.0.lock().unwrap_or_else(PoisonError::into_inner))
    }
}

#[pyclass(frozen, module = "outrider._native")]
pub struct BundleFeed(pub core::BundleFeed);

#[pymethods]
impl BundleFeed {
    #[new]
    #[pyo3(signature = (capacity=4 << 20))]
    fn new(capacity: usize) -> Self {
        Self(core::BundleFeed::new(capacity))
    }

    fn write(&self, py: Python<'_>, data: &[u8]) -> bool {
        py.detach(|| self.0.write(data))
    }

    fn finish(&self) {
        self.0.finish();
    }

    fn fail(&self, why: &str) {
        self.0.fail(why);
    }
}
