//! Visits the families of a readout, in the order of the list.

mod endpoint;
mod function;
mod listener;
mod pool;
#[cfg(feature = "process")]
mod process;

use super::{
    list,
    readout::Readout,
    sample::{Labels, Sink, Value},
};

impl Readout {
    /// Passes all families to the sink.
    pub(crate) fn visit<S: Sink>(&self, sink: &mut S) -> Result<(), S::Error> {
        let build = &self.snapshot.build;
        let labels = Labels::of("program", &build.program).with("version", &build.version);
        let labels = labels.with("library", build.library);
        sink.family(&list::BUILD, [(labels, Value::Integer(1))].into_iter())?;
        pool::visit(self, sink)?;
        if self.selection.endpoints {
            endpoint::visit(self, sink)?;
        }
        listener::visit(self, sink)?;
        #[cfg(feature = "process")]
        if let Some(process) = &self.process {
            process::visit(process, sink)?;
        }
        function::visit(self, sink)
    }
}
