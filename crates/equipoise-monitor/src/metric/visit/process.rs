//! The families of the process. Those of the crate `metrics-process` have the names that Prometheus's client libraries use.

use metrics_process::collector::Metrics;

use crate::metric::{
    family::Family,
    list,
    sample::{Labels, Sink, Value},
};

pub(super) fn visit<S: Sink>(process: &Metrics, sink: &mut S) -> Result<(), S::Error> {
    let mut series = |family: &Family, value: Option<Value<'_>>| {
        sink.family(family, value.map(|value| (Labels::default(), value)).into_iter())
    };
    // 0 stands for no limit.
    let limit = |max: Option<u64>| max.filter(|max| *max > 0);
    series(&list::PROCESS_CPU, process.cpu_seconds_total.map(Value::Float))?;
    series(&list::PROCESS_RESIDENT_MEMORY, process.resident_memory_bytes.map(Value::Integer))?;
    series(&list::PROCESS_VIRTUAL_MEMORY, process.virtual_memory_bytes.map(Value::Integer))?;
    series(&list::PROCESS_OPEN_FDS, process.open_fds.map(Value::Integer))?;
    series(&list::PROCESS_MAX_FDS, limit(process.max_fds).map(Value::Integer))?;
    series(&list::PROCESS_START_TIME, process.start_time_seconds.map(Value::Integer))?;
    series(&list::PROCESS_THREADS, process.threads.map(Value::Integer))?;
    let cpus = std::thread::available_parallelism().ok();
    series(&list::PROCESS_CPUS, cpus.map(|cpus| Value::Integer(cpus.get() as u64)))
}
