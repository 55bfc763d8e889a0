use std::{
    path::PathBuf,
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicU64, Ordering},
    },
    time::Duration,
};

use arc_swap::ArcSwap;

use super::page::MaintenancePage;

/// The switch of a [`MaintenanceLayer`](super::MaintenanceLayer). Clones are the same switch.
///
/// Maintenance is active if it was switched on, or if the file that [`follow`](Self::follow) watches exists.
///
/// ```
/// use equipoise_gateway::filter::{Maintenance, MaintenanceLayer, MaintenancePage};
///
/// let maintenance = Maintenance::new();
/// let layer = MaintenanceLayer::new(maintenance.clone());
/// maintenance.set_page(MaintenancePage::new().message("we are back at 10:00 UTC"));
/// maintenance.switch(true);
/// assert!(maintenance.is_active());
/// # drop(layer);
/// ```
#[derive(Clone, Debug, Default)]
pub struct Maintenance(Arc<State>);

#[derive(Debug, Default)]
struct State {
    name: Option<Box<str>>,
    is_on: AtomicBool,
    has_file: AtomicBool,
    page: ArcSwap<MaintenancePage>,
    changes: AtomicU64,
}

impl Maintenance {
    /// Creates a switch that is off.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// Creates a switch that is off, with a name for the log. It tells the lines of several switches apart that follow
    /// the same file.
    #[must_use]
    pub fn named(name: impl Into<Box<str>>) -> Self {
        Self(Arc::new(State { name: Some(name.into()), ..State::default() }))
    }

    /// Switches maintenance on or off. Requests that are in flight are not affected.
    pub fn switch(&self, on: bool) {
        if self.0.is_on.swap(on, Ordering::AcqRel) != on {
            self.0.changes.fetch_add(1, Ordering::Relaxed);
            tracing::info!(maintenance = self.name(), on, "maintenance was switched");
        }
    }

    /// Exchanges the page for clients.
    pub fn set_page(&self, page: MaintenancePage) {
        self.0.page.store(Arc::new(page));
    }

    /// Returns whether requests get the page.
    #[must_use]
    pub fn is_active(&self) -> bool {
        self.0.is_on.load(Ordering::Acquire) || self.0.has_file.load(Ordering::Acquire)
    }

    /// Follows a file: maintenance is active while it exists. The future never ends; spawn it, and drop it to stop. It
    /// looks at the file at once, and then once in each `interval` (at least 10 ms), outside of requests. A file whose
    /// existence cannot be determined, for example because a folder cannot be read, changes nothing.
    ///
    /// The look at the file takes microseconds on a local disk. It blocks the thread of the task meanwhile, so the file
    /// should not be on a network share.
    pub async fn follow(self, file: impl Into<PathBuf>, interval: Duration) {
        let file = file.into();
        let mut ticks = tokio::time::interval(interval.max(Duration::from_millis(10)));
        ticks.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
        loop {
            ticks.tick().await;
            match file.try_exists() {
                Ok(exists) => {
                    if self.0.has_file.swap(exists, Ordering::AcqRel) != exists {
                        self.0.changes.fetch_add(1, Ordering::Relaxed);
                        tracing::info!(
                            maintenance = self.name(), file = %file.display(), exists,
                            "the file of the maintenance has changed"
                        );
                    }
                }
                Err(error) => tracing::debug!(file = %file.display(), %error, "the file cannot be looked at"),
            }
        }
    }

    fn name(&self) -> Option<&str> {
        self.0.name.as_deref()
    }

    pub(super) fn page(&self) -> Arc<MaintenancePage> {
        self.0.page.load_full()
    }

    pub(super) fn changes(&self) -> u64 {
        self.0.changes.load(Ordering::Relaxed)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test(start_paused = true)]
    async fn maintenance_follows_a_file() {
        let file = std::env::temp_dir().join(format!("equipoise-maintenance-{}", std::process::id()));
        let _ = std::fs::remove_file(&file);
        let maintenance = Maintenance::new();
        let task = tokio::spawn(maintenance.clone().follow(file.clone(), Duration::from_secs(1)));
        tokio::time::sleep(Duration::from_millis(500)).await;
        assert!(!maintenance.is_active());
        std::fs::write(&file, "").expect("a file");
        tokio::time::sleep(Duration::from_secs(1)).await;
        assert!(maintenance.is_active());
        std::fs::remove_file(&file).expect("a file");
        tokio::time::sleep(Duration::from_secs(1)).await;
        assert!(!maintenance.is_active());
        maintenance.switch(true);
        tokio::time::sleep(Duration::from_secs(1)).await;
        assert!(maintenance.is_active(), "the switch does not depend on the file");
        assert_eq!(maintenance.changes(), 3);
        task.abort();
    }
}
