//! The families of the process. Those of the crate `metrics-process` have the names that Prometheus's client libraries use.

use crate::metric::{
    family::Family,
    list,
    readout::Process,
    sample::{Labels, Sink, Value},
};

pub(super) fn visit<S: Sink>(process: &Process, sink: &mut S) -> Result<(), S::Error> {
    let mut series = |family: &Family, value: Option<Value<'_>>| {
        sink.family(family, value.map(|value| (Labels::default(), value)).into_iter())
    };
    let metrics = &process.metrics;
    // 0 stands for no limit.
    let limit = |max: Option<u64>| max.filter(|max| *max > 0);
    series(&list::PROCESS_CPU, metrics.cpu_seconds_total.map(Value::Float))?;
    series(&list::PROCESS_RESIDENT_MEMORY, metrics.resident_memory_bytes.map(Value::Integer))?;
    series(&list::PROCESS_VIRTUAL_MEMORY, metrics.virtual_memory_bytes.map(Value::Integer))?;
    series(&list::PROCESS_OPEN_FDS, metrics.open_fds.map(Value::Integer))?;
    series(&list::PROCESS_MAX_FDS, limit(metrics.max_fds).map(Value::Integer))?;
    series(&list::PROCESS_START_TIME, metrics.start_time_seconds.map(Value::Integer))?;
    series(&list::PROCESS_THREADS, metrics.threads.map(Value::Integer))?;
    series(&list::PROCESS_CPUS, process.cpus.map(Value::Integer))
}
