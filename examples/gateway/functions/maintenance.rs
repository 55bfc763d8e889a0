//! Maintenance pages.

use std::{
    path::{Path, PathBuf},
    sync::{Arc, OnceLock},
    time::Duration,
};

use equipoise::{
    affinity::source::ClientAddress,
    gateway::filter::{Maintenance, MaintenanceLayer, MaintenancePage},
    monitor::FunctionReadings,
};
use futures::FutureExt;
use serde_json::{Value, json};
use tokio::task::JoinHandle;

use super::{
    chain::{Chain, Shared},
    file,
    filter::addresses,
    kept::Function,
    names::header_name,
};
use crate::{
    client::client_address,
    config::{AllowedDuringMaintenance, MaintenanceTable, Tables},
    context::Context,
    source::{ConfigError, Source},
};

/// How often the file of a maintenance is looked for.
const LOOK_INTERVAL: Duration = Duration::from_secs(1);

struct MaintenanceFunction {
    layer: MaintenanceLayer,
    maintenance: Maintenance,
    /// What looks for the file, once the configuration is applied.
    following: OnceLock<JoinHandle<()>>,
}

/// Adds the maintenance page of a route.
pub(super) fn add(
    chain: &mut Chain,
    tables: Tables<'_>,
    shared: &Shared<'_>,
    context: Context<'_>,
) -> Result<(), ConfigError> {
    let Some((placed, (table, _))) = tables.maintenance.and_then(|placed| Some((placed, placed.table()?))) else {
        return Ok(());
    };
    let source = context.source;
    let page = page(table, source)?;
    let secret = secret(&table.allow, source)?;
    if let Some(file) = &table.file
        && source.path(file.get_ref()).parent().is_some_and(|folder| folder != Path::new("") && !folder.is_dir())
    {
        let message = "is in a folder that does not exist, so the maintenance could never begin: make the folder";
        return Err(source.error(file.span(), format_args!("{} {message}", file.get_ref().display())));
    }
    // The switch and the page can change while the function stays.
    let unswitched =
        MaintenanceTable { active: None, message: None, page_file: None, retry_after: None, ..table.clone() };
    let key = (unswitched, secret.clone());
    let function = context.functions.keep_or_build(&format!("{} maintenance", placed.place), key, || {
        let maintenance = Maintenance::named(placed.place);
        let mut layer = MaintenanceLayer::new(maintenance.clone())
            .client_address(ClientAddress::connection().peer(client_address))
            .read_only(table.read_only);
        if let Some(ranges) = addresses(table.allow.address.as_ref(), None, source)? {
            layer = layer.exempt_addresses(ranges);
        }
        for path in &table.allow.path {
            layer = layer.exempt_path(path.get_ref()).map_err(|error| source.caused(path.span(), &error))?;
        }
        if let (Some(header), Some(secret)) = (&table.allow.header, &secret) {
            layer = layer.exempt_secret(header_name(header, source)?, secret);
        }
        Ok(MaintenanceFunction { layer, maintenance, following: OnceLock::new() })
    })?;
    let file = table.file.as_ref().map(|file| source.path(file.get_ref()));
    let (running, active) = (Arc::clone(&function), table.active.unwrap_or(file.is_none()));
    context.functions.on_apply(move || running.apply(page, active, file));
    let layer = function.layer.clone().errors(shared.errors.clone());
    chain.add(|functions| functions.maintenance(layer));
    Ok(())
}

impl MaintenanceFunction {
    fn apply(&self, page: MaintenancePage, active: bool, file: Option<PathBuf>) {
        self.maintenance.set_page(page);
        self.maintenance.switch(active);
        if let Some(file) = file {
            self.following.get_or_init(|| {
                let mut follow = Box::pin(self.maintenance.clone().follow(file, LOOK_INTERVAL));
                // It looks for the file at once, so that no request passes before.
                let _ = follow.as_mut().now_or_never();
                tokio::spawn(follow)
            });
        }
    }
}

fn page(table: &MaintenanceTable, source: &Source) -> Result<MaintenancePage, ConfigError> {
    let mut page = MaintenancePage::new();
    if let Some(message) = &table.message {
        page = page.message(message);
    }
    if let Some(path) = &table.page_file {
        page = page.html(file::read(path, source)?).map_err(|error| file::wrong(path, &error, source))?;
    }
    if let Some(after) = &table.retry_after {
        page = page.retry_after(*after.get_ref());
    }
    Ok(page)
}

/// Reads the secret with which requests are passed on.
fn secret(table: &AllowedDuringMaintenance, source: &Source) -> Result<Option<String>, ConfigError> {
    match (&table.header, &table.secret_file) {
        (None, None) => Ok(None),
        (Some(header), None) => {
            Err(source.error(header.span(), "header needs secret_file, with the value of the field"))
        }
        (None, Some(file)) => Err(source.error(file.span(), "secret_file needs header, the field with the secret")),
        (Some(_), Some(path)) => match file::read(path, source)?.trim() {
            "" => {
                let message = "there is no secret: write one, for example with `openssl rand -hex 32`";
                Err(source.error(path.span(), format_args!("{}: {message}", path.get_ref().display())))
            }
            secret => Ok(Some(secret.to_owned())),
        },
    }
}

impl Drop for MaintenanceFunction {
    fn drop(&mut self) {
        self.following.get().into_iter().for_each(JoinHandle::abort);
    }
}

impl Function for MaintenanceFunction {
    fn report(&self) -> Value {
        let stats = self.layer.stats();
        json!({
            "active": stats.active,
            "changes": stats.changes,
            "answered": stats.answered,
            "exempt": stats.exempt,
        })
    }

    fn watch(&self, into: &mut FunctionReadings) {
        into.maintenance(&self.layer.stats());
    }
}
