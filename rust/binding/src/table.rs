//! The files table as Python builds it.

use std::sync::Arc;

use outrider_core as core;
use pyo3::prelude::*;

use crate::error::raised;

#[pyclass(frozen, module = "outrider._native")]
pub struct FileRule(core::FileRule);

#[pymethods]
impl FileRule {
    #[new]
    #[pyo3(signature = (folder, *, names=None, recursive=true, permissions=0o660, remove_subdirs_if_empty=false,
                        extra_valid=false))]
    fn new(
        folder: &str,
        names: Option<Vec<String>>,
        recursive: bool,
        permissions: u32,
        remove_subdirs_if_empty: bool,
        extra_valid: bool,
    ) -> PyResult<Self> {
        let folder = folder.into();
        let rule = core::FileRule { folder, names, recursive, permissions, remove_subdirs_if_empty, extra_valid };
        rule.check().map_err(raised)?;
        Ok(Self(rule))
    }

    #[getter]
    fn folder(&self) -> &str {
        &self.0.folder
    }
}

#[pyclass(frozen, module = "outrider._native")]
pub struct FilesTable(pub Arc<core::FilesTable>);

#[pymethods]
impl FilesTable {
    #[new]
    #[pyo3(signature = (rules, *, excluded_files=vec![], excluded_suffixes=vec![], follow_links=false))]
    fn new(
        rules: Vec<PyRef<'_, FileRule>>,
        excluded_files: Vec<String>,
        excluded_suffixes: Vec<String>,
        follow_links: bool,
    ) -> PyResult<Self> {
        let rules = rules.into_iter().map(|rule| rule.0.clone()).collect();
        let table = core::FilesTable { rules, excluded_files, excluded_suffixes, follow_links };
        table.check().map_err(raised)?;
        Ok(Self(Arc::new(table)))
    }
}
