/// Which metrics are exported.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Selection {
    /// Series of single endpoints.
    pub(crate) endpoints: bool,
    /// Histograms of single endpoints.
    pub(crate) endpoint_histograms: bool,
    /// Metrics of the process.
    #[cfg(feature = "process")]
    pub(crate) process: bool,
}

impl Default for Selection {
    fn default() -> Self {
        Self {
            endpoints: true,
            endpoint_histograms: false,
            #[cfg(feature = "process")]
            process: false,
        }
    }
}
