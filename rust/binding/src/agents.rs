//! Messages of agents as Python sees them.

use outrider_core::AgentMessage as Message;
use pyo3::exceptions::PyIndexError;
use pyo3::prelude::*;
use pyo3::types::PyBytes;

use crate::error::raised;

/// The chunks stay here and are handed over one by one: copying them all at once would hold the interpreter.
#[pyclass(frozen, module = "outrider._native")]
pub struct AgentMessage(Message);

#[pymethods]
impl AgentMessage {
    #[new]
    fn new(py: Python<'_>, text: &[u8]) -> PyResult<Self> {
        py.detach(|| Message::split(text)).map(Self).map_err(raised)
    }

    #[getter]
    fn command(&self) -> &str {
        &self.0.command
    }

    fn __len__(&self) -> usize {
        self.0.chunks.len()
    }

    fn chunk<'py>(&self, py: Python<'py>, number: usize) -> PyResult<Bound<'py, PyBytes>> {
        let chunk = self.0.chunks.get(number).ok_or_else(|| PyIndexError::new_err("there is no such chunk"))?;
        Ok(PyBytes::new(py, chunk.as_bytes()))
    }
}
