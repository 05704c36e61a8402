//! A home and its files table, as Python scans and changes it.

use std::collections::HashMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use outrider_core as core;
use pyo3::exceptions::PyValueError;
use pyo3::prelude::*;
use pyo3::types::PyBytes;

use crate::bundle::{BundleFeed, Contents};
use crate::container::Packer;
use crate::error::raised;
use crate::manifest::{Manifest, Plan};
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
pub struct ScanProgress(core::ScanProgress);

#[pymethods]
impl ScanProgress {
    #[new]
    fn new() -> Self {
        Self(core::ScanProgress::default())
    }

    #[getter]
    fn files(&self) -> u64 {
        self.0.files()
    }

    #[getter]
    fn bytes(&self) -> u64 {
        self.0.bytes()
    }

    #[getter]
    fn expected(&self) -> u64 {
        self.0.expected()
    }

    fn expect(&self, files: u64) {
        self.0.expect(files);
    }

    fn stop(&self) {
        self.0.stop();
    }
}

#[pyclass(frozen, module = "outrider._native")]
pub struct Applied(core::Applied);

#[pymethods]
impl Applied {
    #[getter]
    fn plan(&self) -> Plan {
        Plan(Arc::clone(&self.0.plan))
    }

    #[getter]
    fn manifest(&self) -> Option<Manifest> {
        self.0.manifest.clone().map(Manifest)
    }

    #[getter]
    fn written(&self) -> usize {
        self.0.written
    }

    #[getter]
    fn deleted(&self) -> usize {
        self.0.deleted
    }

    #[getter]
    fn folders_removed(&self) -> usize {
        self.0.folders_removed
    }

    #[getter]
    fn bytes_written(&self) -> u64 {
        self.0.bytes_written
    }

    #[getter]
    fn seconds(&self) -> HashMap<&'static str, f64> {
        let core::Times { unpack, sync, exchange, commit } = self.0.times;
        let phases = [("unpack", unpack), ("sync", sync), ("exchange", exchange), ("commit", commit)];
        phases.into_iter().map(|(phase, time)| (phase, time.as_secs_f64())).collect()
    }
}

#[pyclass(frozen, module = "outrider._native")]
pub struct Tree {
    applier: core::Applier,
    threads: usize,
}

impl Tree {
    /// What lies in the tree now, by entry.
    pub fn contents(&self) -> core::Result<core::TreeContents> {
        core::TreeContents::new(&self.applier.home, Arc::clone(&self.applier.table))
    }
}

#[pymethods]
impl Tree {
    #[new]
    #[pyo3(signature = (home, table, *, owner=None, keep_previous=1, threads=0, max_file_bytes=None,
                        max_total_bytes=None, max_files=None, max_ratio=None, max_metadata_bytes=None))]
    #[expect(clippy::too_many_arguments, reason = "each is a setting with a name of its own")]
    fn new(
        home: PathBuf,
        table: &FilesTable,
        owner: Option<(u32, u32)>,
        keep_previous: usize,
        threads: usize,
        max_file_bytes: Option<u64>,
        max_total_bytes: Option<u64>,
        max_files: Option<u64>,
        max_ratio: Option<u64>,
        max_metadata_bytes: Option<u64>,
    ) -> Self {
        let mut budget = core::Budget::default();
        budget.file_bytes = max_file_bytes.unwrap_or(budget.file_bytes);
        budget.total_bytes = max_total_bytes.unwrap_or(budget.total_bytes);
        budget.members = max_files.unwrap_or(budget.members);
        budget.ratio = max_ratio.unwrap_or(budget.ratio);
        budget.metadata_bytes = max_metadata_bytes.unwrap_or(budget.metadata_bytes);
        let table = Arc::clone(&table.0);
        Self { applier: core::Applier { home, table, owner, keep_previous, budget }, threads }
    }

    #[pyo3(signature = (*, rehash=false, look_only=false, progress=None))]
    fn scan(&self, py: Python<'_>, rehash: bool, look_only: bool, progress: Option<&ScanProgress>) -> PyResult<Scan> {
        let progress = progress.map(|progress| &progress.0);
        let options = core::ScanOptions { threads: self.threads, rehash, look_only, progress };
        let core::Applier { home, table, .. } = &self.applier;
        let scan = py.detach(|| core::scan(home, table, options)).map_err(raised)?;
        let core::Scan { manifest, problems, hashed, bytes_hashed } = scan;
        Ok(Scan { manifest: Arc::new(manifest), problems, hashed, bytes_hashed })
    }

    fn remembered(&self, py: Python<'_>) -> PyResult<Manifest> {
        let core::Applier { home, table, .. } = &self.applier;
        py.detach(|| core::index::remembered(home, table))
            .map(|remembered| Manifest(Arc::new(remembered)))
            .map_err(raised)
    }

    fn recover(&self, py: Python<'_>) -> PyResult<Option<String>> {
        let recovered = py.detach(|| self.applier.recover()).map_err(raised)?;
        Ok(recovered.map(|recovered| recovered.to_string()))
    }

    #[pyo3(signature = (plan, *, limit=None, level=1))]
    fn pack(&self, py: Python<'_>, plan: &Plan, limit: Option<u64>, level: u8) -> PyResult<Packer> {
        let core::Applier { home, table, .. } = &self.applier;
        let limit = limit.unwrap_or(core::Packing::default().limit);
        let packing = core::Packing { limit, threads: self.threads, level };
        let packer = py.detach(|| core::Packer::of_plan(home, table, &plan.0, packing));
        packer.map(Packer::from).map_err(raised)
    }

    #[pyo3(signature = (container, *, most_deleted=None))]
    fn apply(&self, py: Python<'_>, container: &str, most_deleted: Option<usize>) -> PyResult<Applied> {
        py.detach(|| self.applier.apply(Path::new(container), most_deleted)).map(Applied).map_err(raised)
    }

    fn rollback(&self, py: Python<'_>) -> PyResult<usize> {
        py.detach(|| self.applier.rollback()).map_err(raised)
    }

    #[pyo3(signature = (feed, base, root, *, most_deleted=None))]
    fn apply_bundle(
        &self,
        py: Python<'_>,
        feed: &BundleFeed,
        base: &Manifest,
        root: &str,
        most_deleted: Option<usize>,
    ) -> PyResult<Applied> {
        let source = feed.0.reader();
        let root = core::Digest::from_hex(root).ok_or_else(|| PyValueError::new_err("a root has 128 hex digits"))?;
        py.detach(|| self.applier.apply_bundle(source, &base.0, root, most_deleted)).map(Applied).map_err(raised)
    }

    #[pyo3(name = "contents")]
    fn current_contents(&self) -> PyResult<Contents> {
        self.contents().map(|contents| Contents(Arc::new(contents))).map_err(raised)
    }

    fn signatures<'py>(
        &self,
        py: Python<'py>,
        manifest: &Manifest,
        paths: Vec<String>,
    ) -> PyResult<Bound<'py, PyBytes>> {
        let describe = move || {
            let entries: Vec<_> = paths.into_iter().filter_map(|path| manifest.0.get(&path).cloned()).collect();
            Ok(core::Signatures::of(&self.contents()?, &entries)?.to_bytes())
        };
        let bytes = py.detach(describe).map_err(raised)?;
        Ok(PyBytes::new(py, &bytes))
    }

    fn sweep(&self, py: Python<'_>) -> PyResult<usize> {
        py.detach(|| self.applier.sweep()).map_err(raised)
    }
}
