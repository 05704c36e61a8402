//! Watched folders, as a thread of Python waits for them.

use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use outrider_core as core;
use pyo3::exceptions::PyValueError;
use pyo3::prelude::*;

use crate::error::raised;
use crate::manifest::Plan;
use crate::table::FilesTable;

#[pyclass(frozen, module = "outrider._native")]
pub struct Burst(core::Burst);

#[pymethods]
impl Burst {
    #[getter]
    fn folders(&self) -> Vec<&str> {
        self.0.folders.iter().map(String::as_str).collect()
    }

    #[getter]
    fn lost(&self) -> bool {
        self.0.lost
    }
}

#[pyclass(frozen, module = "outrider._native")]
pub struct Watcher(core::Watcher);

#[pymethods]
impl Watcher {
    #[new]
    #[pyo3(signature = (home, table, *, settle_s=0.01, longest_s=0.2))]
    fn new(py: Python<'_>, home: &str, table: &FilesTable, settle_s: f64, longest_s: f64) -> PyResult<Self> {
        let options = core::WatchOptions { settle: seconds(settle_s)?, longest: seconds(longest_s)? };
        let table = Arc::clone(&table.0);
        py.detach(|| core::Watcher::new(Path::new(home), table, options)).map(Self).map_err(raised)
    }

    fn wait(&self, py: Python<'_>, timeout_s: f64) -> PyResult<Option<Burst>> {
        let timeout = seconds(timeout_s)?;
        Ok(py.detach(|| self.0.wait(timeout)).map(Burst))
    }

    fn begin(&self, py: Python<'_>) {
        py.detach(|| self.0.begin());
    }

    #[pyo3(signature = (plan=None))]
    fn end(&self, py: Python<'_>, plan: Option<&Plan>) {
        py.detach(|| plan.map_or_else(|| self.0.end(&core::Plan::default()), |plan| self.0.end(&plan.0)));
    }

    #[getter]
    fn reason(&self, py: Python<'_>) -> Option<String> {
        py.detach(|| self.0.reason())
    }

    fn close(&self) {
        self.0.close();
    }
}

/// A day at most, so that no clock overflows.
fn seconds(seconds: f64) -> PyResult<Duration> {
    if !(0.0..=86_400.0).contains(&seconds) {
        return Err(PyValueError::new_err(format!("{seconds} s is not between 0 and a day")));
    }
    Ok(Duration::from_secs_f64(seconds))
}
