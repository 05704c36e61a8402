//! Messages of agents as Python sees them.

use outrider_core::AgentMessage as Message;
use pyo3::exceptions::PyIndexError;
use pyo3::prelude::*;
use pyo3::pybacked::PyBackedBytes;
use pyo3::types::PyBytes;

use crate::error::raised;

/// The text stays Python's, and chunks are handed over one by one: copying them all would hold the interpreter.
#[pyclass(frozen, module = "outrider._native")]
pub struct AgentMessage(Message<PyBackedBytes>);

#[pymethods]
impl AgentMessage {
    #[new]
    fn new(py: Python<'_>, text: PyBackedBytes) -> PyResult<Self> {
        py.detach(|| Message::read(text)).map(Self).map_err(raised)
    }

    #[getter]
    fn command(&self) -> &str {
        self.0.command()
    }

    fn __len__(&self) -> usize {
        self.0.len()
    }

    fn chunk<'py>(&self, py: Python<'py>, number: usize) -> PyResult<Bound<'py, PyBytes>> {
        let chunk = self.0.chunk(number).ok_or_else(|| PyIndexError::new_err("there is no such chunk"))?;
        Ok(PyBytes::new(py, chunk.map_err(raised)?.as_bytes()))
    }
}
