//! The families of functions of a gateway.

use std::collections::HashMap;

use crate::{
    metric::{
        function::{FAMILIES, reading_name},
        readout::Readout,
        sample::{Labels, Sink, Value},
    },
    report::FunctionReading,
};

pub(super) fn visit<S: Sink>(readout: &Readout, sink: &mut S) -> Result<(), S::Error> {
    let mut by_name: HashMap<&str, Vec<(&str, &FunctionReading)>> = HashMap::new();
    for function in &readout.snapshot.functions {
        for reading in &function.readings {
            by_name.entry(reading.name).or_default().push((&function.name, reading));
        }
    }
    for family in FAMILIES {
        let readings = by_name.get(&*reading_name(family)).map_or(&[][..], Vec::as_slice);
        let samples = readings.iter().map(|(function, reading)| {
            let labels = Labels::of("function", function);
            let labels = reading.labels.iter().fold(labels, |labels, (name, value)| labels.with(name, value));
            (labels, Value::Integer(reading.value))
        });
        sink.family(family, samples)?;
    }
    Ok(())
}
