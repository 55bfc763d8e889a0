use std::{
    fmt,
    panic::{AssertUnwindSafe, catch_unwind},
    sync::Arc,
};

use equipoise_core::EndpointId;
use prometheus_client::{collector::Collector, encoding::DescriptorEncoder, registry::Registry};

use super::{
    exemplar::{Exemplar, ReadExemplars},
    format::Format,
    pieces::Pieces,
    text,
};
use crate::{
    metric::{Readout, Selection},
    monitor::Monitor,
};

/// Exports the metrics of a [`Monitor`] in the formats of Prometheus and OpenMetrics: as text, as a tower service, or as
/// a part of another registry. Clones share the monitor.
///
/// Each answer is made from one [snapshot](Monitor::snapshot), so series do not change while the text is written. The
/// counts and the availability of an endpoint are from one reading, and the sums of a pool are those of its endpoints.
/// Health and connections are read directly after them; if the pool has changed in between, all three are read again, up
/// to three times. A check that has just ended can therefore be visible shortly before its effect on the availability,
/// and the numbers of connections may include requests that have begun since.
///
/// The service answers `GET` and `HEAD` on any path, with the format that the client
/// [accepts](Format::accepted), and all other methods with 405. It never waits, and needs no particular runtime. The text
/// is produced while the client reads it, in pieces of about 8 000 lines: a client that goes away stops the work, and
/// other tasks of the thread run between two pieces. A piece takes a few milliseconds at most, except for the histograms
/// of pools.
///
/// The snapshot is taken at once, when the request arrives, and the histograms of a pool are added up at once: both take
/// about 1 µs for each endpoint, 10 ms for 10 000 of them. If other tasks of the runtime must not wait for so long, serve
/// the result of [`text`](Self::text), produced on a thread for blocking work.
#[derive(Clone)]
#[must_use]
pub struct Exporter {
    monitor: Monitor,
    selection: Selection,
    exemplars: Option<ReadExemplars>,
    registries: Vec<Arc<Registry>>,
}

impl Exporter {
    /// Creates an exporter for a monitor, with the series of single endpoints and without their histograms.
    pub fn new(monitor: &Monitor) -> Self {
        Self { monitor: monitor.clone(), selection: Selection::default(), exemplars: None, registries: Vec::new() }
    }

    /// Sets whether the series of single endpoints are exported: about 15 per endpoint without connections. Default:
    /// true. The series of pools are always exported.
    pub const fn endpoints(mut self, export: bool) -> Self {
        self.selection.endpoints = export;
        self
    }

    /// Sets whether the histograms of single endpoints are exported: 46 series per endpoint. Default: false. They exist
    /// in pools with [latency histograms](equipoise_core::PoolBuilder::latency_histograms) only. The histograms of pools
    /// are always exported.
    pub const fn endpoint_histograms(mut self, export: bool) -> Self {
        self.selection.endpoint_histograms = export;
        self
    }

    /// Sets whether metrics of the process are exported, such as `process_cpu_seconds_total`, under the names that
    /// Prometheus's client libraries use. Default: false. They are read when metrics are asked for.
    #[cfg(feature = "process")]
    #[cfg_attr(docsrs, doc(cfg(feature = "process")))]
    pub const fn process(mut self, export: bool) -> Self {
        self.selection.process = export;
        self
    }

    /// Sets where the exemplars of `equipoise_pool_first_byte_seconds` and `equipoise_endpoint_first_byte_seconds` come
    /// from. Only [OpenMetrics](Format::OpenMetrics) has exemplars, and Prometheus stores them if it runs with
    /// `--enable-feature=exemplar-storage`.
    ///
    /// The function is called with the name of a pool and the id of an endpoint, for each endpoint in each answer, and
    /// must be fast. Each bucket of the endpoint, and each bucket of the pool, gets the newest exemplar that belongs to it.
    ///
    /// ```
    /// use std::time::{Duration, SystemTime};
    /// use equipoise_monitor::{Monitor, prometheus::{Exemplar, Exporter}};
    ///
    /// let exporter = Exporter::new(&Monitor::new()).exemplars(|_pool, endpoint| match endpoint.as_str() {
    ///     "10.0.0.1:80" => {
    ///         let trace_id = "0af7651916cd43dd8448eb211c80319c";
    ///         vec![Exemplar::new(Duration::from_millis(300), trace_id, SystemTime::now())]
    ///     }
    ///     _ => Vec::new(),
    /// });
    /// # drop(exporter);
    /// ```
    pub fn exemplars(
        mut self,
        exemplars: impl Fn(&Arc<str>, &EndpointId) -> Vec<Exemplar> + Send + Sync + 'static,
    ) -> Self {
        self.exemplars = Some(Arc::new(exemplars));
        self
    }

    /// Sets that the exemplars are those that a [`Trace`](crate::trace::Trace) has recorded. It replaces what
    /// [`exemplars`](Self::exemplars) has set, where the formats and their limits are described.
    ///
    /// Exemplars are recorded under the name of the trace, so it must be the name of the [pool](crate::WatchedPool) in the
    /// monitor. An endpoint without exemplars, for example because the store was full, has none in the metrics.
    ///
    /// ```
    /// use equipoise_core::{EndpointSpec, Pool};
    /// use equipoise_monitor::{
    ///     Monitor, WatchedPool,
    ///     prometheus::Exporter,
    ///     trace::{Exemplars, Trace},
    /// };
    /// use equipoise_tower::Balance;
    /// # use http::{Request, Response};
    /// # use tower::service_fn;
    ///
    /// let pool = Pool::default();
    /// # let connect = |_: &EndpointSpec| {
    /// #     service_fn(|_: Request<String>| std::future::ready(Ok::<_, std::io::Error>(Response::new(String::new()))))
    /// # };
    /// pool.update(["10.0.0.1:80", "10.0.0.2:80"].map(EndpointSpec::new), connect)?;
    /// let monitor = Monitor::new();
    /// monitor.add_pool(WatchedPool::new("web", &pool));
    ///
    /// let exemplars = Exemplars::new();
    /// let balance = Balance::new(pool).observe(Trace::client("web").exemplars(&exemplars));
    /// let exporter = Exporter::new(&monitor).traces(&exemplars);
    /// # drop((balance, exporter));
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    #[cfg(feature = "trace")]
    #[cfg_attr(docsrs, doc(cfg(feature = "trace")))]
    pub fn traces(self, exemplars: &crate::trace::Exemplars) -> Self {
        let exemplars = exemplars.clone();
        self.exemplars(move |pool, endpoint| {
            exemplars.of_endpoint(pool, endpoint).into_iter().map(Exemplar::from).collect()
        })
    }

    /// Adds a registry of the application, whose metrics are a part of each answer. It must not have metrics whose names
    /// begin with `equipoise_`. Can be called several times.
    pub fn registry(mut self, registry: Registry) -> Self {
        self.registries.push(Arc::new(registry));
        self
    }

    /// Returns all metrics as text, for applications that serve it by themselves.
    ///
    /// # Errors
    ///
    /// Fails if a metric of a [registry](Self::registry) cannot be encoded.
    pub fn text(&self, format: Format) -> Result<String, fmt::Error> {
        let mut text = String::new();
        let mut pieces = self.pieces(format)?;
        while pieces.write(&mut text) {}
        Ok(text)
    }

    /// Returns a collector of the monitor's metrics for a registry of the application. It leaves out what
    /// [`registry`](Self::registry) and [`exemplars`](Self::exemplars) have added.
    ///
    /// ```
    /// use equipoise_monitor::{Monitor, prometheus::Exporter};
    /// use prometheus_client::{encoding::text::encode, registry::Registry};
    ///
    /// let mut registry = Registry::default();
    /// registry.register_collector(Box::new(Exporter::new(&Monitor::new()).collector()));
    /// let mut text = String::new();
    /// encode(&mut text, &registry)?;
    /// assert!(text.contains("equipoise_build_info"));
    /// # Ok::<(), std::fmt::Error>(())
    /// ```
    pub fn collector(&self) -> impl Collector + use<> {
        MonitorCollector { monitor: self.monitor.clone(), selection: self.selection }
    }

    /// Starts an answer: takes a snapshot, and encodes what the application has added. The rest cannot fail.
    pub(super) fn pieces(&self, format: Format) -> Result<Pieces, fmt::Error> {
        let mut own = String::new();
        for registry in &self.registries {
            // The metrics of an application may be of any type, and panic.
            let encode = AssertUnwindSafe(|| text::write_registry(&mut own, registry, format));
            catch_unwind(encode).map_err(|_| fmt::Error)??;
        }
        let readout = Arc::new(Readout::new(self.monitor.snapshot(), self.selection));
        let exemplars = self.exemplars.as_ref().filter(|_| format == Format::OpenMetrics);
        Ok(Pieces::new(own, readout, format, exemplars))
    }
}

impl fmt::Debug for Exporter {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Exporter")
            .field("monitor", &self.monitor)
            .field("selection", &self.selection)
            .field("registries", &self.registries.len())
            .finish_non_exhaustive()
    }
}

#[derive(Debug)]
struct MonitorCollector {
    monitor: Monitor,
    selection: Selection,
}

impl Collector for MonitorCollector {
    fn encode(&self, encoder: DescriptorEncoder<'_>) -> fmt::Result {
        text::encode(&Readout::new(self.monitor.snapshot(), self.selection), encoder)
    }
}
